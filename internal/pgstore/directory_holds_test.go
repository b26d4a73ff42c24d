//go:build integration

package pgstore_test

import (
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/suspension"
)

func directoryHolds(t testing.TB, s *pgstore.Store) []guard.DirectoryHold {
	t.Helper()
	list, err := s.DirectoryHolds(t.Context(), "")
	must(t, err)
	return list
}

func hold(t testing.TB, s *pgstore.Store, runID string, kinds ...directory.ChangeKind) int {
	t.Helper()
	held, err := pgstore.HoldDirectoryChanges(t.Context(), s, runID, kinds, []string{"too many"})
	must(t, err)
	return held
}

// paired are three mailboxes that both sides have.
func paired(t testing.TB, s *pgstore.Store) (source, target []directory.Record) {
	t.Helper()
	source = []directory.Record{entry("s", "a", "1"), entry("s", "b", "2"), entry("s", "c", "3")}
	target = []directory.Record{entry("t", "t1", "1"), entry("t", "t2", "2"), entry("t", "t3", "3")}
	compared(t, s, "paired", "operator", dirsync.DefaultSettings(), source, target)
	finished(t, s, "paired")
	return source, target
}

// Nobody finds a change planned that has to wait: not after a compare, nor after an
// attempt at it that comes late, when the changes are about to be carried out.
func TestDirectoryHoldsWithTheCompare(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	source, target := paired(t, s)
	settings := dirsync.DefaultSettings()
	compared(t, s, "one", "operator", settings, source[:1], target)
	for range 2 {
		tally, err := s.CompareDirectory(t.Context(), "one", settings)
		must(t, err)
		if planned := changesOf(t, s, "one", dirsync.ChangePlanned); tally.Held != 2 || len(planned) > 0 || len(directoryHolds(t, s)) != 1 {
			t.Errorf("%d are held, and %d planned", tally.Held, len(planned))
		}
	}
}

// What a worker records that lost the lease meanwhile changes nothing.
func TestDirectoryChangesUnderTheLease(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx, of := t.Context(), lease.OfDirectory(link)
	compared(t, s, "one", "operator", dirsync.DefaultSettings(), []directory.Record{entry("s", "a", "1")}, nil)
	lost, err := s.TakeLease(ctx, of, lease.Times{}.WithDefaults())
	must(t, err)
	must(t, s.Release(ctx, lost, true))
	doAll(t, s, "one")
	late := changesOf(t, s, "one")
	late[0].State, late[0].Error = dirsync.ChangeFailed, "the server is full"
	wantKind(t, s.SaveDirectoryChanges(ctx, lost, "one", late), fault.Conflict)
	if c := changesOf(t, s, "one")[0]; c.State != dirsync.ChangeDone {
		t.Errorf("it is recorded as %s", c.State)
	}
}

