//go:build integration

package pgstore_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
)

// heldFor is the Wait of a Begin that must be refused.
func heldFor(t *testing.T, s *pgstore.Store, fence time.Duration) time.Duration {
	t.Helper()
	_, _, err := s.Begin(t.Context(), keyOf("1"), ttl, fence)
	held, ok := errors.AsType[*lease.HeldError](err)
	if !ok || !fault.Is(err, fault.Conflict) || held.Resource != lease.OfMailbox(keyOf("1")) {
		t.Fatalf("Begin: %v, want a LeaseHeldError of kind conflict", err)
	}
	return held.Wait
}

func TestLease(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	before := time.Now()
	lease, _ := begin(t, s, keyOf("1"))
	if lease.Key != keyOf("1") || lease.Epoch == 0 || lease.Deadline.Before(before.Add(ttl)) || lease.Deadline.After(time.Now().Add(ttl)) {
		t.Errorf("lease %+v", lease)
	}
	if wait := heldFor(t, s, fence); wait <= ttl-5*time.Second || wait > ttl+fence {
		t.Errorf("held for %v, want what is left of %v and %v", wait, ttl, fence)
	}
	begin(t, s, keyOf("2")) // another mailbox is another lease

	renewed, err := s.Renew(ctx, lease, 2*ttl)
	must(t, err)
	if renewed.Epoch != lease.Epoch || renewed.Deadline.Before(lease.Deadline.Add(ttl)) {
		t.Errorf("renewed %+v, before %+v", renewed, lease)
	}
	if wait := heldFor(t, s, fence); wait <= 2*ttl-5*time.Second {
		t.Errorf("held for %v after a renewal to %v", wait, 2*ttl)
	}

	// Released cleanly, it is free at once; whoever held it holds nothing.
	must(t, s.Release(ctx, renewed, true))
	next, _ := begin(t, s, keyOf("1"))
	if next.Epoch <= lease.Epoch {
		t.Errorf("epoch %d after %d", next.Epoch, lease.Epoch)
	}
	for name, err := range map[string]error{
		"save":          s.Save(ctx, lease, initialCopy()),
		"save done":     s.Save(ctx, lease, updateDone(report("1", 1))),
		"release":       s.Release(ctx, lease, true),
		"release dirty": s.Release(ctx, lease, false),
		"renew":         second(s.Renew(ctx, lease, ttl)),
	} {
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("%s under a lease that was lost: %v, want a conflict", name, err)
		}
	}
	if _, err := s.Renew(ctx, next, ttl); err != nil {
		t.Errorf("the present holder was hurt: %v", err)
	}
	must(t, s.Release(ctx, next, true))
	equal(t, "states", known(t, s, keyOf("1")), nil)
	if entries, err := s.History(ctx, link, "1", 0); err != nil || len(entries) != 0 {
		t.Errorf("history %v, %v: a lost lease left a trace", entries, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestLeaseFence: a lease that ended uncleanly, by expiry or by a release that
// says so, is free only after the fence.
func TestLeaseFence(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	ctx := t.Context()
	// age lets time go by for every lease.
	age := func(by time.Duration) {
		t.Helper()
		sql(t, dsn, fmt.Sprintf("UPDATE leases SET expires_at = expires_at - interval '%d microseconds'", by.Microseconds()))
	}
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Release(ctx, lease, false))
	if wait := heldFor(t, s, time.Hour); wait <= 59*time.Minute || wait > time.Hour {
		t.Errorf("held for %v, want the fence", wait)
	}
	if _, err := s.Renew(ctx, lease, ttl); !fault.Is(err, fault.Conflict) {
		t.Errorf("renewed after its release: %v", err)
	}
	age(fence) // its own fence is waited for, also by who has none
	lease, _, err := s.Begin(ctx, keyOf("1"), time.Hour, 0)
	must(t, err)
	age(time.Hour)

	// The wait that an error states is enough, and no less is.
	wait := heldFor(t, s, time.Hour)
	if wait > time.Hour {
		t.Errorf("held for %v after expiry, want at most the fence of an hour", wait)
	}
	age(wait - 10*time.Minute)
	if rest := heldFor(t, s, time.Hour); rest > 10*time.Minute {
		t.Errorf("held for %v, want the 10 minutes that are left", rest)
	}
	age(10 * time.Minute)
	next, _, err := s.Begin(ctx, keyOf("1"), ttl, time.Hour)
	must(t, err)
	// Nobody renews an expired lease, whether another has begun or not.
	_, err = s.Renew(ctx, lease, ttl)
	wantKind(t, err, fault.Conflict)
	must(t, s.Release(ctx, next, true))
	expired, _, err := s.Begin(ctx, keyOf("1"), time.Hour, 0)
	must(t, err)
	age(time.Hour)
	_, err = s.Renew(ctx, expired, ttl)
	wantKind(t, err, fault.Conflict)
	// What its holder knows is good to keep all the same, until another begins.
	must(t, s.Save(ctx, expired, initialCopy()))
	must(t, s.Release(ctx, expired, true))
	equal(t, "states", known(t, s, keyOf("1")), initialStates())
}

// TestLeaseContention: of many that begin at once one gets the lease, over two
// pools as over two workers, and no epoch comes twice.
func TestLeaseContention(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	var stores []*pgstore.Store
	for range 2 {
		s, err := pgstore.Open(t.Context(), dsn)
		must(t, err)
		t.Cleanup(s.Close)
		stores = append(stores, s)
	}
	addLink(t, stores[0])
	_, err := stores[0].AddMailboxes(t.Context(), link, []mailbox.Number{"1"})
	must(t, err)

	var wg sync.WaitGroup
	var mu sync.Mutex
	var inside, taken atomic.Int32
	epochs := map[int64]bool{}
	for i := range 16 {
		s := stores[i%2]
		wg.Go(func() {
			for range 25 {
				lease, _, err := s.Begin(t.Context(), keyOf("1"), ttl, fence)
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two hold the lease")
				}
				taken.Add(1)
				mu.Lock()
				if epochs[lease.Epoch] {
					t.Errorf("epoch %d came twice", lease.Epoch)
				}
				epochs[lease.Epoch] = true
				mu.Unlock()
				if err := s.Save(t.Context(), lease, initialCopy()); err != nil {
					t.Error(err)
				}
				inside.Add(-1)
				if err := s.Release(t.Context(), lease, true); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("nobody ever got the lease")
	}
	t.Logf("%d of 400 got the lease", taken.Load())
}

// TestRemovalMeetsSync: mailboxes are removed and added while syncs begin and
// save. Whatever wins, nobody waits for ever, and nothing but the announced
// kinds of errors comes.
func TestRemovalMeetsSync(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3")
	ctx := t.Context()
	numbers := []mailbox.Number{"1", "2", "3"}
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, n := range numbers {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				lease, _, err := s.Begin(ctx, keyOf(n), ttl, 0)
				if err == nil {
					// Removal refuses a mailbox under a lease, so this never fails.
					if err := s.Save(ctx, lease, initialCopy()); err != nil {
						t.Error("save:", err)
					}
					if err := s.Save(ctx, lease, updateDone(report(n, 1))); err != nil {
						t.Error("save done:", err)
					}
				} else if kind := fault.KindOf(err); kind != fault.NotFound && kind != fault.Conflict {
					// Config: removed. Conflict: removed and added while Begin ran.
					t.Error("begin:", err)
				}
			}
		})
	}
	removed := 0
	for i := 0; i < 200 || (removed < 10 && i < 20_000); i++ {
		one := numbers[i%len(numbers)]
		n, err := s.RemoveMailboxes(ctx, link, []mailbox.Number{one})
		if err != nil && !fault.Is(err, fault.Conflict) {
			t.Error("remove:", err)
		}
		removed += n
		if _, err := s.AddMailboxes(ctx, link, []mailbox.Number{one}); err != nil {
			t.Error("add:", err)
		}
	}
	close(done)
	wg.Wait()
	if removed == 0 {
		t.Error("nothing was ever removed: the test did not test")
	}
	t.Logf("removed %d", removed)
}
