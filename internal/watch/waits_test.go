package watch

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// TestAWaitForAPlaceIsNotOutOfReach: a listener that waits because Mailmirror bounds its
// own load says what it waits for and how to raise the bound. It goes on waiting, and
// does not call the store out of reach.
func TestAWaitForAPlaceIsNotOutOfReach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenPoll, site.ListenPoll, "1")
		s.place = make(chan struct{})
		s.say = func() (string, string) { return "waits for a session", "raise it" }
		_, err := run(t, s, func() {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			if s.health.Trouble != "waits for a session" || s.health.Hint != "raise it" {
				t.Errorf("it says %q (%s)", s.health.Trouble, s.health.Hint)
			}
			close(s.place)
			s.deposit("1")
			want(t, "woken", s.takeWoken(70*time.Second), "1")
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			want(t, "trouble afterwards", s.health.Trouble, "")
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		// If the bound is not the reason any more, another worker may be better placed.
		s = newStore(site.ListenPoll, site.ListenPoll, "1")
		s.place, s.say = make(chan struct{}), func() (string, string) { return "", "" }
		if _, err := run(t, s, func() { time.Sleep(20 * time.Minute) }); !fault.Is(err, fault.Transient) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// TestNotifyIsAskedForAgain: a store that did not offer NOTIFY, or refused it, is asked
// again from time to time. Until it has NOTIFY, nothing that is open is touched.
func TestNotifyIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenAuto, site.ListenIdle, "1", "2")
		_, _ = run(t, s, func() {
			time.Sleep(10 * time.Hour)
			synctest.Wait()
			want(t, "opened", len(s.opened), 2)
			if n := len(s.samples); n < 6 || n > 22 {
				t.Errorf("it asked %d times in ten hours", n)
			}
			s.mu.Lock()
			s.modes = site.ListenNotify
			s.mu.Unlock()
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			want(t, "opened", s.opened[2:], []string{"notify"})
			want(t, "mode", s.health.Mode, site.ListenNotify)
			want(t, "connections", s.health.Connections, 1)
			s.deposit("2")
			want(t, "woken", s.takeWoken(time.Minute), "2")
			s.mu.Lock()
			asked := len(s.samples)
			s.mu.Unlock()
			time.Sleep(5 * time.Hour)
			synctest.Wait()
			if len(s.samples) != asked || slices.Contains(s.opened[3:], "notify") {
				t.Errorf("it goes on asking: %v", s.opened)
			}
		})
	})
}

// TestAMailboxThatBreaksItsConnection: a mailbox at which the store breaks a bound is
// left alone for minutes, and does not disturb the others.
func TestAMailboxThatBreaksItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(site.ListenIdle, site.ListenIdle, "1", "2")
		s.breaks = "1"
		_, _ = run(t, s, func() {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			if n := len(s.opened); n < 4 || n > 10 {
				t.Errorf("it connected %d times in 20 minutes", n)
			}
			s.deposit("2")
			want(t, "woken", s.takeWoken(time.Minute), "2")
		})
	})
}
