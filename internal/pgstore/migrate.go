package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// A migration that needs a lock makes all who come after it wait, too. If another session
// keeps that lock for lockTimeout, the migration is rolled back, so that the workers go on,
// and tried again after lockPause, for lockPatience in all.
const (
	lockTimeout  = 2 * time.Second
	lockPause    = 3 * time.Second
	lockPatience = 5 * time.Minute
)

// Migrate brings the schema up to this release's and returns the versions before and
// after. They are the same if there was nothing to do, or if another process did it:
// several may call Migrate at the same time. The process that did it records that, unless
// by has no name. waits is called each time that another session kept a lock; the error
// says which session, and what to do.
func (s *Store) Migrate(ctx context.Context, by audit.Actor, waits func(error)) (before, after int64, err error) {
	before, release, err := s.Schema(ctx)
	if err != nil || before >= release {
		return before, before, err
	}
	migrated := false
	begin := time.Now()
	for {
		err := s.withProvider(func(p *goose.Provider) error {
			done, err := p.Up(ctx)
			partial, failed := errors.AsType[*goose.PartialError](err)
			migrated = migrated || len(done) > 0 || failed && len(partial.Applied) > 0
			return err
		})
		if err == nil {
			break
		}
		if !errors.Is(err, errLocked) {
			return before, before, err
		}
		if err = s.lockedBy(ctx, err); time.Since(begin) > lockPatience {
			return before, before, err
		}
		waits(err)
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			return before, before, err
		}
	}
	if after, _, err = s.Schema(ctx); err != nil || !migrated {
		return after, after, err
	}
	if by.Name != "" {
		err = s.Record(ctx, &audit.Entry{Actor: by.Name, Way: by.Way, Command: "migrate",
			Detail: fmt.Sprintf("schema from version %d to %d", before, after)})
	}
	return before, after, err
}

// errLocked is in the chain of a migration's error if another session kept a lock.
var errLocked = errors.New("another session keeps a lock on a table that the migration changes")

// lockedBy says of errLocked which session it is: one whose transaction began before the
// migration asked for the lock. If there are several, the first is likely to be it.
func (s *Store) lockedBy(ctx context.Context, err error) error {
	var pid int
	var name, state, tables, since string
	row := s.pool.QueryRow(ctx, `SELECT a.pid, a.application_name, coalesce(a.state, ''), string_agg(DISTINCT l.relation::regclass::text, ', '),
			to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
		FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation
		WHERE l.granted AND a.datname = current_database() AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid)
			AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.xact_start < clock_timestamp() - $1::interval
		GROUP BY a.pid, a.application_name, a.state, a.xact_start ORDER BY a.xact_start LIMIT 1`, lockTimeout)
	switch asked := row.Scan(&pid, &name, &state, &tables, &since); {
	case errors.Is(asked, pgx.ErrNoRows): // it has ended
		return err
	case asked != nil:
		return errors.Join(err, classify("look who keeps a lock", asked))
	}
	return fault.New(fault.Transient, fmt.Sprintf("migrate database: another session holds %s: process %d (%s, %s, its transaction began at %s UTC)",
		tables, pid, name, state, since), errLocked, fmt.Sprintf("end that transaction, or the session: SELECT pg_terminate_backend(%d)", pid))
}

// Schema returns the version of the database's schema, 0 if it has none, and that of
// this release. It only reads.
func (s *Store) Schema(ctx context.Context) (database, release int64, err error) {
	const op = "read the version of the schema"
	files, err := migrations.ReadDir("migrations") // by name
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", op, err)
	}
	if _, err := fmt.Sscanf(files[len(files)-1].Name(), "%d_", &release); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", op, err)
	}
	err = s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&database)
	if violates(err, undefinedTable, "") {
		err = nil
	}
	return database, release, classify(op, err)
}

// withProvider runs fn with a goose provider over the embedded migrations.
func (s *Store) withProvider(fn func(*goose.Provider) error) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	// Try each second for five minutes to get the lock from another process
	// that is migrating.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	db := stdlib.OpenDB(*s.pool.Config().ConnConfig, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		if err := tune(ctx, conn); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", lockTimeout.Milliseconds()))
		return err
	}))
	defer db.Close()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	err = fn(provider)
	if violates(err, lockNotAvailable, "") || violates(err, deadlockDetected, "") {
		return fault.New(fault.Transient, "migrate database", errLocked, "Mailmirror tries again")
	}
	return classify("migrate database", err)
}
