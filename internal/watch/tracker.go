package watch

import (
	"slices"

	"mailmirror/internal/mailbox"
)

// tracker knows what was last seen of each mailbox and tells what is new in a
// report. Servers announce things twice and things that are none; a report
// that says what is known already is no event.
type tracker struct {
	greetings, exclude mailbox.Patterns
	seen               map[mailbox.Number]Known
}

func newTracker(greetings, exclude mailbox.Patterns) *tracker {
	return &tracker{greetings: greetings, exclude: exclude, seen: map[mailbox.Number]Known{}}
}

// begin takes what is on record of a mailbox for what was last seen of it.
func (t *tracker) begin(n mailbox.Number, known Known) {
	if known == nil {
		known = Known{}
	}
	t.seen[n] = known
}

func (t *tracker) forget(n mailbox.Number) { delete(t.seen, n) }

// take returns the events in a report, at most one of each kind and none for
// mailboxes that take no part.
func (t *tracker) take(r Report) []Kind {
	seen, takesPart := t.seen[r.Number]
	if !takesPart {
		return nil
	}
	var kinds []Kind
	note := func(k Kind) {
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	if r.Kind != "" && !t.exclude.Match(r.Folder) {
		note(t.named(r.Folder, r.Kind))
	}
	listed := make(map[mailbox.FolderName]bool, len(r.Folders))
	for _, f := range r.Folders {
		listed[f.Name] = true
		if !f.Selectable || f.Unreadable || t.exclude.Match(f.Name) {
			continue
		}
		before, known := seen[f.Name]
		seen[f.Name] = f.Counters
		if kind := compare(before, known, f.Counters, r.Resumed); kind != "" {
			note(t.named(f.Name, kind))
		}
	}
	if r.Whole {
		for name := range seen {
			if !listed[name] && name != mailbox.Inbox {
				delete(seen, name)
				note(t.named(name, Folder))
			}
		}
	}
	return kinds
}

// named gives every change of a greetings folder its own kind.
func (t *tracker) named(f mailbox.FolderName, kind Kind) Kind {
	if t.greetings.Role(f) == mailbox.RoleGreetings {
		return Greeting
	}
	return kind
}

// compare tells what happened between two readings of a folder's counters, ""
// where nothing did as far as they tell. After an interruption they have to
// prove it: without mod-sequences they cannot (RFC 7162, section 3.1).
func compare(before mailbox.Counters, known bool, now mailbox.Counters, prove bool) Kind {
	switch {
	case !known, before.UIDValidity != now.UIDValidity:
		return Folder
	case now.UIDNext > before.UIDNext:
		return MessageIn
	case now.Messages < before.Messages:
		return MessageGone
	case now != before:
		return Flags
	case prove && !before.Unchanged(now):
		return Unknown
	default:
		return ""
	}
}
