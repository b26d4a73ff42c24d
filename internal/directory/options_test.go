package directory_test

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
)

func TestSplitDescription(t *testing.T) {
	for text, want := range map[string][]string{
		"sn": nil, "sn;": nil, "sn;lang-de": {"lang-de"}, "sn;LANG-DE;binary": {"binary", "lang-de"}, "sn;x;X": {"x"},
	} {
		if name, options := directory.SplitDescription(text); name != "sn" || !slices.Equal(options, want) {
			t.Errorf("%q: %q, %q", text, name, options)
		}
	}
}

func texts(all ...string) [][]byte {
	var out [][]byte
	for _, text := range all {
		out = append(out, []byte(text))
	}
	return out
}

// described is an entry with a name in several languages.
func described(base [][]byte, tags directory.Tags) *directory.Entry {
	e := &directory.Entry{Ref: directory.Ref{DN: "MailboxNumber=4001,o=x"}, Number: "4001",
		Values: map[directory.Column][][]byte{directory.MailboxNumber: texts("4001")}, Tags: map[directory.Column]directory.Tags{}}
	if base != nil {
		e.Values[directory.LastName] = base
	}
	if tags != nil {
		e.Tags[directory.LastName] = tags
	}
	return e
}

// Values with options are of their own: they are compared, planned, digested and
// removed each for itself, and never become values without.
func TestPlanWithOptions(t *testing.T) {
	m := directory.DefaultMapping()
	m.BaseDN = "o=x"
	for what, test := range map[string]struct {
		source, target *directory.Entry
		blank          bool
		want           map[string][][]byte
	}{
		"equal":         {described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), false, nil},
		"none":          {described(texts("Mayer"), directory.Tags{"lang-de": nil}), described(texts("Mayer"), nil), false, nil},
		"to be added":   {described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), described(texts("Mayer"), nil), false, map[string][][]byte{"sn;lang-de": texts("Meier")}},
		"to be changed": {described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), described(texts("Mayer"), directory.Tags{"lang-de": texts("Maier")}), false, map[string][][]byte{"sn;lang-de": texts("Meier")}},
		"to be removed": {described(texts("Mayer"), nil), described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), false, map[string][][]byte{"sn;lang-de": nil}},
		"mixed up":      {described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), described(texts("Mayer", "Meier"), nil), false, map[string][][]byte{"sn": texts("Mayer"), "sn;lang-de": texts("Meier")}},
		"alone":         {described(nil, directory.Tags{"lang-de": texts("Meier")}), described(texts("Mayer"), nil), false, map[string][][]byte{"sn": nil, "sn;lang-de": texts("Meier")}},
		"hidden since":  {described(nil, nil), described(nil, directory.Tags{"lang-de": texts("Meier")}), false, nil},
		"gone":          {described(nil, nil), described(nil, directory.Tags{"lang-de": texts("Meier")}), true, map[string][][]byte{"sn;lang-de": nil}},
	} {
		change := directory.Change{Kind: directory.Alter, Number: "4001", Columns: []directory.Column{directory.LastName}}
		if test.blank {
			change.Blank = change.Columns
		}
		operations, err := m.Plan(change, test.source, test.target, m)
		if err != nil || len(operations) != min(len(test.want), 1) {
			t.Errorf("%s: %v, %v", what, operations, err)
			continue
		}
		differ := len(m.Differ(test.source, test.target, m)) > 0
		digest := func(e *directory.Entry) []byte { return directory.NewRecord(*e, nil).Tags[directory.LastName] }
		if same := bytes.Equal(digest(test.source), digest(test.target)); what == "equal" && (differ || !same) || what == "to be changed" && (!differ || same) {
			t.Errorf("%s: differ %v, one digest %v", what, differ, same)
		}
		if len(operations) == 0 {
			continue
		}
		got := map[string][][]byte{}
		maps.Copy(got, operations[0].Modify.Replace)
		if diff := cmp.Diff(test.want, got, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	created, err := m.Plan(directory.Change{Kind: directory.Create, Number: "4001"}, described(texts("Mayer"), directory.Tags{"lang-de": texts("Meier")}), nil, m)
	if err != nil || len(created) != 1 || string(created[0].Add.Attributes["sn"][0]) != "Mayer" || string(created[0].Add.Attributes["sn;lang-de"][0]) != "Meier" {
		t.Errorf("created %+v, %v", created, err)
	}
}

// What is secret without options is secret with them.
func TestLDIFWithOptions(t *testing.T) {
	m := directory.DefaultMapping()
	add := directory.Operation{Add: &directory.Add{DN: "MailboxNumber=1,o=x", Attributes: map[string][][]byte{
		"Password;x-old": texts("secret"), "umRecordedName;lang-de": texts("secret"), "sn;lang-de": texts("Meier")}}}
	var b strings.Builder
	if err := directory.WriteLDIF(&b, m, []directory.Operation{add}, directory.LDIFOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Password;x-old: not shown", "# umRecordedName;lang-de: 6 bytes", "sn;lang-de: Meier"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "secret") {
		t.Errorf("a secret is in\n%s", b.String())
	}
}
