package mirror_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// span is the UIDs from first to last.
func span(first, last mailbox.UID) mailbox.UIDSet { return mailbox.UIDSet{{First: first, Last: last}} }

// due is a folder of the target with so many messages, of which the first are
// to go; the source has the rest.
func due(n, target int) mirror.Due {
	d := mirror.Due{Folder: mailbox.Inbox, TargetValidity: 1, Target: target, Source: target - n}
	if n > 0 {
		d.UIDs = span(1, mailbox.UID(n))
		d.Own = d.UIDs
	}
	return d
}

func TestGuard(t *testing.T) {
	left := func(d mirror.Due, own mailbox.UIDSet) mirror.Due { d.Own = own; return d }
	vanished := func(d mirror.Due) mirror.Due { d.Folder, d.Vanished, d.Source = "Work", true, 0; return d }
	recreated := func(d mirror.Due, source int) mirror.Due { d.Recreated, d.Source = true, source; return d }
	link := mirror.Past{Messages: 10_000, Mailboxes: 1000}
	with := func(p mirror.Past, deleted, emptied int) mirror.Past {
		p.Deleted, p.Emptied = deleted, emptied
		return p
	}
	for _, tt := range []struct {
		name     string
		due      mirror.Due
		standing mirror.Standing
		past     mirror.Past
		limits   func(*mirror.Limits)
		want     []mirror.Rule // empty: all may go
	}{
		{name: "a subscriber deletes his only two messages", due: due(2, 2)},
		{name: "and one deletes nineteen", due: due(19, 19)},
		{name: "twenty, which is all", due: due(20, 20), want: []mirror.Rule{mirror.RuleFolderShare}},
		{name: "half of forty", due: due(20, 40)},
		{name: "more than half of them", due: due(21, 40), want: []mirror.Rule{mirror.RuleFolderShare}},
		{name: "five hundred of many", due: due(500, 20_000)},
		{name: "one more", due: due(501, 20_000), want: []mirror.Rule{mirror.RuleFolderCount}},
		{name: "both", due: due(600, 700), want: []mirror.Rule{mirror.RuleFolderShare, mirror.RuleFolderCount}},
		{name: "bit by bit within the window", due: due(30, 60), standing: mirror.Standing{Reserved: span(1000, 1059)},
			want: []mirror.Rule{mirror.RuleFolderShare}},
		{name: "repeated after a crash", due: due(30, 60), standing: mirror.Standing{Reserved: span(1, 30)}},
		{name: "a folder is gone", due: vanished(due(1, 1)), want: []mirror.Rule{mirror.RuleVanished}},
		{name: "a folder is gone, and that is allowed", due: vanished(due(9, 9)), limits: func(l *mirror.Limits) { l.Gone = 10 }},
		{name: "made anew with fewer", due: recreated(due(3, 10), 7), want: []mirror.Rule{mirror.RuleRecreated}},
		{name: "made anew with as many others", due: recreated(due(3, 10), 10)},
		{name: "a tenth of the link", due: due(10, 100), past: with(link, 990, 0)},
		{name: "more than a tenth", due: due(11, 100), past: with(link, 990, 0), want: []mirror.Rule{mirror.RuleLink}},
		{name: "much of a small link", due: due(10, 20), past: mirror.Past{Deleted: 100, Messages: 150, Mailboxes: 10}},
		{name: "a quarter of the inboxes", due: due(3, 3), past: with(link, 700, 249)},
		{name: "more than a quarter", due: due(3, 3), past: with(link, 700, 250), want: []mirror.Rule{mirror.RuleInboxes}},
		{name: "four mailboxes of four", due: due(3, 3), past: mirror.Past{Emptied: 3, Mailboxes: 4, Messages: 100}},
		{name: "a message of an inbox while others are emptied", due: due(1, 3), past: with(link, 700, 400)},
		{name: "no guard", due: due(9999, 9999), limits: func(l *mirror.Limits) { *l = mirror.Limits{} }},
		{name: "somebody left a message", due: left(due(1, 90), nil), want: []mirror.Rule{mirror.RuleTargetOnly}},
		{name: "somebody left messages, and no rule is on", due: left(due(30, 30), nil),
			limits: func(l *mirror.Limits) { *l = mirror.Limits{} }, want: []mirror.Rule{mirror.RuleTargetOnly}},
		{name: "somebody made a folder", due: left(vanished(due(2, 2)), nil), want: []mirror.Rule{mirror.RuleTargetOnly}},
		{name: "callers left messages in a link that others deleted from", due: left(due(30, 100), nil), past: with(link, 990, 249),
			want: []mirror.Rule{mirror.RuleTargetOnly}},
		{name: "a folder is gone into which somebody put a message", due: left(vanished(due(3, 3)), span(1, 2)),
			want: []mirror.Rule{mirror.RuleVanished, mirror.RuleTargetOnly}},
		{name: "every rule off", due: vanished(due(9999, 9999)), past: with(link, 9999, 999),
			limits: func(l *mirror.Limits) { *l = mirror.Limits{Window: time.Hour} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			limits := mirror.DefaultLimits()
			if tt.past == (mirror.Past{}) {
				tt.past = mirror.Past{Messages: 100_000, Mailboxes: 1000}
			}
			if tt.limits != nil {
				tt.limits(&limits)
			}
			got := limits.Decide(tt.due, tt.standing, tt.past)
			var rules []mirror.Rule
			for _, r := range got.Reasons {
				rules = append(rules, r.Rule)
				if r.Text == "" {
					t.Errorf("rule %s has no words", r.Rule)
				}
			}
			if diff := cmp.Diff(tt.want, rules); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
			held := tt.due.UIDs
			if tt.want == nil {
				held = nil
			}
			if got.Hold.String() != held.String() || got.Allow.String() != tt.due.UIDs.Minus(held).String() {
				t.Errorf("hold %s and let go %s of %s", got.Hold, got.Allow, tt.due.UIDs)
			}
		})
	}
}

