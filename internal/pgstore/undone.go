package pgstore

import (
	"fmt"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// undoneHint says what an operator does about a target that undoes what the mirror
// does.
func undoneHint(kind copier.DifferenceKind) string {
	switch kind {
	case copier.Lost:
		return "find out what deletes messages there by itself, such as autoexpunge or an expire rule of the target's server, and switch it off; " +
			"then: mailmirror sync. Until then Mailmirror tries again after a day, and then less often"
	case copier.FolderKept:
		return "delete the folder on the target, or have its server create no folders by itself; then: mailmirror sync"
	case copier.SubscriptionKept:
		return "have the target's server subscribe no folders by itself; then: mailmirror sync"
	case copier.OnlyCopy:
		return "see why the other message could not be copied: mailmirror errors shows it; once it is copied, Mailmirror deletes this copy"
	case copier.NotKept:
		return "raise the mailbox's quota on the target, and Mailmirror moves them with the next sync; or have deleted messages go at once: mailmirror link edit LINK --keep-deleted 0"
	case copier.NotPurged:
		return "Mailmirror leaves them there; move them to another folder of the target, or delete this folder yourself"
	default:
		return ""
	}
}

// movedHint says what an operator does about a target that moves messages to another
// folder.
const movedHint = "find out what moves messages there, such as a Sieve filter or another rule of the target's server, and switch it off for this mailbox; " +
	"then move the messages back on the target, or delete them there; then: mailmirror sync. While the other folder has them, no sync copies them again"

// lostMessages makes one entry of all messages that the target lost from a folder, and
// one for each other folder to which it moved them.
type lostMessages struct {
	of      site.ErrorEntry
	entries map[mailbox.FolderName]lostEntry // by the other folder, "" for none
	last    mailbox.FolderName
}

type lostEntry struct{ at, n int }

// first reports whether e, which would be the entry at the given place, is the
// first of its folder, and of the folder to which its message was moved.
func (l *lostMessages) first(e site.ErrorEntry, at int) bool {
	if l.entries == nil || l.of.Link != e.Link || l.of.Number != e.Number || l.of.Folder != e.Folder {
		l.of, l.entries = e, map[mailbox.FolderName]lostEntry{}
	}
	l.last, _ = copier.MovedTo(copier.Difference{Kind: copier.Lost, Detail: e.Text})
	known, again := l.entries[l.last]
	if !again {
		known.at = at
	}
	known.n++
	l.entries[l.last] = known
	return !again
}

// tell gives the entry that was counted last its number of messages.
func (l *lostMessages) tell(entries []site.ErrorEntry) {
	counted := l.entries[l.last]
	messages, they := "1 message", "it was"
	if counted.n > 1 {
		messages, they = fmt.Sprintf("%d messages", counted.n), "they were"
		entries[counted.at].SourceUID = 0
	}
	e := &entries[counted.at]
	if l.last == "" {
		e.Text = "the target loses messages by itself: " + messages + " of this folder, again and again after " + they + " copied"
		return
	}
	e.Text = "the target moves messages by itself: " + messages + " of this folder to its folder " + string(l.last) + ", after " + they + " copied"
	e.Hint = movedHint
}
