package temporalrunner

import (
	"context"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// EnsureControl starts MirrorControl unless it runs.
func (r *Runner) EnsureControl(ctx context.Context) error {
	_, err := r.ReviveControl(ctx, "")
	return err
}

// ReviveControl implements supervise.Runner.
func (r *Runner) ReviveControl(ctx context.Context, link string) (started bool, err error) {
	options, kind := r.controlOptions(link)
	op := "start " + options.ID
	state := workflows.ControlState{Link: link}
	described, err := r.client.DescribeWorkflowExecution(ctx, options.ID, "")
	switch {
	case is[*serviceerror.NotFound](err):
	case err != nil:
		return false, classify(op, err)
	case described.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return false, nil
	case link == "":
		state.Suspension = lastKnown(described.GetWorkflowExecutionInfo())
	}
	_, started, err = r.start(ctx, options, kind, state)
	return started, classify(op, err)
}

// lastKnown is how the mirror stood when a MirrorControl that has ended last showed it:
// the new one must not forget a suspension that the database may lack. Who suspended it,
// and why, is in the history of the one that has ended.
func lastKnown(ended *workflow.WorkflowExecutionInfo) suspension.Suspension {
	var phase string
	data := ended.GetSearchAttributes().GetIndexedFields()[workflows.PhaseAttribute.GetName()]
	if data == nil || converter.GetDefaultDataConverter().FromPayload(data, &phase) != nil {
		return suspension.Suspension{}
	}
	s := suspension.Suspension{State: suspension.State(phase), Since: ended.GetStartTime().AsTime()}
	switch s.State {
	case suspension.Running:
	case suspension.Suspending, suspension.Suspended:
		s.Who, s.Reason = "an earlier mirror-control", "it ended while the mirror was suspended; its history in Temporal tells by whom and why"
	default:
		return suspension.Suspension{}
	}
	return s
}

// ControlView implements supervise.Runner.
func (r *Runner) ControlView(ctx context.Context, link string) (suspension.Suspension, error) {
	op := "ask " + workflows.ControlIDOf(link) + " what is suspended"
	value, err := r.client.QueryWorkflow(ctx, workflows.ControlIDOf(link), "", workflows.QuerySuspension)
	if link != "" && is[*serviceerror.NotFound](err) {
		return suspension.Suspension{Link: link, State: suspension.Running}, nil // it was never suspended
	}
	if err != nil {
		return suspension.Suspension{}, classify(op, err)
	}
	var view workflows.ControlView
	err = value.Get(&view)
	return view.Suspension, classify(op, err)
}

// AskSuspend implements suspension.Asker.
func (r *Runner) AskSuspend(ctx context.Context, request suspension.Request) error {
	return r.ask(ctx, workflows.SignalSuspend, request)
}

// AskResume implements suspension.Asker.
func (r *Runner) AskResume(ctx context.Context, request suspension.Request) error {
	return r.ask(ctx, workflows.SignalResume, request)
}

// ask signals, rather than updates: a signal is kept where no worker runs.
func (r *Runner) ask(ctx context.Context, signal string, request suspension.Request) error {
	options, kind := r.controlOptions(request.Link)
	_, err := r.client.SignalWithStartWorkflow(ctx, options.ID, signal, request, options, kind, workflows.ControlState{Link: request.Link})
	return classify("ask "+options.ID, err)
}

// controlOptions are those of the MirrorControl, or of the LinkControl of a link, and its
// type.
func (r *Runner) controlOptions(link string) (options client.StartWorkflowOptions, kind string) {
	options = client.StartWorkflowOptions{ID: workflows.ControlIDOf(link), TaskQueue: r.opts.TaskQueue,
		StaticSummary: "Suspend and resume " + suspension.Suspension{Link: link}.Scope()}
	if link == "" {
		return options, workflows.TypeMirrorControl
	}
	options.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.LinkAttribute.ValueSet(link))
	return options, workflows.TypeLinkControl
}
