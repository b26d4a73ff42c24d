//go:build integration

package imapstore_test

import (
	"context"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/test/servers"
)

// accountID opens a mailbox and asks which account that is.
func accountID(t *testing.T, store *imapstore.Store, number mailbox.Number) string {
	t.Helper()
	session, err := store.Open(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	id, err := session.(copier.Identified).Account(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.List(t.Context()); err != nil {
		t.Fatalf("the session is of no use afterwards: %v", err)
	}
	return id
}

// TestAccountID: an account has the same id by every spelling of its login and at every
// session, and another one than every other account of this server and of another.
func TestAccountID(t *testing.T) {
	t.Parallel()
	one := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"racebox", "2036"}})
	two := servers.DovecotT(t, servers.DovecotOptions{Mailboxes: []string{"racebox"}})
	reports := 0
	store := newStore(t, one, func(o *imapstore.Options) {
		o.Reported = func(context.Context, string) error { reports++; return nil }
	})
	id := accountID(t, store, "racebox")
	if id == "" {
		t.Fatal("Dovecot tells no id of the account")
	}
	for _, spelled := range []mailbox.Number{"racebox", "RACEBOX", "Racebox"} {
		if got := accountID(t, store, spelled); got != id {
			t.Errorf("as %s the account is %q, want %q", spelled, got, id)
		}
	}
	if got := accountID(t, newStore(t, one, nil), "RACEBOX"); got != id {
		t.Errorf("for another worker the account is %q, want %q", got, id)
	}
	if got := accountID(t, store, "2036"); got == id || got == "" {
		t.Errorf("another account is %q", got)
	}
	if got := accountID(t, newStore(t, two, nil), "racebox"); got == id || got == "" {
		t.Errorf("the account on another server is %q", got)
	}
	if reports != 1 {
		t.Errorf("what the server reports about itself was asked for %d times", reports)
	}
}

// TestAccountIDOfOthers: a server that tells no id is not asked for what it does not
// know.
func TestAccountIDOfOthers(t *testing.T) {
	t.Parallel()
	c := servers.CyrusT(t, servers.CyrusOptions{Mailboxes: []string{"2036", "2037"}})
	store := newStore(t, c, nil)
	a, b := accountID(t, store, "2036"), accountID(t, store, "2037")
	t.Logf("Cyrus: %q and %q", a, b)
	if a != "" && a == b {
		t.Errorf("two accounts are both %q", a)
	}
}
