//go:build integration

package imapstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/watch"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// roomGate notes what a store tells of the connections that its server allows.
type roomGate struct {
	full, away atomic.Int32
}

func (*roomGate) Login(context.Context) error             { return nil }
func (*roomGate) WorthListing(context.Context, int) error { return nil }
func (*roomGate) Session(context.Context) (func(), error) { return func() {}, nil }
func (*roomGate) Listing(context.Context, bool) (func(int, bool), error) {
	return func(int, bool) {}, nil
}
func (*roomGate) Go(ctx context.Context, f func(context.Context)) { go f(ctx) }
func (*roomGate) LoggedIn(time.Duration) func()                   { return func() {} }
func (g *roomGate) TurnedAway(bool)                               { g.away.Add(1) }
func (g *roomGate) MailboxFull(int)                               { g.full.Add(1) }

// perUser is a Dovecot that allows so many connections of a user from an address.
func perUser(t *testing.T, connections int, boxes []string) (*imapstore.Store, *roomGate, reader.Store) {
	t.Helper()
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes,
		Extra: fmt.Sprintf("mail_max_userip_connections = %d\n", connections)})
	users := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
	for _, n := range boxes { // a mailbox has an inbox once somebody was there
		conn, err := users.Open(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Command("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Command("LOGOUT"); err != nil {
			t.Log(err)
		}
		conn.Close()
	}
	gate := &roomGate{}
	return newStore(t, d, func(o *imapstore.Options) { o.Gate = gate }), gate, users
}

// listenTo opens a connection of IDLE, and returns what gets its end.
func listenTo(t *testing.T, store *imapstore.Store, n mailbox.Number) <-chan error {
	t.Helper()
	conn, err := store.Idle(t.Context(), n, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	ended := make(chan error, 1)
	go func() { ended <- conn.Listen(t.Context(), func(watch.Report) {}, func() {}) }()
	return ended
}

func openAndList(t *testing.T, store *imapstore.Store, n mailbox.Number) copier.Session {
	t.Helper()
	session, err := store.Open(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	if _, err := session.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	return session
}

// TestOneConnectionPerUser: the connection that listens to a mailbox makes room for a
// sync, and the gate hears that the store allows no second one.
func TestOneConnectionPerUser(t *testing.T) {
	t.Parallel()
	store, gate, _ := perUser(t, 1, []string{"1000", "1001", "1002", "1003"})
	// A sync in another process needs the connection that listening would take.
	for _, n := range []mailbox.Number{"1000", "1001", "1002", "1003"} {
		if _, err := store.Idle(t.Context(), n, time.Minute); !errors.Is(err, watch.ErrOccupied) {
			t.Errorf("listening to %s: %v", n, err)
		}
	}
	first := openAndList(t, store, "1000")
	if _, err := store.Idle(t.Context(), "1000", time.Minute); !errors.Is(err, watch.ErrOccupied) {
		t.Errorf("listening beside a sync: %v", err)
	}
	// A second session waits for the first.
	time.AfterFunc(time.Second, func() { _ = first.Close() })
	_ = openAndList(t, store, "1000").Close()
	for _, n := range []mailbox.Number{"1001", "1002", "1003"} {
		_ = openAndList(t, store, n).Close()
	}
	if gate.full.Load() == 0 || gate.away.Load() > 0 {
		t.Errorf("the gate heard %d times that a mailbox is full, and %d times that the server is", gate.full.Load(), gate.away.Load())
	}
	for range 50 { // one session right after the other
		_ = openAndList(t, store, "1000").Close()
	}
}

// TestTwoConnectionsPerUser: listening goes on beside a sync.
func TestTwoConnectionsPerUser(t *testing.T) {
	t.Parallel()
	store, gate, _ := perUser(t, 2, []string{"1000", "1001"})
	ended := listenTo(t, store, "1000")
	first := openAndList(t, store, "1000")
	time.AfterFunc(time.Second, func() { _ = first.Close() })
	_ = openAndList(t, store, "1000").Close()
	select {
	case err := <-ended:
		t.Errorf("the listening ended: %v", err)
	default:
	}
	if gate.full.Load()+gate.away.Load() > 0 {
		t.Error("the gate heard that something is full")
	}
	// NOTIFY, and a list beside it.
	conn, err := store.Notify(t.Context(), []mailbox.Number{"1000", "1001"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if seen, err := store.Overview(t.Context(), []mailbox.Number{"1000", "1001"}); err != nil || len(seen) != 2 {
		t.Errorf("an overview beside NOTIFY shows %d mailboxes, %v", len(seen), err)
	}
}

// TestListeningMakesRoom: a connection that listens to a mailbox is closed for a sync if
// somebody else uses what is left.
func TestListeningMakesRoom(t *testing.T) {
	t.Parallel()
	store, _, users := perUser(t, 2, []string{"1000", "1001"})
	ended, other := listenTo(t, store, "1000"), listenTo(t, store, "1001")
	conn, err := users.Open(t.Context(), "1000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = openAndList(t, store, "1000").Close()
	for _, end := range []<-chan error{ended, other} { // the other was closed first, in vain
		if err := <-end; !errors.Is(err, watch.ErrOccupied) {
			t.Errorf("the listening ended with: %v", err)
		}
	}
}

// TestNotifyWithOneConnection: NOTIFY takes two connections of the trusted account, and
// is not to be had if the store allows one. The overview works.
func TestNotifyWithOneConnection(t *testing.T) {
	t.Parallel()
	store, gate, _ := perUser(t, 1, []string{"1000", "1001"})
	_, err := store.Notify(t.Context(), []mailbox.Number{"1000", "1001"})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "mail_max_userip_connections") {
		t.Errorf("NOTIFY: %v", err)
	}
	if seen, err := store.Overview(t.Context(), []mailbox.Number{"1000", "1001"}); err != nil || len(seen) != 2 {
		t.Errorf("the overview shows %d mailboxes, %v", len(seen), err)
	}
	if gate.full.Load()+gate.away.Load() > 0 {
		t.Error("the gate heard that something is full")
	}
}
