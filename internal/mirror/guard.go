package mirror

import (
	"fmt"
	"time"

	"mailmirror/internal/mailbox"
)

// Limits say how much of what the mirror put on the target may be deleted there
// without an approval. A limit that is zero switches its rule off. The rule for
// messages that the mirror did not put there has no limit and is always on.
type Limits struct {
	// FolderShare and FolderMinimum: more than so many percent of a folder's
	// messages, and at least so many messages, deleted within Window.
	FolderShare   int `json:"folder_share"`
	FolderMinimum int `json:"folder_minimum"`
	// FolderCount: more than so many messages of one folder within Window.
	FolderCount int `json:"folder_count"`
	// Gone: so many messages or more of a folder that vanished from the source,
	// or that came back with another UIDVALIDITY and fewer messages.
	Gone int `json:"gone"`
	// Window is how far back what was deleted is added up.
	Window time.Duration `json:"window_ns"`
	// LinkShare and LinkMinimum are as for a folder, over all mailboxes.
	LinkShare   int `json:"link_share"`
	LinkMinimum int `json:"link_minimum"`
	// InboxShare and InboxMinimum: the inbox emptied in more than so many percent
	// of the link's mailboxes, and in at least so many.
	InboxShare   int `json:"inbox_share"`
	InboxMinimum int `json:"inbox_minimum"`
}

// DefaultLimits are for voice mail. A subscriber has some ten messages and often
// deletes all of them, so that a share says nothing below twenty; five hundred
// are more than anybody hears in an hour. A morning, in which people work off
// what came overnight, deletes a few percent of what there is, and a nightly
// purge of what is a month old about as much; a tenth within an hour is neither.
// Voice mail systems make folders and remove none, so a folder that is gone is
// asked about from its first message on.
func DefaultLimits() Limits {
	return Limits{FolderShare: 50, FolderMinimum: 20, FolderCount: 500, Gone: 1, Window: time.Hour,
		LinkShare: 10, LinkMinimum: 200, InboxShare: 25, InboxMinimum: 5}
}

// Due is what is to be deleted from one folder of the target.
type Due struct {
	Folder mailbox.FolderName
	// UIDs are the target's messages that have to go; TargetValidity is the
	// UIDVALIDITY that they hold for.
	UIDs           mailbox.UIDSet
	TargetValidity uint32
	// Own are those of UIDs that the mirror put there, or that were once the
	// same as a message of the source: a pair in the ledger shows it.
	Own mailbox.UIDSet
	// Other are those of UIDs that are other messages than when the guard was last
	// asked: the target's store was restored from a backup, and gave UIDs out again.
	// Unknown are those of which nothing shows that they are not.
	Other, Unknown mailbox.UIDSet
	// Target and Source are how many messages each side's folder holds now.
	Target, Source int
	// Vanished: the source does not have the folder, and the target's is to go.
	Vanished bool
	// Recreated: the source's folder has another UIDVALIDITY than when both
	// sides were last equal, or counters that went back.
	Recreated bool
}

// Empties reports whether the source emptied an inbox, so that nothing would be
// left of what the mirror put into the target's.
func (d Due) Empties() bool {
	return d.Folder == mailbox.Inbox && d.Source == 0 && len(d.own()) > 0 && d.UIDs.Len() == d.Target
}

func (d Due) own() mailbox.UIDSet { return d.UIDs.Intersect(d.Own) }

// Standing is what was decided on a folder before. UIDs of another UIDVALIDITY
// of the target are no part of it.
type Standing struct {
	// Waiting was held and not answered, Approved was held and may go, Refused
	// was held and has to stay.
	Waiting, Approved, Refused mailbox.UIDSet
	// Reserved is what was let go from the folder within the window. Some of it
	// may still be there, where a sync was broken off.
	Reserved mailbox.UIDSet
}

// Past is what happened in the other mailboxes of the link within the window.
type Past struct {
	// Deleted counts messages that were let go, or held, but for those that
	// the mirror did not put on the target.
	Deleted int
	// Emptied counts mailboxes whose inbox was emptied, or is held from it.
	Emptied int
	// Messages and Mailboxes are what the link holds altogether, this mailbox
	// included, before any of that was deleted.
	Messages, Mailboxes int
}

// Far reports whether, with so many messages and inboxes more, a rule over the
// whole link may apply, so that its size has to be known.
func (l Limits) Far(p Past, d Due) bool {
	return (l.LinkShare > 0 && p.Deleted+d.own().Len() >= l.LinkMinimum) ||
		(l.InboxShare > 0 && d.Empties() && p.Emptied+1 >= l.InboxMinimum)
}

// Rule names what a guard tripped over.
type Rule string

// The rules.
const (
	RuleFolderShare Rule = "folder_share"
	RuleFolderCount Rule = "folder_count"
	RuleVanished    Rule = "folder_vanished"
	RuleRecreated   Rule = "folder_recreated"
	RuleLink        Rule = "link_messages"
	RuleInboxes     Rule = "link_inboxes"
	// RuleTargetOnly: only the target has the messages, and no pair of the
	// ledger shows that the mirror put them there.
	RuleTargetOnly Rule = "target_only"
)

// Reason is one rule with the figures that it tripped over.
type Reason struct {
	Rule Rule   `json:"rule"`
	Text string `json:"text"`
}