func TestDirectoryHolds(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	settings := dirsync.DefaultSettings()
	source, target := paired(t, s)

	compared(t, s, "dry", dirsync.TriggerDryRun, settings, source[:1], target)
	if tally, err := s.CompareDirectory(ctx, "dry", settings); err != nil || tally.Held > 0 {
		t.Errorf("%d are held of a dry run, %v", tally.Held, err)
	}
	finished(t, s, "dry")
	if list := directoryHolds(t, s); len(list) > 0 {
		t.Errorf("a dry run left %+v", list)
	}

	compared(t, s, "one", "operator", settings, source[:2], target)
	for range 2 {
		if held := hold(t, s, "one", directory.Remove, directory.Alter); held != 1 {
			t.Errorf("%d are held", held)
		}
	}
	finished(t, s, "one")
	first := directoryHolds(t, s)
	if len(first) != 1 || first[0].Kind != directory.Remove || first[0].Changes != 1 || first[0].State != guard.HoldWaiting ||
		first[0].Link != link || first[0].RunID != "one" || first[0].Target != 3 || strings.Join(first[0].Reasons, "") != "too many" {
		t.Fatalf("holds %+v", first)
	}
	// The same waits again: the same hold. One more: another.
	compared(t, s, "two", "operator", settings, source[:2], target)
	hold(t, s, "two", directory.Remove)
	if again := directoryHolds(t, s); len(again) != 1 || again[0].ID != first[0].ID || again[0].RunID != "two" || !again[0].Since.Equal(first[0].Since) {
		t.Errorf("asked again it is %+v", again)
	}
	finished(t, s, "two")
	compared(t, s, "three", "operator", settings, source[:1], target)
	if held := hold(t, s, "three", directory.Remove); held != 2 {
		t.Errorf("%d are held", held)
	}
	finished(t, s, "three")
	grown := directoryHolds(t, s)
	if len(grown) != 1 || grown[0].ID == first[0].ID || grown[0].Changes != 2 {
		t.Fatalf("one more waits: %+v", grown)
	}
	list, err := s.DirectoryHoldChanges(ctx, grown[0].ID, 0, 0)
	must(t, err)
	equal(t, "changes of the hold", allTold(list), []string{"remove 2 >t2 held", "remove 3 >t3 held"})
	rest, err := s.DirectoryHoldChanges(ctx, grown[0].ID, list[0].Seq, 5)
	must(t, err)
	equal(t, "the rest of them", allTold(rest), []string{"remove 3 >t3 held"})

	_, err = s.DecideDirectoryHolds(ctx, []int64{first[0].ID, grown[0].ID}, guard.HoldApproved, "anna")
	wantKind(t, err, fault.Conflict)
	if list := directoryHolds(t, s); list[0].State != guard.HoldWaiting {
		t.Error("half of a decision was recorded")
	}
	decided, err := s.DecideDirectoryHolds(ctx, []int64{grown[0].ID}, guard.HoldApproved, "anna")
	must(t, err)
	if len(decided) != 1 || decided[0].ID != grown[0].ID || decided[0].State != guard.HoldApproved || decided[0].DecidedBy != "anna" || decided[0].Changes != 2 {
		t.Errorf("decided %+v", decided)
	}
	said, err := s.GuardDecisions(ctx, link, 0)
	must(t, err)
	if len(said) != 1 || said[0].HoldID != grown[0].ID || said[0].Messages != 2 || said[0].Who != "anna" || !strings.Contains(string(said[0].Folder), "remove") {
		t.Errorf("the guard's log %+v", said)
	}

	// A third is to go by now: only that is asked about.
	tally := compared(t, s, "four", "operator", settings, nil, target)
	if tally.Planned[directory.Remove] != 3 || tally.Approved[directory.Remove] != 2 {
		t.Errorf("tally %+v", tally)
	}
	if held := hold(t, s, "four", directory.Remove); held != 1 {
		t.Errorf("%d are held", held)
	}
	equal(t, "changes", allTold(changesOf(t, s, "four")), []string{"remove 1 >t1 held", "remove 2 >t2 planned", "remove 3 >t3 planned"})
	if run, err := s.DirectoryRun(ctx, "four"); err != nil || strings.Join(run.Reasons, "") != "too many" || run.Due != 2 {
		t.Errorf("the run %+v, %v", run, err)
	}
	doAll(t, s, "four")
	run := finished(t, s, "four")
	if run.Removed != 2 || run.Held != 1 || run.Due != 2 || strings.Join(run.Reasons, "") != "" {
		t.Errorf("the run %+v", run)
	}
	left := directoryHolds(t, s)
	if len(left) != 1 || left[0].State != guard.HoldWaiting || left[0].Changes != 1 {
		t.Fatalf("holds %+v", left)
	}
	_, err = s.DecideDirectoryHolds(ctx, []int64{left[0].ID}, guard.HoldRefused, "anna")
	must(t, err)
	tally = compared(t, s, "five", "operator", settings, nil, target[:1])
	equal(t, "changes", allTold(changesOf(t, s, "five")), []string{"remove 1 >t1 refused"})
	if tally.Planned[directory.Remove] != 0 || tally.Kinds[directory.Remove] != 1 {
		t.Errorf("tally %+v", tally)
	}
	finished(t, s, "five")
	// It is back: nothing is due, and nothing is refused any more.
	compared(t, s, "six", "operator", settings, source[:1], target[:1])
	finished(t, s, "six")
	if list := directoryHolds(t, s); len(list) > 0 {
		t.Errorf("holds %+v", list)
	}
}

