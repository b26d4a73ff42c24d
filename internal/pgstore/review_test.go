//go:build integration

package pgstore_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func TestReviewStates(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3")
	ctx := t.Context()
	save(t, s, keyOf("1"), initialCopy())
	_, err := s.MarkDirty(ctx, keyOf("2"))
	must(t, err)
	got, err := s.ReviewStates(ctx, link, []mailbox.Number{"1", "2", "none"})
	must(t, err)
	withoutPairs := initialStates()
	for i := range withoutPairs { // of no use to a review
		withoutPairs[i].Pairs, withoutPairs[i].Former = nil, nil
	}
	equal(t, "review states", got, map[mailbox.Number]site.ReviewState{
		"1": {Generation: 1, Folders: withoutPairs},
		"2": {Generation: 2},
	})
	for _, c := range []struct {
		link string
		page []mailbox.Number
	}{{"none", []mailbox.Number{"1"}}, {link, nil}} {
		if got, err := s.ReviewStates(ctx, c.link, c.page); err != nil || len(got) != 0 {
			t.Errorf("ReviewStates(%s, %v) = %v, %v", c.link, c.page, got, err)
		}
	}
}

func TestRecordReviewed(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3", "4")
	ctx := t.Context()
	// 1 is as it was, 2 changes during the review, 3 failed before, 4 differs.
	_, err := s.MarkDirty(ctx, keyOf("2"))
	must(t, err)
	failed := report("3", 1)
	failed.Outcome, failed.ErrKind, failed.Err = copier.Failed, "transient", "no"
	must(t, s.RecordFailure(ctx, failed, time.Hour))
	differing := report("4", 1)
	differing.Outcome, differing.Differences = copier.Differing, 1
	lease, _ := begin(t, s, keyOf("4"))
	must(t, s.Save(ctx, lease, updateDone(differing)))

	must(t, s.RecordReviewed(ctx, link, []site.Reviewed{
		{Number: "1", Generation: 1, Messages: 10, Greetings: 3}, {Number: "2", Generation: 1, Messages: 20},
		{Number: "3", Generation: 1}, {Number: "4", Generation: 1}, {Number: "none", Generation: 1},
	}))
	must(t, s.RecordReviewed(ctx, link, nil))
	one, two, three, four := box(t, s, "1"), box(t, s, "2"), box(t, s, "3"), box(t, s, "4")
	if one.State != site.StateEqual || one.Messages != 10 || one.Greetings != 3 || one.LastEqualAt.IsZero() || one.LastReviewAt.IsZero() {
		t.Errorf("as it was: %+v", one)
	}
	if two.State != site.StateDirty || two.CleanGeneration != 1 || two.Messages != 20 || two.DirtySince.IsZero() {
		t.Errorf("changed meanwhile: %+v", two)
	}
	if three.State != site.StateEqual || three.Failures != 0 || three.Error != "" || three.ErrorKind != "" || !three.ErrorAt.IsZero() {
		t.Errorf("failed before: %+v", three)
	}
	if four.State != site.StateDiffering || !four.LastEqualAt.IsZero() || four.LastReviewAt.IsZero() {
		t.Errorf("with a lasting difference: %+v", four)
	}
	if due, err := s.DueMailboxes(ctx, 0); err != nil || len(due) != 1 || due[0].Number != "2" {
		t.Errorf("DueMailboxes = %v, %v", due, err)
	}
}

