//go:build integration

package pgstore_test

import (
	"errors"
	"slices"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// TestDirectoryCrash crashes the database between the extracts and the compare:
// what was staged is lost, which must not look like two directories without
// anybody, nor like one.
func TestDirectoryCrash(t *testing.T) {
	t.Parallel()
	server, s := crashing(t)
	withDirectories(t, s)
	source, target := paired(t, s)
	settings := dirsync.DefaultSettings()
	extracts := func(runID string) {
		t.Helper()
		must(t, s.SaveExtracts(t.Context(), runID, directory.Extracted{Entries: len(source)}, directory.Extracted{Entries: len(target)}))
	}
	members := func() []mailbox.Number {
		t.Helper()
		join, leave, err := s.DirectoryMembers(t.Context(), "paired", settings)
		must(t, err)
		if len(leave) > 0 {
			t.Errorf("mailboxes leave: %v", leave)
		}
		slices.Sort(join)
		return join
	}
	before := members()
	if len(before) != 3 {
		t.Fatalf("paired are %v", before)
	}
	for _, anew := range []dirsync.Side{"", dirsync.SourceSide, dirsync.TargetSide} {
		runID := "crashed, then staged again: " + string(anew)
		must(t, s.BeginDirectoryRun(t.Context(), runID, link, "operator"))
		must(t, s.StageDirectory(t.Context(), runID, dirsync.SourceSide, each(source)))
		must(t, s.StageDirectory(t.Context(), runID, dirsync.TargetSide, each(target)))
		extracts(runID)
		server.Crash(t)
		again(t, server, s)
		if anew != "" {
			must(t, s.StageDirectory(t.Context(), runID, anew, each(map[dirsync.Side][]directory.Record{
				dirsync.SourceSide: source, dirsync.TargetSide: target}[anew])))
		}
		_, err := s.CompareDirectory(t.Context(), runID, settings)
		wantKind(t, err, fault.Permanent)
		if !errors.Is(err, dirsync.ErrStagedLost) {
			t.Errorf("it says: %v", err)
		}
		if list := changesOf(t, s, runID); len(list) > 0 {
			t.Errorf("%s: found %v", runID, allTold(list))
		}
		must(t, s.FinishDirectoryRun(t.Context(), runID, dirsync.Failed, []string{err.Error()}, ""))
		equal(t, "mailboxes of the pairs", members(), before)
	}
	// Two attempts at once may have staged a side twice.
	must(t, s.BeginDirectoryRun(t.Context(), "twice", link, "operator"))
	must(t, s.StageDirectory(t.Context(), "twice", dirsync.SourceSide, each(append(source, entry("s", "d", "4")))))
	must(t, s.StageDirectory(t.Context(), "twice", dirsync.TargetSide, each(target)))
	extracts("twice")
	_, err := s.CompareDirectory(t.Context(), "twice", settings)
	wantKind(t, err, fault.Permanent)
	finished(t, s, "twice")
	// The next run is as any other.
	if tally := compared(t, s, "next", "operator", settings, source, target); len(tally.Kinds) > 0 || tally.Source != 3 {
		t.Errorf("the next run finds %+v", tally)
	}
}
