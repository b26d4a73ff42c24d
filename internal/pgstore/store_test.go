//go:build integration

package pgstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
)

// TestMigrate goes up from nothing, down to nothing and up again, and lets
// several processes try at once.
func TestMigrate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.EmptyDSN(t)
	s, err := pgstore.Open(ctx, dsn)
	must(t, err)
	t.Cleanup(s.Close)

	_, err = s.Stores(ctx)
	wantKind(t, err, fault.Config)
	if fault.HintOf(err) == "" {
		t.Errorf("%v: no hint what to do about a missing schema", err)
	}
	for range 2 {
		// Reading the version makes nothing, so that it can be read by any user.
		for range 2 {
			if found, release, err := s.Schema(ctx); err != nil || found != 0 || release < 20 {
				t.Fatalf("the schema is %d of %d, %v before the migration", found, release, err)
			}
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				other, err := pgstore.Open(ctx, dsn)
				if err != nil {
					t.Error(err)
					return
				}
				defer other.Close()
				if err := pgtest.Migrate(ctx, other); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if found, release, err := s.Schema(ctx); err != nil || found != release {
			t.Fatalf("the schema is %d of %d, %v after the migration", found, release, err)
		}
		addLink(t, s)
		must(t, pgstore.MigrateDown(ctx, s))
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for name, c := range map[string]struct {
		dsn  string
		kind fault.Kind
	}{
		"no address":      {"postgres://u:swordfish@h:badport/x", fault.Config},
		"no such words":   {"password=swordfish hosst", fault.Config},
		"no such base":    {strings.Replace(dsn, "dbname='", "dbname='no", 1), fault.Config},
		"no such user":    {strings.Replace(dsn, "user='", "user='no", 1), fault.Config},
		"nobody listens":  {"host=127.0.0.1 port=1 user=u password=swordfish", fault.Transient},
		"no such machine": {"host=" + t.TempDir() + " user=u password=swordfish", fault.Transient},
	} {
		s, err := pgstore.Open(ctx, c.dsn)
		if err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if !fault.Is(err, c.kind) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (%s, hint %q), want %s and a hint", name, err, fault.KindOf(err), fault.HintOf(err), c.kind)
		}
		if strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}

// TestConnectionLost: a server that throws everybody out is a Transient fault,
// and the next call connects again.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t)
	sql(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	failures := 0
	for {
		_, err := s.Stores(t.Context())
		if err == nil {
			break
		}
		wantKind(t, err, fault.Transient)
		if failures++; failures > 20 {
			t.Fatal("never connects again")
		}
	}
	must(t, s.Ping(t.Context()))
}
