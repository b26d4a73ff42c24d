package activities

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// SuspensionRecords are the rows of the suspensions, with the links that there are.
type SuspensionRecords interface {
	suspension.Records
	// Resume ends the suspension of r.Epoch. Another one is left as it is.
	Resume(ctx context.Context, r suspension.Request) (suspension.Suspension, error)
	// Links returns all links, by name.
	Links(ctx context.Context) ([]site.Link, error)
}

// Suspension are the activities that suspend and resume the mirror.
type Suspension struct {
	*shared

	records   SuspensionRecords
	schedules Schedules
}

// Schedules is what suspending needs of the schedules.
type Schedules interface {
	// SuspendSchedules pauses those of all links and of the given ones, or, if the
	// suspension is that of a link, those of the link; what is paused already is left
	// as it is.
	SuspendSchedules(ctx context.Context, links []string, s suspension.Suspension) error
	// ResumeSchedules lets those go on that SuspendSchedules paused, and starts
	// what became due meanwhile.
	ResumeSchedules(ctx context.Context, links []string, s suspension.Suspension) error
	suspension.Asker
}

const (
	// TypeSuspended is the type of the error by which an activity ends that has
	// to wait for the mirror to be resumed.
	TypeSuspended = "suspended"
	// suspendedRetry is how often it then looks whether it may go on.
	suspendedRetry = 5 * time.Second
	// stillEvery is how often AwaitStill looks at the leases.
	stillEvery = 200 * time.Millisecond
	// lookoutEvery is how often a worker at work asks whether the mirror is
	// suspended. The lease is what keeps it from writing; this is to be quick.
	lookoutEvery = 500 * time.Millisecond
)

// errSuspended is the cause of a context that ended because everything, or the link, is
// being suspended.
var errSuspended = errors.New("the mirror or the link is suspended")

// errStarted says why no lease is given although the mirror is not suspended.
var errStarted = errors.New("PostgreSQL was started a moment ago: until leases end of which it may not know, nothing is written")

// suspendedError is the answer of an activity that goes on after resumption.
func suspendedError() error { return later(errSuspended) }

// later is the answer of an activity that is repeated until it may write.
func later(why error) error {
	return temporal.NewApplicationErrorWithOptions(why.Error(), TypeSuspended, temporal.ApplicationErrorOptions{
		NextRetryDelay: suspendedRetry,
		Category:       temporal.ApplicationErrorCategoryBenign,
	})
}

// suspended reports whether work ended because the mirror is suspended: it is
// no failure of the mailbox, which stays as due as it was.
func suspended(ctx context.Context, err error) bool {
	if errors.Is(context.Cause(ctx), errSuspended) || errors.Is(err, errSuspended) {
		return true
	}
	_, refused := errors.AsType[*lease.SuspendedError](err)
	return refused
}

// running reports whether the mirror of a link is known not to be suspended. If no lease
// is given nevertheless, PostgreSQL was started a moment ago.
func (l *lookout) running(ctx context.Context, link string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), suspendedRetry)
	defer cancel()
	all, err := l.suspensions(ctx)
	return err == nil && !all.Of(link).Suspended()
}

// watched is work on a link.
type watched struct {
	link   string
	cancel context.CancelCauseFunc
}

// lookout ends the contexts of running work when the mirror is suspended. All
// work of a process shares one look at the database, while there is any.
type lookout struct {
	suspensions func(context.Context) (suspension.Scopes, error)
	every       time.Duration

	mu    sync.Mutex
	work  map[int]watched
	next  int
	sleep context.CancelFunc // ends the looking; nil while nobody works
}

// under returns a context that ends too when the mirror of a link is suspended, and what
// must be called when the work is over.
func (l *lookout) under(ctx context.Context, link string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.work == nil {
		l.work = map[int]watched{}
	}
	id := l.next
	l.next++
	l.work[id] = watched{link, cancel}
	if l.sleep == nil {
		looking, sleep := context.WithCancel(context.WithoutCancel(ctx))
		l.sleep = sleep
		go l.look(looking)
	}
	return ctx, func() {
		cancel(context.Canceled)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.work, id)
		if len(l.work) == 0 && l.sleep != nil {
			l.sleep()
			l.sleep = nil
		}
	}
}

func (l *lookout) look(ctx context.Context) {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		// One that cannot be asked is asked again; the leases are not renewed
		// meanwhile either.
		if all, err := l.suspensions(ctx); err == nil {
			l.stop(all)
		}
	}
}

func (l *lookout) stop(all suspension.Scopes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.work {
		if all.Of(w.link).Still() {
			w.cancel(errSuspended)
		}
	}
}

// ReadSuspension returns how the mirror as a whole stands, or a link by itself.
func (a *Suspension) ReadSuspension(ctx context.Context, link string) (suspension.Suspension, error) {
	all, err := a.records.Suspensions(ctx)
	return all.Own(link), activityError(err)
}

// AwaitRunning ends when the mirror of a link may write: while it is suspended, or no
// lease is given since PostgreSQL was started a moment ago, it fails, and is tried again
// every few seconds.
func (a *Suspension) AwaitRunning(ctx context.Context, link string) error {
	all, err := a.records.Suspensions(ctx)
	switch s := all.Of(link); {
	case err != nil:
		return activityError(err)
	case s.Still():
		return suspendedError()
	case s.Remaining > 0:
		return later(errStarted)
	}
	return nil
}

// RecordSuspend records a suspension, unless the mirror is not running or of
// another epoch than the request's, so that an attempt of it that comes late
// does nothing.
func (a *Suspension) RecordSuspend(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	s, err := a.records.Suspend(ctx, r)
	return s, activityError(err)
}

