package pgstore

import (
	"fmt"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
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
	case copier.NotPurged:
		return "Mailmirror leaves them there; move them to another folder of the target, or delete this folder yourself"
	default:
		return ""
	}
}

// lostMessages makes one entry of all messages that the target lost from a folder.
type lostMessages struct {
	of    control.ErrorEntry
	at, n int
}

// first reports whether e, which would be the entry at the given place, is the
// first of its folder.
func (l *lostMessages) first(e control.ErrorEntry, at int) bool {
	if l.n > 0 && l.of.Link == e.Link && l.of.Number == e.Number && l.of.Folder == e.Folder {
		l.n++
		return false
	}
	l.of, l.at, l.n = e, at, 1
	return true
}

// tell gives the entry its number of messages.
func (l *lostMessages) tell(entries []control.ErrorEntry) {
	if l.n == 0 {
		return
	}
	messages := "1 message"
	if l.n > 1 {
		messages = fmt.Sprintf("%d messages", l.n)
		entries[l.at].SourceUID = 0
	}
	entries[l.at].Text = "the target loses messages by itself: " + messages + " of this folder, again and again after they were copied"
}
