package watch

import (
	"slices"
	"strings"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// markDelay is how long a mark may wait for others to go with it, where the
// mailbox was woken just before.
const markDelay = 100 * time.Millisecond

// queue holds the events that are not marked yet and the mailboxes that are to
// be woken. The first event after a quiet time goes on at once; of those that
// follow, the marks are put together and the wake-ups are spaced, so that a
// burst is a few syncs. It reads no clock.
type queue struct {
	quiet  time.Duration
	marks  map[mailbox.Number]*Mark
	markAt time.Time // when the marks are due; zero without any
	wakes  map[mailbox.Number]time.Time
	woken  map[mailbox.Number]time.Time // when last, while that is not long past
}

func newQueue(quiet time.Duration) *queue {
	return &queue{quiet: quiet, marks: map[mailbox.Number]*Mark{}, wakes: map[mailbox.Number]time.Time{},
		woken: map[mailbox.Number]time.Time{}}
}

// add takes an event in.
func (q *queue) add(n mailbox.Number, kind site.EventKind, now time.Time) {
	due := now
	if last, busy := q.woken[n]; busy && now.Before(last.Add(q.quiet)) {
		due = now.Add(min(markDelay, q.quiet))
	}
	if m := q.marks[n]; m != nil {
		m.Count++
		m.Kind = kind
	} else {
		q.marks[n] = &Mark{Number: n, Kind: kind, Count: 1, At: now}
	}
	if q.markAt.IsZero() || due.Before(q.markAt) {
		q.markAt = due
	}
}

// takeMarks returns all marks, oldest first, once one of them is due. They are
// gone from the queue until putBack returns them.
func (q *queue) takeMarks(now time.Time) []Mark {
	if q.markAt.IsZero() || now.Before(q.markAt) {
		return nil
	}
	list := make([]Mark, 0, len(q.marks))
	for _, m := range q.marks {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Mark) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(string(a.Number), string(b.Number))
	})
	clear(q.marks)
	q.markAt = time.Time{}
	return list
}

// putBack returns marks that could not be written down; they are due at. Marks of
// other mailboxes that came meanwhile do not wait for that.
func (q *queue) putBack(marks []Mark, at time.Time) {
	others := len(q.marks)
	for _, m := range marks {
		if newer := q.marks[m.Number]; newer != nil {
			m.Count += newer.Count
			m.Kind = newer.Kind
			others--
		}
		q.marks[m.Number] = &m
	}
	if len(marks) > 0 && (others == 0 || at.Before(q.markAt)) {
		q.markAt = at
	}
}

// wake notes that a mailbox was marked and is to be woken: now, or when it has
// been quiet since it was woken last.
func (q *queue) wake(n mailbox.Number, now time.Time) {
	due := now
	if last, busy := q.woken[n]; busy && last.Add(q.quiet).After(now) {
		due = last.Add(q.quiet)
	}
	if at, waiting := q.wakes[n]; !waiting || due.Before(at) {
		q.wakes[n] = due
	}
}

// wakeAgain puts off a wake-up that failed.
func (q *queue) wakeAgain(n mailbox.Number, at time.Time) { q.wakes[n] = at }

// takeWakes returns the mailboxes to be woken now.
func (q *queue) takeWakes(now time.Time) []mailbox.Number {
	var list []mailbox.Number
	for n, at := range q.wakes {
		if !at.After(now) {
			list = append(list, n)
			delete(q.wakes, n)
			q.woken[n] = now
		}
	}
	slices.Sort(list)
	for n, last := range q.woken {
		if now.Sub(last) > 2*q.quiet {
			delete(q.woken, n)
		}
	}
	return list
}

// next is when something is due; false where nothing waits.
func (q *queue) next() (time.Time, bool) {
	next := q.markAt
	for _, at := range q.wakes {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next, !next.IsZero()
}

// forget drops what waits for a mailbox that takes no part any more.
func (q *queue) forget(n mailbox.Number) {
	delete(q.marks, n)
	delete(q.wakes, n)
	delete(q.woken, n)
	if len(q.marks) == 0 {
		q.markAt = time.Time{}
	}
}
