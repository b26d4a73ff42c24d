package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// unmirrored is a store of n mailboxes of which none was mirrored yet.
func unmirrored(mode site.ListenMode, n int) *store {
	var numbers []mailbox.Number
	for i := range n {
		numbers = append(numbers, mailbox.Number(fmt.Sprintf("%03d", i)))
	}
	s := newStore(mode, site.ListenNotify, numbers...)
	s.known = map[mailbox.Number]Known{}
	s.wait(numbers...)
	return s
}

// wait has these mailboxes alone wait to be mirrored for the first time.
func (s *store) wait(numbers ...mailbox.Number) {
	s.plan.First = map[mailbox.Number]bool{}
	for _, n := range numbers {
		s.plan.First[n] = true
	}
	s.plan.LinkFirst, s.plan.LinkMailboxes = len(numbers), len(s.plan.Numbers)
}

// mirror mirrors all mailboxes but the last few.
func (s *store) mirror(but int) {
	done := len(s.plan.Numbers) - but
	for _, n := range s.plan.Numbers[:done] {
		s.known[n] = Known{mailbox.Inbox: s.counter[n]}
	}
	s.wait(s.plan.Numbers[done:]...)
}

func (s *store) notifies() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range s.opened {
		if what == "notify" {
			n++
		}
	}
	return n
}

// TestNotifyWaitsForTheFirstMirroring: the list of all mailboxes is not asked for while
// most of them were never opened. Until then they are read in turn by logins, and what
// happens to a mailbox after it was mirrored is found.
func TestNotifyWaitsForTheFirstMirroring(t *testing.T) {
	for _, mode := range []site.ListenMode{site.ListenAuto, site.ListenNotify} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := unmirrored(mode, 40)
				_, _ = run(t, s, func() {
					want(t, "woken of what is not mirrored yet", s.takeWoken(3*time.Minute), "")
					want(t, "connections of notify", s.notifies(), 0)
					s.mu.Lock()
					if s.logins < 40 || len(s.polls) != s.logins {
						t.Errorf("%d of %d readings were by a login to each", s.logins, len(s.polls))
					}
					h := s.health
					s.mu.Unlock()
					if h.Mode != site.ListenNotify || h.Polled != 40 || !strings.Contains(h.Why, "40 of 40 wait") || h.Trouble != "" {
						t.Errorf("status says %+v", h)
					}
					s.set(func() { s.mirror(30) })
					s.deposit("001")
					want(t, "woken while notify waits", s.takeWoken(2*time.Minute), "001")
					want(t, "connections of notify", s.notifies(), 0)
					s.set(func() { s.mirror(5) })
					time.Sleep(5 * time.Second)
					want(t, "woken when notify begins", s.takeWoken(5*time.Second), "")
					want(t, "connections of notify", s.notifies(), 1)
					s.deposit("002")
					want(t, "woken by notify", s.takeWoken(0), "002")
					s.mu.Lock()
					defer s.mu.Unlock()
					if s.health.Listened != 40 || strings.Contains(s.health.Why, "wait") {
						t.Errorf("status says %+v", s.health)
					}
				})
			})
		})
	}
}

// TestChangesAroundTheFirstMirroring: a mailbox is changed between its first sync and
// the next reading, or was read between the change and the moment at which the
// watcher hears of the sync. Both are events; what the sync itself saw is none.
func TestChangesAroundTheFirstMirroring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unmirrored(site.ListenAuto, 40)
		s.reads = 10 * time.Second
		s.plan.PollEvery = time.Second
		_, _ = run(t, s, func() {
			s.deposit("003") // before its sync
			s.mu.Lock()
			s.mirror(0)
			waiting := s.plan.Numbers
			s.wait(waiting...) // the watcher does not hear of it yet
			s.mu.Unlock()
			s.deposit("001")
			want(t, "woken", s.takeWoken(20*time.Minute), "")
			s.deposit("002")
			s.set(func() { s.wait() })
			got := strings.Fields(s.takeWoken(20 * time.Second))
			if !slices.Contains(got, "001") || !slices.Contains(got, "002") || len(got) != 2 {
				t.Errorf("woken: %v, want 001 and 002", got)
			}
		})
	})
}

// TestNotifyDoesNotWaitForEver: of some mailboxes nobody mirrors the last ones, or the
// link is suspended.
func TestNotifyDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unmirrored(site.ListenAuto, 40)
		_, _ = run(t, s, func() {
			time.Sleep(20 * time.Minute)
			s.set(func() { s.mirror(30) })
			time.Sleep(29 * time.Minute)
			want(t, "connections while some are mirrored", s.notifies(), 0)
			time.Sleep(2 * time.Minute)
			want(t, "connections when nobody mirrors any more", s.notifies(), 1)
		})
	})
}

// TestOpenNotifyGoesOnBesideACrowd: the connection that is open hears of its mailboxes
// while many others join, and is replaced once, when those were mirrored.
func TestOpenNotifyGoesOnBesideACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenAuto, site.ListenNotify, "1", "2")
		_, _ = run(t, s, func() {
			time.Sleep(time.Hour)
			crowd := unmirrored(site.ListenAuto, 40)
			s.set(func() {
				for _, n := range crowd.plan.Numbers {
					s.counter[n] = crowd.counter[n]
				}
				s.plan.Numbers = append(s.plan.Numbers, crowd.plan.Numbers...)
				s.wait(crowd.plan.Numbers...)
			})
			want(t, "woken", s.takeWoken(10*time.Minute), "")
			want(t, "connections of notify", s.notifies(), 1)
			s.deposit("2")
			want(t, "woken beside the crowd", s.takeWoken(0), "2")
			s.set(func() { s.plan.Numbers = slices.Clone(s.plan.Numbers[1:]); s.mirror(0) })
			time.Sleep(10 * time.Second)
			s.deposit("2")
			s.deposit("001")
			want(t, "woken by the new connection", s.takeWoken(0), "001 2")
			want(t, "connections of notify", s.notifies(), 2)
		})
	})
}
