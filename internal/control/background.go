package control

import (
	"context"

	"mailmirror/internal/background"
)

// BackgroundRecords is where the loops leave their signs of life.
type BackgroundRecords interface {
	Background(ctx context.Context) (background.State, error)
}
