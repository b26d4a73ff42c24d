package ldapdirtest

import (
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/test/faults"
)

// unreadable reads a directory of which some entries cannot be read: the server ends
// the connection at them, or they are too large. All others are handed over, and these
// are named.
func unreadable(t *testing.T, k Kind) {
	const entries = 700
	large := box(base, "900001", "umRecordedName: "+strings.Repeat("x", 5<<20))
	d := k.Start(t, Wish{LDIF: boxes(base, entries) + large})
	p, o := through(t, d)
	check := func(what string, partial bool, number ...string) {
		t.Helper()
		var unread []string
		seen := map[string]int{}
		found, err := open(t, o).Extract(t.Context(), plainDigest, func(r directory.Record) error {
			if seen[r.Number]++; r.Unread {
				unread = append(unread, r.Number)
				if r.DN == "" && !partial || r.ID == "" && !partial && k.ID != "" {
					t.Errorf("%s: %s has no name or no id: %+v", what, r.Number, r.Ref)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		slices.Sort(unread)
		if !slices.Equal(unread, number) || len(seen) != entries+1 || found.Entries != entries+1 || found.Partial != partial {
			t.Errorf("%s: %q cannot be read, of %d entries; counted %d; partial: %v", what, unread, len(seen), found.Entries, found.Partial)
		}
		for i, u := range found.Unread {
			if u.Hint == "" || !strings.Contains(u.Text, u.Number) || i > len(number) {
				t.Errorf("%s: %+v", what, u)
			}
		}
		t.Logf("%s: %+v", what, found.Unread)
	}
	check("one that is too large", false, "900001")
	for _, number := range []string{"100000", "100333", "100699"} {
		p.Inject(faults.AfterPattern(faults.ToClient, "Box "+number, 1, faults.RST).Every())
	}
	check("three that end the connection", false, "100000", "100333", "100699", "900001")
	p.Clear()
	// Not even the names of the entries can be read.
	p.Inject(faults.AfterPattern(faults.ToClient, "MailboxNumber=100333", 1, faults.FIN).Every())
	check("one whose name ends the connection", true, "100333", "900001")
	p.Clear()
	// A server that ends the connection at every entry is the reason itself.
	p.Inject(faults.AfterPattern(faults.ToClient, "Box 1", 1, faults.RST).Every())
	before := p.Accepted()
	found, err := open(t, o).Extract(t.Context(), plainDigest, func(directory.Record) error { return nil })
	if err == nil {
		t.Errorf("every entry ends the connection, and it succeeds: %d entries", found.Entries)
	}
	if n := p.Accepted() - before; n > 200 {
		t.Errorf("it connected %d times", n)
	}
	t.Logf("every entry: %d connections: %v", p.Accepted()-before, err)
}
