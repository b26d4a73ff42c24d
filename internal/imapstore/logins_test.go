//go:build integration

package imapstore_test

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// book has the log-ins of a store, of which a test changes some.
type book struct {
	mu sync.Mutex
	of map[string]string
}

func (b *book) Login(n mailbox.Number) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return directory.NewLogins("{mail}", b.of).Login(string(n))
}

func (b *book) set(number, login string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of[number] = login
}

// addressed are mailboxes that log in by an address.
func addressed(n int) (boxes []string, accounts []string, b *book) {
	b = &book{of: map[string]string{}}
	for _, number := range manyBoxes(n) {
		b.of[number] = "u" + number + "@example.com"
		boxes, accounts = append(boxes, number), append(accounts, "u"+number+"@example.com")
	}
	return boxes, accounts, b
}

// TestLogins has mailboxes that log in by an address, and beside them accounts whose
// names are the numbers: somebody else's, which must never be opened.
func TestLogins(t *testing.T) {
	t.Parallel()
	boxes, accounts, b := addressed(12)
	accounts = append(accounts, "renamed@example.com")
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: slices.Concat(accounts, boxes)})
	for _, login := range []site.Login{site.LoginAuthzid, site.LoginSeparator} {
		t.Run(string(login), func(t *testing.T) {
			var dials atomic.Int64
			store := newStore(t, d, func(o *imapstore.Options) {
				o.Login, o.Logins = login, b
				o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					dials.Add(1)
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}
			})
			if login == site.LoginAuthzid {
				testOverview(t, store, boxes)
			}
			if r, err := store.Check(t.Context(), "7001"); err != nil || r.Mailbox != "7001" {
				t.Errorf("check: %+v, %v", r.Mailbox, err)
			}
			b.set("7002", "")
			b.set("7003", "U7004@example.com")
			b.set("7005", "nosuch@example.com")
			b.set("7006", "a*u7006@example.com")
			b.set("7007", "u7007\x00@example.com")
			defer func() {
				for i, n := range boxes {
					b.set(n, accounts[i])
				}
			}()
			before := dials.Load()
			refused := map[mailbox.Number]string{"7002": "gives no log-in", "7003": "several mailboxes", "7004": "several mailboxes",
				"7007": "control character", "99": "not known"}
			if login == site.LoginSeparator {
				refused["7006"] = "separator"
			}
			for n, because := range refused {
				if s, err := store.Open(t.Context(), n); !fault.Is(err, fault.Permanent) || !strings.Contains(err.Error(), because) ||
					!strings.Contains(err.Error(), "mailbox "+string(n)) || fault.HintOf(err) == "" {
					t.Errorf("%s: %v (%s), want an error that tells %q", n, err, fault.HintOf(err), because)
					if err == nil {
						_ = s.Close()
					}
				}
				if c, err := store.Idle(t.Context(), n, time.Minute); !fault.Is(err, fault.Permanent) {
					t.Errorf("listening to %s: %v", n, err)
					if err == nil {
						c.Close()
					}
				}
				if _, err := store.Check(t.Context(), n); err == nil || !strings.Contains(err.Error(), because) {
					t.Errorf("checking %s: %v", n, err)
				}
				if store.Knows(n) {
					t.Errorf("%s is known", n)
				}
			}
			// A check logs in as the trusted account first.
			if got := dials.Load() - before; got != 2*int64(len(refused)) {
				t.Errorf("%d connections for mailboxes without a log-in", got)
			}
			if _, err := store.Open(t.Context(), "7005"); err == nil || !strings.Contains(err.Error(), "7005 (log-in nosuch@example.com)") {
				t.Errorf("an account that is not there: %v", err)
			}
			all := []mailbox.Number{"7000", "7001", "7002", "7003", "7004", "7005", "7007", "7008", "7009", "7010", "7011"}
			seen, err := store.Overview(t.Context(), all)
			if got := slices.Sorted(maps.Keys(seen)); err != nil || !slices.Equal(got, []mailbox.Number{"7000", "7001", "7008", "7009", "7010", "7011"}) {
				t.Errorf("the overview shows %v, %v", got, err)
			}
			var read, failed []mailbox.Number
			counted := 0
			err = store.Poll(t.Context(), all, nil, func(r watch.Report) { read = append(read, r.Number) },
				func(n mailbox.Number, err error) {
					if !fault.Is(err, fault.Permanent) {
						t.Errorf("reading %s: %v", n, err)
					}
					failed = append(failed, n)
				}, func(mailboxes int, _ time.Duration) { counted += mailboxes })
			if counted != len(all) {
				t.Errorf("what was spent is that of %d mailboxes", counted)
			}
			if err != nil || !slices.Equal(read, []mailbox.Number{"7000", "7001", "7008", "7009", "7010", "7011"}) ||
				!slices.Equal(failed, []mailbox.Number{"7002", "7003", "7004", "7005", "7007"}) {
				t.Errorf("read in turn are %v, not %v: %v", read, failed, err)
			}
		})
	}
}

