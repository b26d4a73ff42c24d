package watch

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// TestNoMailboxYet: without a mailbox nobody asks the store anything, and status
// says so; the first mailbox is listened to at once.
func TestNoMailboxYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenAuto, site.ListenIdle)
		_, _ = run(t, s, func() {
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			want(t, "asked with", len(s.samples), 0)
			want(t, "opened", len(s.opened), 0)
			want(t, "why", s.health.Why, noMailbox)
			want(t, "trouble", s.health.Trouble, "")
			s.set(func() {
				s.plan.Numbers = []mailbox.Number{"7"}
				s.join("7")
			})
			time.Sleep(15 * time.Second)
			synctest.Wait()
			want(t, "asked with", s.samples, []mailbox.Number{"7"})
			want(t, "mode", s.health.Mode, site.ListenIdle)
			want(t, "heard of", s.health.Listened, 1)
		})
	})
}

// TestOneBadSample: a mailbox with trouble of its own does not keep the others
// from being listened to.
func TestOneBadSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenAuto, site.ListenIdle, "1", "2")
		s.bad = "1"
		_, _ = run(t, s, func() {
			time.Sleep(20 * time.Second)
			synctest.Wait()
			want(t, "mode", s.health.Mode, site.ListenIdle)
			want(t, "asked with", s.samples, []mailbox.Number{"1", "2"})
		})
	})
}

// TestSlowNotify: while the store takes long to prepare NOTIFY, mailboxes are read
// in turn by one connection, status says why, and the store is asked for NOTIFY
// once.
func TestSlowNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenAuto, site.ListenNotify, "1", "2")
		s.slow = 9 * time.Minute
		_, _ = run(t, s, func() {
			time.Sleep(59 * time.Second)
			synctest.Wait()
			want(t, "read in turn", s.health.Polled, 2)
			if !strings.Contains(s.health.Why, "read in turn") || !slices.Contains(s.polls, "2") {
				t.Errorf("after a minute it says %q, and read %v", s.health.Why, s.polls)
			}
			want(t, "opened meanwhile", len(s.opened), 0)
			s.deposit("2")
			want(t, "woken by reading", s.takeWoken(2*time.Minute), "2")
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			want(t, "opened", s.opened, []string{"notify"})
			want(t, "heard of", s.health.Listened, 2)
			want(t, "read in turn", s.health.Polled, 0)
			want(t, "why", s.health.Why, "test")
		})
	})
}

// TestReadingCostsAShareOfTheTime: all shards of a link together read for a twentieth
// of the time at most, and the health tells how often mailboxes are read.
func TestReadingCostsAShareOfTheTime(t *testing.T) {
	for _, shards := range []int{1, 20} {
		t.Run(strconv.Itoa(shards), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(site.ListenPoll, site.ListenPoll, "1", "2", "3", "4")
				s.plan.Shards = shards
				s.reads = 30 * time.Second / time.Duration(shards)
				_, _ = run(t, s, func() {
					time.Sleep(4 * time.Hour)
					synctest.Wait()
					if every := s.health.PollEvery; every < 9*time.Minute || every > 10*time.Minute {
						t.Errorf("read every %s", every)
					}
					busy := time.Duration(shards*len(s.polls)/4) * s.reads
					if share := float64(busy) / float64(4*time.Hour); share > 0.06 || share < 0.03 {
						t.Errorf("reading took %.3f of the time", share)
					}
				})
			})
		})
	}
}

// TestWaitingIsNoCost: what reading waits for because Mailmirror bounds its own load
// does not make it rarer, and what is read is reported before reading pauses.
func TestWaitingIsNoCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenPoll, site.ListenPoll, "1", "2", "3", "4")
		s.reads, s.waits = time.Second, 30*time.Second
		_, _ = run(t, s, func() {
			time.Sleep(time.Hour)
			synctest.Wait()
			want(t, "read every", s.health.PollEvery, time.Minute)
			if n := len(s.polls) / 4; n < 30 {
				t.Errorf("read %d times in an hour", n)
			}
		})
	})
}
