package watch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestEventsWake(t *testing.T) {
	for _, mode := range []site.ListenMode{site.ListenNotify, site.ListenIdle} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(site.ListenAuto, mode, "1", "2")
				_, _ = run(t, s, func() {
					want(t, "woken without a change", s.takeWoken(0), "")
					s.deposit("2")
					want(t, "woken at once", s.takeWoken(0), "2")
					s.deposit("1")
					for range 1000 {
						s.deposit("2")
						time.Sleep(10 * time.Millisecond)
					}
					// 10 s of a burst, one wake-up in 2 s.
					got := s.takeWoken(10 * time.Second)
					if n := strings.Count(got, "2"); n < 4 || n > 7 {
						t.Errorf("a burst woke its mailbox %d times", n)
					}
					want(t, "events", s.health.Events, int64(1002))
					want(t, "mode", s.health.Mode, mode)
					want(t, "heard of", s.health.Listened, 2)
				})
			})
		})
	}
}

func TestChangesOfAnInterruptionAreFound(t *testing.T) {
	for _, mode := range []site.ListenMode{site.ListenNotify, site.ListenIdle, site.ListenPoll} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(mode, site.ListenNotify, "1", "2")
				s.deposit("1") // before anybody listens
				_, _ = run(t, s, func() {
					want(t, "woken at the start", s.takeWoken(0), "1")
					s.mu.Lock()
					s.down = fault.Newf(fault.Transient, "connection refused")
					s.mu.Unlock()
					s.cut()
					time.Sleep(30 * time.Second)
					s.deposit("2")
					want(t, "woken while it is down", s.takeWoken(30*time.Second), "")
					s.mu.Lock()
					if n := len(s.opened); n > 14 {
						t.Errorf("%d connections were tried in a minute", n)
					}
					s.down = nil
					s.mu.Unlock()
					want(t, "woken after it is back", s.takeWoken(95*time.Second), "2")
				})
			})
		})
	}
}

func TestMarksWaitForTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenNotify, site.ListenNotify, "1")
		_, _ = run(t, s, func() {
			s.mu.Lock()
			s.failMarks = fault.New(fault.Transient, "mark", errors.New("connection refused"), "start it")
			s.mu.Unlock()
			s.deposit("1")
			want(t, "woken", s.takeWoken(10*time.Second), "")
			want(t, "trouble", s.health.Trouble, "mark: connection refused")
			s.mu.Lock()
			s.failMarks = nil
			s.mu.Unlock()
			want(t, "woken after it is back", s.takeWoken(30*time.Second), "1")
			want(t, "trouble", s.health.Trouble, "")
		})
	})
}

// TestOneRejectedMarkStopsNoOther: the database does not accept the mark of one of
// many mailboxes that change together. The others are marked at once, the trouble
// names the one, and it is marked when the database accepts it.
func TestOneRejectedMarkStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenNotify, site.ListenNotify, "1", "2", "3", "4", "5", "6", "7")
		_, _ = run(t, s, func() {
			s.mu.Lock()
			s.rejected = map[mailbox.Number]bool{"3": true}
			s.mu.Unlock()
			for _, n := range []mailbox.Number{"1", "2", "3", "4", "5", "6", "7"} {
				s.deposit(n)
			}
			want(t, "woken", s.takeWoken(10*time.Second), "1 2 4 5 6 7")
			want(t, "trouble", s.health.Trouble, "mailbox 3: mark: violates a constraint")
			s.mu.Lock()
			s.rejected = nil
			s.mu.Unlock()
			want(t, "woken after it is accepted", s.takeWoken(30*time.Second), "3")
			want(t, "trouble", s.health.Trouble, "")
		})
	})
}

func TestNewMailboxesAreListenedTo(t *testing.T) {
	for _, mode := range []site.ListenMode{site.ListenNotify, site.ListenIdle} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(site.ListenAuto, mode, "1")
				_, _ = run(t, s, func() {
					s.set(func() { s.join("2"); s.plan.Numbers = []mailbox.Number{"1", "2"} })
					want(t, "woken", s.takeWoken(time.Second), "")
					s.deposit("2")
					s.deposit("1")
					want(t, "woken", s.takeWoken(0), "1 2")
					s.set(func() { s.plan.Numbers = []mailbox.Number{"2"} })
					_ = s.takeWoken(3 * time.Second)
					s.deposit("1")
					want(t, "woken of one that left", s.takeWoken(time.Second), "")
					want(t, "connections", len(s.conns), 1)
					s.set(func() { s.plan.Numbers = nil })
					want(t, "woken", s.takeWoken(time.Second), "")
					want(t, "connections of nobody", len(s.conns), 0)
				})
			})
		})
	}
}

