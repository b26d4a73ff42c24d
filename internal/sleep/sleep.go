// Package sleep waits for a time, or for the end of a context. It must not know for what.
package sleep

import (
	"context"
	"time"
)

// For waits for d, and reports whether the time went by: false means that ctx ended
// before.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Clock is the machine's clock, for what is given one.
type Clock struct{}

// Now is the time.
func (Clock) Now() time.Time { return time.Now() }

// Sleep waits for d or until ctx is done, whose error it then returns.
func (Clock) Sleep(ctx context.Context, d time.Duration) error {
	if !For(ctx, d) {
		return ctx.Err()
	}
	return nil
}
