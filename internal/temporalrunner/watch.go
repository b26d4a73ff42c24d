package temporalrunner

import (
	"context"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"mailmirror/workflows"
)

// EnsureWatch starts the WatchEvents of a link unless it is running. Nobody ends
// it: it ends by itself when the link is gone.
func (r *Runner) EnsureWatch(ctx context.Context, link string) error {
	_, err := r.ReviveWatch(ctx, link)
	return err
}

// ReviveWatch implements supervise.Runner: it is EnsureWatch, and reports whether
// the WatchEvents did not run.
func (r *Runner) ReviveWatch(ctx context.Context, link string) (started bool, err error) {
	started, err = r.startUnlessRunning(ctx, client.StartWorkflowOptions{
		ID:                    workflows.WatchID(link),
		TaskQueue:             r.opts.TaskQueue,
		TypedSearchAttributes: workflows.WatchAttributes(link),
		StaticSummary:         workflows.WatchSummary(link),
	}, workflows.TypeWatchEvents, workflows.WatchState{Link: link})
	return started, classify("listen for changes of link "+link, err)
}

// startUnlessRunning starts a workflow of which one runs at a time.
func (r *Runner) startUnlessRunning(ctx context.Context, options client.StartWorkflowOptions, workflow string, input any) (started bool, err error) {
	options.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	_, err = r.client.ExecuteWorkflow(ctx, options, workflow, input)
	if is[*serviceerror.WorkflowExecutionAlreadyStarted](err) {
		return false, nil
	}
	return err == nil, err
}
