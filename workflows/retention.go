package workflows

import (
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/control"
)

// Retention archives and drops what was recorded long ago. It is run daily by a
// schedule, for all links.
func Retention(ctx workflow.Context) (control.Retained, error) {
	var a *activities.Activities
	var done control.Retained
	err := workflow.ExecuteActivity(purging(ctx), a.PurgeRecords).Get(ctx, &done)
	return done, err
}
