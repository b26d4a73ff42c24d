//go:build integration

package pgstore_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// firsts are the UIDs from 1 to n.
func firsts(n int) mailbox.UIDSet { return mailbox.UIDSet{{First: 1, Last: mailbox.UID(n)}} }

// dueIn is an inbox of which the first n of so many messages are to go.
func dueIn(n, target int) mirror.Due {
	return mirror.Due{Folder: mailbox.Inbox, TargetValidity: 7, UIDs: firsts(n), Own: firsts(n), Target: target, Source: target - n}
}

// judged asks the guard under a lease of its own.
func judged(t testing.TB, s *pgstore.Store, number mailbox.Number, due mirror.Due) mirror.Decision {
	t.Helper()
	lease, _ := begin(t, s, keyOf(number))
	d, err := s.Judge(t.Context(), lease, mirror.DefaultLimits(), due)
	must(t, err)
	must(t, s.Release(t.Context(), lease, true))
	return d
}

func holds(t testing.TB, s *pgstore.Store) []guard.Hold {
	t.Helper()
	list, err := s.Holds(t.Context(), link)
	must(t, err)
	return list
}

// synced ends a sync of a mailbox that holds so many messages.
func synced(t testing.TB, s *pgstore.Store, number mailbox.Number, messages int, undecided ...mailbox.FolderName) {
	t.Helper()
	lease, _ := begin(t, s, keyOf(number))
	r := report(number, box(t, s, number).DirtyGeneration)
	r.SourceMessages, r.SourceGreetings = messages, 0
	must(t, s.Save(t.Context(), lease, copier.Update{Done: &r, Undecided: undecided}))
}

func TestHoldLivesAndEnds(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	synced(t, s, "1", 40)
	if d := judged(t, s, "1", dueIn(30, 40)); d.Hold.Len() != 30 || len(d.Allow) > 0 {
		t.Fatalf("30 of 40 are judged so: %+v", d)
	}
	synced(t, s, "1", 10, mailbox.Inbox)
	first := holds(t, s)
	if len(first) != 1 || first[0].Messages != 30 || first[0].Target != 40 || first[0].State != guard.HoldWaiting || len(first[0].Reasons) != 1 {
		t.Fatalf("holds %+v", first)
	}
	if m := box(t, s, "1"); m.State != site.StateHeld || m.Held != 30 {
		t.Errorf("the mailbox is %s with %d held", m.State, m.Held)
	}
	// Asked again it is the same hold; with less due it keeps its id, too.
	judged(t, s, "1", dueIn(30, 40))
	judged(t, s, "1", dueIn(28, 40))
	again := holds(t, s)
	if len(again) != 1 || again[0].ID != first[0].ID || again[0].Messages != 28 {
		t.Errorf("the hold became %+v", again)
	}
	// More that is everyday goes; more that is not makes it another one.
	if d := judged(t, s, "1", dueIn(29, 40)); d.Allow.Len() != 1 || holds(t, s)[0].ID != first[0].ID {
		t.Errorf("an ordinary deletion beside a hold: %+v", d)
	}
	more := dueIn(39, 39)
	more.Recreated, more.Source = true, 0
	judged(t, s, "1", more)
	grown := holds(t, s)
	if len(grown) != 1 || grown[0].ID == first[0].ID || grown[0].Messages <= 28 || !grown[0].Since.Equal(first[0].Since) {
		t.Errorf("a hold that grew is %+v", grown)
	}
	_, err := s.DecideHolds(t.Context(), []int64{first[0].ID}, guard.HoldApproved, "anna")
	wantKind(t, err, fault.Conflict)

	errs, err := s.Errors(t.Context(), link)
	must(t, err)
	if len(errs) != 1 || errs[0].Kind != "held" || errs[0].Hint == "" {
		t.Errorf("errors %+v", errs)
	}
	// The messages are back: a sync that finds nothing due ends it.
	synced(t, s, "1", 40)
	if left := holds(t, s); len(left) > 0 || box(t, s, "1").State != site.StateEqual {
		t.Errorf("left are %+v, and the mailbox is %s", left, box(t, s, "1").State)
	}
}

