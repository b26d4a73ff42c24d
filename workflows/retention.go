package workflows

import (
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/site"
)

// Retention archives and drops what was recorded long ago. It is run daily by a
// schedule, for all links.
func Retention(ctx workflow.Context) (site.Retained, error) {
	var a *activities.Retention
	var done site.Retained
	err := workflow.ExecuteActivity(purging(ctx), a.PurgeRecords).Get(ctx, &done)
	sayEnded(ctx, "retention finished", "", workflow.GetInfo(ctx).WorkflowExecution.RunID, err, "archived", done.Archived, "dropped", done.Dropped, "compares", done.Compares)
	return done, err
}
