//go:build integration

package pgstore_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// refused fails the test unless err says that the mirror is suspended.
func refused(t testing.TB, what string, err error) {
	t.Helper()
	if _, ok := errors.AsType[*lease.SuspendedError](err); !ok || !fault.Is(err, fault.Conflict) || fault.HintOf(err) == "" {
		t.Errorf("%s: %v, want a SuspendedError of kind conflict with a hint", what, err)
	}
}

func suspend(t testing.TB, s *pgstore.Store) suspension.Suspension {
	t.Helper()
	got, err := s.Suspend(t.Context(), suspension.Request{Reason: "storage", Who: "alice", Way: audit.CLI})
	must(t, err)
	return got
}

func TestSuspension(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3")
	ctx := t.Context()
	now := func() suspension.Suspension {
		t.Helper()
		got, err := standing(ctx, s)
		must(t, err)
		return got
	}
	first := now()
	if first.State != suspension.Running || first.Still() || first.Waiting != 0 {
		t.Fatalf("a new database is %+v", first)
	}
	held, _ := begin(t, s, keyOf("1"))
	unclean, _ := begin(t, s, keyOf("2"))
	ended := time.Now()
	must(t, s.Release(ctx, unclean, false))

	got := suspend(t, s)
	if got.State != suspension.Suspending || got.Epoch <= first.Epoch || got.Reason != "storage" || got.Who != "alice" ||
		time.Since(got.Since) > time.Minute || got.Waiting != 2 || got.Remaining < ttl || got.Remaining > ttl+fence {
		t.Errorf("suspending: %+v", got)
	}
	// Nothing begins and nothing goes on; what was done may be written down.
	_, _, err := s.Begin(ctx, keyOf("3"), ttl, fence)
	refused(t, "begin", err)
	_, err = s.Renew(ctx, held, ttl)
	refused(t, "renew", err)
	must(t, s.Save(ctx, held, initialCopy()))
	if m := box(t, s, "3"); m.Failures != 0 || m.State != site.StateNew {
		t.Errorf("a refused mailbox is %+v", m)
	}
	// Not before the last lease is over.
	if got, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || got.State != suspension.Suspending {
		t.Errorf("confirmed while leases are held: %+v, %v", got, err)
	}
	// Again is the same.
	if again := suspend(t, s); again.Epoch != got.Epoch || again.Since != got.Since {
		t.Errorf("suspended again: %+v, before %+v", again, got)
	}
	must(t, s.Release(ctx, held, true))
	if now := now(); now.Waiting != 1 || now.Remaining > fence {
		t.Errorf("with one lease released, and the other in its fence: %+v", now)
	}
	deadline := time.Now().Add(time.Minute)
	for got.State != suspension.Suspended {
		if time.Now().After(deadline) {
			t.Fatalf("never still: %+v", got)
		}
		got, err = s.ConfirmSuspended(ctx, "", got.Epoch)
		must(t, err)
		time.Sleep(20 * time.Millisecond)
	}
	if took := got.SuspendedAt.Sub(ended); took < fence {
		t.Errorf("still after %s, which is less than the fence of a lease that ended uncleanly", took)
	}
	_, _, err = s.Begin(ctx, keyOf("3"), ttl, fence)
	refused(t, "begin", err)

	// A resumption of another epoch does nothing.
	if other, err := s.Resume(ctx, suspension.Request{Who: "bob", Epoch: got.Epoch - 1}); err != nil || other.State != suspension.Suspended {
		t.Errorf("resumed another suspension: %+v, %v", other, err)
	}
	resumed, err := s.Resume(ctx, suspension.Request{Who: "bob", Way: audit.Temporal, Epoch: got.Epoch})
	must(t, err)
	if resumed.State != suspension.Running || resumed.Epoch <= got.Epoch || resumed.Who != "bob" || resumed.Reason != "" || !resumed.SuspendedAt.IsZero() {
		t.Errorf("resumed: %+v", resumed)
	}
	// Nor does a suspension of one that is over, or a confirmation.
	if late, err := s.Suspend(ctx, suspension.Request{Epoch: first.Epoch}); err != nil || late.State != suspension.Running {
		t.Errorf("suspended by a late request: %+v, %v", late, err)
	}
	if late, err := s.ConfirmSuspended(ctx, "", got.Epoch); err != nil || late.State != suspension.Running {
		t.Errorf("confirmed what is over: %+v, %v", late, err)
	}
	begin(t, s, keyOf("3"))

	rows, err := s.Audit(ctx, "", 0)
	must(t, err)
	var told []string
	for _, e := range rows {
		told = append(told, e.Command+" "+e.Actor+" "+string(e.Way)+" "+e.Detail)
	}
	equal(t, "audit", told, []string{"resume bob temporal ", "suspended alice mailmirror storage", "suspend alice cli storage"})
}

