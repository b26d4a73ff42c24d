//go:build integration

package pgstore_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// at builds counters whose every field is another number.
func at(validity uint32) mailbox.Counters {
	return mailbox.Counters{UIDValidity: validity, UIDNext: 50, Messages: 40, HighestModSeq: math.MaxUint64 - 1}
}

// initialCopy is an update with something of everything.
func initialCopy() copier.Update {
	return copier.Update{Folders: []copier.FolderUpdate{
		{
			Name: mailbox.Inbox, SourceValidity: math.MaxUint32, TargetValidity: 2, SourceAt: at(math.MaxUint32), TargetAt: at(2),
			AddPairs: []mailbox.Run{{Source: 1, Target: 101, Length: 10}, {Source: 20, Target: 5, Length: 3}},
			AddDifferences: []copier.Difference{
				{Kind: copier.Altered, SourceUID: 11, Detail: "bare LF\x00\xff"},
				{Kind: copier.Refused, SourceUID: 11, Detail: "LIMIT"},
			},
		},
		{
			Name: "Ordner/Ünïcode 'x'", SourceValidity: 3, TargetValidity: 4, Former: mailbox.NewUIDSet(4, 5, 6, 40),
			OpenIntent: &copier.Intent{TargetUIDNext: math.MaxUint32, Sources: mailbox.NewUIDSet(1, 2, 3, 9)},
		},
	}}
}

// initialStates is what initialCopy leaves.
func initialStates() []copier.FolderState {
	return []copier.FolderState{
		{
			Name: mailbox.Inbox, SourceValidity: math.MaxUint32, TargetValidity: 2, SourceAt: at(math.MaxUint32), TargetAt: at(2),
			Pairs: []mailbox.Run{{Source: 1, Target: 101, Length: 10}, {Source: 20, Target: 5, Length: 3}},
			Differences: []copier.Difference{
				{Kind: copier.Altered, SourceUID: 11, Detail: "bare LF\uFFFD"},
				{Kind: copier.Refused, SourceUID: 11, Detail: "LIMIT"},
			},
		},
		{
			Name: "Ordner/Ünïcode 'x'", SourceValidity: 3, TargetValidity: 4, Former: mailbox.NewUIDSet(4, 5, 6, 40),
			Intent: &copier.Intent{TargetUIDNext: math.MaxUint32, Sources: mailbox.NewUIDSet(1, 2, 3, 9)},
		},
	}
}

func updateDone(r copier.Report) copier.Update { return copier.Update{Done: &r} }

// save saves an update under a lease of its own.
func save(t testing.TB, s *pgstore.Store, key mailbox.Key, update copier.Update) {
	t.Helper()
	lease, _ := begin(t, s, key)
	must(t, s.Save(t.Context(), lease, update))
	must(t, s.Release(t.Context(), lease, true))
}

