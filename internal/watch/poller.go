package watch

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/sleep"
)

// reviewEvery is how often mailboxes are read that a connection hears of, at
// least: what it announces are hints, the counters are the truth.
const reviewEvery = 5 * time.Minute

// poller reads mailboxes in turn.
type poller struct {
	cancel context.CancelFunc
	news   chan struct{}

	mu      sync.Mutex
	plan    Plan
	each    bool             // by a login to each mailbox
	rest    []mailbox.Number // that nobody hears of
	heard   []mailbox.Number
	fresh   map[mailbox.Number]bool // not read since they are here
	last    time.Time               // when something was read
	pausing time.Time               // until when the reading pauses
	reviews time.Time               // when heard were last read
	gap     time.Duration           // how long after that they are read again, while changes go unannounced; otherwise 0
	// took is how long the server was busy with the last reading of rest,
	// reviewTook with that of heard.
	took, reviewTook time.Duration

	// stop ends the reading that is under way.
	stop context.CancelFunc

	// slept is how long the last reading paused; of the poller's own goroutine.
	slept time.Duration
}

func (w *Watcher) startPoll(parent context.Context) *poller {
	ctx, cancel := context.WithCancel(parent)
	p := &poller{cancel: cancel, news: make(chan struct{}, 1), fresh: map[mailbox.Number]bool{}, reviews: time.Now()}
	door := w.door
	w.group.Go(func() {
		defer cancel()
		for {
			w.pollOnce(ctx, door, p)
			every := max(p.interval()-p.slept, 0)
			every += time.Duration((rand.Float64() - 0.5) * 0.2 * float64(every))
			select {
			case <-ctx.Done():
				return
			case <-p.news:
			case <-time.After(every):
			}
		}
	})
	return p
}

// set gives the poller its mailboxes; those that are new to it are read now. each has
// them read by a login to each.
func (p *poller) set(rest, heard []mailbox.Number, plan Plan, each bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.each && !each && p.stop != nil {
		p.stop() // they are listened to from now on, or read at less cost
	}
	p.each = each
	added, _ := difference(p.rest, rest)
	p.rest, p.heard, p.plan = rest, heard, plan
	for _, n := range added {
		p.fresh[n] = true
	}
	if len(added) > 0 {
		wake(p.news)
	}
}

// interval is how long to wait between two readings: as configured, or longer if
// reading would take more than a part of the time.
func (p *poller) interval() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.every()
}

// every is interval with mu held.
func (p *poller) every() time.Duration { return quota.PollEvery(p.configured(), p.took, p.plan.Shards) }

func (p *poller) configured() time.Duration {
	if p.plan.PollEvery > 0 {
		return p.plan.PollEvery
	}
	return time.Minute
}

// review is how often the mailboxes are read that a connection hears of, with mu
// held.
func (p *poller) review() time.Duration {
	if p.gap > 0 {
		return p.gap
	}
	return max(reviewEvery, p.configured())
}

// reviewSoon has the mailboxes that a connection hears of read at the next
// interval, since it does not announce every change. After that the reviews become
// rarer again, until one finds such a change.
func (p *poller) reviewSoon() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gap = p.configured() / 2
}

func (p *poller) count() int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.rest)
}

// reached reports whether something was read since then, or is not due yet.
func (p *poller) reached(since time.Time) bool {
	if p == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.After(since.Add(-2*p.every())) || p.pausing.After(since)
}

// pollOnce reads what is due, once.
func (w *Watcher) pollOnce(ctx context.Context, door *door, p *poller) {
	p.mu.Lock()
	select {
	case <-p.news: // what it is about is read now
	default:
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	p.stop = stop
	plan, rest, each, listened := p.plan, p.rest, p.each, p.heard
	var heard []mailbox.Number // those whose review is due
	if time.Since(p.reviews) >= quota.PollEvery(p.review(), p.reviewTook, plan.Shards) {
		heard = p.heard
	}
	p.mu.Unlock()
	if plan.Source == nil || len(rest)+len(heard) == 0 {
		return
	}
	if len(heard) > 0 {
		listened = nil // they are read anyway
	}
	read := func(ctx context.Context, all []mailbox.Number, report func(Report), failed func(mailbox.Number, error), spent func(int, time.Duration)) error {
		return plan.Source.Poll(ctx, all, listened, report, failed, spent)
	}
	if each {
		read = plan.Source.PollEach
	}
	listenedTo := make(map[mailbox.Number]bool, len(heard)+len(listened))
	for _, n := range slices.Concat(heard, listened) {
		listenedTo[n] = true
	}
	var took time.Duration
	p.slept = 0
	for len(rest)+len(heard) > 0 && reading.Err() == nil {
		all := append(append([]mailbox.Number(nil), rest...), heard...)
		_, err := door.through(reading, func() error {
			done := 0
			took = 0
			spread := func(mailboxes int, last time.Duration) {
				done += mailboxes
				took += last
				if pause := quota.PollPause(max(plan.PollEvery, time.Second), took, last, done, len(all), plan.Shards); pause > 0 {
					p.mu.Lock()
					p.pausing = time.Now().Add(pause)
					// How long the reading will have taken at this pace: whoever asks how
					// often mailboxes are read need not wait for its end.
					p.took = took / time.Duration(done) * time.Duration(len(rest))
					p.mu.Unlock()
					sleep.For(reading, pause)
					p.slept += pause
				}
			}
			return read(reading, all, func(r Report) {
				p.mu.Lock()
				r.Resumed = p.fresh[r.Number]
				delete(p.fresh, r.Number)
				p.last = time.Now()
				p.mu.Unlock()
				w.heardOf(r, listenedTo[r.Number])
			}, func(_ mailbox.Number, err error) { w.trouble("read a mailbox", err) }, spread)
		})
		if err == nil {
			door.lasts()
			break
		}
		if reading.Err() != nil {
			return
		}
		w.trouble("read mailboxes in turn", err)
		p.mu.Lock()
		// After an interruption the counters have to prove that nothing changed.
		for _, n := range rest {
			p.fresh[n] = true
		}
		rest = p.rest
		p.mu.Unlock()
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	p.last = time.Now()
	// What a reading of both takes is shared out by their numbers.
	if n := len(rest) + len(heard); n > 0 {
		p.took = took * time.Duration(len(rest)) / time.Duration(n)
		if len(heard) > 0 {
			p.reviews, p.reviewTook = p.last, took*time.Duration(len(heard))/time.Duration(n)
			if p.gap *= 2; p.gap >= reviewEvery {
				p.gap = 0
			}
		}
	}
	p.mu.Unlock()
	if len(rest) > 0 {
		w.recovered()
	}
}
