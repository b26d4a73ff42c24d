//go:build integration

package pgstore_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const (
	link  = "prod-dr"
	ttl   = 20 * time.Second
	fence = 2 * time.Second
)

func keyOf(number mailbox.Number) mailbox.Key { return mailbox.Key{Link: link, Number: number} }

// seeded is a store with two stores, one link and the given mailboxes.
func seeded(t testing.TB, numbers ...mailbox.Number) *pgstore.Store {
	t.Helper()
	s, _ := seededDatabase(t, numbers...)
	return s
}

// seededDatabase is seeded, and the address of its database.
func seededDatabase(t testing.TB, numbers ...mailbox.Number) (*pgstore.Store, string) {
	t.Helper()
	dsn := pgtest.DSN(t)
	s, err := pgstore.Open(t.Context(), dsn)
	must(t, err)
	t.Cleanup(s.Close)
	addLink(t, s)
	if len(numbers) > 0 {
		if n, err := s.AddMailboxes(t.Context(), link, numbers); err != nil || n != len(numbers) {
			t.Fatalf("AddMailboxes = %d, %v", n, err)
		}
	}
	return s, dsn
}

func addLink(t testing.TB, s *pgstore.Store) {
	t.Helper()
	for _, name := range []string{"prod", "dr"} {
		must(t, s.AddStore(t.Context(), storeNamed(name)))
	}
	must(t, s.AddLink(t.Context(), site.Link{Name: link, Source: "prod", Target: "dr"}))
}

func storeNamed(name string) site.Store {
	return site.Store{
		Name: name, IMAPAddress: "127.0.0.1:143", Security: site.SecurityTLS, CAFile: "/etc/ca.pem",
		Login: site.LoginSeparator, Separator: "*", TrustedName: "trusted", SealedPassword: []byte{1, 0, 255},
		Greetings: mailbox.Patterns{"Greetings", "Gr*"}, MinimumRelease: "2.3.19",
		Events: site.ListenIdle, IdleLimit: 70, PollEvery: 90 * time.Second,
		LoginCase: site.LoginFold,
	}
}

// begin takes a lease that must be free.
func begin(t testing.TB, s *pgstore.Store, key mailbox.Key) (lease.Lease, []copier.FolderState) {
	t.Helper()
	lease, states, err := s.Begin(t.Context(), key, ttl, fence)
	must(t, err)
	return lease, states
}

// known reads the ledger of a mailbox that nobody writes to.
func known(t testing.TB, s *pgstore.Store, key mailbox.Key) []copier.FolderState {
	t.Helper()
	lease, states := begin(t, s, key)
	must(t, s.Release(t.Context(), lease, true))
	return states
}

func box(t testing.TB, s *pgstore.Store, number mailbox.Number) site.Mailbox {
	t.Helper()
	m, err := s.Mailbox(t.Context(), keyOf(number))
	must(t, err)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKind checks that err is of a kind.
func wantKind(t testing.TB, err error, kind fault.Kind) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("error %v, want one of kind %s", err, kind)
	}
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(time.Microsecond)); diff != "" {
		t.Errorf("%s differ (-want +got):\n%s", what, diff)
	}
}

// report is that of a sync of a mailbox which did something and left it equal.
func report(number mailbox.Number, generation int64) copier.Report {
	return copier.Report{
		Key: keyOf(number), Trigger: "sweep", RunID: "run-1", Started: time.Now().Add(-time.Second), Finished: time.Now(),
		Outcome: copier.Equal, Generation: generation, SourceMessages: 5, SourceGreetings: 2,
		Messages:  copier.Work{Appended: 3, Bytes: 5_000_000_000, FlagsChanged: 2, Expunged: 1},
		Greetings: copier.Work{Appended: 1, Bytes: 9},
		Folders:   copier.FolderWork{Created: 1, Deleted: 2, Renamed: 3, Subscribed: 4},
	}
}

// sql runs statements past the store, as somebody with psql would.
func sql(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// trySQL runs a statement that may be refused.
func trySQL(dsn, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// affected runs a statement past the store and returns how many rows it changed or
// returned.
func affected(t testing.TB, dsn, statement string) int64 {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	tag, err := conn.Exec(ctx, statement)
	must(t, err)
	return tag.RowsAffected()
}

// standing is the suspension of everything.
func standing(ctx context.Context, s *pgstore.Store) (suspension.Suspension, error) {
	all, err := s.Suspensions(ctx)
	return all.Own(""), err
}