func TestWhoIsNotHeardIsPolled(t *testing.T) {
	t.Run("beyond the cap", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(site.ListenIdle, site.ListenIdle, "1", "2", "3", "4")
			s.plan.LastEvents = map[mailbox.Number]time.Time{"3": time.Now()}
			_, _ = run(t, s, func() {
				want(t, "polled", s.polls, []mailbox.Number{"2", "4"})
				want(t, "connections", s.health.Connections, 2)
				s.deposit("4")
				want(t, "woken", s.takeWoken(70*time.Second), "4")
			})
		})
	})
	t.Run("not seen by the trusted account", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(site.ListenNotify, site.ListenNotify, "1", "2")
			s.hidden["2"] = true
			_, _ = run(t, s, func() {
				want(t, "polled", s.polls, []mailbox.Number{"2"})
				s.deposit("2")
				want(t, "woken", s.takeWoken(70*time.Second), "2")
			})
		})
	})
	t.Run("not seen, by auto", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(site.ListenAuto, site.ListenNotify, "1", "2")
			s.hidden["2"] = true
			_, _ = run(t, s, func() {
				s.deposit("2")
				want(t, "woken", s.takeWoken(0), "2")
				want(t, "opened", s.opened, []string{"notify", "idle 2"})
			})
		})
	})
	t.Run("no notify", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(site.ListenNotify, site.ListenIdle, "1")
			_, _ = run(t, s, func() {
				s.deposit("1")
				want(t, "woken", s.takeWoken(70*time.Second), "1")
				if s.health.Trouble == "" {
					t.Error("no trouble is told")
				}
			})
		})
	})
	t.Run("no idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(site.ListenIdle, site.ListenPoll, "1")
			_, _ = run(t, s, func() {
				s.deposit("1")
				want(t, "woken", s.takeWoken(70*time.Second), "1")
				want(t, "mode", s.health.Mode, site.ListenPoll)
			})
		})
	})
}

func TestSilentConnectionIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenNotify, site.ListenNotify, "1")
		s.mute = true
		_, _ = run(t, s, func() {
			time.Sleep(100 * time.Second)
			synctest.Wait()
			if len(s.opened) < 2 {
				t.Error("it is still believed")
			}
		})
	})
}

// TestUnannouncedChangesAreNoticed: a connection stays open and announces nothing,
// as a Dovecot does that has no inotify instance left. The first changes are found
// within the review's interval, those after it as soon as if mailboxes were read in
// turn. If the connection announces changes again, the reviews become rare again.
func TestUnannouncedChangesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := []mailbox.Number{"1", "2", "3", "4"}
		s := newStore(site.ListenNotify, site.ListenNotify, numbers...)
		_, _ = run(t, s, func() {
			speak := s.silence()
			// found returns how long it takes until a change is found.
			found := func() time.Duration {
				s.deposit("2")
				began := time.Now()
				for s.takeWoken(time.Second) == "" && time.Since(began) < time.Hour {
				}
				return time.Since(began)
			}
			for _, n := range numbers {
				s.deposit(n)
			}
			want(t, "woken by the review", s.takeWoken(7*time.Minute), "1 2 3 4")
			if !strings.Contains(s.health.Hint, "mailbox_list_index_include_inbox") || !strings.Contains(s.health.Hint, "max_user_instances") {
				t.Errorf("hint %q", s.health.Hint)
			}
			found()
			for range 5 {
				if after := found(); after > 70*time.Second {
					t.Errorf("the next change is found after %s", after)
				}
			}
			speak()
			time.Sleep(20 * time.Minute)
			s.mu.Lock()
			s.polls = nil
			s.mu.Unlock()
			time.Sleep(time.Hour)
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := len(s.polls) / len(numbers); n > 12 {
				t.Errorf("%d reviews in an hour", n)
			}
		})
	})
}

