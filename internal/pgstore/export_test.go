package pgstore

import (
	"context"

	"github.com/pressly/goose/v3"
)

// MigrateDown takes every migration back.
func MigrateDown(ctx context.Context, s *Store) error { return MigrateTo(ctx, s, 0) }

// MigrateTo brings the schema to a version, by going down from what it is.
func MigrateTo(ctx context.Context, s *Store, version int64) error {
	return s.withProvider(func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, version)
		return err
	})
}
