package watch

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// Pace of connecting to a store that does not let us in: the first try comes
// after firstWait, each further one after twice as long, at most longestWait,
// spread by half to either side, so that neither the connections of a shard
// nor the workers come all at once.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 20 * time.Second
)

// wait is how long to wait after that many failures in a row, from 1; jitter
// is in [0, 1).
func wait(failures int, jitter float64) time.Duration {
	d := firstWait
	for i := 1; i < failures && d < longestWait; i++ {
		d *= 2
	}
	d = min(d, longestWait)
	return d/2 + time.Duration(jitter*float64(d))
}

// atOnce is how many connections of a shard are being opened at a time.
const atOnce = 4

// door paces all connecting of a shard. While the store lets nobody in, only
// one tries at a time, and the waits grow; the first success opens it again.
// What fails together, as a thousand connections do when their server is
// killed, counts once.
type door struct {
	places chan struct{}

	mu       sync.Mutex
	closed   bool
	failures int // in a row, until a connection has lasted
	age      int // grows with every failure that counts
	until    time.Time
}

func newDoor() *door { return &door{places: make(chan struct{}, atOnce)} }

// through runs open when it may. The error is open's own, its panic or the
// context's. The
// age is to be handed to fail where what was opened did not last.
func (d *door) through(ctx context.Context, open func() error) (age int, err error) {
	select {
	case d.places <- struct{}{}:
		defer func() { <-d.places }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for {
		turn, rest := d.turn(&age)
		if turn {
			break
		}
		if !sleep.For(ctx, rest) {
			return age, ctx.Err()
		}
	}
	err = fault.Guard(open)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.fail(age)
	default:
		d.mu.Lock()
		d.closed = false
		d.mu.Unlock()
	}
	return age, err
}

// turn reports whether to go through now, or how long to wait.
func (d *door) turn(age *int) (bool, time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	*age = d.age
	if !d.closed {
		return true, 0
	}
	if rest := time.Until(d.until); rest > 0 {
		// Looked at again soon: the door may be opened before.
		return false, min(rest, firstWait/2)
	}
	// The others wait for what comes of this one.
	d.until = time.Now().Add(wait(d.failures, rand.Float64()))
	return true, 0
}

// fail closes the door, unless what failed was let in before it was closed last.
func (d *door) fail(age int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age != d.age {
		return
	}
	d.age++
	d.failures++
	d.closed = true
	d.until = time.Now().Add(wait(d.failures, rand.Float64()))
}

// lasts notes that something opened is good: the next failure is a first one.
func (d *door) lasts() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.failures = 0
	}
}
