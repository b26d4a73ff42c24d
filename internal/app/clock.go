package app

import (
	"context"
	"time"

	"mailmirror/internal/sleep"
)

// systemClock is the machine's clock, for the copy engine.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	if !sleep.For(ctx, d) {
		return ctx.Err()
	}
	return nil
}
