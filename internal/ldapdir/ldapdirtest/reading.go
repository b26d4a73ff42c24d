package ldapdirtest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/ldapdir"
)

// attributes adds, reads, changes and empties every column, with several values
// where the schema allows them.
func attributes(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	s := open(t, options(d))
	m := options(d).Mapping
	first := map[directory.Column][]string{
		directory.MailboxNumber: {"4001"}, directory.Password: {"25 80"}, directory.FindMeEnabled: {"TRUE"},
		directory.RecordedName: {"RIFF\x00\xff\xfe\x80"}, directory.Community: {"1"}, directory.ClassOfService: {"12"},
		directory.ASCIIName: {"Anna Baer"}, directory.CommonName: {"Anna Bär", "A. Bär"}, directory.LastName: {"Bär", "Baer"},
		directory.FirstName: {"Anna"}, directory.Phone: {"+49 30 1234"}, directory.NumericAddress: {"4001", "24001"},
		directory.Misc1: {"one", "two"}, directory.Misc2: {" "}, directory.Misc3: {"Ω≈ç"}, directory.Misc4: {"x"},
	}
	attributes := map[string][][]byte{"objectClass": {[]byte("umMailbox")}}
	for column, values := range first {
		attributes[m.Names[column]] = raw(values)
	}
	if err := s.Write(t.Context(), directory.Operation{Add: &directory.Add{DN: "MailboxNumber=4001," + d.Base(), Attributes: attributes}}); err != nil {
		t.Fatal(err)
	}
	same(t, "added", only(t, s, "4001"), first)
	all, found := extract(t, s)
	if len(all) != 1 {
		t.Fatalf("%d entries", len(all))
	}
	for _, a := range directory.Attributes() {
		if found.Having[a.Column] != 1 {
			t.Errorf("%d entries have %s", found.Having[a.Column], a.Column)
		}
		if a.Nature == directory.Text {
			want := slices.Sorted(slices.Values(first[a.Column]))
			if diff := cmp.Diff(want, all[0].Texts[a.Column]); diff != "" {
				t.Errorf("%s: %s", a.Column, diff)
			}
		} else if got := string(all[0].Digests[a.Column]); got != "digest of "+first[a.Column][0] || all[0].Texts[a.Column] != nil {
			t.Errorf("%s: %q", a.Column, got)
		}
	}
	if e := all[0]; e.ID == "" || e.Version == "" || e.Number != "4001" || e.Login != "4001" || e.Protected {
		t.Errorf("recorded as %+v", e)
	}

	changed := map[directory.Column][]string{
		directory.Password: {"0000"}, directory.FindMeEnabled: {"FALSE"}, directory.RecordedName: {strings.Repeat("\x00\x01\xff", 40_000)},
		directory.Community: {"2"}, directory.ClassOfService: {"-1"}, directory.ASCIIName: {"anna baer"}, directory.CommonName: {"anna bär"},
		directory.LastName: {"B"}, directory.FirstName: {"A"}, directory.Phone: {"5", "6"}, directory.NumericAddress: {"1"},
		directory.Misc1: {"two"}, directory.Misc2: {"a", "b", "c"}, directory.Misc3: {"ω"}, directory.Misc4: {"X"},
	}
	for _, c := range directory.Attributes() {
		if c.Column == directory.MailboxNumber {
			continue
		}
		before := only(t, s, "4001")
		modify(t, s, before.Ref, m.Names[c.Column], changed[c.Column]...)
		first[c.Column] = changed[c.Column]
		after := only(t, s, "4001")
		same(t, "changed "+string(c.Column), after, first)
		if after.Version == before.Version && k.Version == "entryCSN" {
			t.Errorf("%s: the version is the same", c.Column)
		}
	}
	for _, c := range directory.Attributes() {
		if c.Column == directory.MailboxNumber || c.Column == directory.CommonName {
			continue // an entry has to have them
		}
		modify(t, s, only(t, s, "4001").Ref, m.Names[c.Column])
		delete(first, c.Column)
		same(t, "emptied "+string(c.Column), only(t, s, "4001"), first)
		// Once more: what is absent may be made absent.
		modify(t, s, only(t, s, "4001").Ref, m.Names[c.Column])
	}
	modify(t, s, only(t, s, "4001").Ref, m.Names[directory.RecordedName], "")
	first[directory.RecordedName] = []string{""}
	same(t, "an empty value", only(t, s, "4001"), first)
	if all, found := extract(t, s); found.Having[directory.RecordedName] != 1 || string(all[0].Digests[directory.RecordedName]) != "digest of " {
		t.Errorf("an empty value is %+v", all[0])
	}
}

