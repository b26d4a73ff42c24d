//go:build integration

package pgstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// rejecting is a database of its own, its owner's sessions beside an
// administrator's, whom nothing is refused.
type rejecting struct {
	admin      *pgx.Conn
	name, role string
	store      *pgstore.Store
}

func newRejecting(t *testing.T) *rejecting {
	t.Helper()
	ctx := t.Context()
	dsn := pgtest.DSN(t)
	config, err := pgx.ParseConfig(dsn)
	must(t, err)
	r := &rejecting{name: config.Database, role: "role_" + strings.ToLower(rand.Text())}
	owner := config.User
	config.Database = "postgres"
	r.admin, err = pgx.ConnectConfig(ctx, config)
	must(t, err)
	t.Cleanup(func() {
		must(t, r.admin.Close(context.Background()))
	})
	r.do(t, "CREATE ROLE "+r.role+" LOGIN IN ROLE "+owner)
	t.Cleanup(func() {
		_, err := r.admin.Exec(context.Background(), "DROP ROLE "+r.role)
		must(t, err)
	})
	r.store, err = pgstore.Open(ctx, strings.Replace(dsn, "user='"+owner+"'", "user='"+r.role+"'", 1)+" user="+r.role)
	must(t, err)
	t.Cleanup(r.store.Close)
	addLink(t, r.store)
	_, err = r.store.AddMailboxes(ctx, link, []mailbox.Number{"1"})
	must(t, err)
	return r
}

func (r *rejecting) do(t *testing.T, statement string) {
	t.Helper()
	if _, err := r.admin.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// cut ends the sessions of the store.
func (r *rejecting) cut(t *testing.T) {
	t.Helper()
	r.do(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+r.role+"'")
}

// inside changes the database itself, which others may be renaming.
func (r *rejecting) inside(t *testing.T, statement string) {
	t.Helper()
	config := r.admin.Config().Copy()
	config.Database = r.name
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, err)
	_, err = conn.Exec(t.Context(), statement)
	must(t, errors.Join(err, conn.Close(t.Context())))
}

// host sets a line of pg_hba.conf that holds for the role alone, "" none.
func (r *rejecting) host(t *testing.T, method string) {
	t.Helper()
	lines := "local all all trust"
	if method != "" {
		lines = fmt.Sprintf("local all %s %s', 'local all all trust", r.role, method)
	}
	var file string
	must(t, r.admin.QueryRow(t.Context(), "SHOW hba_file").Scan(&file))
	r.do(t, fmt.Sprintf("COPY (SELECT unnest(ARRAY['%s'])) TO '%s'", lines, file))
	r.do(t, "SELECT pg_reload_conf()")
}

