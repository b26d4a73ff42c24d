package throttle

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/quota"
)

// line is the time of one link, given away in order.
type line struct {
	mu     sync.Mutex
	freeAt time.Time
	asked  int
}

func (l *line) ReserveBandwidth(_ context.Context, _ string, span time.Duration) (time.Duration, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	begin := l.freeAt
	if now := time.Now(); begin.Before(now) {
		begin = now
	}
	l.freeAt = begin.Add(span)
	return time.Until(begin), nil
}

// wall is the bubble's clock, in UTC.
type wall struct{}

func (wall) Now() time.Time { return time.Now().UTC() }

func (wall) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestLimiter: three processes with several copies each pass no more than the
// bound in any time, and no less than it allows.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, each = 1_000_000, 4_000_000
		l := &line{}
		begin := time.Now()
		var all sync.WaitGroup
		for p := range 3 {
			limiter := NewLimiter(l, wall{}, "dr", quota.Bandwidth{Rate: rate})
			for c := range 2 {
				rng := rand.New(rand.NewPCG(uint64(p), uint64(c)))
				all.Go(func() {
					for left := each; left > 0; {
						n := min(left, 1+rng.IntN(32<<10))
						if err := limiter.Wait(t.Context(), n); err != nil {
							t.Error(err)
						}
						left -= n
					}
				})
			}
		}
		all.Wait()
		const seconds = 6 * each / rate
		// Each process may hold a block of half a second.
		if took := time.Since(begin).Seconds(); took < seconds-0.5 || took > seconds+2 {
			t.Errorf("%d bytes at %d/s took %.1f s", 6*each, rate, took)
		}
		if l.asked > 6*each/(rate/2)+10 {
			t.Errorf("asked %d times", l.asked)
		}
	})
}

// TestLimiterWindow: the rate is that of the moment.
func TestLimiterWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the bubble's clock begins on Saturday, 1 January 2000
		b, err := quota.ParseBandwidth(0, []string{"Sat 00:00-00:01 100kB/s"})
		if err != nil {
			t.Fatal(err)
		}
		limiter := NewLimiter(&line{}, wall{}, "dr", b)
		begin := time.Now()
		for range 100_000_000 / 20_000 {
			if err := limiter.Wait(t.Context(), 20_000); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < time.Minute || took > 62*time.Second {
			t.Errorf("took %s, want the minute of the window", took)
		}
	})
}

func TestLimiterEndsWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limiter := NewLimiter(&line{}, wall{}, "dr", quota.Bandwidth{Rate: 10})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for limiter.Wait(ctx, 30_000) == nil {
				}
			})
		}
		all.Wait()
	})
}