// TestDirectoryHoldsDependents: what needs a number that a held change would
// free waits with it, approved or not, and no entry is left half-way.
func TestDirectoryHoldsDependents(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	settings := dirsync.DefaultSettings()
	_, target := paired(t, s)
	source := []directory.Record{entry("s", "a", "2"), entry("s", "c", "3", "cn=C"), entry("s", "z", "1")}
	compared(t, s, "one", "operator", settings, source, target)
	equal(t, "changes", allTold(changesOf(t, s, "one")), []string{"remove 2 >t2 planned", "renumber 2 a>t1 planned [mailbox_number]",
		"alter 3 c>t3 planned [cn]", "create 1 z> planned"})
	if held := hold(t, s, "one", directory.Remove); held != 3 {
		t.Errorf("%d are held", held)
	}
	equal(t, "changes", allTold(changesOf(t, s, "one", dirsync.ChangePlanned)), []string{"alter 3 c>t3 planned [cn]"})
	if list := directoryHolds(t, s); len(list) != 3 || list[0].Kind != directory.Create || strings.Contains(list[0].Reasons[0], "too many") {
		t.Errorf("holds %+v", list)
	}
	finished(t, s, "one")

	circle := []directory.Record{entry("s", "a", "2"), entry("s", "b", "1"), entry("s", "c", "3")}
	compared(t, s, "two", "operator", settings, circle, target)
	hold(t, s, "two", directory.Renumber)
	list := directoryHolds(t, s)
	if len(list) != 1 || list[0].Changes != 2 {
		t.Fatalf("holds %+v", list)
	}
	finished(t, s, "two")
	_, err := s.DecideDirectoryHolds(t.Context(), []int64{list[0].ID}, guard.HoldApproved, "anna")
	must(t, err)
	// A third joins them, and is asked about. Nobody may go half-way meanwhile.
	circle = []directory.Record{entry("s", "a", "2"), entry("s", "b", "3"), entry("s", "c", "1")}
	compared(t, s, "three", "operator", settings, circle, target)
	if held := hold(t, s, "three", directory.Renumber); held != 3 {
		t.Errorf("%d of three are held", held)
	}
	if rest := changesOf(t, s, "three", dirsync.ChangePlanned); len(rest) > 0 {
		t.Errorf("planned still: %v", allTold(rest))
	}
}

func TestDirectoryFailures(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	settings := dirsync.DefaultSettings()
	settings.GiveUp = 2
	source := []directory.Record{entry("s", "a", "1", "misc1=ü")}
	ofServer := false
	fail := func(runID string) dirsync.Change {
		t.Helper()
		compared(t, s, runID, "operator", settings, source, nil)
		list := changesOf(t, s, runID)
		if len(list) != 1 {
			t.Fatalf("changes %v", allTold(list))
		}
		if list[0].State == dirsync.ChangePlanned {
			list[0].State, list[0].Error, list[0].Hint = dirsync.ChangeFailed, "refused\x00", "mend it"
			list[0].OfServer = ofServer
			for range 2 { // told twice, counted once
				saveChanges(t, s, runID, list)
			}
		}
		list = changesOf(t, s, runID)
		finished(t, s, runID)
		return list[0]
	}
	if c := fail("one"); c.Failures != 1 || c.Error != "refused" || c.Hint != "mend it" {
		t.Errorf("the first failure: %+v", c)
	}
	if c := fail("two"); c.Failures != 2 || c.State != dirsync.ChangeFailed {
		t.Errorf("the second failure: %+v", c)
	}
	if c := fail("three"); c.Failures != 2 || c.State != dirsync.ChangeGivenUp || c.Error != "refused" {
		t.Errorf("given up: %+v", c)
	}
	if n, err := s.ForgetDirectoryFailures(ctx, link, "7"); n != 0 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	_, err := s.ForgetDirectoryFailures(ctx, "other", "")
	wantKind(t, err, fault.NotFound)
	if n, err := s.ForgetDirectoryFailures(ctx, link, "1"); n != 1 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	if c := fail("four"); c.Failures != 1 {
		t.Errorf("after that: %+v", c)
	}
	source[0].Texts[directory.Misc1] = []string{"u"}
	if c := fail("five"); c.Failures != 1 {
		t.Errorf("an entry that changed: %+v", c)
	}
	ofServer = true // which is no second one
	for _, runID := range []string{"five again", "and again"} {
		if c := fail(runID); c.Failures != 1 || c.State != dirsync.ChangeFailed {
			t.Errorf("the server's trouble: %+v", c)
		}
	}
	compared(t, s, "six", "operator", settings, source, nil)
	list := changesOf(t, s, "six")
	if list[0].Failures != 1 {
		t.Errorf("before it is done: %+v", list)
	}
	doAll(t, s, "six")
	if run := finished(t, s, "six"); run.Created != 1 || run.Failed != 0 {
		t.Errorf("the run %+v", run)
	}
	if n, err := s.ForgetDirectoryFailures(ctx, link, ""); n != 0 || err != nil {
		t.Errorf("%d failures are left, %v", n, err)
	}
}

