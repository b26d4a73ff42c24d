//go:build integration

package pgstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
)

// TestDirectorySample: of every sort of changes there is one before the second of
// any, and none that takes or frees a number.
func TestDirectorySample(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	settings := dirsync.DefaultSettings()
	var source, target, changed []directory.Record
	alter := func(number, parent, column string) {
		was := entry("t", "t"+number, number, column+"=old")
		was.DN = "cn=Müller\\, " + number + "," + parent
		target = append(target, was)
		source = append(source, entry("s", "s"+number, number, column+"=old"))
		changed = append(changed, entry("s", "s"+number, number, column+"=new"))
	}
	for n := range 20 {
		alter(fmt.Sprint(100+n), "ou=many", "misc1")
	}
	alter("300", "ou=few", "misc1")
	alter("301", "ou=many", "misc2")
	for _, number := range []string{"401", "402", "403"} {
		source, target = append(source, entry("s", "s"+number, number)), append(target, entry("t", "t"+number, number))
	}
	compared(t, s, "one", "operator", settings, source, target)
	finished(t, s, "one")
	for n := range 20 {
		changed = append(changed, entry("s", fmt.Sprint("new", n), fmt.Sprint(500+n)))
	}
	// Two change numbers with each other, and a new one takes that which a third had.
	changed = append(changed, entry("s", "s401", "402"), entry("s", "s402", "401"), entry("s", "s403", "404"), entry("s", "taker", "403"))
	compared(t, s, "two", "operator", settings, changed, target)

	all := changesOf(t, s, "two", dirsync.ChangePlanned)
	picked, err := s.SampleDirectoryChanges(ctx, "two", 0, len(all), dirsync.ChangePlanned)
	must(t, err)
	var left []string
	for _, c := range all {
		if !slices.ContainsFunc(picked, func(p dirsync.Change) bool { return p.Seq == c.Seq }) {
			left = append(left, c.Number)
		}
	}
	slices.Sort(left)
	equal(t, "numbers that are left out", slices.Compact(left), []string{"401", "402", "403", "404"})

	for range 20 {
		few, err := s.SampleDirectoryChanges(ctx, "two", 0, 4, dirsync.ChangePlanned)
		must(t, err)
		var sorts []string
		for _, c := range few {
			_, parent, _ := strings.Cut(c.Target.DN, ",ou=")
			sorts = append(sorts, fmt.Sprint(c.Kind, c.Columns, parent))
		}
		slices.Sort(sorts)
		equal(t, "sorts", sorts, []string{"alter[misc1]few", "alter[misc1]many", "alter[misc2]many", "create[]"})
	}
	none, err := s.SampleDirectoryChanges(ctx, "two", all[len(all)-1].Seq, 4, dirsync.ChangePlanned)
	must(t, err)
	equal(t, "changes after the last", allTold(none), nil)
}

// TestDirectoryRefusals counts what changes failed of.
func TestDirectoryRefusals(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	source := []directory.Record{entry("s", "a", "1"), entry("s", "b", "2"), entry("s", "c", "3"), entry("s", "d", "4")}
	compared(t, s, "one", "operator", dirsync.DefaultSettings(), source, nil)
	list := changesOf(t, s, "one")
	for i, why := range []string{"full", "no rights", "no rights"} {
		list[i].State, list[i].Error, list[i].Hint = dirsync.ChangeFailed, why, "mend "+why
	}
	list[3].State = dirsync.ChangeDone
	saveChanges(t, s, "one", list)
	for limit, want := range map[int][]dirsync.Refusal{
		1: {{Error: "no rights", Hint: "mend no rights", Changes: 2}},
		9: {{Error: "no rights", Hint: "mend no rights", Changes: 2}, {Error: "full", Hint: "mend full", Changes: 1}},
	} {
		got, err := s.DirectoryRefusals(t.Context(), "one", limit)
		must(t, err)
		equal(t, "refusals", got, want)
	}
}
