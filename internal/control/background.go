package control

import (
	"context"

	"mailmirror/internal/background"
)

// BackgroundRecords is where the loops leave their signs of life.
type BackgroundRecords interface {
	Background(ctx context.Context) (background.State, error)
	// BeginLoop notes that a loop begins. Of s only what names it counts.
	BeginLoop(ctx context.Context, s background.Sign) error
	// EndLoop notes how it ended: badly where s has an error.
	EndLoop(ctx context.Context, s background.Sign) error
}
