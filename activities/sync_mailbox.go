package activities

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Triggers say who asked for a sync; they stand in the mailbox's history.
const (
	// TriggerOperator: an operator asked for this mailbox by name. The sync
	// looks at every message, whatever the ledger says, and tries again what
	// was refused.
	TriggerOperator = "operator"
	// TriggerSweep: the sweep found work due that nobody was at.
	TriggerSweep = "sweep"
	// TriggerEvent: the mailbox changed.
	TriggerEvent = "event"
	// TriggerApproval: an operator decided on deletions that were held.
	TriggerApproval = "approval"
	// TriggerCompare and TriggerSchedule: a full compare, started by an
	// operator or by its schedule.
	TriggerCompare  = "compare"
	TriggerSchedule = "schedule"
)

// SyncState is how SyncMailbox left a mailbox.
type SyncState string

// The states after SyncMailbox.
const (
	SyncEqual     SyncState = "equal"
	SyncDiffering SyncState = "differing" // equal but for lasting differences
	SyncHeld      SyncState = "held"      // equal but for deletions that wait for the operator
	SyncClean     SyncState = "clean"     // nothing was due
	SyncParked    SyncState = "parked"    // failed, recorded, due again after Retry
	SyncGone      SyncState = "gone"      // does not participate any more
	SyncSuspended SyncState = "suspended" // left as due as it was: nothing may be written
)

// Sync is the activity that makes one mailbox equal.
type Sync struct {
	*shared
	failures

	engine Engine
	links  Links
}

// SyncInput names the mailbox to be synced and who asked for it.
type SyncInput struct {
	Link    string         `json:"link"`
	Number  mailbox.Number `json:"number"`
	Trigger string         `json:"trigger"`
}

// SyncResult is what SyncMailbox did. It holds counts and no content.
type SyncResult struct {
	State SyncState `json:"state"`
	// Dirty is true where more work became due in the meantime.
	Dirty       bool        `json:"dirty,omitempty"`
	Messages    copier.Work `json:"messages"`
	Greetings   copier.Work `json:"greetings"`
	Differences int         `json:"differences,omitempty"`
	// Held is how many messages of the target wait to be deleted.
	Held int `json:"held,omitempty"`
	// ErrorKind and Retry are set where the mailbox is parked; what went wrong
	// is in the database.
	ErrorKind string        `json:"error_kind,omitempty"`
	Retry     time.Duration `json:"retry_ns,omitempty"`
}

// SyncMailbox makes one mailbox equal where work is due and records how it
// went. It may be repeated at any time: the engine's ledger knows what arrived.
//
// A failure is recorded at once, with the moment of the next try. While that
// is seconds away the activity fails and Temporal repeats it; else the mailbox
// is parked and the activity ends well. While another sync holds the mailbox
// it fails too, recording nothing, until that one has ended. While the mirror
// is suspended it ends, recording nothing: the mailbox stays due, and the sweep
// that comes with the resumption takes it up. While nothing may be written since
// PostgreSQL was started a moment ago, it fails, recording nothing, and is repeated.
func (a *Sync) SyncMailbox(ctx context.Context, in SyncInput) (SyncResult, error) {
	pulse := &syncPulse{trace: inherited(ctx)}
	defer activity.RecordHeartbeat(ctx, &syncPulse{trace: trace{Deaths: pulse.Deaths}}) // in good order
	stop := a.beat(ctx, func() any { return pulse.now() })
	defer stop()
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	ctx, leave := a.lookout.under(ctx, in.Link)
	defer leave()

	if err := a.enter(ctx); err != nil {
		return SyncResult{}, ended(ctx)
	}
	defer a.leave()
	key := mailbox.Key{Link: in.Link, Number: in.Number}
	box, err := a.mailboxes.Mailbox(ctx, key)
	switch {
	case ctx.Err() != nil:
		return SyncResult{}, ended(ctx)
	case fault.Is(err, fault.NotFound):
		return SyncResult{State: SyncGone}, nil
	case err != nil:
		return SyncResult{}, applicationError(err, 0)
	case !due(box) && in.Trigger != TriggerOperator:
		return SyncResult{State: SyncClean}, nil
	}
	stores, err := a.links.Stores(ctx, in.Link)
	switch {
	case err != nil && ctx.Err() != nil:
		return SyncResult{}, ended(ctx)
	case errors.Is(err, fault.ErrDatabase), fault.Is(err, fault.Transient): // the database's trouble, not the mailbox's
		return SyncResult{}, applicationError(err, 0)
	}
	job := newJob(stores, key, box.DirtyGeneration, in.Trigger, activity.GetInfo(ctx).WorkflowExecution.RunID)
	job.Force = in.Trigger == TriggerOperator
	job.Progress = pulse.progress

	report := blankReport(job)
	if err == nil && pulse.suspect() {
		err = errDeadly()
	}
	if err == nil { // a link whose stores cannot be had fails like a sync
		pulse.work()
		activity.RecordHeartbeat(beats, pulse.now())
		err = fault.Guard(func() (err error) {
			report, err = a.engine.Sync(ctx, job)
			return err
		})
	}
	if err != nil {
		return a.syncFailed(ctx, box, report, err)
	}
	result := SyncResult{State: SyncEqual, Messages: report.Messages, Greetings: report.Greetings, Differences: report.Differences}
	switch report.Outcome {
	case copier.Differing:
		result.State = SyncDiffering
	case copier.Held:
		result.State, result.Held = SyncHeld, report.Held
	case copier.Equal, copier.Failed:
	}
	box, err = a.mailboxes.Mailbox(ctx, key)
	switch {
	case err != nil && ctx.Err() != nil:
		return SyncResult{}, ended(ctx)
	case fault.Is(err, fault.NotFound):
		result.State = SyncGone
	case err != nil:
		return SyncResult{}, applicationError(err, 0)
	}
	result.Dirty = due(box)
	return result, nil
}

