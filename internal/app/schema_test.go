//go:build integration

package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/cli"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/seal"
	"mailmirror/test/logged"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// command runs a mailmirror command on a database, with no Temporal, as ann.
func command(t *testing.T, dsn string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	key := filepath.Join(t.TempDir(), "seal.key")
	if err := seal.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code = cli.Main(t.Context(), append(args, "--database", dsn, "--temporal", "127.0.0.1:1"), cli.Environment{
		Stdout: &out, Stderr: &errs, User: "ann", LookupEnv: func(name string) (string, bool) {
			if name != "MAILMIRROR_KEY_FILE" {
				return "", false
			}
			return key, true
		}, Open: Open, Migrate: Migrate})
	return code, out.String(), errs.String()
}

// rows returns what a query answers, each row as one text.
func rows(t *testing.T, dsn, query string) []string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	found, err := conn.Query(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(found, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const migrations = "SELECT concat_ws(' ', actor, way, outcome, detail) FROM audit WHERE command = 'migrate' ORDER BY id"

// release is the version of the schema of this release.
func release(t *testing.T, dsn string) int64 {
	t.Helper()
	repo, err := pgstore.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	_, release, err := repo.Schema(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// TestMigrate brings a fresh database and one of an earlier release to this one, in several
// processes at once: one does it, and there is one row for it.
func TestMigrate(t *testing.T) {
	t.Parallel()
	dsn := pgtest.EmptyDSN(t)
	if code, _, errs := command(t, dsn, "status"); code != 1 || !strings.Contains(errs, "mailmirror migrate") {
		t.Errorf("status without a schema: %d, %s", code, errs)
	}
	to := release(t, dsn)
	for i, from := range []int64{0, 20} {
		if from > 0 {
			pgtest.Back(t, dsn, from)
		}
		said := &logged.Log{}
		var all sync.WaitGroup
		var mu sync.Mutex
		done := 0
		for range 2 {
			all.Go(func() {
				code, out, errs := command(t, dsn, "migrate")
				mu.Lock()
				defer mu.Unlock()
				if strings.Contains(out, fmt.Sprintf("migrated from version %d to version %d", from, to)) {
					done++
				} else if !strings.Contains(out, "nothing to migrate") {
					t.Errorf("migrate: %d, %s%s", code, out, errs)
				}
			})
			all.Go(func() { // a worker starts
				repo, err := pgstore.Open(t.Context(), dsn)
				if err != nil {
					t.Error(err)
					return
				}
				defer repo.Close()
				if err := ownMigration(t.Context(), repo, said.Logger()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		by := "ann cli done"
		if done == 0 {
			by = identity() + " mailmirror done"
		}
		said.Want(t, "database schema migrated", 1-done)
		list := rows(t, dsn, migrations)
		if want := fmt.Sprintf("%s schema from version %d to %d", by, from, to); len(list) != i+1 || list[i] != want {
			t.Errorf("recorded are %q, want %q", list, want)
		}
	}
	if code, out, errs := command(t, dsn, "migrate"); code != 0 || !strings.Contains(out, "nothing to migrate") || errs != "" {
		t.Errorf("migrate again: %d, %s%s", code, out, errs)
	}
	rows(t, dsn, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true) RETURNING ''")
	for _, name := range []string{"migrate", "status"} {
		if code, _, errs := command(t, dsn, name); code != 0 || !strings.Contains(errs, "newer than this release") {
			t.Errorf("%s with a newer schema: %d, %s", name, code, errs)
		}
	}
	if list := rows(t, dsn, migrations); len(list) != 2 {
		t.Errorf("recorded are %q", list)
	}
}

// TestMigrateWithoutRights: the database says no, and nothing has changed.
func TestMigrateWithoutRights(t *testing.T) {
	t.Parallel()
	dsn := pgtest.EmptyDSN(t)
	const role = "mailmirror_without_rights"
	rows(t, dsn, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	rows(t, dsn, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { rows(t, dsn, "DROP ROLE "+role) })
	code, out, errs := command(t, dsn+" user="+role, "migrate")
	if code != 1 || out != "" || !strings.Contains(errs, "permission denied") || !strings.Contains(errs, "must own its database") {
		t.Errorf("migrate: %d, %s%s", code, out, errs)
	}
	if list := rows(t, dsn, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"); len(list) > 0 {
		t.Errorf("made were %q", list)
	}
}

// TestOlderSchema gives commands on schemas of earlier releases. The mirror can be
// suspended, or the answer says how: it is never said that it is suspended if it is not.
// What reads shows what it can, or says that the schema is older. What changes something else is rejected.
func TestOlderSchema(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	to := release(t, dsn)
	answer := func(stderr string) string { // without the time of the log's line
		_, after, _ := strings.Cut(stderr, "\n")
		return after
	}
	for _, version := range []int64{to - 1, 20, 18} {
		pgtest.Back(t, dsn, version)
		older := fmt.Sprintf("version %d) is older than this release (version %d)", version, to)
		code, _, errs := command(t, dsn, "suspend", "--reason", "upgrade")
		state := rows(t, dsn, "SELECT state FROM suspension")[0]
		switch suspended := strings.Contains(errs, "nothing new is written"); {
		case code != 1: // Temporal is away
			t.Errorf("suspend at version %d: %d, %s", version, code, errs)
		case suspended != (state == "suspending"):
			t.Errorf("suspend at version %d says %s; the mirror is %s", version, errs, state)
		case !suspended && (!strings.Contains(errs, "--name suspend") || !strings.Contains(errs, older)):
			t.Errorf("suspend at version %d does not say what to do: %s", version, errs)
		case !suspended:
			if code, _, waited := command(t, dsn, "suspend", "--reason", "upgrade", "--wait"); code != 1 || answer(waited) != answer(errs) {
				t.Errorf("suspend --wait at version %d: %d, %s", version, code, waited)
			}
		}
		rows(t, dsn, "UPDATE suspension SET state = 'running' RETURNING ''")
		for _, reads := range [][]string{{"status"}, {"audit"}} {
			if code, _, errs := command(t, dsn, reads...); !strings.Contains(errs, "older than this release") || code != 0 && (!strings.Contains(errs, "mailmirror: the database's schema (") || !strings.Contains(errs, older)) {
				t.Errorf("%s at version %d: %d, %s", reads[0], version, code, errs)
			}
		}
		if code, _, errs := command(t, dsn, "link", "remove", "none"); code != 1 || !strings.Contains(errs, older) || !strings.Contains(errs, "mailmirror migrate") {
			t.Errorf("link remove at version %d: %d, %s", version, code, errs)
		}
	}
}