// A row that somebody deleted stops the mirror rather than letting it run.
func TestSuspensionRowGone(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	sql(t, dsn, "DELETE FROM suspension")
	_, _, err := s.Begin(t.Context(), keyOf("1"), ttl, fence)
	refused(t, "begin", err)
}

// A release that knows nothing of suspension gets no lease either, and the row
// of its lease tells a fence.
func TestSuspensionHoldsOldReleases(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	const old = `UPDATE leases SET epoch = nextval('lease_epochs'), expires_at = clock_timestamp() + interval '5 seconds', clean = false`
	sql(t, dsn, old)
	got := suspend(t, s)
	if got.Waiting != 1 || got.Remaining < 6*time.Second || got.Remaining > 7*time.Second {
		t.Errorf("waits %+v, want 5 s and the fence of 2 s", got)
	}
	if err := trySQL(dsn, old); err == nil {
		t.Error("an old release took a lease of a suspended mirror")
	}
}

// TestSuspensionRace: workers begin, renew and release as fast as they can while
// the mirror, or one link, is suspended and resumed, 300 times. After each
// acknowledgement nobody holds a lease of it, and nobody gets one or keeps one before
// the resumption. Some die with theirs. The leases of another link go on meanwhile.
func TestSuspensionRace(t *testing.T) {
	t.Parallel()
	t.Run("everything", func(t *testing.T) { t.Parallel(); raceSuspension(t, "") })
	t.Run("one link", func(t *testing.T) { t.Parallel(); raceSuspension(t, link) })
}

func raceSuspension(t *testing.T, scope string) {
	const rounds, shortTTL, shortFence = 300, 40 * time.Millisecond, 10 * time.Millisecond
	s := seeded(t, "1", "2", "3", "4", "5", "6", "7", "8")
	ctx := t.Context()
	must(t, s.AddStore(ctx, storeNamed("third")))
	must(t, s.AddLink(ctx, site.Link{Name: "side", Source: "prod", Target: "third"}))
	if _, err := s.AddMailboxes(ctx, "side", numbersOf("1")); err != nil {
		t.Fatal(err)
	}
	var still atomic.Int64 // the round, between acknowledgement and resumption; else 0
	var taken, renewed, turned atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 8 {
		key := keyOf(mailbox.Number(rune('1' + i)))
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// What was granted in a round was asked for in it only where that was
				// the round already.
				before := still.Load()
				held, _, err := s.Begin(ctx, key, shortTTL, shortFence)
				if _, no := errors.AsType[*lease.SuspendedError](err); no {
					turned.Add(1)
					continue
				}
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				// One that is over by the time it is checked is none: a busy machine may
				// need longer for that than these leases last.
				if before != 0 && before == still.Load() && time.Now().Before(held.Deadline) {
					t.Error("a lease was given while the mirror is suspended")
				}
				taken.Add(1)
				for range rng.IntN(3) {
					if held, err = s.Renew(ctx, held, shortTTL); err != nil {
						break
					}
					renewed.Add(1)
					if still.Load() != 0 && time.Now().Before(held.Deadline) {
						t.Error("a lease was renewed while the mirror is suspended")
					}
				}
				// While its holder may write, nothing is acknowledged.
				if still.Load() != 0 && time.Now().Before(held.Deadline) {
					t.Error("acknowledged while a lease is held")
				}
				if rng.IntN(4) > 0 {
					_ = s.Release(ctx, held, rng.IntN(2) == 0) // lost where it ran out
				}
			}
		})
	}
	var beside int // leases of the other link while this one is still
	for round := range rounds {
		got, err := s.Suspend(ctx, suspension.Request{Link: scope, Reason: "storage", Who: "alice"})
		must(t, err)
		for got.State != suspension.Suspended {
			got, err = s.ConfirmSuspended(ctx, scope, got.Epoch)
			must(t, err)
		}
		still.Store(int64(round + 1))
		for range 3 {
			all, err := s.Suspensions(ctx)
			if now := all.Own(scope); err != nil || now.State != suspension.Suspended {
				t.Errorf("%+v, %v", now, err)
			}
			other, _, err := s.Begin(ctx, mailbox.Key{Link: "side", Number: "1"}, shortTTL, shortFence)
			if err == nil {
				// As above: one that is over permits nothing.
				if scope != "" || time.Now().Before(other.Deadline) {
					beside++
				}
				must(t, s.Release(ctx, other, true))
			} else if scope != "" {
				t.Errorf("the other link gets no lease: %v", err)
			}
		}
		still.Store(0)
		before := taken.Load()
		_, err = s.Resume(ctx, suspension.Request{Link: scope, Epoch: got.Epoch})
		must(t, err)
		// The next suspension comes upon somebody who has a lease, or had one.
		for deadline := time.Now().Add(time.Minute); taken.Load() == before && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	wg.Wait()
	if scope == "" && beside > 0 {
		t.Errorf("%d leases of another link while everything is suspended", beside)
	}
	if taken.Load() < rounds || renewed.Load() == 0 || turned.Load() == 0 {
		t.Errorf("%d leases taken, %d renewed, %d refused: the test did not test", taken.Load(), renewed.Load(), turned.Load())
	}
	t.Logf("%d suspensions, %d leases taken, %d renewals, %d refusals", rounds, taken.Load(), renewed.Load(), turned.Load())
}

