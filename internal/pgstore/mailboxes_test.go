//go:build integration

package pgstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func TestMailboxes(t *testing.T) {
	t.Parallel()
	s := seeded(t, "30", "4", "100", "Ü")
	ctx := t.Context()

	if n, err := s.AddMailboxes(ctx, link, []mailbox.Number{"4", "5", "5"}); err != nil || n != 1 {
		t.Errorf("AddMailboxes = %d, %v; want 1 new one", n, err)
	}
	if n, err := s.AddMailboxes(ctx, link, []mailbox.Number{"4"}); err != nil || n != 0 {
		t.Errorf("AddMailboxes again = %d, %v", n, err)
	}
	_, err := s.AddMailboxes(ctx, "none", []mailbox.Number{"1"})
	wantKind(t, err, fault.NotFound)
	_, err = s.AddMailboxes(ctx, "none", nil)
	wantKind(t, err, fault.NotFound)

	// By the bytes of the number, page by page.
	var paged []mailbox.Number
	for after := mailbox.Number(""); ; {
		page, err := s.NumbersPage(ctx, link, after, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		after = page[len(page)-1]
	}
	equal(t, "numbers", paged, []mailbox.Number{"100", "30", "4", "5", "Ü"})
	all, err := s.Mailboxes(ctx, link, "", 0)
	must(t, err)
	if len(all) != 5 || all[0].Number != "100" {
		t.Errorf("Mailboxes = %v", all)
	}
	some, err := s.Mailboxes(ctx, link, "30", 2)
	must(t, err)
	if len(some) != 2 || some[0].Number != "4" || some[1].Number != "5" {
		t.Errorf("Mailboxes after 30 = %v", some)
	}
	_, err = s.Mailboxes(ctx, "none", "", 0)
	wantKind(t, err, fault.NotFound)
	if n, err := s.CountMailboxes(ctx, link); err != nil || n != 5 {
		t.Errorf("CountMailboxes = %d, %v", n, err)
	}

	fresh := box(t, s, "4")
	if fresh.State != site.StateNew || fresh.DirtyGeneration != 1 || fresh.DirtySince.IsZero() || fresh.NextAttemptAt.IsZero() {
		t.Errorf("a new mailbox is not due from the start: %+v", fresh)
	}
	for _, key := range []mailbox.Key{{Link: "none", Number: "4"}, keyOf("none")} {
		_, err := s.Mailbox(ctx, key)
		wantKind(t, err, fault.NotFound)
		_, err = s.MarkDirty(ctx, key)
		wantKind(t, err, fault.NotFound)
	}

	if n, err := s.RemoveMailboxes(ctx, link, []mailbox.Number{"4", "none"}); err != nil || n != 1 {
		t.Errorf("RemoveMailboxes = %d, %v", n, err)
	}
	_, err = s.RemoveMailboxes(ctx, "none", []mailbox.Number{"4"})
	wantKind(t, err, fault.NotFound)
	lease, _ := begin(t, s, keyOf("5"))
	n, err := s.RemoveMailboxes(ctx, link, []mailbox.Number{"30", "5"})
	if wantKind(t, err, fault.Conflict); n != 0 {
		t.Errorf("%d were removed although one is being synced", n)
	}
	must(t, s.Release(ctx, lease, true))
	if n, err := s.RemoveMailboxes(ctx, link, []mailbox.Number{"30", "5"}); err != nil || n != 2 {
		t.Errorf("RemoveMailboxes = %d, %v", n, err)
	}
}

// TestStates walks a mailbox through all its states.
func TestStates(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	step := 0
	want := func(state site.MailboxState) {
		t.Helper()
		step++
		m := box(t, s, "1")
		if m.State != state {
			t.Errorf("step %d: state %s, want %s", step, m.State, state)
		}
		status, err := s.Status(ctx, link)
		must(t, err)
		counts := map[site.MailboxState]int{
			site.StateNew: status[0].States.New, site.StateEqual: status[0].States.Equal,
			site.StateDiffering: status[0].States.Differing, site.StateDirty: status[0].States.Dirty,
			site.StateParked: status[0].States.Parked,
		}
		if counts[state] != 1 {
			t.Errorf("step %d: Status counts %v, want one %s", step, counts, state)
		}
	}
	failed := func(kind fault.Kind, run string) {
		t.Helper()
		r := report("1", 1)
		r.Outcome, r.ErrKind, r.Err, r.RunID = copier.Failed, string(kind), "no", run
		must(t, s.RecordFailure(ctx, r, time.Hour))
	}
	succeed := func(outcome copier.Outcome, differences int) {
		t.Helper()
		r := report("1", box(t, s, "1").DirtyGeneration)
		r.Outcome, r.Differences = outcome, differences
		lease, _ := begin(t, s, keyOf("1"))
		must(t, s.Save(ctx, lease, updateDone(r)))
	}

	want(site.StateNew)
	failed(fault.Transient, "a")
	want(site.StateNew)
	succeed(copier.Equal, 0)
	want(site.StateEqual)
	_, err := s.MarkDirty(ctx, keyOf("1"))
	must(t, err)
	want(site.StateDirty)
	succeed(copier.Differing, 3)
	want(site.StateDiffering)
	failed(fault.Transient, "b")
	want(site.StateDirty)
	failed(fault.Transient, "c")
	failed(fault.Conflict, "d")
	want(site.StateDirty)
	failed(fault.Transient, "e")
	want(site.StateParked)
	must(t, s.RecordReviewed(ctx, link, []site.Reviewed{{Number: "1", Generation: box(t, s, "1").DirtyGeneration}}))
	want(site.StateDiffering)
	failed(fault.Permanent, "f")
	want(site.StateParked)
	succeed(copier.Equal, 0)
	want(site.StateEqual)
}

// TestDueMailboxes: what is dirty, due and not being written to, the longest
// due first; a mailbox that is marked again keeps its place.
func TestDueMailboxes(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	ctx := t.Context()
	for _, n := range []mailbox.Number{"3", "1", "2"} { // one by one, so that their times differ
		_, err := s.AddMailboxes(ctx, link, []mailbox.Number{n})
		must(t, err)
	}
	want := func(numbers ...mailbox.Number) {
		t.Helper()
		keys, err := s.DueMailboxes(ctx, 0)
		must(t, err)
		var got []mailbox.Number
		for _, k := range keys {
			got = append(got, k.Number)
		}
		equal(t, "due mailboxes", got, numbers)
	}
	want("3", "1", "2")
	_, err := s.MarkDirty(ctx, keyOf("3"))
	must(t, err)
	want("3", "1", "2")
	if keys, err := s.DueMailboxes(ctx, 2); err != nil || len(keys) != 2 {
		t.Errorf("DueMailboxes(2) = %v, %v", keys, err)
	}

	lease, _ := begin(t, s, keyOf("1"))
	want("3", "2")
	r := report("1", 1)
	must(t, s.Save(ctx, lease, updateDone(r)))
	want("3", "2") // clean
	_, err = s.MarkDirty(ctx, keyOf("1"))
	must(t, err)
	want("3", "2", "1")

	failed := report("3", 2)
	failed.Outcome, failed.ErrKind, failed.Err = copier.Failed, "transient", "no"
	must(t, s.RecordFailure(ctx, failed, time.Hour))
	want("2", "1")
	_, err = s.MarkDirty(ctx, keyOf("3")) // an operator's or a change's mark makes it due now
	must(t, err)
	want("2", "1", "3")

	lease, _, err = s.Begin(ctx, keyOf("2"), time.Microsecond, 0)
	must(t, err)
	want("2", "1", "3") // the lease has expired by now
	must(t, s.Release(ctx, lease, false))
	want("2", "1", "3")
}

// TestDueMailboxesWhileACompareRuns: a compare copies the new mailboxes that it
// found, so nothing else is started for them, unless there is another reason to
// or nothing is heard of the compare any more.
func TestDueMailboxesWhileACompareRuns(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t)
	ctx := t.Context()
	add := func(numbers ...mailbox.Number) {
		t.Helper()
		_, err := s.AddMailboxes(ctx, link, numbers)
		must(t, err)
	}
	want := func(when string, numbers ...mailbox.Number) {
		t.Helper()
		keys, err := s.DueMailboxes(ctx, 0)
		must(t, err)
		var got []mailbox.Number
		for _, k := range keys {
			got = append(got, k.Number)
		}
		slices.Sort(got)
		equal(t, "due mailboxes "+when, got, numbers)
	}
	start := func(run string) {
		t.Helper()
		must(t, s.StartCompare(ctx, site.CompareRun{RunID: run, Link: link, StartedAt: time.Now()}))
	}

	must(t, s.AddLink(ctx, site.Link{Name: "elsewhere", Source: "dr", Target: "prod"}))
	must(t, s.StartCompare(ctx, site.CompareRun{RunID: "elsewhere", Link: "elsewhere", StartedAt: time.Now()}))
	add("dirty", "failed", "new")
	want("while another link is compared", "dirty", "failed", "new")
	start("first")
	want("as a compare begins")
	add("late")
	want("after one was added", "late")
	_, err := s.MarkDirty(ctx, keyOf("dirty"))
	must(t, err)
	want("after a change", "dirty", "late")
	failed := report("failed", 1)
	failed.Outcome, failed.ErrKind, failed.Err = copier.Failed, "transient", "no"
	must(t, s.RecordFailure(ctx, failed, 0))
	want("after a failure", "dirty", "failed", "late")
	must(t, s.FinishCompare(ctx, "first"))
	want("after the compare", "dirty", "failed", "late", "new")

	// A compare that died without a word is forgotten after a while, and one
	// that reports progress is not, however long ago it began.
	start("second")
	want("as another begins", "dirty", "failed")
	sql(t, dsn, "UPDATE compare_runs SET updated_at = now() - interval '11 minutes'")
	want("after the compare died", "dirty", "failed", "late", "new")
	must(t, s.AddCompareProgress(ctx, "second", 0, site.CompareProgress{Reviewed: 1}))
	want("since the compare is alive", "dirty", "failed")
}