// Decision says what becomes of what is due; the three sets make up all of it.
type Decision struct {
	Allow mailbox.UIDSet // may be deleted now: what is not in Fresh was approved
	Hold  mailbox.UIDSet // waits for the operator
	Keep  mailbox.UIDSet // stays, as the operator decided
	// Fresh is the part of Allow that counts against the limits: what was not
	// approved.
	Fresh mailbox.UIDSet
	// Asked is the part of Hold that nobody was asked about yet, and Reasons is
	// why it is held. The reason for TargetOnly is always among them.
	Asked   mailbox.UIDSet
	Reasons []Reason
	// TargetOnly is the part of Hold that the mirror did not put on the target.
	TargetOnly mailbox.UIDSet
}

// Decide says what of the messages that are due in a folder may go. What was
// refused stays, what was approved goes, what waits waits: also where the limits
// would no longer hold it, since time that goes by is no answer. What was decided on
// a UID says nothing about another message that has it now. Of the rest, the
// guard holds every message that the mirror did not put on the target. It holds
// the others against the limits, and holds all of them where one limit trips.
func (l Limits) Decide(d Due, s Standing, p Past) Decision {
	var out Decision
	unsure := d.Other.Union(d.Unknown)
	s.Waiting, s.Approved, s.Refused = s.Waiting.Minus(unsure), s.Approved.Minus(unsure), s.Refused.Minus(d.Other)
	out.Keep = d.UIDs.Intersect(s.Refused)
	left := d.UIDs.Minus(out.Keep)
	out.Allow = left.Intersect(s.Approved)
	left = left.Minus(out.Allow)
	out.Hold = left.Intersect(s.Waiting)
	left = left.Minus(out.Hold)
	out.Asked = left.Minus(d.Own)
	out.Hold = out.Hold.Union(out.Asked)
	if left = left.Intersect(d.Own); len(left) > 0 {
		if out.Reasons = l.trips(d, out, left, s, p); len(out.Reasons) > 0 {
			out.Asked = out.Asked.Union(left)
			out.Hold = out.Hold.Union(left)
		} else {
			out.Fresh = left
			out.Allow = out.Allow.Union(left)
		}
	}
	if out.TargetOnly = out.Hold.Minus(d.Own); len(out.TargetOnly) > 0 {
		out.Reasons = append(out.Reasons, d.targetOnly(out.TargetOnly.Len()))
	}
	return out
}

// targetOnly says what n messages are that the mirror did not put on the target.
func (d Due) targetOnly(n int) Reason {
	what, them := "that only the target has", "them"
	if d.Vanished {
		what = "in a folder that only the target has"
	}
	if n == 1 {
		them = "it"
	}
	return Reason{RuleTargetOnly, fmt.Sprintf("%s %s; the mirror did not put %s there, as far as its ledger shows", plural(n), what, them)}
}

// trips returns the rules that do not let the messages in left go.
func (l Limits) trips(d Due, decided Decision, left mailbox.UIDSet, s Standing, p Past) []Reason {
	var out []Reason
	note := func(rule Rule, format string, args ...any) {
		out = append(out, Reason{rule, fmt.Sprintf(format, args...)})
	}
	// What is decided already is no part of the folder: neither of what would go
	// nor of what is there.
	there := d.Target - decided.Keep.Len() - decided.Hold.Len() - decided.Allow.Len()
	before := s.Reserved.Minus(d.UIDs).Len() // let go within the window and gone
	n, of := before+left.Len(), before+there
	if l.FolderShare > 0 && n >= l.FolderMinimum && exceeds(n, of, l.FolderShare) {
		note(RuleFolderShare, "%d of %d messages of the folder%s: more than %d %% and at least %d",
			n, of, l.within(before), l.FolderShare, l.FolderMinimum)
	}
	if l.FolderCount > 0 && n > l.FolderCount {
		note(RuleFolderCount, "%s of the folder%s: more than %d", plural(n), l.within(before), l.FolderCount)
	}
	if l.Gone > 0 && left.Len() >= l.Gone {
		switch {
		case d.Vanished:
			note(RuleVanished, "the folder vanished from the source, and held %s", plural(left.Len()))
		case d.Recreated && d.Source < there:
			note(RuleRecreated, "the source's folder is another one than before, with %s instead of %d", plural(d.Source), there)
		}
	}
	if n := p.Deleted + left.Minus(s.Reserved).Len(); l.LinkShare > 0 && n >= l.LinkMinimum && exceeds(n, p.Messages, l.LinkShare) {
		note(RuleLink, "%d of %d messages of the link within %s: more than %d %% and at least %d",
			n, p.Messages, l.Window, l.LinkShare, l.LinkMinimum)
	}
	if n := p.Emptied + 1; d.Empties() && l.InboxShare > 0 && n >= l.InboxMinimum && exceeds(n, p.Mailboxes, l.InboxShare) {
		note(RuleInboxes, "the inbox emptied in %d of %d mailboxes of the link within %s: more than %d %% and at least %d",
			n, p.Mailboxes, l.Window, l.InboxShare, l.InboxMinimum)
	}
	return out
}

func (l Limits) within(before int) string {
	if before == 0 {
		return ""
	}
	return " within " + l.Window.String()
}

// exceeds reports whether n is more than share percent of all.
func exceeds(n, all, share int) bool { return int64(n)*100 > int64(all)*int64(share) }

// Messages spells a number of messages with what they do: "1 message waits",
// "2 messages wait".
func Messages(n int, verb string) string {
	if n == 1 {
		verb += "s"
	}
	return plural(n) + " " + verb
}

func plural(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}