func TestScheduleRecords(t *testing.T) {
	t.Parallel()
	s := pgtest.Open(t)
	ctx := t.Context()
	specs := map[string]site.ScheduleSpec{
		"sweep":           {Every: 30 * time.Second},
		"full-compare/dr": {At: []string{"01:00", "07:00"}, Timezone: "Europe/Berlin"},
		"other":           {Cron: "0 3 * * 1"},
	}
	for name, spec := range specs {
		must(t, s.SetScheduleSpec(ctx, name, site.ScheduleSpec{Every: time.Hour}, "alice"))
		must(t, s.SetScheduleSpec(ctx, name, spec, "bob"))
	}
	got, err := s.ScheduleSpecs(ctx)
	must(t, err)
	equal(t, "specs", got, specs)
	must(t, s.DropScheduleSpec(ctx, "other"))
	must(t, s.DropScheduleSpec(ctx, "other"))
	if got, err = s.ScheduleSpecs(ctx); err != nil || len(got) != 2 {
		t.Errorf("after one was dropped: %v, %v", got, err)
	}

	first, err := s.NoteMisses(ctx, "sweep", 2)
	must(t, err)
	same, err := s.NoteMisses(ctx, "sweep", 2)
	must(t, err)
	if !same.Equal(first) {
		t.Errorf("noticed at %s, and then at %s", first, same)
	}
	more, err := s.NoteMisses(ctx, "sweep", 3)
	must(t, err)
	if !more.After(first) {
		t.Errorf("one more was noticed at %s, those before at %s", more, first)
	}
}

