package imapstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/mailbox"
)

// backgroundGate lets lists of all mailboxes go on after their callers.
type backgroundGate struct {
	openGate

	process context.Context // of what outlives its callers
	group   *sync.WaitGroup
}

func (g backgroundGate) Go(_ context.Context, f func(context.Context)) {
	g.group.Go(func() { f(g.process) })
}

// countingGate allows one list of all mailboxes at a time and keeps what it was
// told.
type countingGate struct {
	backgroundGate

	slot chan struct{} // has a place for a list that runs
	hold chan struct{} // no list begins before it is closed

	mu       sync.Mutex
	lists    int
	complete []bool
	shown    []int
}

func newCountingGate(t *testing.T) *countingGate {
	process, end := context.WithCancel(t.Context())
	var group sync.WaitGroup
	t.Cleanup(func() { end(); group.Wait() })
	return &countingGate{backgroundGate: backgroundGate{process: process, group: &group}, slot: make(chan struct{}, 1), hold: make(chan struct{})}
}

func (g *countingGate) Listing(ctx context.Context, _ bool) (func(int, bool), error) {
	<-g.hold
	select {
	case g.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g.mu.Lock()
	g.lists++
	g.mu.Unlock()
	return func(mailboxes int, complete bool) {
		g.mu.Lock()
		g.shown, g.complete = append(g.shown, mailboxes), append(g.complete, complete)
		g.mu.Unlock()
		<-g.slot
	}, nil
}

// overviewer is a server that shows two mailboxes; list is called before it
// answers the list, and false closes the connection.
func overviewServer(list func() bool) func(*script) {
	return func(s *script) {
		s.send("* OK [CAPABILITY " + standard + "] ready")
		tag := s.command("AUTHENTICATE PLAIN")
		s.send(tag + " OK [CAPABILITY " + standard + "] in")
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
		if tag = s.command("LIST"); !list() {
			return
		}
		for _, n := range []string{"1000", "1001"} {
			s.send(`* LIST () "/" users/`+n, "* STATUS users/"+n+" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 7 HIGHESTMODSEQ 1)")
		}
		s.send(tag + " OK done")
		s.rest()
	}
}

// TestOneListForAll: whoever asks before a list begins shares it.
func TestOneListForAll(t *testing.T) {
	store := serve(t, overviewServer(func() bool { return true }))
	gate := newCountingGate(t)
	store.gate = gate
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			got, err := store.Overview(t.Context(), []mailbox.Number{"1000", "1001"})
			if err != nil || len(got) != 2 {
				t.Errorf("%d mailboxes, %v", len(got), err)
			}
		})
	}
	time.Sleep(50 * time.Millisecond) // most have asked; who has not yet gets a list of its own
	close(gate.hold)
	all.Wait()
	if gate.lists > 2 || gate.lists < 1 || gate.shown[0] != 2 || !gate.complete[0] {
		t.Errorf("%d lists, which showed %v: %v", gate.lists, gate.shown, gate.complete)
	}
}

// TestSlowListIsNotRepeated: a list that takes long goes on when its callers lost
// their patience, and no other begins meanwhile.
func TestSlowListIsNotRepeated(t *testing.T) {
	begun, answer := make(chan struct{}, 9), make(chan struct{})
	store := serve(t, overviewServer(func() bool { begun <- struct{}{}; <-answer; return true }))
	gate := newCountingGate(t)
	close(gate.hold)
	store.gate, store.opts.Timeouts.Listing = gate, 20*time.Millisecond
	for range 4 {
		if _, err := store.Overview(t.Context(), []mailbox.Number{"1000"}); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a list that is under way: %v", err)
		}
		<-time.After(30 * time.Millisecond)
	}
	<-begun
	if len(begun) > 0 {
		t.Error("another list began meanwhile")
	}
	store.opts.Timeouts.Listing = time.Minute
	close(answer)
	if got, err := store.Overview(t.Context(), []mailbox.Number{"1000"}); err != nil || len(got) != 1 {
		t.Errorf("the next list: %d mailboxes, %v", len(got), err)
	}
	if n := len(begun); n > 1 {
		t.Errorf("%d lists began afterwards", n)
	}
	gate.mu.Lock()
	defer gate.mu.Unlock()
	// One that was over before it asked the server for anything is complete as well.
	if slices.Contains(gate.complete, false) {
		t.Errorf("%d lists: %v", gate.lists, gate.complete)
	}
}

// TestBrokenListIsTold: if the connection ends in a list, the gate learns that the
// server may go on with it.
func TestBrokenListIsTold(t *testing.T) {
	store := serve(t, overviewServer(func() bool { return false }))
	gate := newCountingGate(t)
	close(gate.hold)
	store.gate = gate
	if _, err := store.Overview(t.Context(), []mailbox.Number{"1000"}); err == nil {
		t.Error("an overview without an answer")
	}
	gate.mu.Lock()
	defer gate.mu.Unlock()
	if len(gate.complete) != 1 || gate.complete[0] {
		t.Errorf("the gate learned %v", gate.complete)
	}
}

// TestRejectedLoginIsNotRepeated: a login that the server rejects is tried a few
// times an hour, whoever wants it; one that succeeds is forgotten.
func TestRejectedLoginIsNotRepeated(t *testing.T) {
	for name, number := range map[string]func(i int) mailbox.Number{
		"the trusted account by itself": func(int) mailbox.Number { return "" },
		"any mailbox":                   func(i int) mailbox.Number { return mailbox.Number([]string{"1000", "1001", "1002", "1003"}[i%4]) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				logins, rejects := 0, true
				store := piped(t, func(s *script) {
					mu.Lock()
					logins++
					reject := rejects
					mu.Unlock()
					s.send("* OK [CAPABILITY " + standard + "] ready")
					tag := s.command("AUTHENTICATE PLAIN")
					if reject {
						s.send(tag + " NO [AUTHENTICATIONFAILED] Authentication failed.")
						s.rest()
						return
					}
					s.send(tag + " OK [CAPABILITY " + standard + "] in")
					s.answer("NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL`)
					s.rest()
				})
				for i := range 3600 {
					if _, err := store.open(t.Context(), number(i)); !errors.Is(err, errCredentials) {
						t.Fatalf("opened with %v", err)
					}
					time.Sleep(time.Second)
				}
				mu.Lock()
				if logins > 40 || logins < 5 {
					t.Errorf("%d logins in an hour", logins)
				}
				rejects = false
				mu.Unlock()
				time.Sleep(longestRejected)
				session, err := store.open(t.Context(), number(0))
				if err != nil {
					t.Fatal(err)
				}
				_ = session.Close()
				synctest.Wait()
			})
		})
	}
}
