package watch

import (
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// state is what health is told from. Its methods are called with the
// watcher's mutex held, but saveDue, which is Run's alone.
type state struct {
	mode site.ListenMode
	why  string

	open, wanted, listened, polled int
	since                          time.Time

	events      int64
	minute      [60]int   // events by second of the minute
	second      time.Time // of the newest entry
	last        time.Time
	lastKind    site.EventKind
	unannounced int64
	lately      lately
	// unheard are mailboxes in which a change was found by reading, and when: their
	// connection has not announced it yet.
	unheard map[mailbox.Number]time.Time

	trouble, hint string
	troubleAt     time.Time
	markTrouble   string
	markHint      string

	saved  time.Time
	before site.Health
}

func (s *state) event(kind site.EventKind, now time.Time) {
	s.roll(now)
	s.minute[now.Unix()%60]++
	s.events++
	s.lately.events++
	s.last, s.lastKind = now, kind
}

// roll empties the seconds that passed without an event.
func (s *state) roll(now time.Time) {
	sec := now.Truncate(time.Second)
	if s.second.IsZero() || sec.Sub(s.second) >= time.Minute {
		clear(s.minute[:])
		s.second = sec
	}
	for s.second.Before(sec) {
		s.second = s.second.Add(time.Second)
		s.minute[s.second.Unix()%60] = 0
	}
}

// fail notes a trouble and reports whether it is another than before.
func (s *state) fail(err error) bool {
	fresh := s.trouble != err.Error()
	s.trouble, s.hint, s.troubleAt = err.Error(), fault.HintOf(err), time.Now()
	return fresh
}

func (s *state) markFail(err error) { s.markTrouble, s.markHint = err.Error(), fault.HintOf(err) }
func (s *state) marked()            { s.markTrouble, s.markHint = "", "" }

// troubleFor is how long a trouble is shown after it passed, so that it is seen.
const troubleFor = 30 * time.Second

// reach notes that the store answers.
func (s *state) reach() {
	if time.Since(s.troubleAt) > troubleFor && s.open == s.wanted {
		s.trouble, s.hint = "", ""
	}
}

func (s *state) connections(open, wanted, listened, polled int, now time.Time) {
	switch {
	case open < wanted || wanted == 0:
		s.since = time.Time{}
	case s.since.IsZero() || s.wanted != wanted && s.open < s.wanted:
		s.since = now
	}
	s.open, s.wanted, s.listened, s.polled = open, wanted, listened, polled
	if now.Sub(s.troubleAt) > troubleFor && open == wanted {
		s.trouble, s.hint = "", ""
	}
}

// unannouncedMany is how many changes have to go by unheard until that is
// called a trouble.
const unannouncedMany = 3

// announceWithin is how long after a change was read the connection may still
// announce it. Dovecot announces after half a second, and after half a minute if it
// has to look for changes by itself.
const announceWithin = 40 * time.Second

// lately counts events, and those that no connection announced. The older they are,
// the less they count.
type lately struct{ events, unannounced float64 }

// memory is how many events lately remembers, some.
const memory = 1000

// many reports whether so many changes go unannounced that it is the store's fault. A
// Dovecot announces no change after which somebody lists all mailboxes within half a
// second, as every review does: with reviews every minute that is one change in a
// hundred.
func (l lately) many() bool { return l.unannounced*5 >= l.events }

// missed counts the changes that no connection announced in time, and reports
// whether there are some and it is the store's fault.
func (s *state) missed(now time.Time) bool {
	before := s.unannounced
	for n, at := range s.unheard {
		if now.Sub(at) > announceWithin {
			delete(s.unheard, n)
			s.unannounced++
			s.lately.unannounced++
		}
	}
	if s.lately.events > memory {
		s.lately.events, s.lately.unannounced = s.lately.events/2, s.lately.unannounced/2
	}
	return s.unannounced > before && s.lately.many()
}

func (s *state) health(now time.Time) site.Health {
	s.roll(now)
	h := site.Health{Mode: s.mode, Why: s.why, Connections: s.open, Wanted: s.wanted, ConnectedSince: s.since,
		Listened: s.listened, Polled: s.polled, Events: s.events, LastEvent: s.last, LastKind: s.lastKind,
		Unannounced: s.unannounced, Trouble: s.trouble, Hint: s.hint}
	for _, n := range s.minute {
		h.PerMinute += n
	}
	switch {
	case s.markTrouble != "":
		h.Trouble, h.Hint = s.markTrouble, s.markHint
	case h.Trouble == "" && s.unannounced >= unannouncedMany && s.lately.many() && s.mode == site.ListenNotify:
		h.Trouble = "the store does not announce every change"
		h.Hint = "on Dovecot set mailbox_list_index_include_inbox = yes and raise the sysctl fs.inotify.max_user_instances " +
			"above the number of clients that listen, or listen in another way: mailmirror store edit NAME --events idle"
	}
	return h
}

// saveDue reports whether the health is to be written down: a few times a
// minute, and at once where something is new in it.
func (s *state) saveDue(now time.Time, h site.Health) bool {
	b := s.before
	news := h.Mode != b.Mode || h.Why != b.Why || h.Connections != b.Connections || h.Listened != b.Listened || h.Polled != b.Polled ||
		h.Trouble != b.Trouble || h.Events != b.Events && now.Sub(s.saved) >= 5*time.Second
	if !news && now.Sub(s.saved) < 10*time.Second {
		return false
	}
	s.saved, s.before = now, h
	return true
}