func raw(values []string) [][]byte {
	var all [][]byte
	for _, v := range values {
		all = append(all, []byte(v))
	}
	return all
}

// same compares an entry's values, whatever their order.
func same(t *testing.T, what string, e directory.Entry, want map[directory.Column][]string) {
	t.Helper()
	got := map[directory.Column][]string{}
	for column, values := range e.Values {
		for _, v := range values {
			got[column] = append(got[column], string(v))
		}
		slices.Sort(got[column])
	}
	sorted := map[directory.Column][]string{}
	for column, values := range want {
		sorted[column] = slices.Sorted(slices.Values(values))
	}
	if diff := cmp.Diff(sorted, got); diff != "" {
		t.Errorf("%s: %.2000s", what, diff)
	}
}

// oddNames are numbers that have to be escaped in a DN, as values.
func oddNames() map[string]string {
	return map[string]string{
		`a\,b`: "a,b", `a\+b`: "a+b", `\"a\"`: `"a"`, `\ a`: " a", `\#a`: "#a", `a\\b`: `a\b`, `\3Ca\3E\;`: "<a>;",
		"Bär": "Bär", "a=b": "a=b", "日本": "日本", `a*\28b\29`: "a*(b)",
	}
}

// names takes names that have to be escaped through a whole life.
func names(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	s := open(t, options(d))
	for rdn, number := range oddNames() {
		add := &directory.Add{DN: "MailboxNumber=" + rdn + "," + d.Base(), Attributes: map[string][][]byte{
			"objectClass": raw([]string{"umMailbox"}), "MailboxNumber": raw([]string{number}), "cn": raw([]string{"first"}),
		}}
		if err := s.Write(t.Context(), directory.Operation{Add: add}); err != nil {
			t.Errorf("add %q: %v", number, err)
		}
	}
	all, _ := extract(t, s)
	if len(all) != len(oddNames()) {
		t.Errorf("%d entries", len(all))
	}
	for rdn, number := range oddNames() {
		e := only(t, s, number)
		if e.Number != number {
			t.Errorf("%q is called %q", number, e.Number)
		}
		if !slices.ContainsFunc(all, func(r directory.Record) bool { return r.Number == number && r.ID == e.ID }) {
			t.Errorf("%q was not extracted", number)
		}
		// By the DN as the server writes it, and as we did.
		for _, name := range []string{e.DN, "mailboxnumber=" + rdn + " , " + d.Base()} {
			if again, err := s.Read(t.Context(), directory.Ref{DN: name}); err != nil || again.ID != e.ID {
				t.Errorf("read %q: %v", name, err)
			}
		}
		modify(t, s, e.Ref, "cn", "second")
		e = only(t, s, number)
		if err := s.Write(t.Context(), directory.Operation{Rename: &directory.Rename{Ref: e.Ref, NewRDN: "MailboxNumber=new" + rdn}}); err != nil {
			t.Errorf("rename %q: %v", number, err)
			continue
		}
		renamed := only(t, s, "new"+number)
		if renamed.ID != e.ID || string(renamed.Values[directory.CommonName][0]) != "second" {
			t.Errorf("%q is now %+v", number, renamed.Ref)
		}
		if err := s.Write(t.Context(), directory.Operation{Delete: &directory.Delete{Ref: renamed.Ref}}); err != nil {
			t.Errorf("delete %q: %v", number, err)
		}
	}
	if all, _ := extract(t, s); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

// binaryName names an entry by bytes that are no UTF-8. Not every kind of server
// takes such names; none takes another one for them.
func binaryName(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	value := []byte("\xff\xfea,\x80")
	s := open(t, options(d))
	for _, rdn := range []string{`umRecordedName=\FF\FEa\2C\80`, "umRecordedName=\xff\xfea\\,\x80"} {
		err := s.Write(t.Context(), directory.Operation{Add: &directory.Add{DN: rdn + "," + d.Base(), Attributes: map[string][][]byte{
			"objectClass": raw([]string{"umMailbox"}), "MailboxNumber": raw([]string{"4001"}), "cn": raw([]string{"Binary"}), "umRecordedName": {value},
		}}})
		if !k.BinaryNames {
			if !fault.Is(err, fault.Permanent) || !strings.Contains(err.Error(), "(34)") {
				t.Errorf("%q: %s: %v", rdn, fault.KindOf(err), err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", rdn, err)
			continue
		}
		binaryLife(t, s, value)
	}
}

func binaryLife(t *testing.T, s *ldapdir.Session, value []byte) {
	t.Helper()
	e := only(t, s, "4001")
	if got := e.Values[directory.RecordedName]; len(got) != 1 || !bytes.Equal(got[0], value) {
		t.Errorf("the value is %q", got)
	}
	modify(t, s, e.Ref, "cn", "Changed")
	again, err := s.Read(t.Context(), directory.Ref{DN: e.DN})
	if err != nil || string(again.Values[directory.CommonName][0]) != "Changed" {
		t.Fatalf("read %q: %v", e.DN, err)
	}
	if all, _ := extract(t, s); len(all) != 1 || all[0].DN != e.DN {
		t.Errorf("extracted %+v", all)
	}
	if err := s.Write(t.Context(), directory.Operation{Delete: &directory.Delete{Ref: again.Ref}}); err != nil {
		t.Errorf("delete %q: %v", e.DN, err)
	}
}

// protected marks entries by number and by filter.
func protected(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001")+box(d.Base(), "admin")+box(d.Base(), "4002", "Community: 0")+box(d.Base(), "4003", "Misc1: (system)")+box(d.Base(), "4004", "Community: 3"))
	o := options(d)
	o.Mapping.Protected = []string{"Admin", "(Community=0)", `(Misc1=\28system\29)`}
	s := open(t, o)
	want := map[string]bool{"4001": false, "admin": true, "4002": true, "4003": true, "4004": false}
	all, _ := extract(t, s)
	got := map[string]bool{}
	for _, r := range all {
		got[r.Number] = r.Protected
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for number, protected := range want {
		e := only(t, s, number)
		byName, err := s.Read(t.Context(), directory.Ref{DN: e.DN})
		if err != nil || e.Protected != protected || byName.Protected != protected {
			t.Errorf("%s: %v and %v, %v", number, e.Protected, byName.Protected, err)
		}
	}
}

// readAgain finds entries by what is known of them.
func readAgain(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, box(d.Base(), "4001")+box(d.Base(), "4002")+"dn: ou=elsewhere,"+parent(d.Base())+"\nobjectClass: organizationalUnit\nou: elsewhere\n")
	apply(t, d, box("ou=elsewhere,"+parent(d.Base()), "4003"))
	s := open(t, options(d))
	e := only(t, s, "4001")
	apply(t, d, "dn: MailboxNumber=4001,"+d.Base()+"\nchangetype: modrdn\nnewrdn: MailboxNumber=4009\ndeleteoldrdn: 1\n")
	moved, err := s.Read(t.Context(), e.Ref)
	if err != nil || moved.ID != e.ID || moved.Number != "4009" {
		t.Errorf("renamed meanwhile: %+v %v", moved.Ref, err)
	}
	apply(t, d, box(d.Base(), "4001"))
	if again, err := s.Read(t.Context(), e.Ref); err != nil || again.ID != e.ID {
		t.Errorf("by id before name: %+v %v", again.Ref, err)
	}
	apply(t, d, "dn: MailboxNumber=4009,"+d.Base()+"\nchangetype: delete\n")
	if again, err := s.Read(t.Context(), e.Ref); err != nil || again.ID == e.ID || again.Number != "4001" {
		t.Errorf("made anew: %+v %v", again.Ref, err)
	}
	apply(t, d, "dn: MailboxNumber=4001,"+d.Base()+"\nchangetype: delete\n")
	if _, err := s.Read(t.Context(), e.Ref); !errors.Is(err, directory.ErrNoEntry) {
		t.Errorf("gone: %v", err)
	}
	if _, err := s.Read(t.Context(), directory.Ref{DN: "MailboxNumber=4003,ou=elsewhere," + parent(d.Base())}); !errors.Is(err, directory.ErrNoEntry) {
		t.Errorf("elsewhere: %v", err)
	}
	if found, err := s.Find(t.Context(), "4003"); err != nil || len(found) != 0 {
		t.Errorf("elsewhere: %v %v", found, err)
	}
}

func parent(name string) string {
	_, above, _ := strings.Cut(name, ",")
	return above
}

// referral refuses an extract of which a part is on another server.
func referral(t *testing.T, k Kind) {
	d := k.Start(t, Wish{})
	apply(t, d, boxes(d.Base(), 3))
	apply(t, d, "dn: ou=away,"+d.Base()+"\nobjectClass: referral\nobjectClass: extensibleObject\nou: away\nref: ldap://other.example/ou=away,dc=example\n")
	_, err := open(t, options(d)).Extract(t.Context(), plainDigest, func(directory.Record) error { return nil })
	if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "refers to another") {
		t.Errorf("with a referral: %v", err)
	}
}
