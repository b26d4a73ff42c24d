package activities

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// Ports are the adapters behind the activities.
type Ports struct {
	Engine    Engine
	Links     Links
	Mailboxes Mailboxes
	Compares  CompareRecords
	Reviews   ReviewRecords
	Members   Members
	Due       DueRecords
	Starter   Starter
	Keeper    Keeper
	Watch     WatchRecords
	Waker     Waker
	// Signs may be nil; no sign of life is left then.
	Signs      Signs
	Suspension SuspensionRecords
	// Schedules may be nil where nothing is suspended.
	Schedules Schedules
	// Meter may be nil; nothing is counted then.
	Meter Meter
	// Directory is nil where no directory is mirrored.
	Directory *dirsync.Engine
	// Approvals and Approved may be nil; no run is started then over directories.
	Approvals Approvals
	Approved  DirectoryStarter
	// Checks and Store may be nil if nothing is checked or verified; Verify is
	// copier.Verify if it is nil.
	Checks CheckRecords
	Store  StoreChecker
	Verify Verify
}

// Settings bound what one worker process does at a time. Zero values take the
// defaults.
type Settings struct {
	// Mailboxes is how many mailboxes are looked at or copied at a time by this
	// process, whatever the number of activities; default 8. It bounds the
	// connections to each store.
	Mailboxes int
	// Report is how often progress is written down and heartbeats are sent;
	// default 500 ms.
	Report time.Duration
	// Pace decides when a mailbox that failed is tried again.
	Pace Pace
	// Retention is how long records are kept.
	Retention site.Retention
	// Quiet is how long a mailbox has to be without a wake-up until an event
	// wakes its sync at once; default 2 s.
	Quiet time.Duration
	// Identity names this process to whoever asks who listens.
	Identity string
	// Log takes what listening has to say; nil discards it.
	Log *slog.Logger
}

// Activities is what a worker registers: one struct for each concern. It is safe for
// concurrent use.
type Activities struct {
	Sync
	Compare
	Directory
	Suspension
	Watch
	Sweep
	Retention
	Checks
}

// shared is what the concerns of one process have in common.
type shared struct {
	report time.Duration
	// identity names this process.
	identity string
	log      *slog.Logger
	signs    Signs
	// gate holds one token per mailbox that is being worked on.
	gate chan struct{}
	// lookout ends the work that is under way when the mirror is suspended.
	lookout *lookout
}

// New returns the activities over their ports.
func New(p Ports, settings Settings) *Activities {
	if settings.Mailboxes <= 0 {
		settings.Mailboxes = 8
	}
	if settings.Report <= 0 {
		settings.Report = 500 * time.Millisecond
	}
	if p.Meter == nil {
		p.Meter = noMeter{}
	}
	if p.Verify == nil {
		p.Verify = copier.Verify
	}
	engine := metered{p.Engine, p.Meter}
	s := &shared{report: settings.Report, identity: settings.Identity, log: settings.Log, signs: p.Signs,
		gate: make(chan struct{}, settings.Mailboxes),
		lookout: &lookout{every: lookoutEvery, suspensions: func(ctx context.Context) (suspension.Scopes, error) {
			return p.Suspension.Suspensions(ctx)
		}}}
	f := failures{p.Mailboxes, settings.Pace.withDefaults()}
	return &Activities{
		Sync:       Sync{s, f, engine, p.Links},
		Compare:    Compare{s, f, engine, p.Links, p.Compares, p.Reviews},
		Directory:  Directory{s, p.Directory, p.Starter},
		Suspension: Suspension{s, p.Suspension, p.Schedules},
		Watch:      Watch{s, p.Watch, p.Links, p.Waker, p.Meter, settings.Quiet},
		Sweep:      Sweep{s, f, p.Due, p.Starter, p.Approvals, p.Approved},
		Retention:  Retention{s, p.Keeper, settings.Retention},
		Checks:     Checks{s, p.Links, p.Members, p.Checks, p.Store, p.Verify},
	}
}

// Register makes the activities known to a worker, each by its method's name: every
// exported method of every concern is one.
func Register(r worker.ActivityRegistry, a *Activities) { r.RegisterActivity(a) }

// enter waits for a token of the gate; leave gives it back.
func (a *shared) enter(ctx context.Context) error {
	select {
	case a.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *shared) leave() { <-a.gate }

// errWorkerStopping is the cause of a context that ended because the worker
// was told to stop.
var errWorkerStopping = errors.New("worker is stopping")

// withWorkerStop returns a context that also ends when the worker stops, so
// that the work is broken off in good order and handed to the next worker at
// once, instead of being noticed as missing by its heartbeats.
func withWorkerStop(ctx context.Context) (context.Context, context.CancelFunc) {
	stopping := activity.GetWorkerStopChannel(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-stopping:
			cancel(errWorkerStopping)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// beat sends heartbeats until the returned function is called, which waits for
// the last one. Cancellation reaches an activity by its heartbeats alone.
func (a *shared) beat(ctx context.Context, details func() any) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(a.report)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				activity.RecordHeartbeat(ctx, details())
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
