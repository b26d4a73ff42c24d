package lease

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"mailmirror/internal/fault"
)

// Records keeps the leases. Implementations are safe for concurrent use.
type Records interface {
	// Renew prolongs a lease to ttl from now. If it was lost, that is a Conflict;
	// with a *SuspendedError if its link may not be written to any more. A Config
	// error says that the resource must not be written to at all.
	Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error)
	// Release ends a lease. If clean is false, a write may still be on its way, so
	// that the next holder waits for the fence. If the lease was lost, that is a
	// Conflict, and the one that took its place stays as it is.
	Release(ctx context.Context, l Lease, clean bool) error
}

// Taker is Records that also give leases.
type Taker interface {
	Records
	// TakeLease takes a lease. The error is a Conflict with a *HeldError if another
	// may still write, with a *SuspendedError if nothing may be written, and with a
	// *RunningError if a restore needs its link suspended.
	TakeLease(ctx context.Context, r Resource, t Times) (Lease, error)
}

// Clock is the time as the keeper sees it.
type Clock interface {
	// Now returns the machine's time.
	Now() time.Time
	// Sleep waits for d or until ctx is done, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Connection is what is written by.
type Connection interface {
	// SetWriteDeadline sets the instant after which nothing more may be written.
	SetWriteDeadline(t time.Time)
}

// Deadline is the end of a lease, as far as its holder knows, and hands it on to
// whatever connection is open. The zero value is that of no lease. It is safe for
// concurrent use.
type Deadline struct {
	mu         sync.Mutex
	at         time.Time
	connection Connection
}

// At returns the end of the lease, which a renewal moves.
func (d *Deadline) At() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// Bind takes over a new connection. One that is opened before there is a lease has no
// deadline yet, and nothing is written to it.
func (d *Deadline) Bind(c Connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.connection = c
	if !d.at.IsZero() {
		c.SetWriteDeadline(d.at)
	}
}

func (d *Deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
	if d.connection != nil {
		d.connection.SetWriteDeadline(at)
	}
}

// End says how work under a lease ended.
type End int

const (
	// Clean: nothing is on its way to the store.
	Clean End = iota
	// Unclean: a write may still be on its way.
	Unclean
	// Released: the work's own last transaction released the lease.
	Released
)

// Keeper holds leases while work is under way. The logger may be nil.
type Keeper struct {
	Records Records
	Clock   Clock
	Log     *slog.Logger
}

// Await takes a lease by take, and waits for the end of another one for as long as
// patience.
func (k Keeper) Await(ctx context.Context, patience time.Duration, take func(context.Context) (Lease, error)) (Lease, error) {
	for begin := k.Clock.Now(); ; {
		l, err := take(ctx)
		held, busy := errors.AsType[*HeldError](err)
		if !busy || k.Clock.Now().Sub(begin) > patience {
			return l, err
		}
		if k.Clock.Sleep(ctx, min(max(held.Wait, 100*time.Millisecond), time.Second)) != nil {
			return Lease{}, context.Cause(ctx)
		}
	}
}

// Hold runs work under a lease of ttl, keeps writing up to date meanwhile and releases
// the lease after that. The context of the work ends if the lease is lost. If the work
// fails then, the error is why the lease was lost.
func (k Keeper) Hold(ctx context.Context, l Lease, ttl time.Duration, writing *Deadline, work func(context.Context) (End, error)) error {
	writing.set(l.Deadline)
	working, lose := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(ctx)
	var lost error
	var renewer sync.WaitGroup
	renewer.Go(func() {
		if lost = k.renew(renewing, l, ttl, writing); lost != nil {
			lose(lost)
		}
	})
	quit := func() {
		stop()
		renewer.Wait()
		lose(context.Canceled)
	}
	defer quit() // also if the work panics
	end, err := work(working)
	quit()
	if end != Released {
		k.release(ctx, l, end == Clean)
	}
	if err != nil && lost != nil {
		return lost
	}
	return err
}

// renew prolongs the lease at each third of ttl until ctx ends, or returns why it was
// lost. The connection is closed before anything else. A renewal without an answer is
// given up when the next one is due: that one may find a connection that works.
func (k Keeper) renew(ctx context.Context, l Lease, ttl time.Duration, writing *Deadline) error {
	third := ttl / 3
	for wait := third; k.Clock.Sleep(ctx, wait) == nil; {
		asked := k.Clock.Now()
		asking, cancel := context.WithTimeout(ctx, third)
		renewed, err := k.Records.Renew(asking, l, ttl)
		cancel()
		wait = max(third-k.Clock.Now().Sub(asked), 0)
		switch {
		case err == nil:
			writing.set(renewed.Deadline)
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the work has ended
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.Config) && !errors.Is(err, fault.ErrDatabase),
			!k.Clock.Now().Before(writing.At()):
			writing.set(k.Clock.Now())
			return err
		}
		// Otherwise the deadline stands: unless a later renewal succeeds, the
		// connection closes itself.
	}
	return nil
}

// releasePatience is how long the database has to record the end of a lease.
const releasePatience = 5 * time.Second

// release gives the lease back, even when ctx is cancelled: the next holder would have
// to wait for its end.
func (k Keeper) release(ctx context.Context, l Lease, clean bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	if err := k.Records.Release(ctx, l, clean); err != nil && !fault.Is(err, fault.Conflict) && k.Log != nil {
		k.Log.WarnContext(ctx, "lease not released; it ends by itself", "link", l.Link, "kind", string(l.Kind), "error", err)
	}
}