// TestDirectoryFailureOfWhatFrees: what needed the number fails with it, and is
// not counted for that.
func TestDirectoryFailureOfWhatFrees(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	settings := dirsync.DefaultSettings()
	_, target := paired(t, s)
	source := []directory.Record{entry("s", "a", "2"), entry("s", "c", "3"), entry("s", "z", "1")}
	compared(t, s, "one", "operator", settings, source, target)
	list := changesOf(t, s, "one")
	list[0].State, list[0].Error = dirsync.ChangeFailed, "busy"
	saveChanges(t, s, "one", list[:1])
	equal(t, "changes", allTold(changesOf(t, s, "one")), []string{"remove 2 >t2 failed", "renumber 2 a>t1 failed [mailbox_number]", "create 1 z> failed"})
	for i, c := range changesOf(t, s, "one") {
		if want := map[bool]int{true: 1}[i == 0]; c.Failures != want || c.Error == "" {
			t.Errorf("%s: %d failures, %q", told(c), c.Failures, c.Error)
		}
	}
	if run := finished(t, s, "one"); run.Failed != 3 {
		t.Errorf("the run %+v", run)
	}
}

func TestDirectoryMembers(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	ctx := t.Context()
	settings := dirsync.DefaultSettings()
	source := []directory.Record{entry("s", "a", "1"), entry("s", "b", "2"), entry("s", "c", "2 x"), entry("s", "d", "10")}
	target := []directory.Record{entry("t", "t1", "1"), entry("t", "t9", "9")}
	members := func(runID string, settings dirsync.Settings, wantJoin, wantLeave []mailbox.Number) {
		t.Helper()
		join, leave, err := s.DirectoryMembers(ctx, runID, settings)
		must(t, err)
		equal(t, "joining", join, wantJoin)
		equal(t, "leaving", leave, wantLeave)
	}
	compared(t, s, "dry", dirsync.TriggerDryRun, settings, source, target)
	members("dry", settings, nil, nil)
	finished(t, s, "dry")
	compared(t, s, "one", "operator", settings, source, target)
	members("one", settings, numbersOf("1"), nil) // it is there on both sides
	doAll(t, s, "one")
	members("one", settings, numbersOf("1", "10", "2"), nil)
	some := settings
	some.Participate, some.Numbers = dirsync.ParticipateFilter, mailbox.Patterns{"1*"}
	members("one", some, numbersOf("1", "10"), nil)
	some.Participate = dirsync.ParticipateManual
	members("one", some, nil, nil)
	if _, err := s.AddMailboxes(ctx, link, numbersOf("1", "2", "10", "77")); err != nil {
		t.Fatal(err)
	}
	synced(t, s, "1", 40)
	rejected := []dirsync.Rejection{{Number: "2", Error: "link other mirrors it", Hint: "remove it there"}, {Number: "Zoë", Error: "so it is"}}
	must(t, s.SaveDirectoryMembers(ctx, "one", 1, 0, rejected))
	must(t, s.SaveDirectoryMembers(ctx, "one", 3, 0, rejected)) // again, after a crash
	found, err := s.DirectoryRejections(ctx, "one")
	must(t, err)
	equal(t, "rejected", found, rejected)
	members("one", settings, nil, nil)
	if run := finished(t, s, "one"); run.Joined != 3 || run.Created != 3 || run.Unknown != 1 {
		t.Errorf("the run %+v", run)
	}

	// 1 is removed, 2 has another number, and 10 is gone from both sides.
	target = []directory.Record{entry("t", "t1", "1"), entry("t", "t-b", "2"), entry("t", "t-c", "2 x"), entry("t", "t9", "9")}
	source = []directory.Record{entry("s", "b", "3"), entry("s", "c", "2 x")}
	compared(t, s, "two", "operator", settings, source, target)
	members("two", settings, nil, numbersOf("10"))
	doAll(t, s, "two")
	members("two", settings, numbersOf("3"), numbersOf("1", "10", "2"))
	lease, _ := begin(t, s, keyOf("2"))
	_, err = s.LeaveLink(ctx, "two", link, numbersOf("1", "10", "2", "5"))
	wantKind(t, err, fault.Conflict)
	must(t, s.Release(ctx, lease, true))
	for range 2 {
		n, err := s.LeaveLink(ctx, "two", link, numbersOf("1", "10", "2", "5"))
		must(t, err)
		if n != 3 {
			t.Errorf("%d left", n)
		}
	}
	members("two", settings, numbersOf("3"), nil)
	entries, err := s.History(ctx, link, "1", 1)
	must(t, err)
	if len(entries) != 1 || entries[0].Outcome != dirsync.LeftLink || entries[0].RunID != "two" || entries[0].SourceMessages != 40 || entries[0].Messages != (copier.Work{}) {
		t.Errorf("history %+v", entries)
	}
	wantKind(t, second(s.Mailbox(ctx, keyOf("1"))), fault.NotFound)
	if box(t, s, "77").Number != "77" {
		t.Error("a mailbox that was never in the directory left")
	}
	must(t, s.RemoveLink(ctx, link))
}

