package ldapdirtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/ldapdir"
)

// rights tries what may be written on directories that let it be, and on some
// that do not, and changes none.
func rights(t *testing.T, k Kind) {
	var attributes []string
	for _, a := range directory.Attributes() {
		attributes = append(attributes, a.Default)
	}
	all := append(slices.Clone(attributes), "new entries", "new names", "deletions")
	without := func(from []string, names ...string) []string {
		return slices.DeleteFunc(slices.Clone(from), func(n string) bool { return slices.Contains(names, n) })
	}
	two := boxes(base, 2, "Password: secret", "avUmFindMeEnabled: TRUE", "umRecordedName:: AAEC", "Misc1: one", "Misc1: two")
	empty := all // what may be told of a directory without entries
	if k.EntryForRights {
		empty = []string{"new entries"}
	}
	for name, test := range map[string]struct {
		wish     Wish
		writable []string
		faults   []string
		change   func(*ldapdir.Options)
	}{
		"everything":       {wish: Wish{LDIF: two}, writable: all},
		"no entry yet":     {writable: empty},
		"attributes":       {wish: Wish{LDIF: two, Refuse: []string{"Password", "avUmFindMeEnabled"}}, writable: without(all, "Password", "avUmFindMeEnabled"), faults: []string{"refuses Password (password), avUmFindMeEnabled (find_me_enabled): "}},
		"entries":          {wish: Wish{LDIF: two, Fixed: true}, writable: without(all, k.Fixed...), faults: []string{"refuses " + strings.Join(k.Fixed, ", ") + ": "}},
		"read-only":        {wish: Wish{LDIF: two, ReadOnly: true}, faults: []string{"read-only"}},
		"only a protected": {wish: Wish{LDIF: boxes(base, 1)}, writable: empty, change: func(o *ldapdir.Options) { o.Mapping.Protected = []string{"(MailboxNumber=*)"} }},
	} {
		t.Run(name, func(t *testing.T) {
			d := k.Start(t, test.wish)
			o := options(d)
			if test.change != nil {
				test.change(&o)
			}
			store, err := ldapdir.New(o)
			if err != nil {
				t.Fatal(err)
			}
			before := dump(t, d)
			r, err := store.CheckRights(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if after := dump(t, d); after != before {
				t.Errorf("the directory was changed:\n%s\nwas\n%s", after, before)
			}
			if !slices.Equal(r.Writable, test.writable) {
				t.Errorf("writable are %q, want %q", r.Writable, test.writable)
			}
			if entry := test.wish.LDIF != "" && test.change == nil; entry != (r.TriedOn != "") {
				t.Errorf("it was tried on %q", r.TriedOn)
			}
			if len(r.Faults) != len(test.faults) {
				t.Errorf("faults are %q", r.Faults)
			}
			for i, f := range test.faults[:min(len(test.faults), len(r.Faults))] {
				if !strings.Contains(r.Faults[i], f) {
					t.Errorf("fault %q, want %q", r.Faults[i], f)
				}
			}
			if text := fmt.Sprint(r); strings.Contains(text, "secret") {
				t.Errorf("a password is told: %s", text)
			}
			if told := len(test.faults) == 0 && len(test.writable) < len(all); told != (len(r.Advice) > 0) {
				t.Errorf("advice %q", r.Advice)
			}
		})
	}
}
