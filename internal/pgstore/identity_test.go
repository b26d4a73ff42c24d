//go:build integration

package pgstore_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
)

// serverAt is a store with the addresses of its server.
func serverAt(name string, addresses ...string) site.Store {
	s := storeNamed(name)
	s.Addresses = addresses
	return s
}

// withServers has stores and links: "name source target".
func withServers(t *testing.T, stores []site.Store, links ...string) *pgstore.Store {
	t.Helper()
	s := pgtest.Open(t)
	for _, st := range stores {
		must(t, s.AddStore(t.Context(), st))
	}
	for _, l := range links {
		must(t, s.AddLink(t.Context(), linkOf(l)))
	}
	return s
}

func linkOf(text string) site.Link {
	f := strings.Fields(text)
	return site.Link{Name: f[0], Source: f[1], Target: f[2]}
}

// wantRejected wants a fault that says all of the words.
func wantRejected(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	wantKind(t, err, kind)
	for _, w := range words {
		if err != nil && !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

var prodTwice = []site.Store{
	serverAt("prod", "prod.example.org imap", "192.0.2.1 imap"),
	serverAt("prod2", "imap.example.org imap", "192.0.2.1 imap"),
	serverAt("dr", "192.0.2.9 imap"),
	serverAt("u", "192.0.2.7 imap"),
}

// TestServerUnderTwoNames: what is forbidden to one store is forbidden to every other
// name of its server.
func TestServerUnderTwoNames(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one := []mailbox.Number{"1"}

	t.Run("a link from a server to itself", func(t *testing.T) {
		t.Parallel()
		s := withServers(t, prodTwice)
		wantRejected(t, s.AddLink(ctx, linkOf("l prod prod2")), fault.Config, "prod", "prod2", "same server", "192.0.2.1")
	})
	t.Run("a circle", func(t *testing.T) {
		t.Parallel()
		for _, order := range [][]string{{"there", "back"}, {"back", "there"}} {
			s := withServers(t, prodTwice, "there prod dr", "back dr prod2")
			_, err := s.AddMailboxes(ctx, order[0], one)
			must(t, err)
			_, err = s.AddMailboxes(ctx, order[1], one)
			wantRejected(t, err, fault.Conflict, "mailbox 1", "link "+order[0], "mirrored back")
		}
	})
	t.Run("a second writer", func(t *testing.T) {
		t.Parallel()
		s := withServers(t, prodTwice, "first dr prod", "second u prod2")
		_, err := s.AddMailboxes(ctx, "first", one)
		must(t, err)
		_, err = s.AddMailboxes(ctx, "second", one)
		wantRejected(t, err, fault.Conflict, "mailbox 1", "link first", "prod2")
	})
	t.Run("the address is edited last", func(t *testing.T) {
		t.Parallel()
		s := withServers(t, []site.Store{serverAt("prod", "192.0.2.1 imap"), serverAt("prod2", "192.0.2.2 imap"), serverAt("dr", "192.0.2.9 imap")},
			"there prod dr", "back dr prod2")
		for _, l := range []string{"there", "back"} {
			_, err := s.AddMailboxes(ctx, l, one)
			must(t, err)
		}
		wantRejected(t, s.UpdateStore(ctx, serverAt("prod2", "192.0.2.1 imap")), fault.Conflict, "mailbox 1", "mirrored back")
		got, err := s.Store(ctx, "prod2")
		must(t, err)
		if fmt.Sprint(got.Addresses) != "[192.0.2.2 imap]" {
			t.Errorf("addresses are %v although the change was rejected", got.Addresses)
		}
		wantRejected(t, s.UpdateStore(ctx, serverAt("prod2", "192.0.2.9 imap")), fault.Conflict, "link back", "same server")
		must(t, s.UpdateStore(ctx, serverAt("prod2", "192.0.2.3 imap")))
	})
	t.Run("ids", func(t *testing.T) {
		t.Parallel()
		named := func(s site.Store, id string) site.Store { s.ServerID = id; return s }
		s := withServers(t, []site.Store{named(serverAt("a", "192.0.2.1 imap"), "A"), named(serverAt("b", "192.0.2.1 imap"), "B"), named(serverAt("c", "192.0.2.3 imap"), "A")})
		must(t, s.AddLink(ctx, linkOf("ab a b")))
		wantRejected(t, s.AddLink(ctx, linkOf("ac a c")), fault.Config, "server id A")
		wantRejected(t, s.UpdateStore(ctx, serverAt("b", "192.0.2.1 imap")), fault.Conflict, "link ab", "same server")
	})
	t.Run("other ports of one host", func(t *testing.T) {
		t.Parallel()
		s := withServers(t, []site.Store{serverAt("a", "127.0.0.1 10143"), serverAt("b", "127.0.0.1 10144")})
		must(t, s.AddLink(ctx, linkOf("ab a b")))
	})
}

// TestServerThatMoves: a name that comes to mean another server takes the leases away,
// and gives them back when it is right again.
func TestServerThatMoves(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := withServers(t, []site.Store{serverAt("prod", "192.0.2.1 imap"), serverAt("prod2", "192.0.2.2 imap"), serverAt("dr", "192.0.2.9 imap")},
		"there prod dr", "back dr prod2")
	for _, l := range []string{"there", "back"} {
		_, err := s.AddMailboxes(ctx, l, []mailbox.Number{"1"})
		must(t, err)
	}
	key := mailbox.Key{Link: "back", Number: "1"}
	lease, _ := begin(t, s, key)
	found := func(want bool, addresses ...string) {
		t.Helper()
		if changed, err := s.ServerFound(ctx, "prod2", addresses, ""); err != nil || changed != want {
			t.Fatalf("ServerFound(%v) = %v, %v", addresses, changed, err)
		}
	}
	found(false, "192.0.2.2 imap", "192.0.2.3 imap")
	found(true, "192.0.2.1 imap")
	if _, err := s.Renew(ctx, lease, ttl); err == nil {
		t.Error("a lease was renewed for what must not be written to")
	}
	must(t, s.Release(ctx, lease, true))
	_, _, err := s.Begin(ctx, key, ttl, fence)
	wantRejected(t, err, fault.Config, "mailbox 1", "link there", "mirrored back")
	found(true, "192.0.2.2 imap")
	begin(t, s, key)
}

// TestSpellings: one account is one mailbox, however its number is spelled.
func TestSpellings(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, two := range [][2]mailbox.Number{{"racebox", "RACEBOX"}, {"Zoë", "ZOË"}, {"Zo\u00EB", "Zoe\u0308"}} {
		s := withServers(t, prodTwice, "l prod dr", "other u dr")
		_, err := s.AddMailboxes(ctx, "l", two[:])
		wantRejected(t, err, fault.Conflict, string(two[0]), string(two[1]))
		_, err = s.AddMailboxes(ctx, "l", two[:1])
		must(t, err)
		for _, l := range []string{"l", "other"} {
			_, err = s.AddMailboxes(ctx, l, two[1:])
			wantRejected(t, err, fault.Conflict, string(two[0]), string(two[1]), "link l")
		}
		for _, name := range []string{"dr", "prod"} {
			wantRejected(t, err, fault.Conflict) // until both tell spellings apart
			exact, e := s.Store(ctx, name)
			must(t, e)
			exact.LoginCase = site.LoginExact
			must(t, s.UpdateStore(ctx, exact))
			_, err = s.AddMailboxes(ctx, "l", two[1:])
		}
		must(t, err)
	}
}

// TestSpellingsAtOnce: two operators add two spellings at the same moment.
func TestSpellingsAtOnce(t *testing.T) {
	t.Parallel()
	s := withServers(t, prodTwice, "l prod dr", "other u dr")
	for round := range 25 {
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i, n := range []string{"box", "BOX"} {
			both.Go(func() {
				_, errs[i] = s.AddMailboxes(t.Context(), []string{"l", "other"}[i], []mailbox.Number{mailbox.Number(fmt.Sprint(n, round))})
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
		}
	}
}

// TestStoresAtOnce: a link, and the address that makes it one of a server to itself,
// at the same moment.
func TestStoresAtOnce(t *testing.T) {
	t.Parallel()
	s := withServers(t, []site.Store{serverAt("a", "192.0.2.1 imap"), serverAt("b", "192.0.2.2 imap")})
	for round := range 25 {
		var both sync.WaitGroup
		errs := make([]error, 2)
		both.Go(func() { errs[0] = s.AddLink(t.Context(), linkOf("l a b")) })
		both.Go(func() { errs[1] = s.UpdateStore(t.Context(), serverAt("b", "192.0.2.1 imap")) })
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
		}
		if errs[0] == nil {
			must(t, s.RemoveLink(t.Context(), "l"))
		}
		must(t, s.UpdateStore(t.Context(), serverAt("b", "192.0.2.2 imap")))
	}
}

// TestWayBack: a mailbox that was mirrored from a store is not mirrored back to it by
// way of links that came later, unless the operator says so.
func TestWayBack(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	one := []mailbox.Number{"1"}
	for _, end := range []string{"mailbox", "link"} {
		s := withServers(t, prodTwice, "dr1 prod dr", "u1 u dr", "home dr prod2")
		_, err := s.AddMailboxes(ctx, "dr1", []mailbox.Number{"1", "2"})
		must(t, err)
		key := mailbox.Key{Link: "dr1", Number: "1"}
		must(t, s.ClaimAccounts(ctx, key, "prod/1", "dr/1")) // it was synced
		if end == "link" {
			must(t, s.RemoveLink(ctx, "dr1"))
		} else {
			_, err = s.RemoveMailboxes(ctx, "dr1", []mailbox.Number{"1", "2"})
			must(t, err)
		}
		_, err = s.AddMailboxes(ctx, "u1", []mailbox.Number{"1", "2"})
		must(t, err)
		_, err = s.AddMailboxes(ctx, "home", one)
		wantRejected(t, err, fault.Conflict, "mailbox 1 was mirrored from store prod by link dr1")
		_, err = s.AddMailboxes(ctx, "home", []mailbox.Number{"2"}) // never synced by dr1
		must(t, err)
		n, err := s.ReverseMailboxes(ctx, "home", one)
		if err != nil || n != 1 {
			t.Errorf("reverse: %d, %v", n, err)
		}
	}
}

// TestAccountsThatAreOne: what the servers report of the accounts decides where their
// addresses and the spelling show nothing.
func TestAccountsThatAreOne(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := withServers(t, []site.Store{serverAt("prod", "192.0.2.1 imap"), serverAt("nat", "198.51.100.1 imap"), serverAt("dr", "192.0.2.9 imap")},
		"there prod dr", "back dr nat", "self prod nat")
	add := func(link string, numbers ...mailbox.Number) {
		t.Helper()
		_, err := s.AddMailboxes(ctx, link, numbers)
		must(t, err)
	}
	claim := func(link string, number mailbox.Number, source, target string) error {
		return s.ClaimAccounts(ctx, mailbox.Key{Link: link, Number: number}, source, target)
	}
	add("there", "1", "2", "2+x")
	add("back", "1")
	add("self", "3")
	must(t, claim("there", "1", "P1", "D1"))
	must(t, claim("there", "1", "P1", "D1"))
	wantRejected(t, claim("back", "1", "D1", "P1"), fault.Config, "mailbox 1", "link there", "mirrored back")
	wantRejected(t, claim("self", "3", "P3", "P3"), fault.Config, "same account")
	must(t, claim("there", "2", "P2", "D2"))
	wantRejected(t, claim("there", "2+x", "P2", "D2"), fault.Config, "mailbox 2+x is the same account as mailbox 2 of link there")
	wantRejected(t, claim("there", "2+x", "P2", "D3"), fault.Config, "same account as mailbox 2")
	must(t, claim("there", "2", "P2b", "D2b")) // the account was made anew
	must(t, claim("there", "2+x", "P2", "D2"))

	// A target that was set up from a copy of the source's disk.
	for name, id := range map[string]string{"prod": "one", "nat": "two"} {
		st, err := s.Store(ctx, name)
		must(t, err)
		st.ServerID = id
		must(t, s.UpdateStore(ctx, st))
	}
	must(t, claim("self", "3", "P3", "P3"))
}

// TestClaimsAtOnce: of two mailboxes that open one account at the same moment, one may
// write.
func TestClaimsAtOnce(t *testing.T) {
	t.Parallel()
	s := withServers(t, prodTwice, "l prod dr")
	for round := range 25 {
		var numbers []mailbox.Number
		for i := range 2 {
			numbers = append(numbers, mailbox.Number(fmt.Sprintf("%d-%d", round, i)))
		}
		_, err := s.AddMailboxes(t.Context(), "l", numbers)
		must(t, err)
		var both sync.WaitGroup
		errs := make([]error, 2)
		for i, n := range numbers {
			both.Go(func() {
				errs[i] = s.ClaimAccounts(t.Context(), mailbox.Key{Link: "l", Number: n}, "", fmt.Sprint("D", round))
			})
		}
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
		}
	}
}

// TestWritersMigration: rows of before that no longer may be do not stop the migration.
// They are there afterwards, say what is wrong, and are not written to.
func TestWritersMigration(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.DSN(t)
	s, err := pgstore.Open(ctx, dsn)
	must(t, err)
	t.Cleanup(s.Close)
	must(t, pgstore.MigrateTo(ctx, s, 9))
	sql(t, dsn, `
		INSERT INTO stores (name, imap_address, imap_security, ca_file, login, separator, trusted_name, sealed_password, greetings, minimum_release)
		SELECT name, address, 'none', '', 'authzid', '', 'trusted', '', '{}', ''
		FROM (VALUES ('prod', 'Prod.Example.org:993'), ('prod2', 'prod.example.org.:143'), ('dr', '[2001:db8::1]:993'), ('dr2', '2001:db8::1:10143')) v (name, address);
		INSERT INTO links (name, source, target, exclude) VALUES
			('there', 'prod', 'dr', '{}'), ('back', 'dr', 'prod2', '{}'), ('self', 'prod', 'prod2', '{}'), ('spelled', 'prod', 'dr2', '{}');
		INSERT INTO mailboxes (link, number) VALUES ('there', '1'), ('back', '1'), ('self', '2'), ('spelled', 'Box'), ('spelled', 'bOX'), ('there', '3');
		INSERT INTO leases (link, number, epoch, expires_at, clean) SELECT link, number, nextval('lease_epochs'), now() - interval '1 hour', true FROM mailboxes`)
	must(t, pgtest.Migrate(ctx, s))
	confirm(t, s, dsn)
	for key, words := range map[mailbox.Key][]string{
		{Link: "there", Number: "1"}:     {"link back", "mirrored back"},
		{Link: "back", Number: "1"}:      {"link there", "mirrored back"},
		{Link: "self", Number: "2"}:      {"same server", "prod.example.org imap"},
		{Link: "spelled", Number: "Box"}: {"same account as mailbox bOX"},
		{Link: "spelled", Number: "bOX"}: {"same account as mailbox Box"},
	} {
		_, _, err := s.Begin(ctx, key, ttl, fence)
		wantRejected(t, err, fault.Config, words...)
		if fault.HintOf(err) == "" {
			t.Errorf("%v: no hint with %v", key, err)
		}
	}
	begin(t, s, mailbox.Key{Link: "there", Number: "3"})

	// The operator resolves it, one step at a time.
	_, err = s.RemoveMailboxes(ctx, "back", []mailbox.Number{"1"})
	must(t, err)
	begin(t, s, mailbox.Key{Link: "there", Number: "1"})
	_, err = s.RemoveMailboxes(ctx, "spelled", []mailbox.Number{"Box"})
	must(t, err)
	begin(t, s, mailbox.Key{Link: "spelled", Number: "bOX"})
}

// TestWritersOfMany measures what the rule costs: 5,000 mailboxes beside as many.
func TestWritersOfMany(t *testing.T) {
	t.Parallel()
	s := withServers(t, prodTwice, "l prod dr", "on dr u")
	var list []mailbox.Number
	for i := range 5000 {
		list = append(list, mailbox.Number(fmt.Sprint(100000+i)))
	}
	for _, l := range []string{"l", "on"} {
		start := time.Now()
		n, err := s.AddMailboxes(t.Context(), l, list)
		if err != nil || n != len(list) {
			t.Fatalf("%d, %v", n, err)
		}
		t.Logf("%d mailboxes joined link %s in %v", n, l, time.Since(start).Round(time.Millisecond))
	}
	start := time.Now()
	dr, err := s.Store(t.Context(), "dr")
	must(t, err)
	dr.Addresses = append(dr.Addresses, "192.0.2.8 imap")
	must(t, s.UpdateStore(t.Context(), dr))
	t.Logf("the store was changed in %v", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	dr.LoginCase = site.LoginExact
	must(t, s.UpdateStore(t.Context(), dr))
	t.Logf("all mailboxes were checked in %v", time.Since(start).Round(time.Millisecond))
}
