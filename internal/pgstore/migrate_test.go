//go:build integration

package pgstore_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
)

// TestMigrationBlocksNobody: somebody's transaction keeps a lock on what a migration
// changes. The migration says whose it is. Workers go on meanwhile, and the migration is
// made once the transaction has ended.
func TestMigrationBlocksNobody(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, dsn := seededDatabase(t, "1")
	must(t, pgstore.MigrateTo(ctx, s, 18))
	report, err := pgx.Connect(ctx, dsn+" application_name=report")
	must(t, err)
	defer report.Close(ctx)
	tx, err := report.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, "SELECT FROM leases")
	must(t, err)
	waited := 0
	before, after, err := s.Migrate(ctx, audit.Actor{Name: "ann", Way: audit.CLI}, func(err error) {
		waited++
		wantKind(t, err, fault.Transient)
		for _, words := range []string{"holds leases", "(report, idle in transaction, its transaction began at "} {
			if !strings.Contains(err.Error(), words) {
				t.Errorf("says %q without %q", err, words)
			}
		}
		if !strings.Contains(fault.HintOf(err), "pg_terminate_backend") {
			t.Errorf("the hint is %q", fault.HintOf(err))
		}
		// Nobody waits behind the migration.
		must(t, trySQL(dsn+" options='-c lock_timeout=1ms'", "SELECT FROM leases"))
		must(t, tx.Rollback(ctx))
	})
	must(t, err)
	if found, release, err := s.Schema(ctx); err != nil || found != release || before != 18 || after != release || waited != 1 {
		t.Errorf("from %d to %d, the schema is %d of %d, %v; waited %d times", before, after, found, release, err, waited)
	}
	if rows, err := s.Audit(ctx, "", 0); err != nil || len(rows) != 1 || rows[0].Command != "migrate" || rows[0].Actor != "ann" {
		t.Errorf("recorded are %+v, %v", rows, err)
	}
}
