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
	var all []string
	for _, a := range directory.Attributes() {
		all = append(all, a.Default)
	}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(names, n) })
	}
	two := boxes(base, 2, "Password: secret", "avUmFindMeEnabled: TRUE", "umRecordedName:: AAEC", "Misc1: one", "Misc1: two")
	for name, test := range map[string]struct {
		wish     Wish
		writable []string
		fault    string
		advice   string
		columns  []directory.Column // all, where none is named
		change   func(*ldapdir.Options)
	}{
		"everything":       {wish: Wish{LDIF: two}, writable: all},
		"only a number":    {wish: Wish{LDIF: boxes(base, 1)}, writable: all},
		"no entry yet":     {advice: "no entry was found that is not protected"},
		"only a protected": {wish: Wish{LDIF: boxes(base, 1)}, advice: "no entry was found that is not protected", change: func(o *ldapdir.Options) { o.Mapping.Protected = []string{"(MailboxNumber=*)"} }},
		"attributes": {wish: Wish{LDIF: two, Refuse: []string{"Password", "avUmFindMeEnabled"}}, writable: without("Password", "avUmFindMeEnabled"),
			fault: "refuses Password (password), avUmFindMeEnabled (find_me_enabled): insufficient access rights (50); "},
		"what is not mirrored": {wish: Wish{LDIF: two, Refuse: []string{"Misc4"}}, columns: []directory.Column{directory.MailboxNumber, directory.Misc1}, writable: []string{"MailboxNumber", "Misc1"}},
		"none":                 {wish: Wish{LDIF: two, Refuse: all}, fault: "takes no change: insufficient access rights (50); "},
		"read-only":            {wish: Wish{LDIF: two, ReadOnly: true}, fault: "takes no change: unwilling to perform (53); the server, or this directory of it, may be read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
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
			columns := test.columns
			if columns == nil {
				for _, a := range directory.Attributes() {
					columns = append(columns, a.Column)
				}
			}
			r, err := store.CheckRights(t.Context(), columns, noLease)
			if err != nil {
				t.Fatal(err)
			}
			if after := dump(t, d); after != before {
				t.Errorf("the directory was changed:\n%s\nwas\n%s", after, before)
			}
			if test.writable != nil && test.fault == "" { // it takes what it has never had before
				apply(t, d, box(base, "200000", "Password: secret", "avUmFindMeEnabled: TRUE", "Misc1: one", "Misc4: four"))
				if !strings.Contains(dump(t, d), "Misc4: four") {
					t.Error("an entry that was created afterwards is not there")
				}
			}
			if !slices.Equal(r.Writable, test.writable) {
				t.Errorf("writable are %q, want %q", r.Writable, test.writable)
			}
			if untried := test.advice != ""; untried != (r.TriedOn == "") {
				t.Errorf("it was tried on %q", r.TriedOn)
			}
			if got := strings.Join(r.Faults, "\n"); !strings.Contains(got, test.fault) || (got == "") != (test.fault == "") {
				t.Errorf("faults are %q, want %q", r.Faults, test.fault)
			}
			if got := strings.Join(r.Advice, "\n"); !strings.Contains(got, test.advice) || (got == "") != (test.advice == "") {
				t.Errorf("advice is %q, want %q", r.Advice, test.advice)
			}
			if text := fmt.Sprint(r); strings.Contains(text, "secret") {
				t.Errorf("a password is told: %s", text)
			}
		})
	}
}