// TestApprovedDirectories: a run has to follow an approval, and one that had begun
// before is not it.
func TestApprovedDirectories(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	settings := dirsync.DefaultSettings()
	source, target := paired(t, s)
	approved := func(when string, want ...string) {
		t.Helper()
		got, err := s.ApprovedDirectories(t.Context())
		must(t, err)
		equal(t, "approved "+when, got, want)
	}
	decide := func(decision guard.HoldState) {
		t.Helper()
		_, err := s.DecideDirectoryHolds(t.Context(), []int64{directoryHolds(t, s)[0].ID}, decision, "anna")
		must(t, err)
	}
	compared(t, s, "held", "operator", settings, source[:1], target)
	hold(t, s, "held", directory.Remove)
	approved("while it waits")
	decide(guard.HoldApproved)
	approved("while the run that held it is not over", link)
	finished(t, s, "held")
	approved("after it", link)
	compared(t, s, "dry", dirsync.TriggerDryRun, settings, source[:1], target)
	finished(t, s, "dry")
	approved("after a dry run", link)
	must(t, s.BeginDirectoryRun(t.Context(), "next", link, dirsync.TriggerApproval))
	approved("when a run has begun")
	finished(t, s, "next")
	approved("and failed to do it")
	decide(guard.HoldRefused)
	approved("when it is refused")
	decide(guard.HoldApproved)
	approved("when it is approved again", link)
	got, err := s.Suspend(t.Context(), suspension.Request{Link: link, Who: "anna"})
	must(t, err)
	approved("while the link is suspended")
	_, err = s.Resume(t.Context(), suspension.Request{Link: link, Who: "anna", Epoch: got.Epoch})
	must(t, err)
	approved("when it is resumed", link)
	must(t, s.RemoveDirectoryStore(t.Context(), "dr"))
	approved("without a directory")
}
