//go:build integration

package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
)

var times = lease.Times{TTL: ttl, Fence: fence}

func take(s *pgstore.Store, r lease.Resource) (lease.Lease, error) {
	return s.TakeLease(context.Background(), r, times)
}

// sameOutcome checks what a lease was answered against what the rules say.
func sameOutcome(t *testing.T, what string, got, want error) {
	t.Helper()
	switch w := want.(type) { //nolint:errorlint // Permit returns them as they are
	case nil:
		if got != nil {
			t.Errorf("%s: %v, want a lease", what, got)
		}
		return
	case *lease.SuspendedError:
		if g, ok := errors.AsType[*lease.SuspendedError](got); !ok || *g != *w {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	case *lease.RunningError:
		if g, ok := errors.AsType[*lease.RunningError](got); !ok || *g != *w {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	case *lease.HeldError:
		if g, ok := errors.AsType[*lease.HeldError](got); !ok || g.Wait <= 0 || g.Wait > ttl+fence {
			t.Errorf("%s: %v, want a HeldError", what, got)
		}
		return
	}
	if !fault.Is(got, fault.Conflict) || !strings.HasPrefix(fault.HintOf(got), "mailmirror ") {
		t.Errorf("%s: kind %s, hint %q", what, fault.KindOf(got), fault.HintOf(got))
	}
}

// setLink sets a link's own suspension past the store.
func setLink(t *testing.T, dsn, link, state string) {
	t.Helper()
	sql(t, dsn, fmt.Sprintf(`INSERT INTO link_suspensions (link, state, epoch, reason, who) VALUES ('%s', '%s', 1, '', 'alice')
		ON CONFLICT (link) DO UPDATE SET state = excluded.state`, link, state))
}

// TestLeaseScopes: for each kind and each state of both scopes, the trigger gives and
// renews what lease.Scopes permits, and nothing else.
func TestLeaseScopes(t *testing.T) {
	t.Parallel()
	kinds := []lease.Resource{lease.OfMailbox(keyOf("1")), lease.OfDirectory(link), lease.OfRestore(keyOf("2"))}
	for name, c := range map[string]struct {
		everything, own, other string // '' is running
		unknown                bool   // whether a link is suspended
		scopes                 lease.Scopes
	}{
		"running":                   {},
		"everything suspending":     {everything: "suspending", scopes: lease.Scopes{Everything: true}},
		"everything suspended":      {everything: "suspended", scopes: lease.Scopes{Everything: true}},
		"link running again":        {own: "running"},
		"link suspending":           {own: "suspending", scopes: lease.Scopes{Link: true}},
		"link suspended":            {own: "suspended", scopes: lease.Scopes{Link: true, Still: true}},
		"another link suspended":    {other: "suspended"},
		"both suspended":            {everything: "suspended", own: "suspended", scopes: lease.Scopes{Everything: true, Link: true, Still: true}},
		"link and another one":      {own: "suspended", other: "suspended", scopes: lease.Scopes{Link: true, Still: true}},
		"link suspending, all, too": {everything: "suspending", own: "suspending", scopes: lease.Scopes{Everything: true, Link: true}},
		"unknown":                   {unknown: true, scopes: lease.Scopes{Everything: true}},
		"unknown, link suspended":   {unknown: true, own: "suspended", scopes: lease.Scopes{Everything: true, Link: true, Still: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dsn := seededDatabase(t, "1", "2")
			ctx := t.Context()
			must(t, s.AddStore(ctx, storeNamed("third")))
			must(t, s.AddLink(ctx, site.Link{Name: "side", Source: "prod", Target: "third"}))
			set := func() {
				if c.own != "" {
					setLink(t, dsn, link, c.own)
				}
				if c.other != "" {
					setLink(t, dsn, "side", c.other)
				}
				if c.everything != "" {
					sql(t, dsn, fmt.Sprintf("UPDATE suspension SET state = '%s'", c.everything))
				}
				if c.unknown {
					sql(t, dsn, "UPDATE link_suspension_proof SET server_start = '-infinity'")
				}
			}
			for _, r := range kinds {
				want := c.scopes.Permit(r)
				// One that is held from before: it is renewed by the same rule.
				sql(t, dsn, "UPDATE suspension SET state = 'running'", "DELETE FROM link_suspensions")
				must(t, s.ConfirmLinks(ctx, proofOf(t, s)))
				if r.Kind == lease.Restore {
					setLink(t, dsn, link, "suspended")
				}
				held, err := take(s, r)
				must(t, err)
				sql(t, dsn, "DELETE FROM link_suspensions")
				set()
				sameOutcome(t, "renew "+r.String(), second(s.Renew(ctx, held, ttl)), want)
				must(t, s.Release(ctx, held, true))
				got, err := take(s, r)
				sameOutcome(t, "take "+r.String(), err, want)
				if err == nil {
					must(t, s.Release(ctx, got, true))
				}
			}
		})
	}
}

// rivals has three links at one production: prod-dr and side mirror from it, feed
// mirrors into it, and feed2 into the same server by another name.
func rivals(t *testing.T) (*pgstore.Store, string) {
	t.Helper()
	s, dsn := seededDatabase(t, "1", "2")
	ctx := t.Context()
	for _, name := range []string{"third", "fourth", "fifth", "prod2"} {
		must(t, s.AddStore(ctx, storeNamed(name)))
	}
	sql(t, dsn, "UPDATE stores SET server_id = 'P' WHERE name IN ('prod', 'prod2')")
	for _, l := range []site.Link{
		{Name: "side", Source: "prod", Target: "third"},
		{Name: "feed", Source: "fourth", Target: "prod"},
		{Name: "feed2", Source: "fifth", Target: "prod2"},
	} {
		must(t, s.AddLink(ctx, l))
	}
	for link, numbers := range map[string][]mailbox.Number{"side": {"1", "2"}, "feed": {"1", "3"}, "feed2": {"Box"}} {
		if n, err := s.AddMailboxes(ctx, link, numbers); err != nil || n != len(numbers) {
			t.Fatalf("add to %s: %d, %v", link, n, err)
		}
	}
	return s, dsn
}

func keyAt(link string, number mailbox.Number) mailbox.Key {
	return mailbox.Key{Link: link, Number: number}
}

// TestLeaseRivals: which lease, while it is held, rejects which other one. Each pair is
// tried in both orders.
func TestLeaseRivals(t *testing.T) {
	t.Parallel()
	s, dsn := rivals(t)
	ctx := t.Context()
	mirror, restore := lease.OfMailbox, lease.OfRestore
	for _, c := range []struct {
		a, b lease.Resource
		same bool // both write to one mailbox of one server
	}{
		{a: mirror(keyAt(link, "1")), b: mirror(keyAt(link, "2"))},
		{a: mirror(keyAt(link, "1")), b: mirror(keyAt("side", "1"))},
		{a: mirror(keyAt(link, "1")), b: lease.OfDirectory(link)},
		{a: restore(keyAt(link, "1")), b: restore(keyAt(link, "2"))},
		{a: restore(keyAt(link, "1")), b: restore(keyAt("side", "2"))},
		{a: restore(keyAt(link, "1")), b: restore(keyAt("side", "1")), same: true},
		{a: restore(keyAt(link, "1")), b: mirror(keyAt(link, "1"))},
		{a: restore(keyAt(link, "1")), b: mirror(keyAt(link, "2"))},
		{a: restore(keyAt(link, "1")), b: lease.OfDirectory(link)},
		{a: restore(keyAt(link, "1")), b: mirror(keyAt("side", "1"))},
		{a: restore(keyAt(link, "1")), b: lease.OfDirectory("side")},
		{a: restore(keyAt(link, "1")), b: mirror(keyAt("feed", "3"))},
		{a: restore(keyAt(link, "1")), b: mirror(keyAt("feed", "1")), same: true},
		{a: restore(keyAt(link, "2")), b: mirror(keyAt("feed", "1"))},
		{a: restore(keyAt(link, "bOX")), b: mirror(keyAt("feed2", "Box")), same: true},
		{a: restore(keyAt(link, "new")), b: mirror(keyAt("feed", "1"))},
	} {
		for _, order := range [][2]lease.Resource{{c.a, c.b}, {c.b, c.a}} {
			held, asked := order[0], order[1]
			name := fmt.Sprintf("%s of %s, then %s of %s", held, held.Link, asked, asked.Link)
			// permit lets a kind be taken: of a link that is resumed between, as well.
			permit := func(r lease.Resource) {
				state := "running"
				if r.Kind == lease.Restore {
					state = "suspended"
				}
				setLink(t, dsn, r.Link, state)
			}
			permit(held)
			first, err := take(s, held)
			must(t, err)
			permit(asked)
			var want error
			switch {
			case held.Rejects(asked, c.same) != asked.Rejects(held, c.same):
				t.Errorf("%s: the rule is not symmetric", name)
			case held.Kind != lease.Restore && asked.Kind == lease.Restore && held.Link == asked.Link:
				// No link is acknowledged as suspended while its mirror holds a lease:
				// the suspension is what rejects this.
				setLink(t, dsn, asked.Link, "suspending")
				want = &lease.RunningError{Link: asked.Link}
			case held.Rejects(asked, c.same):
				want = &lease.HeldError{}
			}
			got, err := take(s, asked)
			sameOutcome(t, name, err, want)
			if err == nil {
				must(t, s.Release(ctx, got, true))
			}
			permit(held)
			must(t, s.Release(ctx, first, true))
			permit(asked)
			got, err = take(s, asked)
			if err != nil {
				t.Errorf("%s, which was released: %v", name, err)
				continue
			}
			// Not released cleanly, it rejects for the fence.
			must(t, s.Release(ctx, got, false))
			if held.Rejects(asked, c.same) {
				permit(held)
				if asked.Kind != lease.Restore && held.Kind == lease.Restore && held.Link == asked.Link {
					setLink(t, dsn, held.Link, "suspending")
				}
				if got, err := take(s, held); err == nil {
					t.Errorf("%s: within the fence of the second the first is given", name)
					must(t, s.Release(ctx, got, true))
				}
			}
			sql(t, dsn, "UPDATE write_leases SET clean = true")
		}
	}
}

// TestRestoreMeetsMirror: restores into and mirrors to one mailbox of one server begin,
// renew and end as fast as they can, by four links. Never do two hold it.
func TestRestoreMeetsMirror(t *testing.T) {
	t.Parallel()
	s, dsn := rivals(t)
	if _, err := s.AddMailboxes(t.Context(), "feed2", []mailbox.Number{"9"}); err != nil {
		t.Fatal(err)
	}
	setLink(t, dsn, link, "suspended")
	setLink(t, dsn, "side", "suspended")
	kinds := []lease.Resource{lease.OfRestore(keyAt(link, "9")), lease.OfRestore(keyAt("side", "9")), lease.OfMailbox(keyAt("feed2", "9"))}
	var inside atomic.Int32
	took := make([]atomic.Int32, len(kinds))
	enough := func() bool {
		for i := range took {
			if took[i].Load() < 30 {
				return false
			}
		}
		return true
	}
	var wg sync.WaitGroup
	begin := time.Now()
	for worker := range 2 * len(kinds) {
		rng := rand.New(rand.NewPCG(uint64(worker), 11))
		wg.Go(func() {
			i := worker % len(kinds)
			for !enough() && time.Since(begin) < 2*time.Minute {
				held, err := take(s, kinds[i])
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold one mailbox of one server")
				}
				for range rng.IntN(3) {
					if _, err := s.Renew(t.Context(), held, ttl); err != nil {
						t.Errorf("renew: %v", err)
					}
				}
				inside.Add(-1)
				took[i].Add(1)
				if err := s.Release(t.Context(), held, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if !enough() {
		t.Errorf("taken %d, %d and %d times: the test did not test", took[0].Load(), took[1].Load(), took[2].Load())
	}
}

// The statements of the release before, as it sends them.
const (
	oldTake = `UPDATE leases
SET epoch = nextval('lease_epochs'), expires_at = clock_timestamp() + interval '20 seconds', clean = false, fence = interval '2 seconds'
WHERE link = 'prod-dr' AND number = '1' AND (clean OR expires_at + interval '2 seconds' <= clock_timestamp()) RETURNING epoch`
	oldRenew = `UPDATE leases SET expires_at = clock_timestamp() + interval '20 seconds'
WHERE link = 'prod-dr' AND number = '1' AND epoch = (SELECT epoch FROM leases WHERE link = 'prod-dr' AND number = '1') AND expires_at > clock_timestamp()`
	oldEnd = `UPDATE leases SET epoch = nextval('lease_epochs'), expires_at = clock_timestamp(), clean = true
WHERE link = 'prod-dr' AND number = '1'`
	oldLive = `WITH locked AS MATERIALIZED (
    SELECT number, clean, expires_at FROM leases WHERE link = 'prod-dr' AND (true OR number = ANY ('{}'::text[])) ORDER BY number FOR UPDATE
) SELECT number FROM locked WHERE NOT clean AND expires_at > clock_timestamp() ORDER BY number`
	oldAdd = `WITH added AS (
    INSERT INTO mailboxes (link, number, account) SELECT 'prod-dr', unnest('{7,8}'::text[]), unnest('{7,8}'::text[])
    ON CONFLICT (link, number) DO NOTHING RETURNING link, number
), leased AS (
    INSERT INTO leases (link, number, epoch, expires_at, clean) SELECT link, number, nextval('lease_epochs'), now(), true FROM added
) SELECT count(*) FROM added`
	oldSave          = `SELECT ledger_lease('prod-dr', '1', (SELECT epoch FROM leases WHERE link = 'prod-dr' AND number = '1'), true)`
	oldTakeDirectory = `INSERT INTO directory_leases AS l (link, epoch, expires_at, clean, fence)
VALUES ('prod-dr', 0, clock_timestamp() + interval '20 seconds', false, interval '2 seconds')
ON CONFLICT (link) DO UPDATE
SET epoch = 0, expires_at = clock_timestamp() + interval '20 seconds', clean = false, fence = interval '2 seconds'
WHERE l.clean OR l.expires_at + greatest(l.fence, interval '2 seconds') <= clock_timestamp() RETURNING l.epoch`
	oldRenewDirectory = `UPDATE directory_leases SET expires_at = clock_timestamp() + interval '20 seconds'
WHERE link = 'prod-dr' AND epoch = (SELECT epoch FROM directory_leases WHERE link = 'prod-dr') AND expires_at > clock_timestamp()`
	oldEndDirectory  = `UPDATE directory_leases SET epoch = 0, expires_at = clock_timestamp(), clean = true WHERE link = 'prod-dr'`
	oldLiveDirectory = `WITH locked AS MATERIALIZED (SELECT clean, expires_at FROM directory_leases WHERE link = 'prod-dr' FOR UPDATE)
SELECT 1 FROM locked WHERE NOT clean AND expires_at > clock_timestamp()`
)

// TestLeasesOfTheReleaseBefore: during an upgrade both releases work on one database.
// The statements of the release before take, renew and end leases of the new table, by
// the new rules.
func TestLeasesOfTheReleaseBefore(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1", "2")
	ctx := t.Context()
	mine, directory := lease.OfMailbox(keyOf("1")), lease.OfDirectory(link)
	busy := func(what string, r lease.Resource, want bool) {
		t.Helper()
		held, err := take(s, r)
		if _, rejected := errors.AsType[*lease.HeldError](err); rejected != want {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			must(t, s.Release(ctx, held, true))
		}
	}
	rows := func(statement string, want int64) {
		t.Helper()
		if got := affected(t, dsn, statement); got != want {
			t.Errorf("%d rows by %s, want %d", got, statement, want)
		}
	}
	rejected := func(statement, state string) {
		t.Helper()
		if err := trySQL(dsn, statement); err == nil || !strings.Contains(err.Error(), state) {
			t.Errorf("%v by %s, want %s", err, statement, state)
		}
	}
	for _, c := range []struct {
		of                     lease.Resource
		take, renew, end, seen string
	}{{mine, oldTake, oldRenew, oldEnd, oldLive}, {directory, oldTakeDirectory, oldRenewDirectory, oldEndDirectory, oldLiveDirectory}} {
		rows(c.seen, 0)
		rows(c.take, 1)
		rows(c.take, 0) // it is held
		rows(c.seen, 1)
		rows(c.renew, 1)
		busy("held by the release before", c.of, true)
		rows(c.end, 1)
		busy("ended by the release before", c.of, false)
		held, err := take(s, c.of)
		must(t, err)
		rows(c.take, 0)
		rows(c.end, 1) // as whoever knows the epoch may
		wantKind(t, s.Release(ctx, held, true), fault.Conflict)
		// A suspension of the link holds it, too, and so does a restore.
		rows(c.take, 1)
		setLink(t, dsn, link, "suspending")
		rejected(c.renew, "ML002")
		rows(c.end, 1)
		rejected(c.take, "ML002")
		setLink(t, dsn, link, "suspended")
		restore, err := take(s, lease.OfRestore(keyOf("2")))
		must(t, err)
		setLink(t, dsn, link, "running")
		rejected(c.take, "ML009")
		must(t, s.Release(ctx, restore, true))
		rows(c.take, 1)
		rows(c.end, 1)
	}
	rows(oldTake, 1)
	rows(oldSave, 1)
	rows(oldAdd, 1)
	begin(t, s, keyOf("7"))
}

// TestLeaseMigration: leases that are held outlive the migration, both ways.
func TestLeaseMigration(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1", "2")
	ctx := t.Context()
	must(t, pgstore.MigrateTo(ctx, s, 18))
	sql(t, dsn, oldTake, oldTakeDirectory)
	for range 2 {
		must(t, pgtest.Migrate(ctx, s))
		for _, r := range []lease.Resource{lease.OfMailbox(keyOf("1")), lease.OfDirectory(link)} {
			sameOutcome(t, "held since before: "+r.String(), second(take(s, r)), &lease.HeldError{})
		}
		held, err := take(s, lease.OfMailbox(keyOf("2")))
		must(t, err)
		must(t, s.Release(ctx, held, true))
		must(t, pgstore.MigrateTo(ctx, s, 18))
		if affected(t, dsn, oldTake)+affected(t, dsn, oldTakeDirectory) != 0 {
			t.Error("after the way back, a lease that is held is given")
		}
	}
	must(t, pgtest.Migrate(ctx, s))
}
