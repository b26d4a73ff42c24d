package main

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/watch"
	"mailmirror/workflows"
)

// scenario is one way through a workflow.
type scenario struct {
	name string
	// run plays it and returns the id of the workflow to record.
	run  func(ctx context.Context, r *rig) (string, error)
	ends enums.EventType
}

const (
	completed = enums.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
	failed    = enums.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED
	cancelled = enums.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
)

var scenarios = []scenario{
	{"mailbox-sync-equal", func(ctx context.Context, r *rig) (string, error) {
		r.copies()
		return r.syncOne(ctx, activities.TriggerEvent)
	}, completed},
	{"mailbox-sync-operator", func(ctx context.Context, r *rig) (string, error) {
		return r.syncOne(ctx, activities.TriggerOperator)
	}, completed},
	{"mailbox-sync-swept", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, "1000")
		if _, err := r.StartSync(ctx, r.key("1000"), activities.TriggerSweep); err != nil {
			return "", err
		}
		return workflows.SyncID(r.key("1000")), r.WaitSync(ctx, r.key("1000"))
	}, completed},
	{"mailbox-sync-signalled-again", func(ctx context.Context, r *rig) (string, error) {
		r.waits()
		r.world.Add(r.link, "1000")
		if err := r.Sync(ctx, r.key("1000"), activities.TriggerEvent); err != nil {
			return "", err
		}
		<-r.entered
		for range 3 {
			r.world.Touch(r.key("1000"))
			if err := r.Sync(ctx, r.key("1000"), activities.TriggerEvent); err != nil {
				return "", err
			}
		}
		close(r.leave)
		return workflows.SyncID(r.key("1000")), r.WaitSync(ctx, r.key("1000"))
	}, completed},
	{"mailbox-sync-retried", func(ctx context.Context, r *rig) (string, error) {
		r.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			if r.attempts.Add(1) < 3 {
				return copier.Report{}, fault.Newf(fault.Transient, "open mailbox: connection refused")
			}
			return copier.Report{}, nil
		}
		return r.syncOne(ctx, activities.TriggerEvent)
	}, completed},
	{"mailbox-sync-parked", func(ctx context.Context, r *rig) (string, error) {
		r.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			return copier.Report{}, fault.New(fault.Permanent, "open mailbox: no such mailbox", nil, "create it on the target")
		}
		return r.syncOne(ctx, activities.TriggerEvent)
	}, completed},
	{"mailbox-sync-gone", func(ctx context.Context, r *rig) (string, error) {
		if err := r.Sync(ctx, r.key("1000"), activities.TriggerEvent); err != nil {
			return "", err
		}
		return workflows.SyncID(r.key("1000")), r.WaitSync(ctx, r.key("1000"))
	}, completed},
	{"mailbox-sync-cancelled", func(ctx context.Context, r *rig) (string, error) {
		r.waits()
		r.world.Add(r.link, "1000")
		id := workflows.SyncID(r.key("1000"))
		if err := r.Sync(ctx, r.key("1000"), activities.TriggerEvent); err != nil {
			return "", err
		}
		<-r.entered
		return id, r.client.CancelWorkflow(ctx, id, "")
	}, cancelled},

	{"full-compare", func(ctx context.Context, r *rig) (string, error) {
		r.copies()
		r.world.Add(r.link, activitytest.Numbers(9)...)
		return r.compareAll(ctx)
	}, completed},
	{"full-compare-empty", func(ctx context.Context, r *rig) (string, error) {
		return r.compareAll(ctx)
	}, completed},
	{"full-compare-continued", func(ctx context.Context, r *rig) (string, error) {
		// As a run starts that another one carried over to.
		r.world.Add(r.link, activitytest.Numbers(9)...)
		id := workflows.CompareID(r.link)
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeFullCompare, workflows.CompareState{
			Link: r.link, Trigger: activities.TriggerCompare, PageSize: 2, Window: 2, Begun: true, Mailboxes: 9,
			Planned: []activities.Page{{After: "1001", Last: "1003"}}, After: "1003", Started: 1, Ended: 1,
			Progress: site.CompareProgress{Reviewed: 2, Unchanged: 2}})
		if err != nil {
			return "", err
		}
		// The record was begun by the run before.
		_ = r.world.StartCompare(ctx, site.CompareRun{RunID: run.GetRunID(), Link: r.link})
		return id, run.Get(ctx, nil)
	}, completed},
	{"full-compare-cancelled", func(ctx context.Context, r *rig) (string, error) {
		r.waits()
		r.world.Add(r.link, activitytest.Numbers(9)...)
		if _, _, err := r.StartCompare(ctx, r.link); err != nil {
			return "", err
		}
		<-r.entered
		id := workflows.CompareID(r.link)
		return id, r.client.CancelWorkflow(ctx, id, "")
	}, cancelled},
	{"full-compare-failed", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(9)...)
		r.world.FailAt("ReviewStates", fault.Newf(fault.NotFound, "read mailboxes: link is gone"))
		runID, _, err := r.StartCompare(ctx, r.link)
		if err != nil {
			return "", err
		}
		if err := r.WaitRun(ctx, site.Run{Kind: site.RunCompare, Of: r.link, ID: runID}); !fault.Is(err, fault.NotFound) {
			return "", err
		}
		return workflows.CompareID(r.link), nil
	}, failed},

	{"scheduled-compare", func(ctx context.Context, r *rig) (string, error) {
		return r.scheduled(ctx)
	}, completed},
	{"scheduled-compare-left-out", func(ctx context.Context, r *rig) (string, error) {
		r.waits()
		defer close(r.leave)
		r.world.Add(r.link, "1000")
		if _, _, err := r.StartCompare(ctx, r.link); err != nil {
			return "", err
		}
		<-r.entered
		return r.scheduled(ctx)
	}, completed},

	{"ledger-rebuild", func(ctx context.Context, r *rig) (string, error) {
		r.copies()
		r.world.Add(r.link, activitytest.Numbers(9)...)
		runID, _, err := r.StartRebuild(ctx, r.link)
		if err != nil {
			return "", err
		}
		return workflows.RebuildID(r.link), r.WaitRun(ctx, site.Run{Kind: site.RunRebuild, Of: r.link, ID: runID})
	}, completed},
	{"scheduled-rebuild", func(ctx context.Context, r *rig) (string, error) {
		id := workflows.ScheduledRebuildID(r.link)
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeScheduledRebuild, workflows.CompareState{
			Link: r.link, Trigger: activities.TriggerRebuild, PageSize: 2, Window: 2})
		if err != nil {
			return "", err
		}
		return id, run.Get(ctx, nil)
	}, completed},
	{"retention", func(ctx context.Context, r *rig) (string, error) {
		id := "retention-of-" + r.link
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeRetention)
		if err != nil {
			return "", err
		}
		return id, run.Get(ctx, nil)
	}, completed},

	{"sweep", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(3)...)
		id := "sweep-of-" + r.link
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeSweep, activities.SweepInput{Limit: 10, Window: 2})
		if err != nil {
			return "", err
		}
		return id, run.Get(ctx, nil)
	}, completed},

	{"watch-events", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(3)...)
		ear, err := r.listens(ctx)
		if err != nil {
			return "", err
		}
		report := <-ear.Heard
		report(watch.Report{Number: "1000", Kind: site.EventMessageIn, Folder: "INBOX"})
		if err := r.WaitSync(ctx, r.key("1000")); err != nil {
			return "", err
		}
		return r.unlink(ctx)
	}, completed},
	{"watch-events-more-shards", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(3)...)
		ear, err := r.listens(ctx)
		if err != nil {
			return "", err
		}
		<-ear.Heard
		r.world.Add(r.link, activitytest.Numbers(2500)...)
		for range 3 { // one connection for each shard
			<-ear.Heard
		}
		if err := r.client.SignalWorkflow(ctx, workflows.WatchID(r.link), "", workflows.SignalRoster, nil); err != nil {
			return "", err
		}
		return r.unlink(ctx)
	}, completed},
	{"watch-events-cancelled", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, "1000")
		ear, err := r.listens(ctx)
		if err != nil {
			return "", err
		}
		<-ear.Heard
		id := workflows.WatchID(r.link)
		return id, r.client.CancelWorkflow(ctx, id, "")
	}, cancelled},
	{"mirror-control-updates", func(ctx context.Context, r *rig) (string, error) {
		return r.controlled(ctx, func(id string) error {
			request := suspension.Request{Reason: "storage", Who: "alice"}
			for _, name := range []string{workflows.SignalSuspend, workflows.SignalSuspend, workflows.SignalResume, workflows.SignalResume} {
				if err := r.updated(ctx, id, name, request); err != nil {
					return err
				}
			}
			return nil
		})
	}, cancelled},
	{"mirror-control-signals", func(ctx context.Context, r *rig) (string, error) {
		return r.controlled(ctx, func(id string) error {
			if err := r.signalled(ctx, id, workflows.SignalSuspend, nil, suspension.Suspended); err != nil {
				return err
			}
			if err := r.signalled(ctx, id, workflows.SignalResume, nil, suspension.Running); err != nil {
				return err
			}
			return r.signalled(ctx, id, workflows.SignalSuspend, suspension.Request{Reason: "storage", Who: "alice"}, suspension.Suspended)
		})
	}, cancelled},
	{"mirror-control-called-off", func(ctx context.Context, r *rig) (string, error) {
		r.world.HoldLeases(2)
		return r.controlled(ctx, func(id string) error {
			if err := r.signalled(ctx, id, workflows.SignalSuspend, nil, suspension.Suspending); err != nil {
				return err
			}
			return r.updated(ctx, id, workflows.SignalResume, suspension.Request{Who: "bob"})
		})
	}, cancelled},
	{"mirror-control-starts-suspended", func(ctx context.Context, r *rig) (string, error) {
		if _, err := r.world.Suspend(ctx, suspension.Request{Reason: "storage", Who: "alice"}); err != nil {
			return "", err
		}
		return r.controlled(ctx, func(id string) error {
			return r.signalled(ctx, id, workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: 2}, suspension.Suspended)
		})
	}, cancelled},
	{"mirror-control-of-a-link", func(ctx context.Context, r *rig) (string, error) {
		return r.controlled(ctx, func(id string) error {
			for _, name := range []string{workflows.SignalSuspend, workflows.SignalResume} {
				if err := r.updated(ctx, id, name, suspension.Request{Link: r.link, Who: "alice"}); err != nil {
					return err
				}
			}
			return r.client.GetWorkflow(ctx, workflows.ControlIDOf(r.link), "").Get(ctx, nil)
		})
	}, cancelled},
	{"link-control", func(ctx context.Context, r *rig) (string, error) {
		r.world.Add(r.link, activitytest.Numbers(3)...)
		request := suspension.Request{Link: r.link, Reason: "restore", Who: "alice"}
		s, err := r.world.Suspend(ctx, request)
		if err != nil {
			return "", err
		}
		id := workflows.ControlIDOf(r.link)
		if err := r.AskSuspend(ctx, request); err != nil {
			return "", err
		}
		if err := r.signalled(ctx, id, workflows.SignalSuspend, nil, suspension.Suspended); err != nil {
			return "", err
		}
		if err := r.AskResume(ctx, suspension.Request{Link: r.link, Who: "bob", Epoch: s.Epoch}); err != nil {
			return "", err
		}
		return id, r.client.GetWorkflow(ctx, id, "").Get(ctx, nil)
	}, completed},
}