// TestTargetOnly: what the mirror did not put on the target is held from the
// first message on, says so, counts as no deletion of the link, and leaves the hold
// when the source has it too.
func TestTargetOnly(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	synced(t, s, "1", 40)
	left := func(n int) mirror.Due {
		d := dueIn(n+1, 40)
		d.Own = mailbox.UIDSet{{First: 1, Last: 1}} // an everyday deletion beside them
		return d
	}
	if d := judged(t, s, "1", left(2)); d.Hold.String() != "2:3" || d.Allow.String() != "1" {
		t.Fatalf("judged so: %+v", d)
	}
	first := holds(t, s)
	if len(first) != 1 || first[0].TargetOnly != 2 || len(first[0].Reasons) != 1 || first[0].Reasons[0].Rule != mirror.RuleTargetOnly {
		t.Fatalf("holds %+v", first)
	}
	if f, err := s.GuardFigures(t.Context(), link); err != nil || f.Deleted != 1 {
		t.Errorf("%d messages are counted as deleted (%v), want 1", f.Deleted, err)
	}
	judged(t, s, "1", left(3))
	grown := holds(t, s)
	if len(grown) != 1 || grown[0].ID == first[0].ID || grown[0].TargetOnly != 3 {
		t.Errorf("with one more left there the hold is %+v", grown)
	}
	judged(t, s, "1", left(1)) // the source has the others, too
	shrunk := holds(t, s)
	if len(shrunk) != 1 || shrunk[0].ID != grown[0].ID || shrunk[0].TargetOnly != 1 || shrunk[0].Reasons[0].Text == grown[0].Reasons[0].Text {
		t.Errorf("with two paired the hold is %+v", shrunk)
	}
	if _, err := s.DecideHolds(t.Context(), []int64{shrunk[0].ID}, guard.HoldApproved, "anna"); err != nil {
		t.Fatal(err)
	}
	if d := judged(t, s, "1", left(3)); d.Allow.String() != "1:2" || d.Hold.String() != "3:4" {
		t.Errorf("approved was UID 2, and %s may go", d.Allow)
	}
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	for _, n := range []mailbox.Number{"1", "2"} {
		synced(t, s, n, 40)
		judged(t, s, n, dueIn(30, 40))
		synced(t, s, n, 10, mailbox.Inbox)
	}
	list := holds(t, s)
	before := box(t, s, "1").DirtyGeneration
	decided, err := s.DecideHolds(ctx, []int64{list[0].ID}, guard.HoldApproved, "anna")
	must(t, err)
	if len(decided) != 1 || decided[0].State != guard.HoldApproved {
		t.Errorf("decided %+v", decided)
	}
	if m := box(t, s, "1"); m.DirtyGeneration <= before || m.Held != 0 || m.State != site.StateDirty {
		t.Errorf("the mailbox after the approval: %+v", m)
	}
	if d := judged(t, s, "1", dueIn(30, 40)); d.Allow.Len() != 30 || len(d.Fresh) > 0 {
		t.Errorf("what was approved is judged so: %+v", d)
	}
	if d := judged(t, s, "1", dueIn(5, 15)); d.Allow.Len() != 5 {
		t.Errorf("the rest of it after a crash: %+v", d)
	}
	synced(t, s, "1", 10)

	_, err = s.DecideHolds(ctx, []int64{list[1].ID}, guard.HoldRefused, "bert")
	must(t, err)
	if d := judged(t, s, "2", dueIn(30, 40)); d.Keep.Len() != 30 || len(d.Hold) > 0 {
		t.Errorf("what was refused is judged so: %+v", d)
	}
	refused := holds(t, s)
	if len(refused) != 1 || refused[0].State != guard.HoldRefused || refused[0].DecidedBy != "bert" {
		t.Fatalf("holds %+v", refused)
	}
	// And an operator who thinks better of it.
	_, err = s.DecideHolds(ctx, []int64{refused[0].ID}, guard.HoldApproved, "anna")
	must(t, err)
	if d := judged(t, s, "2", dueIn(30, 40)); d.Allow.Len() != 30 {
		t.Errorf("refused and then approved: %+v", d)
	}
	log, err := s.GuardDecisions(ctx, link, 10)
	must(t, err)
	if len(log) != 3 || log[0].Who != "anna" || log[1].Who != "bert" || log[1].Decision != guard.HoldRefused || log[2].Messages != 30 {
		t.Errorf("log %+v", log)
	}
}

// TestHoldOfAnotherFolder: UIDs mean nothing under another UIDVALIDITY.
func TestHoldOfAnotherFolder(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	judged(t, s, "1", dueIn(30, 40))
	_, err := s.DecideHolds(t.Context(), []int64{holds(t, s)[0].ID}, guard.HoldApproved, "anna")
	must(t, err)
	due := dueIn(30, 40)
	due.TargetValidity = 8
	if d := judged(t, s, "1", due); len(d.Allow) > 0 || d.Hold.Len() != 30 {
		t.Errorf("approved for another folder, and %+v", d)
	}
}

