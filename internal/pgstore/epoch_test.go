//go:build integration

package pgstore_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

// TestEpochAfterRestore puts back the rows and the sequence of an old backup: an
// epoch that was given out after it is not given out again, and its holder holds
// nothing. So it is for the statements of the release before, which takes epochs
// from the sequence.
func TestEpochAfterRestore(t *testing.T) {
	t.Parallel()
	for name, takeLease := range map[string]string{
		"this release":       "",
		"the release before": `UPDATE leases SET epoch = nextval('lease_epochs'), expires_at = clock_timestamp() + interval '20 s', clean = false`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dsn := seededDatabase(t, "1")
			sql(t, dsn, `CREATE TABLE backup AS SELECT * FROM leases`, `CREATE TABLE backup_epochs AS SELECT last_value, is_called FROM lease_epochs`)
			seen := map[int64]bool{}
			var zombie lease.Lease
			for restore := range 20 {
				if takeLease == "" {
					lease, _ := begin(t, s, keyOf("1"))
					zombie = lease
				} else {
					sql(t, dsn, takeLease)
					zombie = lease.Lease{Resource: lease.OfMailbox(keyOf("1")), Epoch: epochOf(t, dsn)}
				}
				if seen[zombie.Epoch] {
					t.Fatalf("epoch %d was given out twice, after restore %d", zombie.Epoch, restore)
				}
				seen[zombie.Epoch] = true
				sql(t, dsn, `DELETE FROM leases`, `INSERT INTO leases SELECT * FROM backup`,
					`SELECT setval('lease_epochs', last_value, is_called) FROM backup_epochs`)
				heir, _ := begin(t, s, keyOf("1"))
				seen[heir.Epoch] = true
				if err := s.Save(t.Context(), zombie, initialCopy()); !fault.Is(err, fault.Conflict) {
					t.Errorf("saved under a lease of before the restore: %v", err)
				}
				if _, err := s.Renew(t.Context(), zombie, ttl); !fault.Is(err, fault.Conflict) {
					t.Errorf("renewed a lease of before the restore: %v", err)
				}
				must(t, s.Release(t.Context(), heir, true))
				sql(t, dsn, `DELETE FROM leases`, `INSERT INTO leases SELECT * FROM backup`)
			}
		})
	}
}

func epochOf(t *testing.T, dsn string) (epoch int64) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	must(t, conn.QueryRow(t.Context(), "SELECT epoch FROM leases").Scan(&epoch))
	return epoch
}

// TestEpochNeverGoesBack: whatever the clock says.
func TestEpochNeverGoesBack(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	// As if the clock had stood a century later.
	sql(t, dsn, `ALTER TABLE leases DISABLE TRIGGER write_leases_rules`, `UPDATE leases SET epoch = 9000000000000000000`,
		`ALTER TABLE leases ENABLE TRIGGER write_leases_rules`)
	last := epochOf(t, dsn)
	for range 3 {
		lease, _ := begin(t, s, keyOf("1"))
		if lease.Epoch <= last {
			t.Errorf("epoch %d after %d", lease.Epoch, last)
		}
		last = lease.Epoch
		must(t, s.Release(t.Context(), lease, true))
		if e := epochOf(t, dsn); e <= last {
			t.Errorf("epoch %d after %d was released", e, last)
		} else {
			last = e
		}
	}
}
