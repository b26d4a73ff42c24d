package throttle

import (
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/quota"
)

// TestRefusals: refusals say something of what the server takes if several come
// in a row and the other connections stay open.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		refusals int
		login    bool // one succeeds between the refusals
		dies     bool // the server closes all connections
		want     int
	}{
		"one connection broke":        {refusals: 1},
		"the server is full":          {refusals: 4, want: 2},
		"a login succeeds between":    {refusals: 3, login: true},
		"the server goes down":        {refusals: 4, dies: true},
		"nothing of ours was refused": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard(t, map[string]int{"prod": 9})
				c := process(b, 0)
				leave, err := c.Acquire(t.Context(), Key{"prod", quota.Sessions})
				if err != nil {
					t.Fatal(err)
				}
				var ends []func()
				for range 2 {
					ends = append(ends, c.LoggedIn("prod", 20*time.Millisecond))
				}
				for i := range test.refusals {
					if test.login && i == 2 {
						c.LoggedIn("prod", time.Millisecond)()
					}
					c.TurnedAway("prod", false)
				}
				if test.dies {
					for _, end := range ends {
						end()
					}
				}
				time.Sleep(10 * time.Second)
				got := 0
				b.mu.Lock()
				for _, s := range b.seen {
					got = max(got, s.Refused)
				}
				b.mu.Unlock()
				if got != test.want {
					t.Errorf("refused at %d, want %d", got, test.want)
				}
				leave()
				c.Close()
			})
		})
	}
}

// TestAbandonedListIsTold: what the next list is allowed is asked anew, with what
// was seen, and whoever waits is told why there is none.
func TestAbandonedListIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t, map[string]int{"prod": 1})
		c := process(b, 0)
		defer c.Close()
		list := Key{"prod", quota.Listings}
		leave, err := c.Acquire(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		b.refuses = true
		b.mu.Unlock()
		c.Listed("prod", time.Minute, 0, false)
		leave()
		if _, err := c.Acquire(t.Context(), list); err == nil || err.Error() != "blocked" {
			t.Errorf("another list: %v", err)
		}
		time.Sleep(5 * time.Second) // until the next claim
		told := false
		b.mu.Lock()
		for _, s := range b.seen {
			told = told || s.Abandoned == time.Minute
		}
		b.mu.Unlock()
		if !told {
			t.Error("nobody learned that a list has no end")
		}
	})
}