// TestManyMailboxes adds and pages through more than anyone has.
func TestManyMailboxes(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	ctx := t.Context()
	numbers := make([]mailbox.Number, 100_000)
	for i := range numbers {
		numbers[i] = mailbox.Number(fmt.Sprintf("%06d", i))
	}
	start := time.Now()
	if n, err := s.AddMailboxes(ctx, link, numbers); err != nil || n != len(numbers) {
		t.Fatalf("AddMailboxes = %d, %v", n, err)
	}
	t.Logf("added %d mailboxes in %v", len(numbers), time.Since(start))
	start = time.Now()
	status, err := s.Status(ctx, "")
	must(t, err)
	if status[0].Mailboxes != len(numbers) || status[0].States.New != len(numbers) || status[0].Lag <= 0 {
		t.Errorf("Status = %+v", status[0])
	}
	t.Logf("status in %v", time.Since(start))
	start = time.Now()
	page, err := s.NumbersPage(ctx, link, numbers[50_000], 500)
	must(t, err)
	if len(page) != 500 || page[0] != numbers[50_001] {
		t.Errorf("a page of %d from %s", len(page), page[0])
	}
	t.Logf("page of numbers in %v", time.Since(start))
	start = time.Now()
	if due, err := s.DueMailboxes(ctx, 500); err != nil || len(due) != 500 {
		t.Errorf("DueMailboxes: %d, %v", len(due), err)
	}
	t.Logf("500 due mailboxes in %v", time.Since(start))
}