// RecordResume ends the suspension of r.Epoch, and no other.
func (a *Suspension) RecordResume(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	all, err := a.records.Suspensions(ctx)
	before := all.Own(r.Link)
	if err != nil {
		return before, activityError(err)
	}
	s, err := a.records.Resume(ctx, r)
	if err == nil && s.Epoch != before.Epoch {
		sayOfMirror(ctx, "mirror resumed", s)
	}
	return s, activityError(err)
}

// LinkRequest asks for a link by itself.
type LinkRequest struct {
	suspension.Request
	Suspend bool `json:"suspend,omitempty"`
}

// AskLink hands a request on to the LinkControl of its link, and returns how the link
// stands. If there is no such link, that is running at the epoch 0.
func (a *Suspension) AskLink(ctx context.Context, r LinkRequest) (suspension.Suspension, error) {
	all, err := a.records.Suspensions(ctx)
	s := all.Own(r.Link)
	switch {
	case err != nil || s.Epoch == 0:
	case !r.Suspend:
		err = a.schedules.AskResume(ctx, r.Request)
	default:
		// Nothing new is written from here on, whenever LinkControl gets to it.
		if s, err = a.records.Suspend(ctx, r.Request); err == nil {
			r.Epoch = s.Epoch
			err = a.schedules.AskSuspend(ctx, r.Request)
		}
	}
	return s, activityError(err)
}

// SettleSuspension pauses the schedules, waits until no write can be in flight
// any more, and records that. It returns how things stand, at once where the
// suspension is another one by then, or over. It may be repeated at any time.
func (a *Suspension) SettleSuspension(ctx context.Context, s suspension.Suspension) (suspension.Suspension, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	stop := a.beat(beats, func() any { return s })
	defer stop()
	if s.State == suspension.Suspending && activity.GetInfo(beats).Attempt == 1 {
		sayOfMirror(beats, "mirror is being suspended", s)
	}
	links, err := a.linksOf(ctx, s)
	if err == nil {
		err = a.schedules.SuspendSchedules(ctx, links, s)
	}
	if err != nil {
		return s, settleError(ctx, err)
	}
	ticker := time.NewTicker(stillEvery)
	defer ticker.Stop()
	for {
		now, err := a.records.ConfirmSuspended(ctx, s.Link, s.Epoch)
		switch {
		case err != nil:
			return s, settleError(ctx, err)
		case now.Unconfirmed && s.Epoch != 0 && now.Epoch > s.Epoch:
			// It was resumed, and nobody has confirmed the row yet. A suspension of
			// which only the phase is known has no epoch, and holds.
			return now, nil
		case now.Unconfirmed:
			// The database went back to a time before the suspension.
			if _, err := a.records.Suspend(ctx, suspension.Request{Link: s.Link, Reason: s.Reason, Who: s.Who, Way: audit.Itself}); err != nil {
				return s, settleError(ctx, err)
			}
		case !now.Still():
			// This attempt was taken for dead, and the mirror was resumed without it:
			// what it paused too late goes on.
			err := a.schedules.ResumeSchedules(context.WithoutCancel(ctx), links, now)
			return now, settleError(ctx, err)
		case now.State == suspension.Suspended:
			if s.State != suspension.Suspended {
				sayOfMirror(beats, "mirror suspended", now)
			}
			// Once more: a worker that started meanwhile may have let one go on, by
			// what it had read before.
			return now, settleError(ctx, a.schedules.SuspendSchedules(ctx, links, now))
		case now.Epoch != s.Epoch:
			return now, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return now, ended(ctx)
		}
	}
}

// sayOfMirror logs what became of the mirror, or of a link. The reason is the operator's.
func sayOfMirror(ctx context.Context, what string, s suspension.Suspension) {
	activity.GetLogger(ctx).Info(what, "link", s.Link, "run_id", activity.GetInfo(ctx).WorkflowExecution.RunID,
		"epoch", s.Epoch, "who", s.Who, "waiting", s.Waiting)
}

// SettleRunning lets the schedules go on after a resumption and starts what
// became due meanwhile. It returns how things stand.
func (a *Suspension) SettleRunning(ctx context.Context, s suspension.Suspension) (suspension.Suspension, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	stop := a.beat(beats, func() any { return s })
	defer stop()
	links, err := a.linksOf(ctx, s)
	if err == nil {
		err = a.schedules.ResumeSchedules(ctx, links, s)
	}
	if err != nil {
		return s, settleError(ctx, err)
	}
	all, err := a.records.Suspensions(ctx)
	now := all.Own(s.Link)
	if err == nil && now.Suspended() {
		// As above: taken for dead, and suspended again without it.
		err = a.schedules.SuspendSchedules(context.WithoutCancel(ctx), links, now)
	}
	return now, settleError(ctx, err)
}

func settleError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	return activityError(err)
}

// linksOf are the links of a suspension's scope.
func (a *Suspension) linksOf(ctx context.Context, s suspension.Suspension) ([]string, error) {
	if s.Link != "" {
		return []string{s.Link}, nil
	}
	links, err := a.records.Links(ctx)
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	return names, err
}

// activityError is applicationError for the steps of MirrorControl: whatever
// fails is tried again, as a mirror that cannot be resumed any more, since the
// database once had no room, helps nobody.
func activityError(err error) error {
	if err == nil {
		return nil
	}
	return withOptions(err, temporal.ApplicationErrorOptions{})
}

// mustRun is an error if the mirror of a link is suspended ("" is everything): what is
// about to begin would only be rejected, mailbox by mailbox.
func (a *shared) mustRun(ctx context.Context, link string) error {
	all, err := a.lookout.suspensions(ctx)
	if err == nil && all.Of(link).Still() {
		err = fault.New(fault.Conflict, "", errSuspended, "")
	}
	return err
}
