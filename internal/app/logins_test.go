package app

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"mailmirror/internal/directory"
)

// loginTable answers with err, if that is not nil.
type loginTable struct{ err error }

func (l *loginTable) Logins(ctx context.Context, _ string) (*directory.Logins, int64, error) {
	return directory.NumberLogins(), 1, errors.Join(ctx.Err(), l.err)
}

// TestLoginsThatCannotBeReadAreShown: a worker that cannot read the logins of a
// store says so until it can.
func TestLoginsThatCannotBeReadAreShown(t *testing.T) {
	s := newStores(nil, nil, nil, slog.New(slog.DiscardHandler))
	l, table := s.loginsOf("prod"), &loginTable{}
	l.repo = table
	read := func(ctx context.Context, fails bool) {
		t.Helper()
		if err := l.refresh(ctx, 1); (err != nil) != fails {
			t.Fatalf("read: %v", err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	read(ended, true)
	if _, err := s.failing(); err != nil {
		t.Errorf("a read that was broken off counts as failed: %v", err)
	}
	table.err = errors.New("no such table")
	read(t.Context(), true)
	first, err := s.failing()
	if err == nil || first.IsZero() {
		t.Fatalf("failing since %v: %v", first, err)
	}
	read(t.Context(), true)
	if since, err := s.failing(); err == nil || !since.Equal(first) {
		t.Errorf("failing since %v, want %v: %v", since, first, err)
	}
	table.err = nil
	read(t.Context(), false)
	if since, err := s.failing(); err != nil || !since.IsZero() {
		t.Errorf("still failing since %v: %v", since, err)
	}
	// What nobody reads any more is no trouble of today.
	old := time.Now().Add(-time.Hour)
	l.failed.Store(&failedRead{since: old, last: old, err: errors.New("no such table")})
	if _, err := s.failing(); err != nil {
		t.Errorf("an old failure is shown: %v", err)
	}
}
