package meter

import (
	"context"
	"time"
)

const (
	idleLook  = 250 * time.Millisecond
	idleShare = 0.10 // of all processors: below it, the machine counts as idle
	idleLooks = 3    // in a row
)

// AwaitIdle waits until the machine has been idle for a moment, at most for
// limit. It reports whether it became idle.
func AwaitIdle(ctx context.Context, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	calm := 0
	busy, idle, err := machineTimes()
	if err != nil {
		return false, err
	}
	for calm < idleLooks {
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(idleLook):
		}
		b, i, err := machineTimes()
		if err != nil {
			return false, err
		}
		if share := float64(b-busy) / float64(b-busy+i-idle); share < idleShare {
			calm++
		} else {
			calm = 0
		}
		busy, idle = b, i
	}
	return true, nil
}
