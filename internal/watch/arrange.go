package watch

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// restart drops every connection and begins anew: the store is another one, or
// is to be listened to in another way.
func (w *Watcher) restart(ctx context.Context) {
	w.stopAll()
	w.awaits = false
	w.door = newDoor()
	if w.plan.Mode != site.ListenAuto {
		w.choose(w.plan.Mode, cmp.Or(w.plan.Why, "as configured"))
		w.follow(ctx)
		return
	}
	w.askOffer(ctx)
}

// noMailbox is what a shard without mailboxes waits for.
const noMailbox = "there is no mailbox to listen for yet"

// askOffer asks the store how it can be listened to. Without a mailbox nobody
// asks: there is nothing to listen for, and a trusted account that may not log in
// by itself could not be asked.
func (w *Watcher) askOffer(ctx context.Context) {
	if w.ask != nil {
		w.ask()
		w.ask = nil
	}
	if len(w.plan.Numbers) == 0 {
		w.choose(site.ListenAuto, noMailbox)
		return
	}
	w.choose(site.ListenAuto, "")
	asking, cancel := context.WithCancel(ctx)
	w.ask = cancel
	plan, door := w.plan, w.door
	samples := slices.Sorted(slices.Values(plan.Numbers))
	w.group.Go(func() {
		for try := 0; asking.Err() == nil; try++ {
			var m message
			// Another mailbox each time: one may have trouble of its own.
			_, err := door.through(asking, func() (err error) {
				m.offer, m.why, err = plan.Source.Offer(asking, samples[try%len(samples)])
				return err
			})
			if err != nil {
				w.trouble("ask the store how it can be listened to", err)
				continue
			}
			m.version = plan.Version
			w.tell(asking, m)
			return
		}
	})
}

func (w *Watcher) tell(ctx context.Context, m message) {
	select {
	case w.told <- m:
	case <-ctx.Done():
	}
}

// hear acts on what a helper found out. What belongs to a plan before is late.
func (w *Watcher) hear(ctx context.Context, m message) {
	if m.version != w.plan.Version {
		return
	}
	switch {
	case m.offer != "":
		w.ask = nil
		w.chooseFor(m.offer, m.why)
		w.follow(ctx)
	case m.none != nil && w.chosen() == site.ListenIdle:
		w.choose(site.ListenPoll, "the store has no IDLE")
		w.follow(ctx)
	case m.none != nil && w.plan.Mode == site.ListenAuto:
		w.chooseFor(site.ListenIdle, "not by notify: "+m.none.Error())
		w.stop(&w.trunk)
		w.follow(ctx)
	case m.none != nil:
		if w.trunk != nil {
			w.trunk.nobody()
		}
		w.arrange(ctx)
	default:
		w.stop(&w.old)
		w.slow = ""
		w.arrange(ctx)
	}
}

// chooseFor chooses a way of listening because of why, or Poll if that is Idle and no
// connection is to listen to one mailbox. The plan's own reasons are added.
func (w *Watcher) chooseFor(mode site.ListenMode, why string) {
	if mode == site.ListenIdle && w.plan.IdleLimit == 0 {
		mode = site.ListenPoll
	}
	if w.plan.Why != "" {
		why += "; " + w.plan.Why
	}
	w.choose(mode, why)
}

// follow makes the connections those of the plan's mailboxes. One that hears of
// all is replaced by another, which listens before the old one is dropped. While NOTIFY
// is to wait, the one that is open goes on.
func (w *Watcher) follow(ctx context.Context) {
	if w.chosen() == site.ListenAuto && w.ask == nil {
		w.askOffer(ctx)
	}
	notify := w.chosen() == site.ListenNotify && len(w.plan.Numbers) > 0
	w.awaits = notify && w.first.holds(time.Now())
	switch {
	case w.awaits:
	case notify:
		w.stop(&w.old)
		w.old, w.trunk = w.trunk, w.startTrunk(ctx, nil)
	default:
		w.stop(&w.trunk)
		w.stop(&w.old)
	}
	w.arrange(ctx)
}