// TestListShowsWhatNobodyAnnounces: a list of all mailboxes takes the announcement of a
// change that came shortly before it. The list itself shows that change. If connections
// announce most changes, the store is not to blame, and no review comes sooner.
func TestListShowsWhatNobodyAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenNotify, site.ListenNotify, "1", "2", "3")
		s.plan.Mode = site.ListenNotify
		s.hidden["3"] = true // it is read in turn, by a list of everything
		_, _ = run(t, s, func() {
			for range 5 {
				speak := s.silence()
				s.deposit("1")
				want(t, "woken by the list", s.takeWoken(70*time.Second), "1")
				speak()
				for range 10 {
					s.deposit("2")
					want(t, "woken by the connection", s.takeWoken(5*time.Second), "2")
				}
			}
			if s.health.Unannounced == 0 || s.health.Trouble != "" {
				t.Errorf("%d of %d changes were not announced: %q", s.health.Unannounced, s.health.Events, s.health.Trouble)
			}
		})
	})
}

// TestAnnouncedAfterItWasRead: a review reads a change shortly before the connection
// announces it. That is no change that goes unannounced.
func TestAnnouncedAfterItWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenNotify, site.ListenNotify, "1", "2")
		_, _ = run(t, s, func() {
			for range 10 {
				speak := s.silence()
				s.deposit("1")
				for s.takeWoken(time.Second) == "" { // until the review
				}
				time.Sleep(20 * time.Second)
				speak()
				s.announce("1")
				s.takeWoken(time.Minute)
			}
			if s.health.Unannounced != 0 || s.health.Trouble != "" {
				t.Errorf("%d changes count as unannounced: %s", s.health.Unannounced, s.health.Trouble)
			}
		})
	})
}

func TestOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, change := range map[Outcome]func(*Plan){Gone: func(p *Plan) { p.Gone = true }, Reshard: func(p *Plan) { p.Reshard = true }} {
			s := newStore(site.ListenNotify, site.ListenNotify, "1")
			got, err := run(t, s, func() {
				s.set(func() { change(&s.plan) })
				time.Sleep(time.Second)
			})
			if got != want || err != nil {
				t.Errorf("ended with %q, %v; want %q", got, err, want)
			}
		}
		// A store that is out of reach for long is left to another worker.
		s := newStore(site.ListenAuto, site.ListenNotify, "1")
		s.down = fault.Newf(fault.Transient, "connection refused")
		if _, err := run(t, s, func() { time.Sleep(3 * time.Minute) }); !fault.Is(err, fault.Transient) {
			t.Errorf("out of reach it ends with %v", err)
		}
		// A plan that cannot be read ends nothing, whatever the kind of the error:
		// the connections stay and go on hearing.
		s = newStore(site.ListenNotify, site.ListenNotify, "1")
		_, err := run(t, s, func() {
			s.set(func() { s.unread = fault.Newf(fault.Config, "the database rejects the login") })
			time.Sleep(20 * time.Minute)
			s.deposit("1")
			want(t, "woken while the plan cannot be read", s.takeWoken(time.Minute), "1")
			if got := fmt.Sprint(s.opened); got != "[notify]" || !strings.Contains(s.health.Trouble, "rejects the login") {
				t.Errorf("opened %s, trouble %q", got, s.health.Trouble)
			}
			s.set(func() { s.unread = nil })
			time.Sleep(time.Minute)
		})
		if !errors.Is(err, context.Canceled) || s.health.Trouble != "" {
			t.Errorf("ended with %v, trouble %q", err, s.health.Trouble)
		}
		// Another address, or password, is taken at once.
		s = newStore(site.ListenNotify, site.ListenNotify, "1")
		_, _ = run(t, s, func() {
			s.set(func() { s.plan.Version, s.plan.Mode = "2", site.ListenIdle })
			time.Sleep(time.Second)
			synctest.Wait()
			if got := fmt.Sprint(s.opened); got != "[notify idle 1]" {
				t.Errorf("opened %s", got)
			}
		})
	})
}

// TestOutagesFarApartAreFirstOnes: after an outage a connection that was open
// for a while is good, however little the server said meanwhile, so that after
// the next one nobody waits longer than after the first.
func TestOutagesFarApartAreFirstOnes(t *testing.T) {
	for _, mode := range []site.ListenMode{site.ListenNotify, site.ListenIdle} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(mode, site.ListenNotify, "1", "2")
				_, _ = run(t, s, func() {
					for range 10 {
						s.mu.Lock()
						s.down = fault.Newf(fault.Transient, "connection refused")
						s.mu.Unlock()
						s.cut()
						time.Sleep(time.Second)
						s.mu.Lock()
						s.down = nil
						s.mu.Unlock()
						s.deposit("1")
						// The third try after the cut comes within 0.75 + 1.5 + 3 s.
						want(t, "woken after an outage", s.takeWoken(6*time.Second), "1")
						time.Sleep(6 * time.Second)
					}
				})
			})
		})
	}
}