// listens gives the link a store that can be listened to.
func (r *rig) listens(ctx context.Context) (*activitytest.Ear, error) {
	ear := &activitytest.Ear{Heard: make(chan func(watch.Report), 100)}
	r.world.LinkStores.Source = ear
	r.world.Listen(func(l *activitytest.Listened) {
		l.Store = site.Store{Name: "prod", Events: site.ListenNotify, IdleLimit: 10}
	})
	return ear, r.EnsureWatch(ctx, r.link)
}

// unlink makes the link unknown and waits until nobody listens.
func (r *rig) unlink(ctx context.Context) (string, error) {
	r.world.Listen(func(l *activitytest.Listened) { l.Gone = true })
	id := workflows.WatchID(r.link)
	return id, r.client.GetWorkflow(ctx, id, "").Get(ctx, nil)
}

// controlled runs MirrorControl through what steps do, and ends it.
func (r *rig) controlled(ctx context.Context, steps func(id string) error) (string, error) {
	r.world.Add(r.link, activitytest.Numbers(3)...)
	id := "control-of-" + r.link
	options := r.options(id)
	run, err := r.client.ExecuteWorkflow(ctx, options, workflows.TypeMirrorControl, workflows.ControlState{})
	if err != nil {
		return "", err
	}
	if err := steps(id); err != nil {
		return "", err
	}
	if err := r.client.CancelWorkflow(ctx, id, ""); err != nil {
		return "", err
	}
	if err := run.Get(ctx, nil); !temporal.IsCanceledError(err) {
		return "", err
	}
	return id, nil
}

