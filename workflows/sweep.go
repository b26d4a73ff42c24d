package workflows

import (
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
)

// Sweep starts what is due and has no workflow: the fail-safe of every signal
// that got lost, and what takes parked mailboxes up again. It is run by a
// schedule.
func Sweep(ctx workflow.Context, in activities.SweepInput) (activities.SweepResult, error) {
	var a *activities.Sweep
	var result activities.SweepResult
	err := workflow.ExecuteActivity(sweeping(ctx), a.StartDue, in).Get(ctx, &result)
	if err != nil || result.Started+result.Failed+result.Directories > 0 {
		sayEnded(ctx, "sweep finished", "", workflow.GetInfo(ctx).WorkflowExecution.RunID, err, "due", result.Due, "started", result.Started,
			"running", result.Running, "failed", result.Failed, "directories", result.Directories)
	}
	return result, err
}
