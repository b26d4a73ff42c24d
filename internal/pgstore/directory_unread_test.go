//go:build integration

package pgstore_test

import (
	"slices"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/pgstore"
)

// unread is a record that could not be read.
func unread(side, id, number string) directory.Record {
	r := directory.Record{Number: number, Unread: true}
	if id != "" {
		r.Ref = directory.Ref{ID: id, DN: "cn=" + side + id}
	}
	return r
}

// An entry that could not be read is told with the reason, and nothing is done to it on
// the other side: it is neither created twice, nor changed, nor removed. All others are
// compared as ever.
func TestCompareUnread(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	limits := dirsync.DefaultSettings()
	limits.RemoveUnknown = true
	source, target := []directory.Record{}, []directory.Record{}
	for _, n := range []string{"1", "2", "3", "4", "5"} {
		source, target = append(source, entry("s", "s"+n, n, "cn=x")), append(target, entry("t", "t"+n, n, "cn=x"))
	}
	compared(t, s, "first", dirsync.TriggerOperator, limits, source, target)
	finished(t, s, "first")

	next := func(run string, source, target []directory.Record, s1, t1 directory.Extracted, want ...string) {
		t.Helper()
		must(t, s.BeginDirectoryRun(ctx, run, link, dirsync.TriggerOperator))
		must(t, s.StageDirectory(ctx, run, dirsync.SourceSide, each(source)))
		must(t, s.StageDirectory(ctx, run, dirsync.TargetSide, each(target)))
		s1.Entries, t1.Entries = len(source), len(target)
		must(t, s.SaveExtracts(ctx, run, s1, t1))
		for range 2 { // a retry finds the same
			if _, err := s.CompareDirectory(ctx, run, limits); err != nil {
				t.Fatal(err)
			}
		}
		got := allTold(changesOf(t, s, run))
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%q, want\n%q", run, got, want)
		}
	}
	next("second",
		[]directory.Record{entry("s", "s1", "1", "cn=y"), unread("s", "s2", "2"), unread("s", "s3", "33"), entry("s", "s4", "4", "cn=y"), unread("s", "s6", "6")},
		[]directory.Record{entry("t", "t1", "1", "cn=x"), entry("t", "t2", "2", "cn=z"), entry("t", "t3", "3", "cn=x"), unread("t", "t4", "4"), entry("t", "t5", "5", "cn=x")},
		directory.Extracted{Unread: []directory.Unread{{Number: "2", Text: "two", Hint: "repair it"}}},
		directory.Extracted{Unread: []directory.Unread{{Number: "4", Text: "four"}, {Number: "2", Text: "not this"}}},
		"alter 1 s1>t1 planned [cn]", "remove 5 >t5 planned",
		"unread 2 s2> told", "unread 33 s3> told", "unread 4 >t4 told", "unread 6 s6> told")
	for _, c := range changesOf(t, s, "second", dirsync.ChangeTold) {
		if want := map[string]string{"2": "two", "4": "four"}[c.Number]; c.Error != want {
			t.Errorf("%s: %q, want %q", c.Number, c.Error, want)
		}
	}
	if run := finished(t, s, "second"); run.Unread != 4 || run.Source != 5 || run.Target != 5 {
		t.Errorf("%+v", run)
	}

	// Of some entries not even the names are known: nothing is removed at all, and what
	// the operator decided stays.
	held := func(run string) int {
		t.Helper()
		n, err := pgstore.HoldDirectoryChanges(ctx, s, run, []directory.ChangeKind{directory.Remove}, []string{"because"})
		must(t, err)
		return n
	}
	next("third", source[:4], target, directory.Extracted{}, directory.Extracted{}, "remove 5 >t5 planned")
	if held("third") != 1 {
		t.Error("the removal is not held")
	}
	holds, err := s.DirectoryHolds(ctx, link)
	must(t, err)
	if _, err := s.DecideDirectoryHolds(ctx, []int64{holds[0].ID}, guard.HoldRefused, "me"); err != nil {
		t.Fatal(err)
	}
	finished(t, s, "third")
	next("fourth", append(slices.Clone(source[:3]), unread("s", "", "")), target,
		directory.Extracted{Partial: true, Unread: []directory.Unread{{Text: "a range"}}}, directory.Extracted{}, "unread  > told")
	finished(t, s, "fourth")
	next("fifth", source[:4], target, directory.Extracted{}, directory.Extracted{}, "remove 5 >t5 refused")
}
