package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"
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
