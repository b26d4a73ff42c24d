package control

import (
	"context"
)

// DirectoryRunner is what directory runs need of Temporal.
type DirectoryRunner interface {
	// StartDirectory starts a run over the directory of a link and returns its
	// run id; where one is running already its run id is returned and started is
	// false.
	StartDirectory(ctx context.Context, link, trigger string) (runID string, started bool, err error)
	// AskDirectory sees to it that a run begins after now: one that is running is
	// followed by another.
	AskDirectory(ctx context.Context, link, trigger string) error
}