// arrange gives every mailbox its way: heard by the one connection, by one of
// its own, or read in turn.
func (w *Watcher) arrange(ctx context.Context) {
	rest := w.plan.Numbers
	mode := w.chosen()
	var heard []mailbox.Number
	known := mode == site.ListenIdle || mode == site.ListenPoll // who is heard
	if mode == site.ListenNotify && w.trunk != nil {
		heard, rest, known = w.trunk.hears(rest)
	}
	if !known && w.slow == "" && !w.awaits {
		// Until then nobody is listened to or read in turn by itself: that begins
		// with a reading of everything anyway.
		rest = nil
	}
	var own []mailbox.Number
	if mode == site.ListenIdle || mode == site.ListenNotify && w.plan.Mode == site.ListenAuto && (known || w.awaits) {
		limit := w.plan.IdleLimit
		if w.awaits {
			// A connection for each of those that change: it is for a while only.
			limit = min(limit, changing(rest, w.plan.LastEvents))
		}
		own, rest = mostActive(rest, w.plan.LastEvents, limit)
	}
	wanted := make(map[mailbox.Number]bool, len(own))
	for _, n := range own {
		wanted[n] = true
		if w.lines[n] == nil {
			w.lines[n] = w.startIdle(ctx, n)
		}
	}
	for n, l := range w.lines {
		if !wanted[n] {
			l.cancel()
			delete(w.lines, n)
		}
	}
	if w.poll == nil {
		w.poll = w.startPoll(ctx)
	}
	w.poll.set(rest, heard, w.plan, w.awaits)
}

// patience is how long nobody is read in turn while the connection of NOTIFY is
// not open yet: the store may be listing all mailboxes.
const patience = 40 * time.Second

// lookAfterTrunk has mailboxes read in turn while the connection of NOTIFY takes
// long to open.
func (w *Watcher) lookAfterTrunk(ctx context.Context, now time.Time) {
	if w.slow != "" || w.chosen() != site.ListenNotify || w.trunk == nil || now.Sub(w.trunk.begun) < patience {
		return
	}
	if _, _, known := w.trunk.hears(nil); known {
		return
	}
	w.slow = "the store has been preparing notify since " + w.trunk.begun.UTC().Format("15:04:05 MST") +
		" (it lists all mailboxes first); until it is ready each mailbox is read in turn"
	w.arrange(ctx)
}

// askAgain makes the one connection anew where it does not hear of every
// mailbox: one that was not there, or not allowed to be seen, may be by now.
func (w *Watcher) askAgain(ctx context.Context, now time.Time) {
	if w.chosen() != site.ListenNotify || w.trunk == nil || !w.trunk.open() || w.old != nil || w.awaits {
		return
	}
	_, unheard, _ := w.trunk.hears(w.plan.Numbers)
	switch {
	case len(unheard) == 0:
		w.misses, w.again = 0, time.Time{}
	case w.again.IsZero():
		w.misses++
		w.again = now.Add(min(firstAsk<<min(w.misses, 10), reviewEvery))
	case now.After(w.again):
		w.again = time.Time{}
		w.follow(ctx)
	}
}

// firstAsk is half of how soon askAgain does so for the first time.
const firstAsk = 2 * time.Second

// startTrunk opens the connection of NOTIFY. ready is one that is open already; nil if
// there is none.
func (w *Watcher) startTrunk(ctx context.Context, ready Conn) *line {
	plan, numbers := w.plan, w.plan.Numbers
	return w.start(ctx, false, func(ctx context.Context) (Conn, error) {
		if conn := ready; conn != nil {
			ready = nil
			return conn, nil
		}
		return plan.Source.Notify(ctx, numbers)
	},
		func(_ Conn, err error) bool {
			switch {
			case err == nil:
				w.tell(ctx, message{version: plan.Version})
			case errors.Is(err, errors.ErrUnsupported):
				w.tell(ctx, message{version: plan.Version, none: err})
				return plan.Mode != site.ListenAuto
			}
			return true
		})
}

func (w *Watcher) startIdle(ctx context.Context, n mailbox.Number) *line {
	plan := w.plan
	return w.start(ctx, true, func(ctx context.Context) (Conn, error) { return plan.Source.Idle(ctx, n, plan.PollEvery) },
		func(_ Conn, err error) bool {
			if errors.Is(err, errors.ErrUnsupported) {
				w.tell(ctx, message{version: plan.Version, none: err})
				return false
			}
			return true
		})
}

func (w *Watcher) stop(l **line) {
	if *l != nil {
		(*l).cancel()
		*l = nil
	}
}

func (w *Watcher) stopAll() {
	if w.ask != nil {
		w.ask()
	}
	w.stop(&w.trunk)
	w.stop(&w.old)
	for n, l := range w.lines {
		l.cancel()
		delete(w.lines, n)
	}
	if w.poll != nil {
		w.poll.cancel()
		w.poll = nil
	}
}

// silence is how long a connection may be without a sign of life: its source
// makes sure of one at least every minute.
const silence = 90 * time.Second
