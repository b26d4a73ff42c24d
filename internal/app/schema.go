package app

import (
	"context"
	"fmt"
	"log/slog"

	"mailmirror/internal/audit"
	"mailmirror/internal/config"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
)

// schema makes sure of the database's schema. There is one rule: a worker, and with it
// mailmirror up, migrates when it starts, and so does mailmirror migrate. Everything
// else only reads the version.
type schema func(context.Context, *pgstore.Store, *slog.Logger) error

// migrated brings the schema to this release. A newer one stays as it is: its migrations
// keep this release working.
func migrated(ctx context.Context, repo *pgstore.Store, log *slog.Logger) error {
	before, release, err := repo.Schema(ctx)
	if err != nil || before >= release {
		return err
	}
	if err := repo.Migrate(ctx); err != nil {
		return err
	}
	log.InfoContext(ctx, "database schema migrated", "from", before, "to", release)
	return nil
}

// checked rejects a schema that is older than this release, and warns of a newer one.
func checked(ctx context.Context, repo *pgstore.Store, log *slog.Logger) error {
	found, release, err := repo.Schema(ctx)
	const hint = "run mailmirror migrate, or start a worker of this release"
	switch {
	case err != nil:
		return err
	case found == 0:
		return fault.New(fault.Config, "the database has no schema yet", nil, hint)
	case found < release:
		return fault.New(fault.Config, fmt.Sprintf("the database's schema (version %d) is older than this release (version %d)", found, release), nil, hint)
	case found > release:
		log.WarnContext(ctx, "the database's schema is newer than this release", "schema", found, "release", release,
			"hint", "install the release of Mailmirror that migrated the database")
	}
	return nil
}

// Migrate brings the database's schema to this release, and records that somebody asked
// for it. It returns the versions before and after.
func Migrate(ctx context.Context, cfg config.Config, log *slog.Logger, by audit.Actor) (before, after int64, err error) {
	where, err := findPlaces(cfg)
	if err != nil {
		return 0, 0, err
	}
	repo, err := pgstore.Open(ctx, where.dsn)
	if err != nil {
		return 0, 0, err
	}
	defer repo.Close()
	if before, _, err = repo.Schema(ctx); err != nil {
		return 0, 0, err
	}
	if err := migrated(ctx, repo, log); err != nil {
		return before, before, err
	}
	if after, _, err = repo.Schema(ctx); err != nil || after == before {
		return before, after, err
	}
	return before, after, repo.Record(ctx, &audit.Entry{Actor: by.Name, Way: by.Way, Command: "migrate",
		Detail: fmt.Sprintf("schema from version %d to %d", before, after)})
}