// updated sends an update and waits until it is carried out.
func (r *rig) updated(ctx context.Context, id, name string, request suspension.Request) error {
	update, err := r.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return err
	}
	return update.Get(ctx, nil)
}

// signalled sends a signal and waits until the mirror stands as it asks.
func (r *rig) signalled(ctx context.Context, id, name string, argument any, want suspension.State) error {
	if err := r.client.SignalWorkflow(ctx, id, "", name, argument); err != nil {
		return err
	}
	for {
		value, err := r.client.QueryWorkflow(ctx, id, "", workflows.QuerySuspension)
		if err != nil {
			return err
		}
		var v workflows.ControlView
		if err := value.Get(&v); err != nil || v.State == want {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// copies makes every sync copy something.
func (r *rig) copies() {
	r.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		return copier.Report{Messages: copier.Work{Appended: 2, Bytes: 64000}, Greetings: copier.Work{Appended: 1, Bytes: 32000}}, nil
	}
}

// waits makes every sync last until leave is closed or it is cancelled.
func (r *rig) waits() {
	r.world.OnSync = func(ctx context.Context, _ copier.Job) (copier.Report, error) {
		r.entered <- struct{}{}
		select {
		case <-r.leave:
			return copier.Report{}, nil
		case <-ctx.Done():
			return copier.Report{}, ctx.Err()
		}
	}
}

func (r *rig) options(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: id, TaskQueue: r.link, WorkflowExecutionTimeout: time.Minute}
}

func (r *rig) syncOne(ctx context.Context, trigger string) (string, error) {
	r.world.Add(r.link, "1000")
	if err := r.Sync(ctx, r.key("1000"), trigger); err != nil {
		return "", err
	}
	return workflows.SyncID(r.key("1000")), r.WaitSync(ctx, r.key("1000"))
}

func (r *rig) compareAll(ctx context.Context) (string, error) {
	runID, _, err := r.StartCompare(ctx, r.link)
	if err != nil {
		return "", err
	}
	return workflows.CompareID(r.link), r.WaitRun(ctx, site.Run{Kind: site.RunCompare, Of: r.link, ID: runID})
}

func (r *rig) scheduled(ctx context.Context) (string, error) {
	id := workflows.ScheduledCompareID(r.link)
	run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeScheduledCompare, workflows.CompareState{
		Link: r.link, Trigger: activities.TriggerSchedule, PageSize: 2, Window: 2})
	if err != nil {
		return "", err
	}
	return id, run.Get(ctx, nil)
}
