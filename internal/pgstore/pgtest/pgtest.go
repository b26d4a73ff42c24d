package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that Back names
	"github.com/pressly/goose/v3"

	"mailmirror/internal/audit"
	"mailmirror/internal/pgstore"
)

const (
	// serverVariable names a database of a running server, to be used instead
	// of starting one; its user may create databases.
	serverVariable = "MAILMIRROR_TEST_DATABASE"
	// syncVariable, set to anything, keeps the waits for the disk.
	syncVariable = "MAILMIRROR_TEST_FSYNC"
	// templateVariable is how Main hands on what it prepared.
	templateVariable = "MAILMIRROR_TEST_TEMPLATE"
)

// Main runs the tests of a package with a server at hand and returns the exit
// code for os.Exit.
func Main(m *testing.M) int {
	server := os.Getenv(serverVariable)
	if server == "" {
		c, err := newCluster(os.Getenv(syncVariable) != "")
		if err == nil {
			defer func() { _ = c.remove() }()
			err = c.start()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			return 1
		}
		defer func() {
			if err := c.crash(); err != nil {
				fmt.Fprintln(os.Stderr, "pgtest: stop postgres:", err)
			}
		}()
		server = c.dsn("postgres")
	}
	template, drop, err := makeTemplate(server)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	defer drop()
	// The environment is the one thing that reaches every test of the process
	// without a global variable; tests read it and never write it.
	for name, value := range map[string]string{serverVariable: server, templateVariable: template} {
		if err := os.Setenv(name, value); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			return 1
		}
	}
	return m.Run()
}

// Open returns a store on a database of its own, closed and dropped with the
// test.
func Open(t testing.TB) *pgstore.Store {
	t.Helper()
	store, err := pgstore.Open(t.Context(), DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// DSN returns the address of a fresh database with the schema in it.
func DSN(t testing.TB) string {
	t.Helper()
	template := os.Getenv(templateVariable)
	if template == "" {
		t.Fatal("pgtest: TestMain of this package does not call pgtest.Main")
	}
	return database(t, template)
}

// EmptyDSN returns the address of a fresh database with nothing in it.
func EmptyDSN(t testing.TB) string {
	t.Helper()
	return database(t, "template0")
}

func database(t testing.TB, template string) string {
	t.Helper()
	server := os.Getenv(serverVariable)
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatal("pgtest:", err)
	}
	t.Cleanup(func() {
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error("pgtest:", err)
		}
	})
	dsn, err := address(server, name)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	return dsn
}

// makeTemplate makes the database that the tests' databases are copied from.
func makeTemplate(server string) (name string, drop func(), err error) {
	name = "template_" + strings.ToLower(rand.Text())
	if err := execute(server, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", nil, err
	}
	drop = func() { _ = execute(server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }
	dsn, err := address(server, name)
	if err != nil {
		return "", nil, err
	}
	ctx := context.Background()
	store, err := pgstore.Open(ctx, dsn)
	if err != nil {
		return "", nil, err
	}
	defer store.Close() // nobody may be connected to a database that is copied
	return name, drop, Migrate(ctx, store)
}

// Migrate brings the schema of a database to this release.
func Migrate(ctx context.Context, s *pgstore.Store) error {
	_, _, err := s.Migrate(ctx, audit.Actor{}, func(error) {})
	return err
}

// Back takes migrations back, to an earlier version.
func Back(t testing.TB, dsn string, version int64) {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal("pgtest:", err)
	}
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS(filepath.Join(filepath.Dir(file), "..", "migrations")), goose.WithDisableGlobalRegistry(true))
	if err == nil {
		_, err = provider.DownTo(t.Context(), version)
	}
	if err != nil {
		t.Fatal("pgtest:", err)
	}
}

func execute(server, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// address is the server's address with another database.
func address(server, database string) (string, error) {
	config, err := pgx.ParseConfig(server)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", serverVariable, err)
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	dsn := fmt.Sprintf("host='%s' port=%d user='%s' dbname='%s'",
		quote.Replace(config.Host), config.Port, quote.Replace(config.User), database)
	if config.Password != "" {
		dsn += " password='" + quote.Replace(config.Password) + "'"
	}
	return dsn, nil
}
