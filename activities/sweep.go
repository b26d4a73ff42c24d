package activities

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"mailmirror/internal/control"
)

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
	// Directories counts the runs that were asked for since changes were approved.
	Directories int `json:"directories,omitempty"`
}

// StartDue starts a MailboxSync for every mailbox with work due that has none
// running, and a run over every directory of which an operator let changes go
// while none could be started. Repeating it does no harm.
func (a *Activities) StartDue(ctx context.Context, in SweepInput) (SweepResult, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	if err := a.mustRun(ctx); suspended(ctx, err) {
		return SweepResult{}, nil // what is due is started by the sweep after the resumption
	} else if err != nil {
		return SweepResult{}, pageError(ctx, err)
	}
	keys, err := a.ports.Records.DueMailboxes(ctx, in.Limit)
	if err != nil {
		return SweepResult{}, pageError(ctx, err)
	}
	var started, running atomic.Int64
	stop := a.beat(beats, func() any {
		return SweepResult{Due: len(keys), Started: int(started.Load()), Running: int(running.Load())}
	})
	defer stop()
	starting, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	window := make(chan struct{}, max(in.Window, 1))
	var group sync.WaitGroup
	for _, key := range keys {
		if starting.Err() != nil {
			break
		}
		window <- struct{}{}
		group.Go(func() {
			defer func() { <-window }()
			fresh, err := a.ports.Starter.StartSync(starting, key, TriggerSweep)
			switch {
			case err != nil:
				fail(err)
			case fresh:
				started.Add(1)
			default:
				running.Add(1)
			}
		})
	}
	group.Wait()
	if err := context.Cause(starting); err != nil {
		return SweepResult{}, pageError(ctx, err)
	}
	directories, err := a.startApproved(ctx)
	if err != nil {
		return SweepResult{}, pageError(ctx, err)
	}
	return SweepResult{Due: len(keys), Started: int(started.Load()), Running: int(running.Load()), Directories: directories}, nil
}

// startApproved asks for the runs that carry out what was approved while the
// mirror was suspended, or Temporal away. Each begins after that, and is asked for
// until it does.
func (a *Activities) startApproved(ctx context.Context) (asked int, err error) {
	if a.ports.Directory == nil || a.ports.Approved == nil {
		return 0, nil
	}
	links, err := a.ports.Directory.ApprovedDirectories(ctx)
	if err != nil {
		return 0, err
	}
	for _, link := range links {
		// What fails for one link keeps no other from its run.
		if askErr := a.ports.Approved.AskDirectory(ctx, link, control.DirectoryApproval); askErr != nil {
			err = errors.Join(err, askErr)
			continue
		}
		asked++
	}
	return asked, err
}
