package ldapdirtest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/ldapdir"
)

// described mirrors attributes with options (RFC 4512, 2.5): each description has
// values of its own, of a single-valued attribute as well.
func described(t *testing.T, k Kind) {
	d := k.Start(t, Wish{LDIF: "dn: MailboxNumber=4001," + base + "\nobjectClass: umMailbox\nMailboxNumber: 4001\ncn: Box\n" +
		"sn: Mayer\nsn;lang-de: Meier\nsn;lang-de: Maier\nCommunity: 1\nCommunity;lang-de: 2\n\n"})
	m := options(d).Mapping
	s := open(t, options(d))
	source := only(t, s, "4001")
	same(t, "without options", source, map[directory.Column][]string{directory.MailboxNumber: {"4001"}, directory.CommonName: {"Box"},
		directory.LastName: {"Mayer"}, directory.Community: {"1"}})
	tags := func(e directory.Entry) map[string][]string {
		found := map[string][]string{}
		for column := range e.Tags {
			for _, o := range e.Tagged(column) {
				for _, v := range e.Tags[column][o] {
					found[string(column)+";"+o] = append(found[string(column)+";"+o], string(v))
				}
				slices.Sort(found[string(column)+";"+o])
			}
		}
		return found
	}
	want := map[string][]string{"last_name;lang-de": {"Maier", "Meier"}, "community;lang-de": {"2"}}
	if diff := cmp.Diff(want, tags(source)); diff != "" {
		t.Errorf("with options: %s", diff)
	}
	_, found := extract(t, s)
	if found.Having[directory.LastName] != 1 || found.Having[directory.Misc1] != 0 {
		t.Errorf("%v", found.Having)
	}

	// Another entry becomes equal, from nothing, and again after each change.
	plan := func(kind directory.ChangeKind, target *directory.Entry) {
		t.Helper()
		wanted := source
		wanted.Number = "4002"
		wanted.Values = maps.Clone(source.Values)
		wanted.Values[directory.MailboxNumber] = raw([]string{"4002"})
		columns := []directory.Column{directory.LastName, directory.Community}
		operations, err := m.Plan(directory.Change{Kind: kind, Number: "4002", Columns: columns, Blank: columns}, &wanted, target, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range operations {
			if err := s.Write(t.Context(), op); err != nil {
				t.Fatal(err)
			}
		}
		now := only(t, s, "4002")
		if differ := m.Differ(&wanted, &now, m); len(differ) > 0 {
			t.Errorf("after %s: %q differ: %v, want %v", kind, differ, tags(now), tags(wanted))
		}
	}
	plan(directory.Create, nil)
	for _, change := range []string{
		"replace: sn\nsn: Other\n-\nreplace: Community\nCommunity: 7\n",
		"replace: sn;lang-de\nsn;lang-de: Other\n-\nadd: sn;lang-fr\nsn;lang-fr: Autre\n-\ndelete: Community;lang-de\n",
		"delete: sn;lang-de\n",
	} {
		apply(t, d, "dn: MailboxNumber=4002,"+base+"\nchangetype: modify\n"+change)
		target := only(t, s, "4002")
		plan(directory.Alter, &target)
	}
	apply(t, d, "dn: MailboxNumber=4001,"+base+"\nchangetype: modify\ndelete: sn;lang-de\n-\ndelete: Community\n")
	source = only(t, s, "4001")
	target := only(t, s, "4002")
	plan(directory.Alter, &target)
	if all := dump(t, d); strings.Count(all, "sn;lang-de") != 0 || strings.Count(all, "Community;lang-de: 2") != 2 {
		t.Errorf("at last:\n%s", all)
	}

	// A mapping may name a description with options, beside the one without.
	o := options(d)
	o.Mapping.Names[directory.Misc1] = "sn;lang-fr"
	apply(t, d, "dn: MailboxNumber=4001,"+base+"\nchangetype: modify\nadd: sn;lang-fr\nsn;lang-fr: Autre\n")
	e := only(t, open(t, o), "4001")
	if got := e.Values[directory.Misc1]; len(got) != 1 || string(got[0]) != "Autre" || len(e.Tagged(directory.LastName)) > 0 {
		t.Errorf("by a column of its own: %q, %v", got, tags(e))
	}
	if store, err := ldapdir.New(o); err != nil {
		t.Error(err)
	} else if r, err := store.CheckRights(t.Context(), []directory.Column{directory.LastName, directory.Misc1}, noLease); err != nil || !slices.Equal(r.Writable, []string{"sn", "sn;lang-fr"}) {
		t.Errorf("rights: %+v, %v", r, err)
	}
}
