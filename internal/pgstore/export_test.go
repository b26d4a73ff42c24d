package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/pgstore/sqlcgen"
)

// PlanInBulk explains a statement as it is planned in bulk.
func PlanInBulk(ctx context.Context, s *Store, statement string, args ...any) (plan []string, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, inBulk); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "EXPLAIN "+statement, args...)
		if err == nil {
			plan, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		return err
	})
	return plan, err
}

// Plan carries a statement out and returns how that was done.
func Plan(ctx context.Context, s *Store, statement string, args ...any) ([]string, error) {
	rows, err := s.pool.Query(ctx, "EXPLAIN ANALYZE "+statement, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// MigrateDown takes every migration back.
func MigrateDown(ctx context.Context, s *Store) error { return MigrateTo(ctx, s, 0) }

// MigrateTo brings the schema to a version, by going down from what it is.
func MigrateTo(ctx context.Context, s *Store, version int64) error {
	return s.withProvider(func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, version)
		return err
	})
}

// CompareStaged compares as CompareDirectory does, and holds nothing.
func CompareStaged(ctx context.Context, s *Store, runID string, settings dirsync.Settings) (tally directory.Tally, err error) {
	err = s.inBulkTx(ctx, "compare", func(q *sqlcgen.Queries) error {
		_, tally, err = compareStaged(ctx, q, "compare", runID, settings)
		return err
	})
	return tally, err
}

// HoldDirectoryChanges holds changes of a run by their kinds, whatever the limits are. It
// holds none of a dry run.
func HoldDirectoryChanges(ctx context.Context, s *Store, runID string, kinds []directory.ChangeKind, reasons []string) (held int, err error) {
	err = s.inBulkTx(ctx, "hold changes", func(q *sqlcgen.Queries) error {
		run, err := running(ctx, q, runID)
		if err == nil && run.Trigger != dirsync.TriggerDryRun {
			held, err = hold(ctx, q, run, kinds, reasons)
		}
		return err
	})
	return held, err
}
