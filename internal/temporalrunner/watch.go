package temporalrunner

import (
	"context"

	"go.temporal.io/sdk/client"

	"mailmirror/workflows"
)

// EnsureWatch starts the WatchEvents of a link unless it is running. Nobody ends
// it: it ends by itself when the link is gone.
func (r *Runner) EnsureWatch(ctx context.Context, link string) error {
	_, err := r.ReviveWatch(ctx, link)
	return err
}

// ReviveWatch implements supervise.Runner.
func (r *Runner) ReviveWatch(ctx context.Context, link string) (started bool, err error) {
	_, started, err = r.start(ctx, client.StartWorkflowOptions{
		ID:                    workflows.WatchID(link),
		TypedSearchAttributes: workflows.WatchAttributes(link),
		StaticSummary:         workflows.WatchSummary(link),
	}, workflows.TypeWatchEvents, workflows.WatchState{Link: link})
	return started, classify("listen for changes of link "+link, err)
}