func TestSaveAndBegin(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	one, two := keyOf("1"), keyOf("2")
	equal(t, "states of an unknown mailbox", known(t, s, one), nil)

	save(t, s, one, initialCopy())
	equal(t, "states", known(t, s, one), initialStates())
	equal(t, "the other mailbox's states", known(t, s, two), nil)
	save(t, s, one, initialCopy()) // saying it again changes nothing
	equal(t, "states", known(t, s, one), initialStates())

	// A run grows, one goes, one comes; the intent is confirmed in part.
	inbox := initialCopy().Folders[0]
	inbox.AddDifferences = nil
	inbox.SourceAt, inbox.TargetAt = mailbox.Counters{}, mailbox.Counters{}
	inbox.RemovePairs = []mailbox.Run{{Source: 1, Target: 101, Length: 10}, {Source: 20, Target: 5, Length: 3}}
	inbox.AddPairs = []mailbox.Run{{Source: 1, Target: 101, Length: 12}, {Source: 30, Target: 1, Length: 1}}
	other := initialCopy().Folders[1]
	other.OpenIntent = &copier.Intent{TargetUIDNext: 7, Sources: mailbox.NewUIDSet(9)}
	other.CloseIntent = true // an intent that is opened in the same update stays open
	save(t, s, one, copier.Update{Folders: []copier.FolderUpdate{inbox, other}})
	want := initialStates()
	want[0].SourceAt, want[0].TargetAt = mailbox.Counters{}, mailbox.Counters{}
	want[0].Pairs = inbox.AddPairs
	want[1].Intent = other.OpenIntent
	equal(t, "states", known(t, s, one), want)

	// One difference goes, one gets another detail, one comes and one is not
	// touched; the intent is closed.
	inbox.RemovePairs, inbox.AddPairs = nil, nil
	inbox.AddDifferences = []copier.Difference{{Kind: copier.Unreadable, SourceUID: 12, Detail: "withheld"}}
	save(t, s, one, copier.Update{Folders: []copier.FolderUpdate{inbox, other}})
	inbox.RemoveDifferences = []copier.Difference{{Kind: copier.Altered, SourceUID: 11}, {Kind: copier.Altered, SourceUID: 99}}
	inbox.AddDifferences = []copier.Difference{
		{Kind: copier.Refused, SourceUID: 11, Detail: "other"}, {Kind: copier.FlagsRefused, SourceUID: 1, Detail: "$x"},
		{Kind: copier.FlagsRefused, SourceUID: 1, Detail: "$x"},
	}
	other.OpenIntent = nil
	save(t, s, one, copier.Update{Folders: []copier.FolderUpdate{inbox, other}})
	want[0].Differences = []copier.Difference{
		{Kind: copier.FlagsRefused, SourceUID: 1, Detail: "$x"}, {Kind: copier.Refused, SourceUID: 11, Detail: "other"},
		{Kind: copier.Unreadable, SourceUID: 12, Detail: "withheld"},
	}
	want[1].Intent = nil
	equal(t, "states", known(t, s, one), want)

	// A folder with another UIDVALIDITY, on either side, starts anew.
	for _, side := range []*uint32{&inbox.SourceValidity, &inbox.TargetValidity} {
		save(t, s, one, initialCopy())
		*side = 77
		inbox.AddPairs = []mailbox.Run{{Source: 5, Target: 5, Length: 1}}
		inbox.RemoveDifferences, inbox.AddDifferences = nil, nil
		save(t, s, one, copier.Update{Folders: []copier.FolderUpdate{inbox}})
		equal(t, "folder started anew", known(t, s, one)[0], copier.FolderState{
			Name: mailbox.Inbox, SourceValidity: inbox.SourceValidity, TargetValidity: inbox.TargetValidity, Pairs: inbox.AddPairs,
		})
	}

	// A folder that is dropped and comes back in the same update is new.
	back := copier.FolderUpdate{Name: mailbox.Inbox, SourceValidity: math.MaxUint32, TargetValidity: 2}
	save(t, s, one, initialCopy())
	save(t, s, one, copier.Update{Drop: []mailbox.FolderName{mailbox.Inbox, "Ordner/Ünïcode 'x'", "none"},
		Folders: []copier.FolderUpdate{back}})
	equal(t, "states", known(t, s, one), []copier.FolderState{
		{Name: mailbox.Inbox, SourceValidity: math.MaxUint32, TargetValidity: 2},
	})

	// Several updates of one folder are applied in their order.
	later := initialCopy().Folders[0]
	later.RemovePairs, later.AddPairs = later.AddPairs[:1], []mailbox.Run{{Source: 40, Target: 40, Length: 1}}
	later.RemoveDifferences, later.AddDifferences = later.AddDifferences, nil
	latest := later
	latest.RemovePairs, latest.AddPairs = later.AddPairs, []mailbox.Run{{Source: 1, Target: 101, Length: 2}}
	latest.OpenIntent = &copier.Intent{TargetUIDNext: 3, Sources: mailbox.NewUIDSet(4)}
	in := initialCopy()
	in.Folders = append(in.Folders, later, latest)
	save(t, s, one, in)
	want = initialStates()
	want[0].Pairs = []mailbox.Run{{Source: 1, Target: 101, Length: 2}, {Source: 20, Target: 5, Length: 3}}
	want[0].Differences, want[0].Intent = nil, latest.OpenIntent
	equal(t, "states", known(t, s, one), want)

	save(t, s, one, copier.Update{}) // nothing to say is fine too
	_, _, err := s.Begin(ctx, keyOf("none"), ttl, fence)
	wantKind(t, err, fault.NotFound)
	_, _, err = s.Begin(ctx, mailbox.Key{Link: "none", Number: "1"}, ttl, fence)
	wantKind(t, err, fault.NotFound)
}

