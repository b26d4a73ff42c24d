package main

import (
	"context"
	"sync/atomic"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/workflows"
)

// directoryScenarios are the ways through a DirectorySync.
var directoryScenarios = []scenario{
	{"directory-sync", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001", "1002", "1003", "1004", "1005")
		if err := r.mirrored(ctx, dirsync.TriggerOperator); err != nil {
			return "", err
		}
		r.runs.Source.Put("1001", map[directory.Column]string{directory.CommonName: "another"})
		r.runs.Source.Put("1006", nil)
		r.runs.Settings.RemoveShare = 0
		r.runs.Source.Remove("1002")
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerSchedule)
	}, completed},
	{"directory-sync-first", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001", "1002", "1003")
		r.runs.Refuse["1003"] = true
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerOperator)
	}, completed},
	{"directory-sync-dry", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001", "1002", "1003")
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerDryRun)
	}, completed},
	{"directory-sync-not-believed", func(ctx context.Context, r *rig) (string, error) {
		r.runs.Target.Put("1001", nil)
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerSchedule)
	}, completed},
	{"directory-sync-not-read", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001", "1002", "1003")
		r.runs.Source.OnExtract = func(n int) error {
			if n > 1 {
				return fault.New(fault.Config, "read the directory: size limit", nil, "raise it")
			}
			return nil
		}
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerSchedule)
	}, completed},
	{"directory-sync-read-only", func(ctx context.Context, r *rig) (string, error) {
		r.runs.Target.OnWrite = func(directory.Operation) error {
			return fault.New(fault.Config, "add entry: the server is read-only", nil, "let it be written to")
		}
		r.runs.Settings.GiveUp = 0
		r.subscribers("1001", "1002", "1003", "1004", "1005", "1006")
		id := workflows.DirectoryID(r.link)
		run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeDirectorySync,
			workflows.DirectoryState{Link: r.link, Trigger: dirsync.TriggerSchedule, PageSize: 10})
		if err != nil {
			return "", err
		}
		return id, run.Get(ctx, nil)
	}, completed},
	{"directory-sync-suspended", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001", "1002", "1003")
		var refused atomic.Int32
		r.runs.Still = func() bool { return refused.Add(1) == 1 }
		return workflows.DirectoryID(r.link), r.mirrored(ctx, dirsync.TriggerSchedule)
	}, completed},
	{"directory-sync-followed", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001")
		reached := make(chan struct{})
		var once atomic.Bool
		r.runs.Source.OnExtract = func(int) error {
			if once.CompareAndSwap(false, true) {
				close(reached)
				<-r.leave
			}
			return nil
		}
		first, _, err := r.StartDirectory(ctx, r.link, dirsync.TriggerSchedule)
		if err != nil {
			return "", err
		}
		<-reached
		if err := r.AskDirectory(ctx, r.link, dirsync.TriggerApproval); err != nil {
			return "", err
		}
		close(r.leave)
		return workflows.DirectoryID(r.link), r.WaitRun(ctx, site.Run{Kind: site.RunDirectory, Of: r.link, ID: first})
	}, completed},
	{"directory-sync-cancelled", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001")
		reached := make(chan struct{}, 1)
		r.runs.Source.OnExtract = func(int) error {
			reached <- struct{}{}
			<-r.leave
			return nil
		}
		if _, _, err := r.StartDirectory(ctx, r.link, dirsync.TriggerSchedule); err != nil {
			return "", err
		}
		<-reached
		id := workflows.DirectoryID(r.link)
		if err := r.client.CancelWorkflow(ctx, id, ""); err != nil {
			return "", err
		}
		close(r.leave)
		_ = r.client.GetWorkflow(ctx, id, "").Get(ctx, nil) // cancelled
		return id, nil
	}, cancelled},
	{"scheduled-directory", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001")
		return r.scheduledDirectory(ctx)
	}, completed},
	{"scheduled-directory-left-out", func(ctx context.Context, r *rig) (string, error) {
		r.subscribers("1001")
		reached := make(chan struct{}, 1)
		r.runs.Source.OnExtract = func(int) error {
			reached <- struct{}{}
			<-r.leave
			return nil
		}
		defer close(r.leave)
		if _, _, err := r.StartDirectory(ctx, r.link, dirsync.TriggerOperator); err != nil {
			return "", err
		}
		<-reached
		return r.scheduledDirectory(ctx)
	}, completed},
}

func (r *rig) subscribers(numbers ...string) {
	for _, n := range numbers {
		r.runs.Source.Put(n, map[directory.Column]string{directory.CommonName: "name of " + n})
	}
}

// mirrored runs over the directory and waits for its end.
func (r *rig) mirrored(ctx context.Context, trigger string) error {
	runID, _, err := r.StartDirectory(ctx, r.link, trigger)
	if err != nil {
		return err
	}
	return r.WaitRun(ctx, site.Run{Kind: site.RunDirectory, Of: r.link, ID: runID})
}

func (r *rig) scheduledDirectory(ctx context.Context) (string, error) {
	id := workflows.ScheduledDirectoryID(r.link)
	run, err := r.client.ExecuteWorkflow(ctx, r.options(id), workflows.TypeScheduledDirectory,
		workflows.DirectoryState{Link: r.link, Trigger: dirsync.TriggerSchedule, PageSize: 2})
	if err != nil {
		return "", err
	}
	return id, run.Get(ctx, nil)
}
