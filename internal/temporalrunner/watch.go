package temporalrunner

import (
	"context"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"mailmirror/workflows"
)

// EnsureWatch starts the WatchEvents of a link unless it is running. Nobody ends
// it: it ends by itself when the link is gone.
func (r *Runner) EnsureWatch(ctx context.Context, link string) error {
	_, err := r.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       workflows.WatchID(link),
		TaskQueue:                r.opts.TaskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    workflows.WatchAttributes(link),
		StaticSummary:            workflows.WatchSummary(link),
	}, workflows.TypeWatchEvents, workflows.WatchState{Link: link})
	return classify("listen for changes of link "+link, err)
}
