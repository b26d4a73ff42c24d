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

// migrate brings the schema to this release, and says who asked for it. A newer one stays
// as it is: its migrations keep this release working. It returns the versions before and
// after.
func migrate(ctx context.Context, repo *pgstore.Store, log *slog.Logger, by audit.Actor) (before, after int64, err error) {
	before, after, err = repo.Migrate(ctx, by, func(err error) {
		log.WarnContext(ctx, "the migration of the schema waits, and workers go on", "error", err, "hint", fault.HintOf(err))
	})
	if err != nil {
		return before, after, err
	}
	if after != before {
		log.InfoContext(ctx, "database schema migrated", "from", before, "to", after)
	}
	_, err = checked(ctx, repo, log)
	return before, after, err
}

// checked rejects a database without a schema, and warns of one that is not of this
// release. With one that is older, changing commands are rejected with outdated.
func checked(ctx context.Context, repo *pgstore.Store, log *slog.Logger) (outdated, err error) {
	found, release, err := repo.Schema(ctx)
	const hint = "run mailmirror migrate, or start a worker of this release"
	const older = hint + "; until then use the programs of the release before"
	switch {
	case err != nil:
		return nil, err
	case found == 0:
		return nil, fault.New(fault.Config, "the database has no schema yet", nil, hint)
	case found < release:
		log.WarnContext(ctx, "the database's schema is older than this release", "schema", found, "release", release, "hint", older)
		outdated = fault.New(fault.Config, fmt.Sprintf("the database's schema (version %d) is older than this release (version %d)", found, release), nil, older)
	case found > release:
		log.WarnContext(ctx, "the database's schema is newer than this release", "schema", found, "release", release,
			"hint", "install the release of Mailmirror that migrated the database")
	}
	return outdated, nil
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
	return migrate(ctx, repo, log, by)
}