// TestLinkAsAWhole: mailboxes that are each below every limit are held once they
// are too many together, also where they are judged at the same time.
func TestLinkAsAWhole(t *testing.T) {
	t.Parallel()
	var all []mailbox.Number
	for i := range 40 {
		all = append(all, mailbox.Number(fmt.Sprint(100+i)))
	}
	s := seeded(t, all...)
	for _, n := range all {
		synced(t, s, n, 3)
	}
	var mu sync.Mutex
	emptied, heldBack := 0, 0
	var group sync.WaitGroup
	for _, n := range all {
		group.Go(func() {
			lease, _, err := s.Begin(t.Context(), keyOf(n), ttl, fence)
			if err != nil {
				t.Error(err)
				return
			}
			d, err := s.Judge(t.Context(), lease, mirror.DefaultLimits(), dueIn(3, 3))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if d.Allow.Len() == 3 {
				emptied++
			}
			if d.Hold.Len() == 3 && d.Reasons[0].Rule == mirror.RuleInboxes {
				heldBack++
			}
		})
	}
	group.Wait()
	if emptied != 10 || heldBack != 30 {
		t.Errorf("of 40 inboxes %d were emptied and %d held, want 10 and 30", emptied, heldBack)
	}
	figures, err := s.GuardFigures(t.Context(), link)
	must(t, err)
	if figures.Emptied != 40 || figures.Deleted != 120 || figures.Mailboxes != 40 {
		t.Errorf("figures %+v", figures)
	}
}

// TestMessagesOfTheLink: repeating a judgement counts nothing twice, and what
// is long past counts no more.
func TestMessagesOfTheLink(t *testing.T) {
	t.Parallel()
	all := []mailbox.Number{"1", "2", "3"}
	s, dsn := seededDatabase(t, all...)
	for _, n := range all {
		synced(t, s, n, 600)
	}
	for range 3 {
		if d := judged(t, s, "1", dueIn(150, 600)); d.Allow.Len() != 150 {
			t.Fatalf("150 of 1800: %+v", d)
		}
	}
	d := judged(t, s, "2", dueIn(100, 600))
	if d.Hold.Len() != 100 || d.Reasons[0].Rule != mirror.RuleLink {
		t.Errorf("250 of 1800 within the hour: %+v", d)
	}
	sql(t, dsn, `UPDATE guard_reserved SET at = at - interval '61 minutes'`, `UPDATE guard_holds SET asked_at = asked_at - interval '61 minutes'`)
	if d := judged(t, s, "3", dueIn(150, 600)); d.Allow.Len() != 150 {
		t.Errorf("an hour later: %+v", d)
	}
	if d := judged(t, s, "2", dueIn(100, 600)); d.Hold.Len() != 100 {
		t.Errorf("time let go what waited: %+v", d)
	}
}

func TestJudgeNeedsTheLease(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Release(t.Context(), lease, true))
	_, err := s.Judge(t.Context(), lease, mirror.DefaultLimits(), dueIn(30, 40))
	wantKind(t, err, fault.Conflict)
	if list := holds(t, s); len(list) > 0 {
		t.Errorf("held without a lease: %+v", list)
	}
}

func TestGuardSettings(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	ctx := t.Context()
	got, err := s.GuardSettings(ctx, link)
	must(t, err)
	equal(t, "the defaults", got, guard.DefaultSettings())
	want := guard.Settings{Limits: mirror.Limits{FolderShare: 1, FolderMinimum: 2, FolderCount: 3, Gone: 4, Window: 5 * time.Minute,
		LinkShare: 6, LinkMinimum: 7, InboxShare: 8, InboxMinimum: 9}, KeepDeleted: 14 * 24 * time.Hour, DeletedFolder: "Gone", SetBy: "anna"}
	must(t, s.SetGuardSettings(ctx, link, want))
	got, err = s.GuardSettings(ctx, link)
	must(t, err)
	want.SetAt = got.SetAt
	equal(t, "settings", got, want)
	wantKind(t, s.SetGuardSettings(ctx, "nowhere", want), fault.NotFound)
}

// TestLedgerKeepsMoves: what was seen of a folder that is another one, and a move
// that was begun, survive.
func TestLedgerKeepsMoves(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	move := &copier.Moving{To: "Kept/2026-03-04", Validity: 5, UIDNext: 9, UIDs: firsts(3), Copied: mailbox.UIDSet{{First: 7, Last: 9}}}
	save(t, s, keyOf("1"), copier.Update{Folders: []copier.FolderUpdate{{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2, Recreated: true, OpenMove: move}}})
	want := []copier.FolderState{{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2, Recreated: true, Moving: move}}
	equal(t, "states", known(t, s, keyOf("1")), want)
	save(t, s, keyOf("1"), copier.Update{Folders: []copier.FolderUpdate{{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2, CloseMove: true}}})
	want[0].Recreated, want[0].Moving = false, nil
	equal(t, "states", known(t, s, keyOf("1")), want)
}