// TestSaveIsWhole: an update that cannot be written in full is not written at
// all, and what is wrong with it is of one kind only.
func TestSaveIsWhole(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	lease, _ := begin(t, s, keyOf("1"))
	bad := initialCopy()
	bad.Folders[1].Name = "NUL \x00"
	wantKind(t, s.Save(ctx, lease, bad), fault.Permanent)
	failed := report("1", 1)
	failed.Outcome = copier.Failed
	wantKind(t, s.Save(ctx, lease, updateDone(failed)), fault.Permanent)

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	err := s.Save(cancelled, lease, initialCopy())
	wantKind(t, err, fault.Transient)
	must(t, s.Release(ctx, lease, true))
	equal(t, "states", known(t, s, keyOf("1")), nil)
}

// TestDone: the end of a sync in one transaction with the ledger.
func TestDone(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	key := keyOf("1")
	before := box(t, s, "1")
	lease, _ := begin(t, s, key)
	update := initialCopy()
	done := report("1", before.DirtyGeneration)
	done.Outcome, done.Differences = copier.Differing, 2
	update.Done = &done
	must(t, s.Save(ctx, lease, update))

	m := box(t, s, "1")
	if m.CleanGeneration != 1 || !m.DirtySince.IsZero() || !m.NextAttemptAt.IsZero() || m.Messages != 5 || m.Greetings != 2 ||
		m.Differences != 2 || m.LastReviewAt.IsZero() || !m.LastEqualAt.IsZero() {
		t.Errorf("after a sync that left differences: %+v", m)
	}
	wantKind(t, s.Save(ctx, lease, initialCopy()), fault.Conflict)
	wantKind(t, s.Release(ctx, lease, true), fault.Conflict)
	_, err := s.Renew(ctx, lease, ttl)
	wantKind(t, err, fault.Conflict)
	equal(t, "states", known(t, s, key), initialStates()) // begins at once: the lease is free

	// A change that was seen while the sync ran is still due, and is no older
	// than the sync.
	generation, err := s.MarkDirty(ctx, key)
	must(t, err)
	lease, _ = begin(t, s, key)
	again := report("1", generation)
	_, err = s.MarkDirty(ctx, key)
	must(t, err)
	must(t, s.Save(ctx, lease, updateDone(again)))
	m = box(t, s, "1")
	if m.DirtyGeneration != 3 || m.CleanGeneration != 2 || m.State != site.StateDirty || m.LastEqualAt.IsZero() {
		t.Errorf("after a sync during which something changed: %+v", m)
	}
	if m.DirtySince.Before(again.Started.Add(-1e6)) || m.NextAttemptAt.IsZero() {
		t.Errorf("dirty since %v with a sync since %v, next attempt %v", m.DirtySince, again.Started, m.NextAttemptAt)
	}
	if due, err := s.DueMailboxes(ctx, 0); err != nil || len(due) != 1 {
		t.Errorf("DueMailboxes = %v, %v", due, err)
	}

	// An old report never takes back what is clean already.
	lease, _ = begin(t, s, key)
	must(t, s.Save(ctx, lease, updateDone(report("1", 3))))
	lease, _ = begin(t, s, key)
	must(t, s.Save(ctx, lease, updateDone(report("1", 1))))
	if m := box(t, s, "1"); m.CleanGeneration != 3 || m.State != site.StateEqual || !m.DirtySince.IsZero() {
		t.Errorf("after an old report: %+v", m)
	}
}

