package activities

import (
	"context"

	"mailmirror/internal/site"
)

// TriggerRebuild is that of a rebuild of the ledger, daily or asked for.
const TriggerRebuild = "rebuild"

// RebuildPage is ReviewPage without any belief in the ledger: of each mailbox of
// the page everything is looked at on both stores, under its lease, and its
// ledger is made what they say. It has a name of its own so that a worker of a
// release that knows no rebuild does not take it for a review.
func (a *Compare) RebuildPage(ctx context.Context, in ReviewInput) (site.CompareProgress, error) {
	return a.reviewPage(ctx, in, true)
}
