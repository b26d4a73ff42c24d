//go:build integration

package pgstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/audit"
	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// TestEveryCommandWritesOneAuditRow gives every changing command to a Control over
// PostgreSQL. Each writes one row, in the transaction of its change: if the row cannot
// be written, nothing of the database is changed.
func TestEveryCommandWritesOneAuditRow(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.DSN(t)
	s, err := pgstore.Open(ctx, dsn)
	must(t, err)
	t.Cleanup(s.Close)
	sql(t, dsn, `CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$`,
		`CREATE TRIGGER no_audit BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION no_audit()`)
	c := control.New(controltest.Ports(s, s, &controltest.Runner{Specs: s.ScheduleSpecs, Infos: []site.ScheduleInfo{{Name: "sweep"}, {Name: "full-compare/" + link, Link: link}},
		OnAskResume: func(r suspension.Request) error { _, err := s.Resume(ctx, r); return err }}), control.Options{}).As(audit.Actor{Name: "anna", Roles: audit.AllRoles(), Way: audit.Page})
	const canary = "canary-password"
	addStore := func(name, address string) func() error {
		return func() error {
			_, err := c.AddStore(ctx, site.Store{Name: name, IMAPAddress: address, Security: site.SecurityTLS, Login: site.LoginAuthzid, TrustedName: "t"}, seal.NewSecret(canary))
			return err
		}
	}
	addDirectory := func(store, address string) func() error {
		return func() error {
			security, dn, password := site.SecurityTLS, "cn=mirror", seal.NewSecret(canary)
			mapping := directory.DefaultMapping()
			mapping.BaseDN = "dc=" + store
			_, err := c.EditDirectory(ctx, store, control.DirectoryEdit{Address: &address, Security: &security, BindDN: &dn, Password: &password, Mapping: &mapping})
			return err
		}
	}
	decide := func(decision guard.HoldState) func() error {
		return func() error {
			list, err := s.Holds(ctx, link)
			if err == nil {
				_, _, err = c.DecideAllHolds(ctx, []int64{list[0].ID}, decision)
			}
			return err
		}
	}
	number := []mailbox.Number{"2"}
	limit := 7
	for _, step := range []struct {
		command string
		do      func() error
	}{
		{"store add", addStore("prod", "127.0.0.1:143")},
		{"store add", addStore("dr", "127.0.0.2:143")},
		{"store add", addStore("spare", "127.0.0.3:143")},
		{"store edit", func() error { _, err := c.EditStore(ctx, "dr", control.StoreEdit{MaxSessions: &limit}); return err }},
		{"store edit", addDirectory("prod", "127.0.0.1:389")},
		{"store edit", addDirectory("dr", "127.0.0.2:389")},
		{"store remove", func() error { return c.RemoveStore(ctx, "spare") }},
		{"link add", func() error {
			_, err := c.AddLink(ctx, site.Link{Name: link, Source: "prod", Target: "dr"})
			return err
		}},
		{"link edit", func() error {
			zone := "Europe/Berlin"
			_, err := c.EditLink(ctx, link, control.LinkEdit{BandwidthTimezone: &zone})
			return err
		}},
		{"mailbox add", func() error { _, err := c.AddMailboxes(ctx, link, []mailbox.Number{"1", "2"}); return err }},
		{"mailbox remove", func() error { _, err := c.RemoveMailboxes(ctx, link, number); return err }},
		{"mailbox add", func() error { _, err := c.ReverseMailboxes(ctx, link, number); return err }},
		{"guard set", func() error {
			_, err := c.EditGuard(ctx, link, func(g *guard.Settings) { g.KeepDeleted = time.Hour })
			return err
		}},
		{"link edit", func() error {
			_, err := c.EditDirectorySettings(ctx, link, func(d *dirsync.Settings) { d.RemoveCount = 7 })
			return err
		}},
		{"schedule set", func() error {
			_, err := c.SetSchedule(ctx, "sweep", site.ScheduleSpec{Every: time.Minute})
			return err
		}},
		{"schedule set", func() error { _, err := c.SetSchedule(ctx, "sweep", site.ScheduleSpec{}); return err }},
		{"schedule pause", func() error { _, err := c.PauseSchedule(ctx, "full-compare/"+link, "moving"); return err }},
		{"schedule resume", func() error { _, err := c.ResumeSchedule(ctx, "full-compare/"+link); return err }},
		{"schedule run-now", func() error { _, err := c.RunSchedule(ctx, "full-compare/"+link); return err }},
		{"compare", func() error { _, err := c.Compare(ctx, link); return err }},
		{"ledger rebuild", func() error { _, err := c.Rebuild(ctx, link); return err }},
		{"sync", func() error { _, err := c.Sync(ctx, keyOf("1")); return err }},
		{"directory sync", func() error { _, err := c.SyncDirectory(ctx, link, false); return err }},
		{"verify stop", func() error { return c.StopVerify(ctx, link) }},
		{"directory retry", func() error { _, err := c.RetryDirectory(ctx, link, ""); return err }},
		{"guard refuse", decide(guard.HoldRefused)},
		{"guard approve", decide(guard.HoldApproved)},
		{"suspend", func() error { _, _, err := c.Suspend(ctx, "", "storage"); return err }},
		{"resume", func() error { _, _, err := c.Resume(ctx, ""); return err }},
		{"link edit", func() error { _, err := c.SetLinkDirectory(ctx, link, site.LinkDirectoryOff); return err }},
		{"link remove", func() error { return c.RemoveLink(ctx, link) }},
		{"store edit", func() error { return c.RemoveDirectory(ctx, "prod") }},
	} {
		if step.command == "guard refuse" {
			synced(t, s, "1", 40)
			judged(t, s, "1", dueIn(30, 40))
		}
		sql(t, dsn, "ALTER TABLE audit ENABLE TRIGGER no_audit")
		before := contents(t, dsn)
		if err := step.do(); err == nil || !strings.Contains(err.Error(), "no room") {
			t.Errorf("%s without a row: %v", step.command, err)
		}
		equal(t, "the database after "+step.command+" without a row", contents(t, dsn), before)
		sql(t, dsn, "ALTER TABLE audit DISABLE TRIGGER no_audit")
		rows, err := s.Audit(ctx, "", 0)
		must(t, err)
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.command, err)
		}
		after, err := s.Audit(ctx, "", 0)
		must(t, err)
		if len(after) != len(rows)+1 {
			t.Fatalf("%s wrote %d rows", step.command, len(after)-len(rows))
		}
		got := after[0]
		about := link
		if strings.HasPrefix(step.command, "store") || got.Subject == "sweep" || step.command == "suspend" || step.command == "resume" {
			about = ""
		}
		if got.Command != step.command || got.Actor != "anna" || got.Way != audit.Page || got.Outcome != audit.Done || got.Link != about ||
			strings.HasPrefix(step.command, "store") != (got.Store != "") || time.Since(got.At) > time.Hour {
			t.Errorf("%s is recorded as %+v", step.command, got)
		}
		if strings.Contains(fmt.Sprint(got), canary) {
			t.Errorf("a password in %+v", got)
		}
	}
	// The log of a link outlives it, and leaves out the stores of others.
	rows, err := s.Audit(ctx, link, 0)
	must(t, err)
	if rows[0].Command != "link remove" || slices.ContainsFunc(rows, func(e audit.Entry) bool { return e.Store == "spare" }) ||
		!slices.ContainsFunc(rows, func(e audit.Entry) bool { return e.Command == "suspend" }) {
		t.Errorf("the log of the link is %+v", rows)
	}
}

