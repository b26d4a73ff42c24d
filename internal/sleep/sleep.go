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
