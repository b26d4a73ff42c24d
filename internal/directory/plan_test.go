package directory_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

func mapping(rdn directory.Column) directory.Mapping {
	m := directory.DefaultMapping()
	m.BaseDN = "ou=boxes,dc=dr"
	m.RDN = m.Names[rdn]
	m.Needs = map[string][]string{"description": {"by the mirror"}}
	return m
}

func entry(dn, number string, values map[directory.Column][]string) directory.Entry {
	e := directory.Entry{Ref: directory.Ref{ID: "id", DN: dn, Version: "7"}, Number: number,
		Values: map[directory.Column][][]byte{directory.MailboxNumber: {[]byte(number)}}}
	for column, list := range values {
		e.Values[column] = nil
		for _, v := range list {
			e.Values[column] = append(e.Values[column], []byte(v))
		}
	}
	return e
}

type values = map[directory.Column][]string

// server is an entry of a directory that keeps to the rules of LDAP.
type server struct {
	dn         string
	attributes map[string][][]byte // by lower-case name
}

func serve(e directory.Entry, m directory.Mapping) *server {
	s := &server{e.DN, map[string][][]byte{}}
	for column, list := range e.Values {
		s.attributes[strings.ToLower(m.Names[column])] = slices.Clone(list)
	}
	return s
}

// apply carries an operation out, or says why a server would not.
func (s *server) apply(op directory.Operation) error {
	switch {
	case op.Modify != nil:
		if op.Modify.DN != s.dn {
			return fmt.Errorf("no such entry %q, it is %q", op.Modify.DN, s.dn)
		}
		for name, list := range op.Modify.Replace {
			s.attributes[strings.ToLower(name)] = list
			if len(list) == 0 {
				delete(s.attributes, strings.ToLower(name))
			}
		}
	case op.Rename != nil:
		if op.Rename.DN != s.dn {
			return fmt.Errorf("no such entry %q, it is %q", op.Rename.DN, s.dn)
		}
		old, parent, err := directory.ParseRDN(s.dn)
		if err != nil {
			return err
		}
		fresh, rest, err := directory.ParseRDN(op.Rename.NewRDN)
		if err != nil || rest != "" {
			return fmt.Errorf("new name %q: %w", op.Rename.NewRDN, err)
		}
		for _, part := range old {
			name := strings.ToLower(part.Type)
			s.attributes[name] = slices.DeleteFunc(slices.Clone(s.attributes[name]), func(v []byte) bool { return bytes.Equal(v, part.Value) })
		}
		for _, part := range fresh {
			name := strings.ToLower(part.Type)
			if !slices.ContainsFunc(s.attributes[name], func(v []byte) bool { return bytes.Equal(v, part.Value) }) {
				s.attributes[name] = append(s.attributes[name], part.Value)
			}
		}
		s.dn = op.Rename.NewRDN + "," + parent
	case op.Add != nil:
		s.dn, s.attributes = op.Add.DN, map[string][][]byte{}
		for name, list := range op.Add.Attributes {
			s.attributes[strings.ToLower(name)] = list
		}
	default:
		return fmt.Errorf("operation %+v", op)
	}
	parts, _, err := directory.ParseRDN(s.dn)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if !slices.ContainsFunc(s.attributes[strings.ToLower(part.Type)], func(v []byte) bool { return bytes.Equal(v, part.Value) }) {
			return fmt.Errorf("the name %q has a value that the entry has not", s.dn)
		}
	}
	return nil
}

func (s *server) entry(m directory.Mapping) directory.Entry {
	e := directory.Entry{Ref: directory.Ref{ID: "id", DN: s.dn}, Values: map[directory.Column][][]byte{}}
	for column, name := range m.Names {
		if list := s.attributes[strings.ToLower(name)]; len(list) > 0 {
			e.Values[column] = list
		}
	}
	if number := e.Values[directory.MailboxNumber]; len(number) > 0 {
		e.Number = string(number[0])
	}
	return e
}

