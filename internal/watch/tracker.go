package watch

import (
	"slices"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// tracker knows what was last seen of each mailbox and tells what is new in a
// report. Servers announce things twice and things that are none; a report
// that says what is known already is no event.
type tracker struct {
	greetings, exclude mailbox.Patterns
	seen               map[mailbox.Number]Known
	// left are mailboxes whose first reading is no event; see crowd.
	left map[mailbox.Number]bool
}

// crowd is how many mailboxes that were never mirrored may begin at once and
// still be synced for what they hold. More are left to the compare that an
// operator starts for them, or to the sweep: a sync of its own for each costs
// many times what a compare does, and gets into its way.
const crowd = 20

func newTracker(greetings, exclude mailbox.Patterns) *tracker {
	return &tracker{greetings: greetings, exclude: exclude, seen: map[mailbox.Number]Known{}, left: map[mailbox.Number]bool{}}
}

// beginAll takes what is on record of mailboxes for what was last seen of them.
func (t *tracker) beginAll(numbers []mailbox.Number, known map[mailbox.Number]Known) {
	strangers := 0
	for _, n := range numbers {
		if known[n] == nil {
			strangers++
		}
	}
	for _, n := range numbers {
		t.begin(n, known[n])
		if known[n] == nil && strangers > crowd {
			t.left[n] = true
		}
	}
}

// begin takes what is on record of a mailbox for what was last seen of it.
func (t *tracker) begin(n mailbox.Number, known Known) {
	if known == nil {
		known = Known{}
	}
	t.seen[n] = known
}

// settle takes in the counters at which a mailbox was mirrored for the first time, and
// returns the events of what was read since. nil is one that was not mirrored.
func (t *tracker) settle(n mailbox.Number, known Known) []site.EventKind {
	seen, takesPart := t.seen[n]
	switch {
	case known == nil || !takesPart:
		return nil
	case t.left[n]:
		// Nothing was read yet: the first reading shows what changed since.
		delete(t.left, n)
		t.begin(n, known)
		return nil
	}
	var kinds []site.EventKind
	for name, now := range seen {
		at, mirrored := known[name]
		if mirrored && at.UIDValidity == now.UIDValidity && now.HighestModSeq > 0 && now.HighestModSeq <= at.HighestModSeq {
			seen[name] = at // it was read before the sync
			continue
		}
		if kind := compare(at, mirrored, now, false); kind != "" && !slices.Contains(kinds, t.named(name, kind)) {
			kinds = append(kinds, t.named(name, kind))
		}
	}
	for name, at := range known {
		if _, read := seen[name]; !read {
			seen[name] = at // the sync found it, or it is gone: the next reading tells
		}
	}
	slices.Sort(kinds)
	return kinds
}

func (t *tracker) forget(n mailbox.Number) {
	delete(t.seen, n)
	delete(t.left, n)
}

// take returns the events in a report, at most one of each kind and none for
// mailboxes that take no part.
func (t *tracker) take(r Report) []site.EventKind {
	seen, takesPart := t.seen[r.Number]
	if !takesPart {
		return nil
	}
	var kinds []site.EventKind
	note := func(k site.EventKind) {
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	if r.Kind != "" && !t.exclude.Match(r.Folder) {
		note(t.named(r.Folder, r.Kind))
	}
	heard := len(kinds)
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
				note(t.named(name, site.EventFolder))
			}
		}
	}
	if t.left[r.Number] && r.Whole {
		delete(t.left, r.Number)
		return kinds[:heard]
	}
	return kinds
}

// named gives every change of a greetings folder its own kind.
func (t *tracker) named(f mailbox.FolderName, kind site.EventKind) site.EventKind {
	if t.greetings.Role(f) == mailbox.RoleGreetings {
		return site.EventGreeting
	}
	return kind
}

// compare tells what happened between two readings of a folder's counters, ""
// where nothing did as far as they tell. After an interruption they have to
// prove it: without mod-sequences they cannot (RFC 7162, section 3.1).
func compare(before mailbox.Counters, known bool, now mailbox.Counters, prove bool) site.EventKind {
	switch {
	case !known, before.UIDValidity != now.UIDValidity:
		return site.EventFolder
	case now.UIDNext > before.UIDNext:
		return site.EventMessageIn
	case now.Messages < before.Messages:
		return site.EventMessageGone
	case now != before:
		return site.EventFlags
	case prove && !before.Unchanged(now):
		return site.EventUnknown
	default:
		return ""
	}
}