// calls are those whose answer "there is none" ends work for ever.
func (r *rejecting) calls() map[string]func(context.Context) error {
	s, key := r.store, keyOf("1")
	return map[string]func(context.Context) error{
		"Link":        func(ctx context.Context) error { return second(s.Link(ctx, link)) },
		"Links":       func(ctx context.Context) error { return second(s.Links(ctx)) },
		"WatchRoster": func(ctx context.Context) error { return second(s.WatchRoster(ctx, link)) },
		"SetWatchShards": func(ctx context.Context) error {
			return s.SetWatchShards(ctx, link, 1)
		},
		"RosterChanges": func(ctx context.Context) error {
			waiting, cancel := context.WithCancel(ctx)
			defer cancel()
			err := s.RosterChanges(waiting, link, cancel)
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
		"Mailbox":   func(ctx context.Context) error { return second(s.Mailbox(ctx, key)) },
		"MarkDirty": func(ctx context.Context) error { return second(s.MarkDirty(ctx, key)) },
		"MarkEvents": func(ctx context.Context) error {
			return second(s.MarkEvents(ctx, link, []watch.Mark{{Number: "1", Kind: site.EventMessageIn, Count: 1, At: time.Now()}}))
		},
		"DueMailboxes":   func(ctx context.Context) error { return second(s.DueMailboxes(ctx, 10)) },
		"CountMailboxes": func(ctx context.Context) error { return second(s.CountMailboxes(ctx, link)) },
		"RecordFailure": func(ctx context.Context) error {
			return s.RecordFailure(ctx, copier.Report{Key: key, Outcome: copier.Failed, Started: time.Now(), Finished: time.Now()}, time.Hour)
		},
		"HasDirectory": func(ctx context.Context) error { return second(s.HasDirectory(ctx, link)) },
		"Logins": func(ctx context.Context) error {
			_, _, err := s.Logins(ctx, "prod")
			return err
		},
		"Suspension": func(ctx context.Context) error { return second(standing(ctx, s)) },
		"Begin": func(ctx context.Context) error {
			lease, _, err := s.Begin(ctx, key, ttl, fence)
			if err != nil {
				return err
			}
			return s.Release(ctx, lease, true)
		},
		"StartCompare": func(ctx context.Context) error {
			return s.StartCompare(ctx, site.CompareRun{RunID: "run", Link: link, StartedAt: time.Now()})
		},
	}
}

// TestARejectionIsNoAnswer: whatever PostgreSQL rejects, no call says that a
// link or a mailbox does not exist, and each works again as soon as PostgreSQL
// does.
func TestARejectionIsNoAnswer(t *testing.T) {
	r := newRejecting(t)
	for _, c := range []struct {
		code          string
		refuse, allow func(t *testing.T)
		// only names the calls that it concerns; nil means all.
		only []string
	}{
		{code: "28000", refuse: func(t *testing.T) { r.do(t, "ALTER ROLE "+r.role+" NOLOGIN") },
			allow: func(t *testing.T) { r.do(t, "ALTER ROLE "+r.role+" LOGIN") }},
		{code: "28000", refuse: func(t *testing.T) { r.host(t, "reject") }, allow: func(t *testing.T) { r.host(t, "") }},
		{code: "28P01", refuse: func(t *testing.T) { r.host(t, "password") }, allow: func(t *testing.T) { r.host(t, "") }},
		{code: "3D000", refuse: func(t *testing.T) { r.cut(t); r.do(t, "ALTER DATABASE "+r.name+" RENAME TO "+r.name+"_away") },
			allow: func(t *testing.T) { r.do(t, "ALTER DATABASE "+r.name+"_away RENAME TO "+r.name) }},
		{code: "42P01", refuse: func(t *testing.T) { r.inside(t, "ALTER TABLE links RENAME TO links_away") },
			allow: func(t *testing.T) { r.inside(t, "ALTER TABLE links_away RENAME TO links") }, only: []string{"Link", "Links", "WatchRoster"}},
		{code: "42P01", refuse: func(t *testing.T) { r.inside(t, "ALTER TABLE mailboxes RENAME TO mailboxes_away") },
			allow: func(t *testing.T) { r.inside(t, "ALTER TABLE mailboxes_away RENAME TO mailboxes") },
			only:  []string{"Mailbox", "MarkDirty", "MarkEvents", "DueMailboxes", "CountMailboxes", "RecordFailure"}},
	} {
		t.Run(c.code, func(t *testing.T) {
			c.refuse(t)
			r.cut(t)
			calls := r.calls()
			for name, call := range calls {
				if c.only != nil && !strings.Contains(" "+strings.Join(c.only, " ")+" ", " "+name+" ") {
					continue
				}
				// A session that was cut is noticed by whoever uses it next.
				deadline := time.Now().Add(30 * time.Second)
				for {
					err := call(t.Context())
					if fault.Is(err, fault.NotFound) {
						t.Fatalf("%s says that something does not exist: %v", name, err)
					}
					if err != nil && !errors.Is(err, fault.ErrDatabase) {
						t.Fatalf("%s does not say that the database failed: %v", name, err)
					}
					if err != nil && strings.Contains(err.Error(), c.code) {
						if !fault.Is(err, fault.Config) || fault.HintOf(err) == "" {
							t.Errorf("%s: kind %s, hint %q", name, fault.KindOf(err), fault.HintOf(err))
						}
						break
					}
					if time.Now().After(deadline) {
						t.Fatalf("%s: %v, want SQLSTATE %s", name, err, c.code)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			c.allow(t)
			for name, call := range calls {
				deadline := time.Now().Add(30 * time.Second)
				for {
					err := call(t.Context())
					if err == nil {
						break
					}
					if fault.Is(err, fault.NotFound) || time.Now().After(deadline) {
						t.Fatalf("%s afterwards: %v", name, err)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	// And what is gone is said to be gone.
	must(t, r.store.RemoveLink(t.Context(), link))
	for _, name := range []string{"Link", "WatchRoster", "SetWatchShards", "Mailbox", "MarkDirty", "RecordFailure"} {
		wantKind(t, r.calls()[name](t.Context()), fault.NotFound)
	}
}