// TestPlanMakesEqual: whatever both sides hold, an entry is equal once the plan
// was carried out on a server that keeps to the rules, and a second plan is empty.
func TestPlanMakesEqual(t *testing.T) {
	t.Parallel()
	value := rapid.Custom(func(t *rapid.T) []byte {
		return []byte(rapid.OneOf(
			rapid.SampledFrom([]string{"", "a", "A", " a ", "#a", "a,b", `a\b`, `"a"`, "a+b=c", "ü", "\xff\x00", "a;<>b", "  "}),
			rapid.StringN(0, 6, 12)).Draw(t, "value"))
	})
	several := rapid.SliceOfNDistinct(value, 0, 3, func(v []byte) string { return string(v) })
	rapid.Check(t, func(t *rapid.T) {
		rdn := rapid.SampledFrom([]directory.Column{directory.MailboxNumber, directory.CommonName, directory.LastName}).Draw(t, "rdn")
		m, of := mapping(rdn), directory.DefaultMapping()
		if rapid.Bool().Draw(t, "not mapped") {
			delete(of.Names, directory.Misc2)
		}
		side := func(name, number string) directory.Entry {
			e := entry("", number, nil)
			for _, a := range directory.Attributes()[1:] {
				if list := several.Draw(t, name+" "+string(a.Column)); len(list) > 0 {
					e.Values[a.Column] = list
				}
			}
			return e
		}
		source := side("source", rapid.SampledFrom([]string{"1", "2,+"}).Draw(t, "source number"))
		change := directory.Change{Kind: directory.Create, Number: source.Number}
		var target *directory.Entry
		s := &server{}
		if rapid.Bool().Draw(t, "there") {
			there := side("target", rapid.SampledFrom([]string{"1", "2,+"}).Draw(t, "target number"))
			parts := []directory.AVA{{Type: m.RDN, Value: []byte("x")}}
			if list := there.Values[rdn]; len(list) > 0 {
				parts[0].Value = list[0]
			} else {
				there.Values[rdn] = [][]byte{[]byte("x")}
			}
			if rdn != directory.MailboxNumber && rapid.Bool().Draw(t, "two in the name") {
				parts = append(parts, directory.AVA{Type: "mailboxNUMBER", Value: []byte(there.Number)})
			}
			there.DN = directory.FormatRDN(parts) + "," + m.BaseDN
			target, s = &there, serve(there, m)
			change.Kind, change.Columns = directory.Alter, m.Differ(&source, &there, of)
			if there.Number != source.Number {
				change.Kind = directory.Renumber
			}
			for _, c := range change.Columns {
				if len(source.Values[c]) == 0 {
					change.Blank = append(change.Blank, c)
				}
			}
		}
		operations, err := m.Plan(change, &source, target, of)
		if len(source.Values[rdn]) == 0 {
			if (target == nil || slices.Contains(change.Columns, rdn)) && !fault.Is(err, fault.Permanent) {
				t.Fatalf("an entry without its name: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if target != nil && len(change.Columns) == 0 && len(operations) > 0 {
			t.Fatalf("nothing differs, and %+v is planned", operations)
		}
		for _, op := range operations {
			if err := s.apply(op); err != nil {
				t.Fatalf("%+v: %v", op, err)
			}
		}
		after := s.entry(m)
		if left := m.Differ(&source, &after, of); len(left) > 0 {
			t.Fatalf("%v differ after %+v", left, operations)
		}
		if before := targetValues(target, directory.Misc2); of.Names[directory.Misc2] == "" && !slices.EqualFunc(after.Values[directory.Misc2], before, bytes.Equal) {
			t.Fatalf("a column that the source does not have became %q", after.Values[directory.Misc2])
		}
		if again, err := m.Plan(change, &source, &after, of); err != nil || len(again) > 0 {
			t.Fatalf("a second plan: %+v, %v", again, err)
		}
		after.Protected = true
		if again, err := m.Plan(change, &source, &after, of); err == nil || len(again) > 0 {
			t.Fatalf("a protected entry: %+v, %v", again, err)
		}
	})
}

func targetValues(e *directory.Entry, c directory.Column) [][]byte {
	if e == nil {
		return nil
	}
	return e.Values[c]
}

func TestPlan(t *testing.T) {
	t.Parallel()
	here := func(v values) *directory.Entry { e := entry("MailboxNumber=1,ou=boxes,dc=dr", "1", v); return &e }
	there := func(v values) *directory.Entry { e := entry("cn=x,dc=prod", "1", v); return &e }
	protected, anew, other := here(nil), here(nil), there(nil)
	protected.Protected, anew.ID, other.Number = true, "another", "2"
	named := entry("cn=Smith+telephoneNumber=7,ou=boxes,dc=dr", "1", values{"cn": {"Smith", "Smythe"}, "phone": {"7"}})
	const cn, misc = directory.CommonName, directory.Misc1
	ref := directory.Ref{ID: "id", DN: "x"}
	change := func(kind directory.ChangeKind, columns ...directory.Column) directory.Change {
		return directory.Change{Kind: kind, Number: "1", Target: ref, Columns: columns}
	}
	blank := change(directory.Alter, misc)
	blank.Blank = []directory.Column{misc}
	via := change(directory.Renumber)
	via.Number, via.Via = "2", "9"
	for name, c := range map[string]struct {
		change         directory.Change
		source, target *directory.Entry
		want           string
	}{
		"nothing":                  {change(directory.Alter, cn), there(values{"cn": {"A"}}), here(values{"cn": {"A"}}), ""},
		"a value":                  {change(directory.Alter, cn), there(values{"cn": {"A"}}), here(values{"cn": {"a"}}), `modify cn=[A]`},
		"order alone":              {change(directory.Alter, cn), there(values{"cn": {"A", "B"}}), here(values{"cn": {"B", "A"}}), ""},
		"a column that is not due": {change(directory.Alter, misc), there(values{"cn": {"A"}}), here(values{"cn": {"a"}}), ""},
		"emptied":                  {blank, there(nil), here(values{"misc1": {"x"}}), `modify Misc1=[]`},
		"hidden since":             {change(directory.Alter, misc), there(nil), here(values{"misc1": {"x"}}), ""},
		"an empty value":           {change(directory.Alter, misc), there(values{"misc1": {""}}), here(nil), `modify Misc1=[""]`},
		"removed":                  {change(directory.Remove), nil, here(nil), "delete"},
		"unknown removed":          {change(directory.Unknown), nil, here(nil), "delete"},
		"gone already":             {change(directory.Remove), nil, nil, ""},
		"the source is back":       {change(directory.Remove), there(nil), here(nil), "conflict"},
		"the source is gone":       {change(directory.Alter, cn), nil, here(nil), "conflict"},
		"the target is gone":       {change(directory.Alter, cn), there(nil), nil, "conflict"},
		"the target is protected":  {change(directory.Remove), nil, protected, "conflict"},
		"the target was made anew": {change(directory.Remove), nil, anew, "conflict"},
		"the source's number":      {change(directory.Alter, cn), other, here(nil), "conflict"},
		"duplicate":                {change(directory.Duplicate), there(nil), here(nil), "permanent"},
		"a value beside the name's": {change(directory.Alter, cn), there(values{"cn": {"Smith", "Smyth"}}), &named,
			`modify cn=[Smith Smyth]`},
		"one part of the name": {change(directory.Alter, cn), there(values{"cn": {"Smythe"}}), &named,
			`rename cn=Smythe+telephoneNumber=7`},
		"both parts": {change(directory.Alter, cn, directory.Phone), there(values{"cn": {"B", "A"}, "phone": {"8"}}), &named,
			`rename cn=A+telephoneNumber=8, modify cn=[A B]`},
		"the name's last value": {directory.Change{Kind: directory.Alter, Number: "1", Columns: []directory.Column{cn}, Blank: []directory.Column{cn}},
			there(nil), &named, "permanent"},
		"half of a circle": {via, other, here(nil), "rename MailboxNumber=9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.target != nil && c.change.Number == "2" {
				c.source.Values[directory.MailboxNumber] = [][]byte{[]byte("2")}
			}
			operations, err := mapping(directory.MailboxNumber).Plan(c.change, c.source, c.target, directory.DefaultMapping())
			if got := spell(operations, err); got != c.want {
				t.Errorf("got %q, want %q (%v)", got, c.want, err)
			}
			if len(operations) == 2 && (operations[1].Modify.Version != "" || !strings.HasPrefix(operations[1].Modify.DN, operations[0].Rename.NewRDN+",ou=")) {
				t.Errorf("what follows a new name is %+v", operations[1].Modify.Ref)
			}
		})
	}
}

func spell(operations []directory.Operation, err error) string {
	if err != nil {
		return string(fault.KindOf(err))
	}
	var out []string
	for _, op := range operations {
		switch {
		case op.Modify != nil:
			for _, name := range slices.Sorted(maps.Keys(op.Modify.Replace)) {
				text := fmt.Sprintf("%s", op.Modify.Replace[name])
				if len(op.Modify.Replace[name]) == 1 && len(op.Modify.Replace[name][0]) == 0 {
					text = `[""]`
				}
				out = append(out, "modify "+name+"="+text)
			}
		case op.Rename != nil:
			out = append(out, "rename "+op.Rename.NewRDN)
		case op.Delete != nil:
			out = append(out, "delete")
		case op.Add != nil:
			out = append(out, "add "+op.Add.DN)
		}
	}
	return strings.Join(out, ", ")
}
