//go:build integration

package pgstore_test

import (
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

func progress(n int) site.CompareProgress {
	return site.CompareProgress{
		Reviewed: n, Unchanged: n + 1, Synced: n + 2, Differing: n + 3, Failed: n + 4, Busy: n + 5,
		Messages:    copier.Work{Appended: n + 6, Bytes: int64(n) + 5_000_000_000, FlagsChanged: n + 7, Expunged: n + 8},
		Greetings:   copier.Work{Appended: n + 9, Bytes: int64(n) + 10, FlagsChanged: n + 11, Expunged: n + 12},
		DueMessages: n + 13, DueBytes: int64(n) + 6_000_000_000,
	}
}

func TestCompareRun(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	ctx := t.Context()
	run := site.CompareRun{RunID: "r1", Kind: site.RunCompare, Link: link, Trigger: "operator", Mailboxes: 700, StartedAt: time.Now().Add(-time.Minute)}
	must(t, s.StartCompare(ctx, run))
	again := run
	again.Mailboxes, again.Trigger = 1, "schedule"
	must(t, s.StartCompare(ctx, again)) // the first one counts

	must(t, s.AddCompareProgress(ctx, "r1", 0, progress(100)))
	must(t, s.AddCompareProgress(ctx, "r1", 1, progress(1)))
	must(t, s.AddCompareProgress(ctx, "r1", 0, progress(7))) // replaces the page's first record
	got, err := s.CompareRun(ctx, "r1")
	must(t, err)
	if got.UpdatedAt.IsZero() {
		t.Error("no time of the last progress")
	}
	want := run
	want.CompareProgress, want.UpdatedAt = progress(7).Add(progress(1)), got.UpdatedAt
	equal(t, "compare runs", got, want)

	must(t, s.FinishCompare(ctx, "r1"))
	first, err := s.CompareRun(ctx, "r1")
	must(t, err)
	must(t, s.FinishCompare(ctx, "r1"))
	second, err := s.CompareRun(ctx, "r1")
	must(t, err)
	if first.FinishedAt.IsZero() || !second.FinishedAt.Equal(first.FinishedAt) {
		t.Errorf("finished at %v, later at %v", first.FinishedAt, second.FinishedAt)
	}

	_, err = s.CompareRun(ctx, "none")
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.FinishCompare(ctx, "none"), fault.NotFound)
	wantKind(t, s.AddCompareProgress(ctx, "none", 0, progress(1)), fault.NotFound)
	run.RunID, run.Link = "r2", "none"
	wantKind(t, s.StartCompare(ctx, run), fault.NotFound)
}

func TestStatus(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3")
	ctx := t.Context()
	must(t, s.AddLink(ctx, site.Link{Name: "back", Source: "dr", Target: "prod"}))
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(ctx, lease, updateDone(report("1", 1))))
	must(t, s.RecordReviewed(ctx, link, []site.Reviewed{{Number: "2", Generation: 1, Messages: 10, Greetings: 1}}))
	for i, id := range []string{"older", "newest", "oldest"} {
		must(t, s.StartCompare(ctx, site.CompareRun{RunID: id, Link: link, StartedAt: time.Now().Add(time.Duration([]int{-2, -1, -3}[i]) * time.Hour)}))
	}
	must(t, s.AddCompareProgress(ctx, "newest", 0, progress(1)))

	status, err := s.Status(ctx, "")
	must(t, err)
	if len(status) != 2 || status[0].Link.Name != "back" || status[0].Mailboxes != 0 || status[0].LastCompare != nil || status[0].Lag != 0 {
		t.Fatalf("Status = %+v", status)
	}
	got := status[1]
	if got.Mailboxes != 3 || got.States != (site.StateCounts{New: 1, Equal: 2}) || got.Messages != 15 || got.Greetings != 3 {
		t.Errorf("Status = %+v", got)
	}
	if got.LastCompare == nil || got.LastCompare.RunID != "newest" || got.LastCompare.CompareProgress != progress(1) {
		t.Errorf("last compare %+v", got.LastCompare)
	}
	if got.Lag <= 0 || got.Lag > time.Minute {
		t.Errorf("lag %v with a mailbox that is due since the test began", got.Lag)
	}
	must(t, s.RecordReviewed(ctx, link, []site.Reviewed{{Number: "3", Generation: 1}}))
	one, err := s.Status(ctx, link)
	must(t, err)
	if len(one) != 1 || one[0].Lag != 0 {
		t.Errorf("Status of a link with nothing due: %+v", one)
	}
	_, err = s.Status(ctx, "none")
	wantKind(t, err, fault.NotFound)
}