// TestGuardSaysWhose: the reason says once that only the target has what is held.
func TestGuardSaysWhose(t *testing.T) {
	for _, tt := range []struct {
		n        int
		vanished bool
		want     string
	}{
		{1, false, "1 message that only the target has; the mirror did not put it there, as far as its ledger shows"},
		{2, false, "2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"},
		{2, true, "2 messages in a folder that only the target has; the mirror did not put them there, as far as its ledger shows"},
	} {
		d := due(tt.n, 9)
		d.Own, d.Vanished = nil, tt.vanished
		got := mirror.DefaultLimits().Decide(d, mirror.Standing{}, mirror.Past{})
		if len(got.Reasons) != 1 || got.Reasons[0].Text != tt.want {
			t.Errorf("%+v, want %q", got.Reasons, tt.want)
		}
	}
}

func TestGuardRemembers(t *testing.T) {
	limits := mirror.DefaultLimits()
	for _, tt := range []struct {
		name              string
		due               mirror.Due
		standing          mirror.Standing
		allow, hold, keep mailbox.UIDSet
		asked             mailbox.UIDSet
	}{
		{name: "what waits waits, though few are left of it", due: due(2, 50),
			standing: mirror.Standing{Waiting: span(1, 40)}, hold: span(1, 2)},
		{name: "an ordinary deletion beside it goes", due: due(41, 50),
			standing: mirror.Standing{Waiting: span(1, 40)}, hold: span(1, 40), allow: span(41, 41)},
		{name: "a second accident is asked about", due: due(90, 100),
			standing: mirror.Standing{Waiting: span(1, 40)}, hold: span(1, 90), asked: span(41, 90)},
		{name: "an ordinary deletion goes beside what somebody left", due: mirror.Due{Folder: mailbox.Inbox, Target: 50, Source: 40,
			UIDs: span(1, 10), Own: span(1, 7)}, allow: span(1, 7), hold: span(8, 10), asked: span(8, 10)},
		{name: "what somebody left goes where that was approved", due: mirror.Due{Folder: mailbox.Inbox, Target: 50, Source: 40,
			UIDs: span(1, 10)}, standing: mirror.Standing{Approved: span(1, 9)}, allow: span(1, 9), hold: span(10, 10), asked: span(10, 10)},
		{name: "what was approved goes", due: due(600, 600),
			standing: mirror.Standing{Approved: span(1, 600)}, allow: span(1, 600)},
		{name: "but not what came to it since", due: due(700, 700),
			standing: mirror.Standing{Approved: span(1, 600)}, allow: span(1, 600), hold: span(601, 700), asked: span(601, 700)},
		{name: "what was refused stays", due: due(600, 600),
			standing: mirror.Standing{Refused: span(1, 600)}, keep: span(1, 600)},
		{name: "and is no part of the folder", due: due(604, 610),
			standing: mirror.Standing{Refused: span(1, 600)}, keep: span(1, 600), allow: span(601, 604)},
		{name: "but what comes to it is asked about", due: due(640, 640),
			standing: mirror.Standing{Refused: span(1, 600)}, keep: span(1, 600), hold: span(601, 640), asked: span(601, 640)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := limits.Decide(tt.due, tt.standing, mirror.Past{})
			for _, s := range []struct {
				name      string
				got, want mailbox.UIDSet
			}{{"let go", got.Allow, tt.allow}, {"held", got.Hold, tt.hold}, {"kept", got.Keep, tt.keep}, {"asked about", got.Asked, tt.asked}} {
				if s.got.String() != s.want.String() {
					t.Errorf("%s: %q, want %q", s.name, s.got, s.want)
				}
			}
		})
	}
}