// TestLoginsInAnyCase has a directory that spells log-ins otherwise than the store,
// which takes them all the same.
func TestLoginsInAnyCase(t *testing.T) {
	t.Parallel()
	boxes, accounts, b := addressed(3)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: accounts})
	for i, n := range boxes {
		b.set(n, strings.ToUpper(accounts[i][:1])+accounts[i][1:])
	}
	store := newStore(t, d, func(o *imapstore.Options) { o.Logins = b })
	testOverview(t, store, boxes)
	c, err := store.Notify(t.Context(), []mailbox.Number{"7000", "7001"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if heard := c.Heard(); len(heard) != 2 {
		t.Errorf("heard are %v", heard)
	}
}

// TestLoginChanges has a connection that listens to a mailbox under a log-in that is
// another by now: it ends, and the next one listens under that.
func TestLoginChanges(t *testing.T) {
	t.Parallel()
	boxes, accounts, b := addressed(3)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: append(accounts, "renamed@example.com")})
	users := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
	deposit := func(account string) {
		t.Helper()
		c, err := users.Open(t.Context(), account)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		size, body := reader.Bytes([]byte("Subject: voice\r\n\r\nhello\r\n"))
		if _, err := c.AppendAll([]reader.Deposit{{Folder: "INBOX", Size: size, Body: body}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, account := range append(accounts, "renamed@example.com") {
		deposit(account)
	}
	store := newStore(t, d, func(o *imapstore.Options) {
		o.Logins = b
		o.Timeouts.Quiet, o.Timeouts.Answer = 500*time.Millisecond, 5*time.Second
	})
	for _, way := range []struct {
		name string
		open func(context.Context) (watch.Conn, error)
	}{
		{"notify", func(ctx context.Context) (watch.Conn, error) {
			return store.Notify(ctx, []mailbox.Number{"7000", "7001", "7002", "99"})
		}},
		{"idle", func(ctx context.Context) (watch.Conn, error) { return store.Idle(ctx, "7001", time.Hour) }},
	} {
		t.Run(way.name, func(t *testing.T) {
			b.set(boxes[1], accounts[1])
			reports := make(chan watch.Report, 1000)
			listen := func() (ended chan error) {
				c, err := way.open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(c.Close)
				if slices.Contains(c.Heard(), "99") {
					t.Error("a mailbox without a log-in is heard of")
				}
				ended = make(chan error, 1)
				go func() { ended <- c.Listen(t.Context(), func(r watch.Report) { reports <- r }, func() {}) }()
				return ended
			}
			// hears waits for a report of 7001 that is no reading of all.
			hears := func(what string, ended chan error) {
				t.Helper()
				for {
					select {
					case r := <-reports:
						if r.Number == "7001" && !r.Whole {
							return
						}
					case err := <-ended:
						t.Fatalf("%s: listening ended: %v", what, err)
					case <-time.After(2 * time.Minute):
						t.Fatalf("%s is not heard of", what)
					}
				}
			}
			resumed := func() {
				t.Helper()
				for {
					select {
					case r := <-reports:
						if r.Number == "7001" && r.Resumed {
							return
						}
					case <-time.After(2 * time.Minute):
						t.Fatal("listening does not begin")
					}
				}
			}
			ended := listen()
			resumed()
			deposit(accounts[1])
			hears("a message under the first log-in", ended)
			b.set(boxes[1], "renamed@example.com")
			select {
			case err := <-ended:
				if !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "another log-in") {
					t.Errorf("listening ended: %v", err)
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("listening goes on under the log-in of before")
			}
			ended = listen()
			resumed()
			deposit("renamed@example.com")
			hears("a message under the second log-in", ended)
			// One that has none any more is listened to no longer.
			b.set(boxes[1], "")
			if err := <-ended; err == nil {
				t.Error("listening ended without an error")
			}
		})
	}
	b.set(boxes[0], "")
	b.set(boxes[1], "")
	b.set(boxes[2], "")
	if _, err := store.Notify(t.Context(), []mailbox.Number{"7000", "7001", "7002"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("NOTIFY for nobody: %v", err)
	}
}
