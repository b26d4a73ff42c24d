package temporalrunner

import (
	"context"

	"go.temporal.io/sdk/client"

	"mailmirror/workflows"
)

// StartDirectory implements control.DirectoryRunner.
func (r *Runner) StartDirectory(ctx context.Context, link, trigger string) (runID string, started bool, err error) {
	runID, started, err = r.start(ctx, r.directoryOptions(link), workflows.TypeDirectorySync, r.directoryState(link, trigger))
	return runID, started, classify("start "+workflows.DirectoryID(link), err)
}

// AskDirectory implements control.DirectoryRunner.
func (r *Runner) AskDirectory(ctx context.Context, link, trigger string) error {
	_, err := r.client.SignalWithStartWorkflow(ctx, workflows.DirectoryID(link), workflows.SignalWork,
		workflows.Work{Trigger: trigger}, r.directoryOptions(link), workflows.TypeDirectorySync, r.directoryState(link, trigger))
	return classify("start "+workflows.DirectoryID(link), err)
}

func (r *Runner) directoryOptions(link string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                    workflows.DirectoryID(link),
		TaskQueue:             r.opts.TaskQueue,
		TypedSearchAttributes: workflows.DirectoryAttributes(link),
		StaticSummary:         workflows.DirectorySummary(link),
	}
}

func (r *Runner) directoryState(link, trigger string) workflows.DirectoryState {
	return workflows.DirectoryState{Link: link, Trigger: trigger, PageSize: r.opts.Changes}
}