// TestNothingGoesPastTheGuard lives through an hour of a folder in which anything
// becomes due and an operator answers anything: what goes was approved or is
// within the limits, nothing that was refused goes, and saying it again changes
// nothing.
func TestNothingGoesPastTheGuard(t *testing.T) { rapid.Check(t, guardProperties) }

func guardProperties(t *rapid.T) {
	number := func(most int, label string) int { return rapid.IntRange(0, most).Draw(t, label) }
	limits := mirror.Limits{FolderShare: number(100, "share"), FolderMinimum: number(6, "minimum"), FolderCount: number(9, "count"),
		Gone: number(3, "gone"), Window: time.Hour, LinkShare: number(60, "link share"), LinkMinimum: number(9, "link minimum"),
		InboxShare: number(60, "inbox share"), InboxMinimum: number(3, "inbox minimum")}
	all := span(1, mailbox.UID(1+number(30, "messages")))
	there, gone := all, mailbox.UIDSet{} // gone without an approval
	own := mailbox.NewUIDSet(rapid.SliceOfDistinct(rapid.SampledFrom(all.UIDs()), func(u mailbox.UID) mailbox.UID { return u }).Draw(t, "own")...)
	var s mirror.Standing
	past := mirror.Past{Messages: all.Len() + number(50, "others"), Mailboxes: 1 + number(5, "mailboxes"), Deleted: number(5, "deleted"), Emptied: number(3, "emptied")}
	for range number(8, "syncs") {
		if len(there) == 0 {
			return
		}
		uids := mailbox.NewUIDSet(rapid.SliceOfDistinct(rapid.SampledFrom(there.UIDs()), func(u mailbox.UID) mailbox.UID { return u }).Draw(t, "due")...)
		d := mirror.Due{Folder: mailbox.Inbox, TargetValidity: 1, UIDs: uids, Own: own, Target: there.Len(), Source: number(20, "source"),
			Vanished: rapid.Bool().Draw(t, "vanished"), Recreated: rapid.Bool().Draw(t, "recreated")}
		got := limits.Decide(d, s, past)
		if together := got.Allow.Union(got.Hold).Union(got.Keep); together.String() != uids.String() ||
			got.Allow.Len()+got.Hold.Len()+got.Keep.Len() != uids.Len() {
			t.Fatalf("%s is not made up of %s, %s and %s", uids, got.Allow, got.Hold, got.Keep)
		}
		if len(got.Allow.Intersect(s.Refused)) > 0 {
			t.Fatalf("%s goes, and %s was refused", got.Allow, s.Refused)
		}
		if free := got.Allow.Minus(own).Minus(s.Approved); len(free) > 0 {
			t.Fatalf("%s goes without an approval, and the mirror did not put it there", free)
		}
		if got.TargetOnly.String() != got.Hold.Minus(own).String() {
			t.Fatalf("%s is called the target's own of %s", got.TargetOnly, got.Hold)
		}
		if len(got.Allow.Intersect(s.Waiting)) > 0 {
			t.Fatalf("%s goes, and %s waits", got.Allow, s.Waiting)
		}
		if free := got.Allow.Minus(s.Approved); free.Minus(got.Fresh).Len() > 0 {
			t.Fatalf("%s goes and is counted nowhere", free.Minus(got.Fresh))
		}
		fresh, counted := got.Fresh.Len(), got.Fresh.Minus(s.Reserved).Len()
		before := gone.Len()
		base := before + d.Target - got.Keep.Len() - got.Hold.Len() - got.Allow.Minus(got.Fresh).Len()
		if n := before + fresh; fresh > 0 {
			switch {
			case limits.FolderShare > 0 && n >= limits.FolderMinimum && n*100 > base*limits.FolderShare:
				t.Fatalf("%d of %d went within the window", n, base)
			case limits.FolderCount > 0 && n > limits.FolderCount:
				t.Fatalf("%d went within the window", n)
			case limits.Gone > 0 && d.Vanished && fresh >= limits.Gone:
				t.Fatalf("%d of a folder that is gone went", fresh)
			case limits.LinkShare > 0 && past.Deleted+counted >= limits.LinkMinimum && counted > 0 && (past.Deleted+counted)*100 > past.Messages*limits.LinkShare:
				t.Fatalf("%d of %d of the link went", past.Deleted+counted, past.Messages)
			case limits.InboxShare > 0 && d.Empties() && past.Emptied+1 >= limits.InboxMinimum && (past.Emptied+1)*100 > past.Mailboxes*limits.InboxShare:
				t.Fatalf("%d of %d inboxes were emptied", past.Emptied+1, past.Mailboxes)
			}
		}

		past.Deleted += got.Fresh.Minus(s.Reserved).Len()
		s.Waiting, s.Refused, s.Approved = got.Hold, got.Keep, s.Approved.Intersect(uids)
		s.Reserved = s.Reserved.Union(got.Fresh)
		if again := limits.Decide(d, s, past); again.Allow.String() != got.Allow.String() || len(again.Asked) > 0 {
			t.Fatalf("decided %s, and then %s", got.Allow, again.Allow)
		}
		if rapid.Bool().Draw(t, "carried out") {
			there, gone = there.Minus(got.Allow), gone.Union(got.Fresh)
		}
		switch number(2, "answer") {
		case 1:
			s.Approved, s.Waiting = s.Approved.Union(s.Waiting), nil
		case 2:
			s.Refused, s.Waiting = s.Refused.Union(s.Waiting), nil
		}
	}
}

