package pgstore

import (
	"context"

	"github.com/pressly/goose/v3"
)

// MigrateDown takes every migration back.
func MigrateDown(ctx context.Context, s *Store) error {
	return s.withProvider(func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, 0)
		return err
	})
}