// contents are all tables but the audit log, each by a digest.
func contents(t testing.TB, dsn string) map[string]string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' AND tablename NOT IN ('audit', 'goose_db_version')")
	must(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	found := map[string]string{}
	for _, name := range names {
		var digest string
		must(t, conn.QueryRow(ctx, "SELECT md5(coalesce(string_agg(x::text, E'\\n' ORDER BY x::text), '')) FROM "+name+" x").Scan(&digest))
		found[name] = digest
	}
	if len(slices.Collect(maps.Keys(found))) < 20 {
		t.Fatalf("there are only the tables %v", names)
	}
	return found
}

// What the release before wrote is in the log, and it goes on reading and writing.
func TestAuditMigration(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := pgtest.DSN(t)
	s, err := pgstore.Open(ctx, dsn)
	must(t, err)
	t.Cleanup(s.Close)
	must(t, pgstore.MigrateTo(ctx, s, 18))
	const before = `INSERT INTO control_events (event, subject, who, reason) VALUES ('schedule set', 'sweep', '%s', 'every 30s')`
	sql(t, dsn, fmt.Sprintf(before, "anna"), `INSERT INTO control_events (event, who, reason) VALUES ('suspended', 'anna', 'storage')`)
	must(t, pgtest.Migrate(ctx, s))
	sql(t, dsn, fmt.Sprintf(before, "bert"),
		`WITH changed AS (SELECT 'carl'::text AS who, 'why'::text AS reason) INSERT INTO control_events (event, who, reason) SELECT 'suspend', who, reason FROM changed`)
	rows, err := s.Audit(ctx, "", 0)
	must(t, err)
	var told []string
	for _, e := range rows {
		told = append(told, fmt.Sprintf("%d %s %s %s %s %s %s", e.ID, e.Actor, e.Command, e.Subject, e.Detail, e.Way, e.Outcome))
	}
	equal(t, "the log", told, []string{"4 carl suspend  why  done", "3 bert schedule set sweep every 30s  done",
		"2 anna suspended  storage mailmirror done", "1 anna schedule set sweep every 30s  done"})
	must(t, s.Record(ctx, &audit.Entry{Actor: "dora", Command: "compare", Link: link}))

	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(context.Background())
	seen := func(when string) {
		t.Helper()
		var events string
		must(t, conn.QueryRow(ctx, "SELECT string_agg(id || ' ' || event || ' ' || who, ', ' ORDER BY id) FROM control_events").Scan(&events))
		equal(t, when, events, "1 schedule set anna, 2 suspended anna, 3 schedule set bert, 4 suspend carl, 5 compare dora")
	}
	seen("by the release before")
	must(t, pgstore.MigrateTo(ctx, s, 18))
	seen("taken back")
	must(t, pgtest.Migrate(ctx, s))
	seen("and again")
}

// A command that is denied is recorded with arguments that nobody has looked at.
func TestAuditTextsAreBounded(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t)
	long := strings.Repeat("é", 100_000)
	must(t, s.Record(t.Context(), &audit.Entry{Actor: long, Command: "link add", Link: long, Subject: long, Detail: long, Outcome: audit.Denied}))
	rows, err := s.Audit(t.Context(), "", 0)
	must(t, err)
	if n := len(rows[0].Actor + rows[0].Link + rows[0].Subject + rows[0].Detail); n > 5000 || n < 1000 {
		t.Errorf("%d bytes are recorded", n)
	}
}
