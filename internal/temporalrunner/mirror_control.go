package temporalrunner

import (
	"context"

	"go.temporal.io/sdk/client"

	"mailmirror/internal/control"
	"mailmirror/workflows"
)

// EnsureControl starts MirrorControl unless it runs.
func (r *Runner) EnsureControl(ctx context.Context) error {
	_, err := r.ReviveControl(ctx)
	return err
}

// ReviveControl implements supervise.Runner: it is EnsureControl, and reports
// whether MirrorControl did not run.
func (r *Runner) ReviveControl(ctx context.Context) (started bool, err error) {
	started, err = r.startUnlessRunning(ctx, r.controlOptions(), workflows.TypeMirrorControl, workflows.ControlState{})
	return started, classify("start "+workflows.ControlID, err)
}

// AskSuspend implements control.SuspensionRunner.
func (r *Runner) AskSuspend(ctx context.Context, request control.Request) error {
	return r.ask(ctx, workflows.SignalSuspend, request)
}

// AskResume implements control.SuspensionRunner.
func (r *Runner) AskResume(ctx context.Context, request control.Request) error {
	return r.ask(ctx, workflows.SignalResume, request)
}

// ask signals, rather than updates: a signal is kept where no worker runs.
func (r *Runner) ask(ctx context.Context, signal string, request control.Request) error {
	_, err := r.client.SignalWithStartWorkflow(ctx, workflows.ControlID, signal, request, r.controlOptions(),
		workflows.TypeMirrorControl, workflows.ControlState{})
	return classify("ask "+workflows.ControlID, err)
}

func (r *Runner) controlOptions() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: workflows.ControlID, TaskQueue: r.opts.TaskQueue,
		StaticSummary: "Suspend and resume the mirror"}
}