// TestHistoryOfDone: a sync that did nothing leaves no history.
func TestHistoryOfDone(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	did := report("1", 1)
	idle := copier.Report{Key: did.Key, Outcome: copier.Equal, Started: did.Started.Add(1e9)}
	for _, r := range []copier.Report{did, idle} {
		lease, _ := begin(t, s, keyOf("1"))
		must(t, s.Save(ctx, lease, updateDone(r)))
	}
	entries, err := s.History(ctx, link, "1", 0)
	must(t, err)
	if len(entries) != 1 {
		t.Fatalf("%d entries of history, want 1", len(entries))
	}
	equal(t, "reports", entries[0].Report, did)
}

// TestAlteredLedger: whatever somebody writes into the ledger's tables, Begin
// answers, and a folder that makes no sense is forgotten for good.
func TestAlteredLedger(t *testing.T) {
	t.Parallel()
	const inbox = "(SELECT id FROM ledger_folders WHERE folder = 'INBOX')"
	for name, c := range map[string]struct {
		statement string
		forgotten bool
	}{
		"another pair":          {"INSERT INTO ledger_runs VALUES (" + inbox + ", 40, 40, 2)", false},
		"another target":        {"UPDATE ledger_runs SET target_uid = 4000000000 WHERE source_uid = 20", false},
		"pairs gone":            {"DELETE FROM ledger_runs", false},
		"sources overlap":       {"INSERT INTO ledger_runs VALUES (" + inbox + ", 5, 900, 1)", true},
		"targets overlap":       {"INSERT INTO ledger_runs VALUES (" + inbox + ", 40, 103, 1)", true},
		"negative":              {"UPDATE ledger_runs SET source_uid = -1 WHERE source_uid = 1", true},
		"zero target":           {"UPDATE ledger_runs SET target_uid = 0 WHERE source_uid = 1", true},
		"zero length":           {"UPDATE ledger_runs SET length = 0 WHERE source_uid = 1", true},
		"past the last uid":     {"UPDATE ledger_runs SET target_uid = 4294967290 WHERE source_uid = 1", true},
		"beyond all bounds":     {"UPDATE ledger_runs SET length = 9223372036854775807 WHERE source_uid = 20", true},
		"four thousand million": {"UPDATE ledger_runs SET length = 4294967200 WHERE source_uid = 20", true},
		"intent is nonsense":    {"INSERT INTO intents VALUES (" + inbox + ", 4, '1:*')", true},
		"intent at 0":           {"INSERT INTO intents VALUES (" + inbox + ", 0, '1')", true},
		"counters":              {"UPDATE ledger_folders SET source_at_uidnext = -5, target_at_messages = 99999999999", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dsn := seededDatabase(t, "1")
			save(t, s, keyOf("1"), initialCopy())
			sql(t, dsn, c.statement)

			if _, err := s.ReviewStates(t.Context(), link, []mailbox.Number{"1"}); err != nil {
				t.Error(err)
			}
			states := known(t, s, keyOf("1"))
			wantStates := 2
			if c.forgotten {
				wantStates = 1
			}
			if len(states) != wantStates {
				t.Fatalf("%d folders, want %d: %+v", len(states), wantStates, states)
			}
			if c.forgotten {
				equal(t, "the folder that is left", states[0], initialStates()[1])
			}
			// It is as good as new: what is saved now is what comes back.
			save(t, s, keyOf("1"), initialCopy())
			if c.forgotten {
				equal(t, "states", known(t, s, keyOf("1")), initialStates())
			}
		})
	}
}

// TestFolderNames: names of any kind of letters, and long ones.
func TestFolderNames(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	names := []mailbox.FolderName{"A%2FB/c", `back\slash "quoted"`, "emoji \U0001F4DE", "tab\there", mailbox.FolderName(strings.Repeat("long/", 200))}
	var update copier.Update
	for _, name := range names {
		update.Folders = append(update.Folders, copier.FolderUpdate{Name: name, SourceValidity: 1, TargetValidity: 1,
			AddPairs: []mailbox.Run{{Source: 1, Target: 1, Length: 1}}})
	}
	save(t, s, keyOf("1"), update)
	got := map[mailbox.FolderName]int{}
	for _, state := range known(t, s, keyOf("1")) {
		got[state.Name] = len(state.Pairs)
	}
	for _, name := range names {
		if got[name] != 1 {
			t.Errorf("folder %q did not come back with its pair", name)
		}
	}
}
