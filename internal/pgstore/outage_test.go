//go:build integration

package pgstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// outage is a link whose mailboxes fail because a store does not answer.
type outage struct {
	t   *testing.T
	s   *pgstore.Store
	dsn string
}

// fail records a failure of a mailbox; wait is until its next try.
func (o outage) fail(n mailbox.Number, kind string, wait time.Duration) {
	o.t.Helper()
	r := failed(n)
	r.ErrKind, r.Started, r.Finished = kind, time.Now(), time.Now()
	r.Generation = box(o.t, o.s, n).DirtyGeneration
	must(o.t, o.s.RecordFailure(o.t.Context(), r, wait))
}

// park fails a mailbox until it is parked.
func (o outage) park(n mailbox.Number, kind string) {
	o.t.Helper()
	for range 4 {
		o.fail(n, kind, time.Hour)
		o.age("1 second") // each try has a time of its own
	}
	if b := box(o.t, o.s, n); b.State != site.StateParked {
		o.t.Fatalf("mailbox %s is %s", n, b.State)
	}
}

// age lets time pass for all mailboxes.
func (o outage) age(by string) {
	sql(o.t, o.dsn, `UPDATE mailboxes SET parked_until = parked_until - interval '`+by+`', next_attempt_at = next_attempt_at - interval '`+by+`',
		failing_since = failing_since - interval '`+by+`', error_at = error_at - interval '`+by+`', last_review_at = last_review_at - interval '`+by+`'`,
		`UPDATE stores SET updated_at = updated_at - interval '`+by+`'`)
}

func (o outage) due(n mailbox.Number) bool {
	o.t.Helper()
	keys, err := o.s.DueMailboxes(o.t.Context(), 0)
	must(o.t, err)
	return slices.Contains(keys, keyOf(n))
}

// succeed records that a mailbox was found equal.
func (o outage) succeed(n mailbox.Number) {
	o.t.Helper()
	must(o.t, o.s.RecordReviewed(o.t.Context(), link, []site.Reviewed{{Number: n, Generation: box(o.t, o.s, n).DirtyGeneration}}))
}

// TestStoreAnswersAgain: after an outage of a store, its parked mailboxes are due as
// soon as the store works for one of them, and not only when each has waited out its
// own interval. A try that fails on that ground lengthens no interval.
func TestStoreAnswersAgain(t *testing.T) {
	s, dsn := seededDatabase(t, "1", "2", "3", "4")
	o := outage{t, s, dsn}
	o.succeed("3")
	o.age("1 second")
	o.park("1", "transient")
	o.park("2", "config")
	o.park("4", "permanent") // the store answers, and rejects this mailbox
	if _, err := s.MarkEvents(t.Context(), link, []watch.Mark{{Number: "1", Kind: site.EventMessageIn, Count: 1, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	o.age("1 minute")
	if o.due("1") || o.due("2") {
		t.Fatal("due although no store has answered since")
	}
	before := box(t, s, "1")
	o.succeed("3")
	if !o.due("1") || !o.due("2") {
		t.Error("not due although the store works for another mailbox")
	}
	if o.due("4") {
		t.Error("due although the store rejected this very mailbox")
	}

	// The store works for mailbox 3 only.
	o.fail("1", "transient", 4*time.Hour)
	o.succeed("3")
	if o.due("1") {
		t.Error("due at once after a try that failed")
	}
	if b := box(t, s, "1"); b.Failures != before.Failures || !b.NextAttemptAt.Equal(before.NextAttemptAt) {
		t.Errorf("the try counts: %d failures, next try %v; before %d, %v", b.Failures, b.NextAttemptAt, before.Failures, before.NextAttemptAt)
	}
	o.age("30 minutes")
	o.fail("1", "transient", 4*time.Hour)
	o.age("1 minute")
	o.succeed("3")
	if o.due("1") {
		t.Error("one that fails for half an hour is tried every minute")
	}
	o.age("3 minutes")
	if !o.due("1") {
		t.Error("no further try")
	}

	// What was due by itself counts, and waits longer.
	o.age("1 hour")
	o.fail("1", "transient", 4*time.Hour)
	if b := box(t, s, "1"); b.Failures != before.Failures+1 || time.Until(b.NextAttemptAt) < 3*time.Hour {
		t.Errorf("after a try at its time: %d failures, next try in %v", b.Failures, time.Until(b.NextAttemptAt))
	}
}

// TestStoreEdited: if the settings of a store are changed, the mailboxes that it made
// fail are tried again.
func TestStoreEdited(t *testing.T) {
	s, dsn := seededDatabase(t, "1")
	o := outage{t, s, dsn}
	o.park("1", "config")
	o.age("1 minute")
	if o.due("1") {
		t.Fatal("due although nothing has changed")
	}
	must(t, s.UpdateStore(t.Context(), storeNamed("dr")))
	if !o.due("1") {
		t.Error("not due although the store was edited")
	}
}

// TestDueAmongMany: the mailboxes of a link are looked at twice for what is due,
// however many are parked: once for the newest success, once for their own moments.
func TestDueAmongMany(t *testing.T) {
	var numbers []mailbox.Number
	for i := range 5000 {
		numbers = append(numbers, mailbox.Number(fmt.Sprintf("%06d", i)))
	}
	s, dsn := seededDatabase(t, numbers...)
	sql(t, dsn, `UPDATE mailboxes SET failures = 4, failing_since = now() - interval '5 minutes', error_kind = 'transient', error_at = now() - interval '1 minute',
			parked_until = now() + interval '1 hour', next_attempt_at = now() + interval '1 hour' WHERE number <> '000000'`,
		`UPDATE mailboxes SET last_review_at = now(), clean_generation = dirty_generation WHERE number = '000000'`,
		`ANALYZE mailboxes`, `ANALYZE leases`)
	keys, err := s.DueMailboxes(t.Context(), 0)
	must(t, err)
	equal(t, "due", len(keys), len(numbers)-1)
	plan, err := pgstore.Plan(t.Context(), s, sqlcgen.DueMailboxes, int64(0), time.Minute)
	must(t, err)
	looks := 0
	for _, line := range plan {
		if strings.Contains(line, " on mailboxes ") {
			looks++
		}
	}
	if looks != 2 || slices.ContainsFunc(plan, func(line string) bool {
		return strings.Contains(line, "mailboxes") && strings.Contains(line, "loops") && !strings.Contains(line, "loops=1)")
	}) {
		t.Errorf("the plan looks %d times at the mailboxes:\n%s", looks, strings.Join(plan, "\n"))
	}
	t.Log(strings.Join(plan, "\n"))
}
