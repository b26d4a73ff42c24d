//go:build integration

package pgstore_test

import (
	"context"
	"fmt"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
)

// crashing is a store, with a link, over a database that a test may crash.
func crashing(t *testing.T) (*pgtest.Server, *pgstore.Store) {
	t.Helper()
	server := pgtest.StartServer(t)
	s, err := pgstore.Open(t.Context(), server.DSN())
	must(t, err)
	t.Cleanup(func() { s.Close() })
	must(t, pgtest.Migrate(t.Context(), s))
	addLink(t, s)
	return server, s
}

// TestCrash crashes the database right after it said that an intent is saved,
// and right after a lease was taken: both are still there when it is back, so
// that no message is appended twice and no two write. What need not survive
// may or may not have done so, but never a part of it.
func TestCrash(t *testing.T) {
	t.Parallel()
	server, s := crashing(t)

	lost := 0
	for round := range 8 {
		number := mailbox.Number(fmt.Sprint(round))
		_, err := s.AddMailboxes(t.Context(), link, []mailbox.Number{number})
		must(t, err)
		lease, _ := begin(t, s, keyOf(number))
		must(t, s.Save(t.Context(), lease, openingUpdate()))
		server.Crash(t)
		again(t, server, s)

		held(t, s, number)
		checkIntents(t, s, number, true)
		// The end of the sync, without an intent, is not waited for.
		must(t, s.Save(t.Context(), lease, finalUpdate(number)))
		server.Crash(t)
		again(t, server, s)
		m := box(t, s, number)
		ended := m.CleanGeneration == m.DirtyGeneration
		if !ended {
			lost++
			held(t, s, number)
		}
		checkIntents(t, s, number, !ended)
		if entries, err := s.History(t.Context(), link, number, 0); err != nil || (len(entries) == 1) != ended {
			t.Errorf("round %d: %d entries of history, %v, with the end recorded: %v", round, len(entries), err, ended)
		}
	}
	t.Logf("in %d of 8 rounds the unforced end was lost", lost)
}

// again starts the server, and says that no suspension was lost with it.
func again(t *testing.T, server *pgtest.Server, s *pgstore.Store) {
	t.Helper()
	restarted(t, server, s)
	confirm(t, s, server.DSN())
}

// restarted starts the server and lets the store notice that its connections died.
func restarted(t *testing.T, server *pgtest.Server, s *pgstore.Store) {
	t.Helper()
	server.Start(t)
	for range 20 {
		if s.Ping(t.Context()) == nil {
			return
		}
	}
	must(t, s.Ping(t.Context()))
}

// held checks that the lease of a mailbox is not free.
func held(t *testing.T, s *pgstore.Store, number mailbox.Number) {
	t.Helper()
	if _, _, err := s.Begin(t.Context(), keyOf(number), ttl, fence); !fault.Is(err, fault.Conflict) {
		t.Errorf("mailbox %s: the lease did not survive: %v", number, err)
	}
}

// checkIntents checks that every folder of a mailbox has its intent and no
// pairs, or all its pairs and no intent.
func checkIntents(t *testing.T, s *pgstore.Store, number mailbox.Number, open bool) {
	t.Helper()
	states, err := s.ReviewStates(context.Background(), link, []mailbox.Number{number})
	must(t, err)
	folders := states[number].Folders
	if len(folders) != len(folderNames) {
		t.Errorf("mailbox %s: %d folders survived, want %d", number, len(folders), len(folderNames))
	}
	for _, f := range folders {
		if (f.Intent != nil) != open || (f.SourceAt != mailbox.Counters{}) == open {
			t.Errorf("mailbox %s, folder %s: %+v, want an open intent: %v", number, f.Name, f, open)
		}
		if f.Intent != nil && f.Intent.Sources.Len() != 6 {
			t.Errorf("intent %+v", *f.Intent)
		}
	}
}
