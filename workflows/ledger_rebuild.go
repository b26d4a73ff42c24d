package workflows

import (
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/site"
)

// LedgerRebuild is a FullCompare that believes nothing of the ledger: of every
// mailbox everything is looked at on both stores, and the ledger is made what
// they say. It may run beside a compare: a mailbox's lease lets one at a time at
// it.
func LedgerRebuild(ctx workflow.Context, state CompareState) (site.CompareProgress, error) {
	var a *activities.Compare
	return (&compare{CompareState: state, self: LedgerRebuild, page: a.RebuildPage, kind: site.RunRebuild}).whole(ctx)
}

// ScheduledRebuild is what the rebuild schedule of a link runs, for the reason
// that ScheduledCompare tells.
func ScheduledRebuild(ctx workflow.Context, in CompareState) (started bool, err error) {
	return startDue(ctx, LedgerRebuild, in, RebuildID(in.Link), RebuildSummary(in.Link))
}
