package watch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func folder(name mailbox.FolderName, c mailbox.Counters) mailbox.Folder {
	return mailbox.Folder{Name: name, Selectable: true, Counters: c}
}

func TestTracker(t *testing.T) {
	at := mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 3, HighestModSeq: 9}
	change := func(f func(*mailbox.Counters)) mailbox.Counters {
		c := at
		f(&c)
		return c
	}
	plain := change(func(c *mailbox.Counters) { c.HighestModSeq = 0 })
	tests := []struct {
		name  string
		known Known
		take  Report
		want  []site.EventKind
	}{
		{"nothing new", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", at)}}, nil},
		{"message in", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", change(func(c *mailbox.Counters) { c.UIDNext++; c.Messages++ }))}}, []site.EventKind{site.EventMessageIn}},
		{"message in and gone", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", change(func(c *mailbox.Counters) { c.UIDNext++ }))}}, []site.EventKind{site.EventMessageIn}},
		{"message gone", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", change(func(c *mailbox.Counters) { c.Messages-- }))}}, []site.EventKind{site.EventMessageGone}},
		{"flags", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", change(func(c *mailbox.Counters) { c.HighestModSeq++ }))}}, []site.EventKind{site.EventFlags}},
		{"made anew", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("INBOX", change(func(c *mailbox.Counters) { c.UIDValidity++ }))}}, []site.EventKind{site.EventFolder}},
		{"greeting", Known{"Greetings": at}, Report{Folders: []mailbox.Folder{folder("Greetings", change(func(c *mailbox.Counters) { c.UIDNext++ }))}}, []site.EventKind{site.EventGreeting}},
		{"new folder", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("New", at)}}, []site.EventKind{site.EventFolder}},
		{"folder gone", Known{"INBOX": at, "Old": at}, Report{Whole: true, Folders: []mailbox.Folder{folder("INBOX", at)}}, []site.EventKind{site.EventFolder}},
		{"the inbox is not told", Known{"INBOX": at}, Report{Whole: true}, nil},
		{"excluded", Known{"INBOX": at}, Report{Folders: []mailbox.Folder{folder("Trash", at)}}, nil},
		{"excluded, without counters", Known{"INBOX": at}, Report{Kind: site.EventFolder, Folder: "Trash/Old"}, nil},
		{"not selectable", Known{"INBOX": at}, Report{Whole: true, Folders: []mailbox.Folder{folder("INBOX", at), {Name: "Top"}}}, nil},
		{"without counters", Known{"INBOX": at}, Report{Kind: site.EventFlags, Folder: "INBOX"}, []site.EventKind{site.EventFlags}},
		{"of a greetings folder without counters", Known{"INBOX": at}, Report{Kind: site.EventFolder, Folder: "Greetings"}, []site.EventKind{site.EventGreeting}},
		{"never mirrored", nil, Report{Resumed: true, Folders: []mailbox.Folder{folder("INBOX", at)}}, []site.EventKind{site.EventFolder}},
		{"proven unchanged", Known{"INBOX": at}, Report{Resumed: true, Folders: []mailbox.Folder{folder("INBOX", at)}}, nil},
		{"not proven", Known{"INBOX": plain}, Report{Resumed: true, Folders: []mailbox.Folder{folder("INBOX", plain)}}, []site.EventKind{site.EventUnknown}},
		{"not proven, but heard all the time", Known{"INBOX": plain}, Report{Folders: []mailbox.Folder{folder("INBOX", plain)}}, nil},
		{"two folders, two kinds", Known{"INBOX": at, "A": at}, Report{Folders: []mailbox.Folder{
			folder("INBOX", change(func(c *mailbox.Counters) { c.UIDNext++ })), folder("A", change(func(c *mailbox.Counters) { c.HighestModSeq++ }))}},
			[]site.EventKind{site.EventMessageIn, site.EventFlags}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tr := newTracker(mailbox.DefaultGreetings, mailbox.Patterns{"Trash"})
			tr.begin("1001", test.known)
			test.take.Number = "1001"
			if diff := cmp.Diff(test.want, tr.take(test.take)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			// The same again is nothing new, but where it told no counters, or
			// has to be proven.
			if again := tr.take(test.take); test.take.Kind == "" && !test.take.Resumed && len(again) > 0 {
				t.Errorf("told again, it is %v", again)
			}
			test.take.Number = "1002"
			if other := tr.take(test.take); other != nil {
				t.Errorf("of a mailbox that takes no part: %v", other)
			}
		})
	}
}

// Many mailboxes that were never mirrored are left to a compare, until something
// happens in them; a few, and those that are on record, are not.
func TestTrackerLeavesACrowd(t *testing.T) {
	at := mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 4, HighestModSeq: 9}
	later := mailbox.Counters{UIDValidity: 1, UIDNext: 6, Messages: 5, HighestModSeq: 10}
	first := func(n mailbox.Number) Report {
		return Report{Number: n, Whole: true, Resumed: true, Folders: []mailbox.Folder{folder("INBOX", at)}}
	}
	for _, strangers := range []int{crowd, crowd + 1} {
		tr := newTracker(nil, nil)
		numbers := []mailbox.Number{"known"}
		for i := range strangers {
			numbers = append(numbers, mailbox.Number(fmt.Sprint(1000+i)))
		}
		tr.beginAll(numbers, map[mailbox.Number]Known{"known": {"INBOX": later}})
		for _, n := range numbers[1:] {
			if events := len(tr.take(first(n))); (events == 0) != (strangers > crowd) {
				t.Fatalf("%d never mirrored: %d events of what one holds", strangers, events)
			}
		}
		if len(tr.take(first("known"))) != 1 {
			t.Errorf("%d never mirrored: no event of one that is on record and changed", strangers)
		}
		news := Report{Number: "1000", Folders: []mailbox.Folder{folder("INBOX", later)}}
		if events := tr.take(news); len(events) != 1 || events[0] != site.EventMessageIn {
			t.Errorf("%d never mirrored: events of a message are %v", strangers, events)
		}
	}
}