// TestDefaultLimits: somebody who changes them changes them on purpose.
func TestDefaultLimits(t *testing.T) {
	l := mirror.DefaultLimits()
	if l.FolderShare == 0 || l.FolderCount == 0 || l.Gone == 0 || l.LinkShare == 0 || l.InboxShare == 0 || l.Window == 0 {
		t.Errorf("a rule is off by default: %+v", l)
	}
	if !slices.IsSorted([]int{l.FolderMinimum, l.LinkMinimum, l.FolderCount}) {
		t.Errorf("a link's minimum lies between those of a folder: %+v", l)
	}
}

// TestAnotherMessage: what was decided on a UID is not about another message that has
// it now. What nobody can tell apart stays refused, and is neither approved nor
// waiting any more.
func TestAnotherMessage(t *testing.T) {
	t.Parallel()
	set := func(text string) mailbox.UIDSet {
		s, err := mailbox.ParseUIDSet(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	due := mirror.Due{Folder: "Work", UIDs: set("1:9"), Target: 9, Other: set("1,4,7"), Unknown: set("2,5,8")}
	d := mirror.Limits{}.Decide(due, mirror.Standing{Waiting: set("1:3"), Approved: set("4:6"), Refused: set("7:9")}, mirror.Past{})
	for what, got := range map[string][2]string{
		"allowed": {d.Allow.String(), "6"},
		"held":    {d.Hold.String(), "1:5,7"},
		"asked":   {d.Asked.String(), "1:2,4:5,7"},
		"kept":    {d.Keep.String(), "8:9"},
		"fresh":   {d.Fresh.String(), ""},
	} {
		if got[0] != got[1] {
			t.Errorf("%s are %s, want %s", what, got[0], got[1])
		}
	}
}
