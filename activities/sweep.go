package activities

import (
	"context"
	"errors"
	"sync"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/background"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Sweep is the activity that starts what is due.
type Sweep struct {
	*shared
	failures

	records     DueRecords
	starter     Starter
	directories Approvals
	asker       DirectoryStarter
}

// SweepInput bounds one sweep.
type SweepInput struct {
	// Limit is how many due mailboxes are looked at, the longest waiting first.
	Limit int `json:"limit"`
	// Window is how many workflows are being started at a time.
	Window int `json:"window"`
}

// SweepResult counts what a sweep found.
type SweepResult struct {
	Due     int `json:"due"`
	Started int `json:"started"`
	Running int `json:"running"` // of Due: a MailboxSync was at it already
	// Failed counts, of Due, those whose MailboxSync could not be started.
	Failed int `json:"failed,omitempty"`
	// Directories counts the runs that were asked for since changes were approved.
	Directories int `json:"directories,omitempty"`
}

// StartDue starts a MailboxSync for every mailbox with work due that has none
// running, and a run over every directory of which an operator let changes go
// while none could be started. Repeating it does no harm.
//
// A mailbox whose MailboxSync cannot be started holds up no other: the failure
// is recorded against that mailbox. If nothing at all can be started, the fault
// is Temporal's, and the sweep fails.
func (a *Sweep) StartDue(ctx context.Context, in SweepInput) (SweepResult, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	ended := a.looping(ctx, background.LoopSweep)
	d := &dueStarts{Sweep: a}
	stop := a.beat(beats, func() any { return d.result() })
	defer stop()
	result, err := d.sweep(ctx, in)
	if suspended(ctx, err) {
		result, err = SweepResult{}, nil // what is due is started by the sweep after the resumption
	}
	ended(err)
	if err != nil {
		return SweepResult{}, pageError(ctx, err)
	}
	return result, nil
}

func (d *dueStarts) sweep(ctx context.Context, in SweepInput) (SweepResult, error) {
	if err := d.mustRun(ctx, ""); err != nil {
		return SweepResult{}, err
	}
	keys, err := d.records.DueMailboxes(ctx, in.Limit)
	if err != nil {
		return SweepResult{}, err
	}
	d.mu.Lock()
	d.due = len(keys)
	d.mu.Unlock()
	startErr := d.start(ctx, keys, max(in.Window, 1))
	if err := context.Cause(ctx); err != nil {
		return SweepResult{}, err
	}
	// What fails for mailboxes keeps no directory from its run.
	directories, approvedErr := d.startApproved(ctx)
	result := d.result()
	result.Directories = directories
	return result, errors.Join(startErr, approvedErr)
}

// dueStarts is one sweep's starting of workflows.
type dueStarts struct {
	*Sweep
	mu                    sync.Mutex
	due, started, running int
	failed                []failedStart
}

type failedStart struct {
	key mailbox.Key
	err error
}

func (d *dueStarts) result() SweepResult {
	d.mu.Lock()
	defer d.mu.Unlock()
	return SweepResult{Due: d.due, Started: d.started, Running: d.running, Failed: len(d.failed)}
}

// hopeless is how many mailboxes are tried although nothing could be started yet.
const hopeless = 20

// start starts what is due, window of them at a time, and records what failed.
func (d *dueStarts) start(ctx context.Context, keys []mailbox.Key, window int) error {
	places := make(chan struct{}, window)
	var group sync.WaitGroup
	for _, key := range keys {
		if ctx.Err() != nil || d.isHopeless() {
			break
		}
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			fresh, err := d.starter.StartSync(ctx, key, TriggerSweep)
			d.mu.Lock()
			defer d.mu.Unlock()
			switch {
			case err != nil:
				d.failed = append(d.failed, failedStart{key, err})
			case fresh:
				d.started++
			default:
				d.running++
			}
		})
	}
	group.Wait()
	if len(d.failed) == 0 || ctx.Err() != nil {
		return nil //nolint:nilerr // the caller reports the end of its context
	}
	if first := d.failed[0].err; d.started+d.running == 0 && !fault.Is(first, fault.Permanent) {
		return first // nothing was started, so that nothing says that it is a mailbox's own fault
	}
	var errs []error
	for _, f := range d.failed {
		errs = append(errs, d.record(ctx, f))
	}
	return errors.Join(errs...)
}

func (d *dueStarts) isHopeless() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started+d.running == 0 && len(d.failed) >= hopeless
}

// record writes down against a mailbox that its sync could not be started.
func (d *dueStarts) record(ctx context.Context, f failedStart) error {
	box, err := d.mailboxes.Mailbox(ctx, f.key)
	if err == nil {
		job := copier.Job{Key: f.key, Trigger: TriggerSweep, RunID: activity.GetInfo(ctx).WorkflowExecution.RunID, Generation: box.DirtyGeneration}
		_, _, err = d.recordFailure(ctx, box, blankReport(job), f.err)
	}
	if fault.Is(err, fault.NotFound) {
		return nil // it left the link meanwhile
	}
	return err
}

// startApproved asks for the runs that carry out what was approved while the
// mirror was suspended, or Temporal away. Each begins after that, and is asked for
// until it does.
func (a *Sweep) startApproved(ctx context.Context) (asked int, err error) {
	if a.directories == nil || a.asker == nil {
		return 0, nil
	}
	links, err := a.directories.ApprovedDirectories(ctx)
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		// What fails for one link keeps no other from its run.
		if askErr := a.asker.AskDirectory(ctx, link, dirsync.TriggerApproval); askErr != nil {
			err = errors.Join(err, askErr)
			continue
		}
		asked++
	}
	return asked, err
}
