//go:build integration

package imapstore_test

import (
	"context"
	"testing"
	"time"

	"mailmirror/internal/imapstore"
	"mailmirror/internal/imapstore/imapstoretest"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// ears puts a proxy before a server and fills its mailboxes' places.
func ears(t *testing.T, s server, numbers []string, e imapstoretest.Ears) imapstoretest.Ears {
	t.Helper()
	proxy, err := faults.NewProxy(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	e.Proxy = proxy
	e.Users = reader.Store{Addr: s.Addr(), Trusted: s.TrustedName(), Password: s.TrustedPassword()}
	for _, n := range numbers {
		e.Numbers = append(e.Numbers, mailbox.Number(n))
		// A mailbox has an inbox once somebody was there.
		conn, err := e.Users.Open(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Command("SELECT INBOX"); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	e.Source = newStore(t, s, func(o *imapstore.Options) {
		o.Address = proxy.Addr()
		// A connection that stalls is to be noticed in a test's time.
		o.Timeouts.Quiet, o.Timeouts.Answer, o.Timeouts.Listing = 2*time.Second, 2*time.Second, 2*time.Second
	})
	return e
}

func killer(t *testing.T, s interface {
	Kill9() error
	Restart(ctx context.Context) error
}) func() error {
	return func() error {
		if err := s.Kill9(); err != nil {
			return err
		}
		return s.Restart(t.Context())
	}
}

func TestListenDovecot(t *testing.T) {
	t.Parallel()
	for _, mode := range []site.ListenMode{site.ListenNotify, site.ListenIdle, site.ListenPoll} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			boxes := manyBoxes(12)
			d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes})
			imapstoretest.RunListening(t, ears(t, d, boxes, imapstoretest.Ears{
				Mode: mode, Offers: site.ListenNotify, CondStore: true, Kill: killer(t, d)}))
		})
	}
}

func TestListenDovecotHidden(t *testing.T) {
	t.Parallel()
	for _, mode := range []site.ListenMode{site.ListenIdle, site.ListenPoll} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			boxes := manyBoxes(10)
			d := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: boxes, Separator: ".", Prefix: "INBOX.",
				HideCapabilities: []string{"NOTIFY", "CONDSTORE", "QRESYNC", "LIST-STATUS", "LIST-EXTENDED", "SASL-IR"}})
			imapstoretest.RunListening(t, ears(t, d, boxes, imapstoretest.Ears{Mode: mode, Offers: site.ListenIdle, Kill: killer(t, d)}))
		})
	}
}

func TestListenCyrus(t *testing.T) {
	t.Parallel()
	for _, mode := range []site.ListenMode{site.ListenIdle, site.ListenPoll} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			boxes := manyBoxes(12)
			c := servers.CyrusT(t, servers.CyrusOptions{})
			imapstoretest.RunListening(t, ears(t, c, boxes, imapstoretest.Ears{
				Mode: mode, Offers: site.ListenIdle, CondStore: true, Kill: killer(t, c)}))
		})
	}
}

// TestListRightAfterAChange: Dovecot does not announce a change by NOTIFY if the trusted
// account lists all mailboxes within the half second after it. Whoever has that list
// made gets the change from it.
func TestListRightAfterAChange(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(4)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes})
	e := ears(t, d, boxes, imapstoretest.Ears{})
	changed, other := e.Numbers[0], e.Numbers[1:2]
	conn, err := e.Source.Notify(t.Context(), []mailbox.Number{changed})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	user, err := e.Users.Open(t.Context(), string(changed))
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	for i := range 5 {
		size, body := reader.Bytes([]byte("Subject: x\r\n\r\nx\r\n"))
		stored, err := user.Append(reader.Deposit{Folder: "INBOX", Size: size, Body: body})
		if err != nil || stored.Err != nil {
			t.Fatal(err, stored.Err)
		}
		next := map[mailbox.Number]mailbox.UID{}
		err = e.Source.Poll(t.Context(), other, []mailbox.Number{changed}, func(r watch.Report) { next[r.Number] = r.Folders[0].Counters.UIDNext },
			func(n mailbox.Number, err error) { t.Error(n, err) }, func(int, time.Duration) {})
		if err != nil {
			t.Fatal(err)
		}
		if len(next) != 2 || next[changed] != mailbox.UID(stored.UID+1) {
			t.Errorf("after %d messages the list shows %v, and the last has UID %d", i+1, next, stored.UID)
		}
	}
}