// syncPulse is what the heartbeats of SyncMailbox carry; the Web UI shows it.
type syncPulse struct {
	trace
	Progress copier.Progress `json:"progress,omitzero"`
	mu       sync.Mutex
}

func (p *syncPulse) now() *syncPulse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &syncPulse{trace: p.trace, Progress: p.Progress}
}

func (p *syncPulse) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Working = true
}

func (p *syncPulse) progress(now copier.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Progress = now
	p.Advanced = now.Messages != copier.Work{} || now.Greetings != copier.Work{}
}

// syncFailed records a failure and decides who tries again.
func (a *Sync) syncFailed(ctx context.Context, box site.Mailbox, report copier.Report, err error) (SyncResult, error) {
	switch {
	case suspended(ctx, err) && a.lookout.running(ctx, box.Link):
		return SyncResult{}, later(errStarted) // no sweep comes when it may go on
	case suspended(ctx, err):
		return SyncResult{State: SyncSuspended, Messages: report.Messages, Greetings: report.Greetings}, nil
	case ctx.Err() != nil:
		return SyncResult{}, ended(ctx)
	}
	if held, busy := errors.AsType[*lease.HeldError](err); busy {
		return SyncResult{}, applicationError(err, busyWait(held.Wait, activity.GetInfo(ctx).Attempt))
	}
	wait, parked, recordErr := a.recordFailure(ctx, box, report, err)
	switch {
	case fault.Is(recordErr, fault.NotFound):
		return SyncResult{State: SyncGone}, nil // removed from the link meanwhile
	case recordErr != nil:
		return SyncResult{}, applicationError(recordErr, 0)
	case parked:
		kind, _, _ := fault.Describe(err)
		return SyncResult{State: SyncParked, Messages: report.Messages, Greetings: report.Greetings,
			ErrorKind: string(kind), Retry: wait}, nil
	}
	return SyncResult{}, recordedError(err, box.Link, wait)
}

// failures records failed syncs.
type failures struct {
	mailboxes Mailboxes
	pace      Pace
}

// recordFailure writes one failure down against its mailbox and returns when
// the next try is due, and whether that is a parking interval.
func (f *failures) recordFailure(ctx context.Context, box site.Mailbox, report copier.Report, err error) (time.Duration, bool, error) {
	kind, text, hint := fault.Describe(err)
	wait, parked := f.pace.next(kind, box.Failures+1, rand.Float64())
	report.Outcome = copier.Failed
	report.ErrKind, report.Err, report.Hint = string(kind), text, hint
	if report.Finished.IsZero() {
		report.Finished = time.Now()
	}
	if err := f.mailboxes.RecordFailure(ctx, report, wait); err != nil {
		return wait, parked, err
	}
	attrs := []any{"link", report.Key.Link, "run_id", report.RunID, "mailbox_id", string(report.Key.Number),
		"error_kind", string(kind), "failures", box.Failures + 1, "retry_after", wait.String()}
	if parked && box.State != site.StateParked {
		activity.GetLogger(ctx).Info("mailbox parked", attrs...)
	} else {
		activity.GetLogger(ctx).Warn("mailbox sync failed", attrs...)
	}
	return wait, parked, nil
}

// due reports whether a mailbox has work: changes seen and not mirrored, a
// failure to be mended, or no compare yet.
func due(box site.Mailbox) bool {
	return box.DirtyGeneration > box.CleanGeneration || box.Failures > 0 || box.State == site.StateNew
}

// newJob puts together what the engine needs to know.
func newJob(stores LinkStores, key mailbox.Key, generation int64, trigger, runID string) copier.Job {
	job := copier.Job{
		Key: key, Source: stores.Source, Target: stores.Target, Greetings: stores.Greetings, Exclude: stores.Exclude,
		Limits: stores.Limits, Keep: stores.Keep,
		Generation: generation, Trigger: trigger, RunID: runID, Admit: stores.Admit, Pace: stores.Pace,
	}
	if stores.Claim != nil {
		job.Claim = func(ctx context.Context, source, target string) error { return stores.Claim(ctx, key, source, target) }
	}
	return job
}

// blankReport is what is known of a job before, or without, the engine's own.
func blankReport(job copier.Job) copier.Report {
	return copier.Report{Key: job.Key, Trigger: job.Trigger, RunID: job.RunID, Generation: job.Generation, Started: time.Now()}
}
