package throttle

import (
	"context"
	"time"

	"mailmirror/internal/quota"
)

// Pace is where the processes agree on who copies when.
type Pace interface {
	// ReserveBandwidth gives away span of a link's time and returns how long it
	// is until that begins.
	ReserveBandwidth(ctx context.Context, link string, span time.Duration) (wait time.Duration, err error)
}

// Clock is the time as a Limiter sees it.
type Clock interface {
	// Now is given in the zone that the link's windows are meant in.
	Now() time.Time
	// Sleep waits for d or until ctx is done, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// A block is what is reserved at a time: what the link may copy in half a
// second, so that a process that is killed takes no more of it along, within
// bounds that keep round trips and bursts small.
const (
	blockTime = 500 * time.Millisecond
	leastSize = 16 << 10 // bytes
	mostSize  = 8 << 20
)

// Limiter bounds what this process copies of a link, together with the others.
// It is safe for concurrent use.
type Limiter struct {
	pace        Pace
	clock       Clock
	link        string
	bandwidth   quota.Bandwidth
	least, most int64 // bounds of a block
	// turn is held by whoever reserves, and guards left.
	turn chan struct{}
	left int64 // bytes that are reserved and not used
}

// NewLimiter returns the limiter of a link.
func NewLimiter(pace Pace, clock Clock, link string, bandwidth quota.Bandwidth) *Limiter {
	return &Limiter{pace: pace, clock: clock, link: link, bandwidth: bandwidth, least: leastSize, most: mostSize, turn: make(chan struct{}, 1)}
}

// NewLogins returns what bounds the logins to a store, together with the other
// processes: Wait waits until so many logins more may begin.
func NewLogins(pace Pace, clock Clock, store string, perSecond int) *Limiter {
	return &Limiter{pace: pace, clock: clock, link: store, bandwidth: quota.Bandwidth{Rate: quota.Rate(perSecond)},
		least: 1, most: max(int64(perSecond)/4, 1), turn: make(chan struct{}, 1)}
}

// Wait waits until n more bytes may be copied.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.turn }()
	rate := int64(l.bandwidth.At(l.clock.Now()))
	if rate <= 0 {
		l.left = 0
		return nil
	}
	for l.left < int64(n) {
		block := min(max(rate*int64(blockTime)/int64(time.Second), l.least), l.most)
		wait, err := l.pace.ReserveBandwidth(ctx, l.link, span(block, rate))
		if err != nil {
			return err
		}
		if err := l.clock.Sleep(ctx, wait); err != nil {
			return err
		}
		l.left += block
	}
	l.left -= int64(n)
	return nil
}

// span is how long some bytes take at a rate.
func span(bytes, rate int64) time.Duration {
	return time.Duration(float64(bytes) / float64(rate) * float64(time.Second))
}
