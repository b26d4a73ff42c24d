// Package enginetest sets up what tests of the copy engine over real stores share: a
// ledger with a link between two stores, and the clock.
package enginetest

import (
	"context"
	"testing"
	"time"

	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
)

// The names of the link and of the stores in a ledger of Ledger.
const (
	Link   = "dr"
	Source = "production"
	Target = "dr"
)

// Ledger opens a database of its own with one link between two stores. Their
// addresses are only recorded. It returns the database's DSN as well.
func Ledger(t testing.TB, source, target string) (ledger *pgstore.Store, dsn string) {
	t.Helper()
	dsn = pgtest.DSN(t)
	ledger, err := pgstore.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ledger.Close)
	for name, address := range map[string]string{Source: source, Target: target} {
		if err := ledger.AddStore(t.Context(), site.Store{Name: name, IMAPAddress: address, Security: site.SecurityNone,
			Login: site.LoginAuthzid, TrustedName: "trusted"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := ledger.AddLink(t.Context(), site.Link{Name: Link, Source: Source, Target: Target}); err != nil {
		t.Fatal(err)
	}
	return ledger, dsn
}

// Clock is the machine's clock, ahead of it by Ahead.
type Clock struct{ Ahead time.Duration }

// Now returns the time.
func (c Clock) Now() time.Time { return time.Now().Add(c.Ahead) }

// Sleep waits for d or until ctx is done, whose error it then returns.
func (Clock) Sleep(ctx context.Context, d time.Duration) error {
	return sleep.Clock{}.Sleep(ctx, d)
}