func TestRecordFailure(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(ctx, lease, updateDone(report("1", 1))))

	failed := report("1", 1)
	failed.Outcome, failed.ErrKind, failed.Err, failed.Hint = copier.Failed, "transient", "no\x00 \xff room", "free some"
	must(t, s.RecordFailure(ctx, failed, time.Hour))
	must(t, s.RecordFailure(ctx, failed, time.Hour)) // the same one again counts once
	m := box(t, s, "1")
	if m.Failures != 1 || m.ErrorKind != "transient" || m.Error != "no \uFFFD room" || m.Hint != "free some" || m.ErrorAt.IsZero() ||
		m.DirtyGeneration != 2 || m.DirtySince.IsZero() {
		t.Errorf("after a failure: %+v", m)
	}
	if in := time.Until(m.NextAttemptAt); in < 59*time.Minute || in > time.Hour {
		t.Errorf("next attempt in %v, want an hour", in)
	}
	first := errorsOf(t, s, link)
	second := failed
	second.Started = failed.Started.Add(time.Minute)
	must(t, s.RecordFailure(ctx, second, time.Hour))
	m = box(t, s, "1")
	if m.Failures != 2 || m.DirtyGeneration != 2 {
		t.Errorf("after the second failure: %+v", m)
	}
	if again := errorsOf(t, s, link); !again[0].Since.Equal(first[0].Since) || again[0].Failures != 2 {
		t.Errorf("failing since %v, before %v", again[0].Since, first[0].Since)
	}
	entries, err := s.History(ctx, link, "1", 0)
	must(t, err)
	if len(entries) != 3 || entries[0].Err != "no \uFFFD room" || entries[0].Hint != "free some" || entries[0].Outcome != copier.Failed {
		t.Errorf("history: %+v", entries)
	}

	gone := failed
	gone.Key = keyOf("none")
	wantKind(t, s.RecordFailure(ctx, gone, time.Hour), fault.NotFound)
	gone.Key.Link = "none"
	err = s.RecordFailure(ctx, gone, time.Hour)
	if wantKind(t, err, fault.NotFound); !strings.Contains(err.Error(), "link none") {
		t.Errorf("%v does not name the link", err)
	}
}

func errorsOf(t *testing.T, s interface {
	Errors(context.Context, string) ([]site.ErrorEntry, error)
}, link string) []site.ErrorEntry {
	t.Helper()
	entries, err := s.Errors(t.Context(), link)
	must(t, err)
	return entries
}

func TestErrors(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2", "3", "4")
	ctx := t.Context()
	for _, n := range []mailbox.Number{"2", "3"} {
		save(t, s, keyOf(n), initialCopy())
	}
	for _, n := range []mailbox.Number{"1", "2", "4"} {
		failed := report(n, 1)
		failed.Outcome, failed.ErrKind, failed.Err = copier.Failed, "transient", "no "+string(n)
		must(t, s.RecordFailure(ctx, failed, time.Hour))
	}
	type line struct {
		Number mailbox.Number
		Kind   string
		UID    mailbox.UID
	}
	var got []line
	entries := errorsOf(t, s, "")
	for _, e := range entries {
		if e.Link != link || e.Since.IsZero() || e.Text == "" {
			t.Errorf("entry %+v", e)
		}
		got = append(got, line{e.Number, e.Kind, e.SourceUID})
	}
	equal(t, "errors", got, []line{
		{"1", "transient", 0}, {"2", "transient", 0}, {"2", "altered", 11}, {"2", "refused", 11},
		{"3", "altered", 11}, {"3", "refused", 11}, {"4", "transient", 0},
	})
	equal(t, "errors of the link", errorsOf(t, s, link), entries)
	_, err := s.Errors(ctx, "none")
	wantKind(t, err, fault.NotFound)

	// What is still so keeps the time since when it is.
	since := entries[4].Since
	save(t, s, keyOf("3"), initialCopy())
	for _, e := range errorsOf(t, s, link) {
		if e.Number == "3" && e.Kind == "altered" && !e.Since.Equal(since) {
			t.Errorf("since %v, before %v", e.Since, since)
		}
	}
}

func TestHistory(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	start := time.Now().Add(-time.Hour)
	for i := range 5 {
		r := report([]mailbox.Number{"1", "2"}[i%2], 1)
		r.Started = start.Add(time.Duration(i) * time.Minute)
		lease, _ := begin(t, s, r.Key)
		must(t, s.Save(ctx, lease, updateDone(r)))
	}
	for _, c := range []struct {
		number mailbox.Number
		limit  int
		want   []int // minutes after start
	}{{"", 0, []int{4, 3, 2, 1, 0}}, {"", 2, []int{4, 3}}, {"1", 0, []int{4, 2, 0}}, {"2", 1, []int{3}}} {
		entries, err := s.History(ctx, link, c.number, c.limit)
		must(t, err)
		var got []int
		for _, e := range entries {
			got = append(got, int(math.Round(e.Started.Sub(start).Minutes())))
		}
		equal(t, "history", got, c.want)
	}
	_, err := s.History(ctx, "none", "", 0)
	wantKind(t, err, fault.NotFound)
	_, err = s.History(ctx, link, "none", 0)
	wantKind(t, err, fault.NotFound)
}
