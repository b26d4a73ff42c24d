package activities

import (
	"time"

	"mailmirror/internal/fault"
)

// Pace says when a mailbox that failed is tried again. Trouble that may pass
// is first tried a few times in quick succession by the running workflow; what
// goes on failing is parked, and the sweep takes it up again after an interval
// that doubles with every failure.
type Pace struct {
	// QuickTries is how many failures in a row are answered by Quick, each
	// further one by three times as much; default 3 from 2 s: 2, 6, 18 s.
	QuickTries int
	Quick      time.Duration
	// FirstPark and LongestPark bound the parking interval; 5 min and 4 h.
	FirstPark, LongestPark time.Duration
}

func (p Pace) withDefaults() Pace {
	if p.QuickTries <= 0 {
		p.QuickTries = 3
	}
	if p.Quick <= 0 {
		p.Quick = 2 * time.Second
	}
	if p.FirstPark <= 0 {
		p.FirstPark = 5 * time.Minute
	}
	if p.LongestPark <= 0 {
		p.LongestPark = 4 * time.Hour
	}
	return p
}

// next returns how long to wait after the failures-th failure in a row (from
// 1), and whether that is parking. jitter, in [0, 1), spreads parked mailboxes
// over a fifth of the interval around it, since an outage parks many at once.
func (p Pace) next(kind fault.Kind, failures int, jitter float64) (wait time.Duration, parked bool) {
	rounds := failures
	if kind == fault.Transient || kind == fault.Conflict {
		if failures <= p.QuickTries {
			wait = p.Quick
			for range failures - 1 {
				wait *= 3
			}
			return wait, false
		}
		rounds -= p.QuickTries
	}
	wait = p.FirstPark
	for i := 1; i < rounds && wait < p.LongestPark; i++ {
		wait *= 2
	}
	wait = min(wait, p.LongestPark)
	return wait + time.Duration((jitter-0.5)*0.2*float64(wait)), true
}

// busyWait is after how long a mailbox is tried again that another sync holds:
// half a second at first, then twice as long each time, up to a minute. held is
// when its lease ends if its holder is dead; one that lives mostly gives it back
// long before, and what was changed meanwhile should not wait for that.
func busyWait(held time.Duration, attempt int32) time.Duration {
	const shortest, first, longest = 100 * time.Millisecond, 500 * time.Millisecond, time.Minute
	again := first << min(max(attempt-1, 0), 7)
	return min(max(held, shortest), again, longest)
}