// TestLinkSuspension: the suspension of one link has a state, an epoch and an
// acknowledgement of its own, and a resumption of everything leaves it.
func TestLinkSuspension(t *testing.T) {
	t.Parallel()
	s, dsn := rivals(t)
	ctx := t.Context()
	own := func(of string) suspension.Suspension {
		t.Helper()
		all, err := s.Suspensions(ctx)
		must(t, err)
		return all.Own(of)
	}
	before := own(link)
	if before.State != suspension.Running || before.Epoch == 0 || before.Still() {
		t.Fatalf("never suspended: %+v", before)
	}
	mine, _ := begin(t, s, keyOf("1"))
	other, _ := begin(t, s, mailbox.Key{Link: "side", Number: "1"})
	got, err := s.Suspend(ctx, suspension.Request{Link: link, Who: "alice", Reason: "restore"})
	must(t, err)
	if got.State != suspension.Suspending || got.Link != link || got.Waiting != 1 || got.Remaining <= ttl || got.Who != "alice" || got.Epoch <= before.Epoch {
		t.Errorf("suspending: %+v", got)
	}
	_, err = s.Renew(ctx, mine, ttl)
	if held, ok := errors.AsType[*lease.SuspendedError](err); !ok || held.Link != link || fault.HintOf(err) != "mailmirror resume "+link {
		t.Errorf("renew: %v, hint %q", err, fault.HintOf(err))
	}
	if other, err = s.Renew(ctx, other, ttl); err != nil {
		t.Errorf("renew of the other link: %v", err)
	}
	if now, err := s.ConfirmSuspended(ctx, link, got.Epoch); err != nil || now.State != suspension.Suspending {
		t.Errorf("acknowledged while a lease is held: %+v, %v", now, err)
	}
	if err := second(s.TakeLease(ctx, lease.OfRestore(keyOf("2")), times)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a restore before the acknowledgement: %v", err)
	}
	must(t, s.Release(ctx, mine, true))
	if now, err := s.ConfirmSuspended(ctx, link, got.Epoch-1); err != nil || now.State != suspension.Suspending {
		t.Errorf("acknowledged by another epoch: %+v, %v", now, err)
	}
	if now, err := s.ConfirmSuspended(ctx, link, got.Epoch); err != nil || now.State != suspension.Suspended || now.SuspendedAt.IsZero() {
		t.Errorf("not acknowledged: %+v, %v", now, err)
	}
	if due, err := s.DueMailboxes(ctx, 0); err != nil || slices.ContainsFunc(due, func(k mailbox.Key) bool { return k.Link == link }) || len(due) == 0 {
		t.Errorf("due: %v, %v", due, err)
	}
	// Everything is suspended and resumed besides: the link stays suspended.
	everything := suspend(t, s)
	must(t, s.Release(ctx, other, true))
	refused(t, "restore while everything is suspended", second(s.TakeLease(ctx, lease.OfRestore(keyOf("2")), times)))
	_, err = s.Resume(ctx, suspension.Request{Epoch: everything.Epoch})
	must(t, err)
	restore, err := s.TakeLease(ctx, lease.OfRestore(keyOf("2")), times)
	must(t, err)
	begin(t, s, mailbox.Key{Link: "side", Number: "2"})
	if _, _, err := s.Begin(ctx, keyOf("1"), ttl, fence); !fault.Is(err, fault.Conflict) {
		t.Errorf("the link mirrors: %v", err)
	}
	// Resumed, the restore is not prolonged, and the mirror waits for its end.
	if now, err := s.Resume(ctx, suspension.Request{Link: link, Epoch: got.Epoch - 1}); err != nil || now.State != suspension.Suspended {
		t.Errorf("resumed by another epoch: %+v, %v", now, err)
	}
	resumed, err := s.Resume(ctx, suspension.Request{Link: link, Who: "bob", Epoch: got.Epoch})
	must(t, err)
	if resumed.State != suspension.Running || resumed.Epoch <= got.Epoch || resumed.Who != "bob" {
		t.Errorf("resumed: %+v", resumed)
	}
	if _, ok := errors.AsType[*lease.RunningError](second(s.Renew(ctx, restore, ttl))); !ok {
		t.Error("the restore goes on after the resumption")
	}
	sameOutcome(t, "mirror", second(take(s, lease.OfMailbox(keyOf("1")))), &lease.HeldError{})
	must(t, s.Release(ctx, restore, true))
	begin(t, s, keyOf("1"))
	if again, err := s.Suspend(ctx, suspension.Request{Link: link, Who: "alice"}); err != nil || again.Epoch <= resumed.Epoch {
		t.Errorf("suspended again: %+v, %v", again, err)
	}
	// A link without the proof gets no lease of any kind; see TestSuspensionLostWithTheDatabase.
	sql(t, dsn, "UPDATE link_suspension_proof SET server_start = '-infinity'")
	if _, _, err := s.Begin(ctx, mailbox.Key{Link: "feed", Number: "3"}, ttl, fence); !fault.Is(err, fault.Conflict) {
		t.Errorf("a lease without the proof: %v", err)
	}
	proof, err := s.SuspensionProof(ctx)
	must(t, err)
	if !proof.Confirmed || proof.LinksConfirmed || !proof.Rows.Own("feed").Unconfirmed {
		t.Errorf("without the proof: %+v", proof)
	}
	must(t, s.ConfirmLinks(ctx, suspension.Proof{LinksMark: "1 2"})) // of another version
	must(t, s.ConfirmLinks(ctx, proof))
	begin(t, s, mailbox.Key{Link: "feed", Number: "3"})
	rows, err := s.Audit(ctx, link, 0)
	must(t, err)
	if len(rows) == 0 || rows[0].Command != "suspend" || rows[0].Link != link || rows[0].Actor != "alice" {
		t.Errorf("audit: %+v", rows)
	}
}

// TestLinkSuspensionEndsWithTheLink: the suspension of a link goes with the link. One of
// the same name that is added later runs, at an epoch above.
func TestLinkSuspensionEndsWithTheLink(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	got, err := s.Suspend(ctx, suspension.Request{Link: link, Who: "alice"})
	must(t, err)
	must(t, s.RemoveLink(ctx, link))
	all, err := s.Suspensions(ctx)
	must(t, err)
	if gone := all.Own(link); len(all) != 1 || gone.Epoch != 0 || gone.Suspended() {
		t.Errorf("without the link: %+v", all)
	}
	if gone, err := s.Suspend(ctx, suspension.Request{Link: link, Who: "alice"}); err != nil || gone.Epoch != 0 {
		t.Errorf("suspended without a link: %+v, %v", gone, err)
	}
	must(t, s.AddLink(ctx, site.Link{Name: link, Source: "prod", Target: "dr"}))
	if all, err = s.Suspensions(ctx); err != nil || all.Own(link).Still() || all.Own(link).Epoch <= got.Epoch {
		t.Errorf("added again: %+v, %v", all.Own(link), err)
	}
	_, err = s.AddMailboxes(ctx, link, numbersOf("1"))
	must(t, err)
	begin(t, s, keyOf("1"))
}
