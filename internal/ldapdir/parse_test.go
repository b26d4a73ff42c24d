package ldapdir

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/directory"
)

func FuzzEscapeFilter(f *testing.F) {
	f.Add("4001")
	f.Add("a*)(uid=*\x00\xe4")
	f.Fuzz(func(t *testing.T, value string) {
		compiled, err := ldap.CompileFilter(equals("cn", value))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		if len(compiled.Children) != 2 || !bytes.Equal(compiled.Children[1].ByteValue, []byte(value)) && compiled.Children[1].Data.String() != value {
			t.Errorf("%q is sent as %q", value, compiled.Children[1].Data.String())
		}
	})
}

func TestFilterNames(t *testing.T) {
	for filter, want := range map[string][]string{
		"":                                  nil,
		"Community=1":                       {"Community"},
		"(Community=1)":                     {"Community"},
		"(&(a=1)(|(b>=2)(!(c=*x*)))(d~=1))": {"a", "b", "c", "d"},
		`(a=\28b=1\29)`:                     {"a"},
		"(a:dn:2.5.13.5:=x)":                {"a"},
		"(:caseIgnoreMatch:=x)":             nil,
		"(cn;lang-de=x)":                    {"cn"},
		"(!0=)":                             {"0"},
		"(!(0=))":                           {"0"},
	} {
		if got := filterNames(filter); !slices.Equal(got, want) {
			t.Errorf("%q: %q", filter, got)
		}
	}
}

// FuzzFilterNames holds what is found against the library's own reading.
func FuzzFilterNames(f *testing.F) {
	f.Add("(&(a=1)(|(b>=2)(!(c=*x*)))(d~=1))")
	f.Add(`(a:dn:2.5.13.5:=\28x)`)
	f.Add("(!0=)")
	f.Fuzz(func(t *testing.T, filter string) {
		compiled, err := ldap.CompileFilter(filter)
		if err != nil {
			return
		}
		var want []string
		for queue := append(compiled.Children[:0:0], compiled); len(queue) > 0; {
			p := queue[0]
			queue = queue[1:]
			switch p.Tag {
			case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
				queue = append(slices.Clone(p.Children), queue...)
			case ldap.FilterPresent:
				want = append(want, p.Data.String())
			case ldap.FilterExtensibleMatch:
			default:
				want = append(want, p.Children[0].Data.String())
			}
		}
		got := filterNames(filter)
		for _, name := range want {
			name, _, _ := strings.Cut(strings.TrimSpace(name), ";")
			if directory.IsAttributeName(name) && !slices.Contains(got, name) {
				t.Errorf("%q asks for %q, not only %q", filter, name, got)
			}
		}
	})
}

func TestSchema(t *testing.T) {
	s := newSchema([]string{
		"( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'it''s (a) $ name' SUP name )",
		"( 1.2.3 NAME 'One' SYNTAX 1.3.6{64} SINGLE-VALUE NO-USER-MODIFICATION X-ORIGIN 'user' )",
		"(1.2.4 NAME 'Tight' SINGLE-VALUE)",
		"( 1.2.5 SYNTAX 1.3.6 )",
	}, []string{
		"( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )",
		"( 1.2.6 NAME 'box' SUP top STRUCTURAL MUST ( cn $ One ) MAY ( Tight $ sn ) )",
		"( 1.2.7 NAME 'loop' SUP ( loop $ box ) AUXILIARY MAY extra )",
		"( 1.2.8 NAME 'extensibleObject' SUP top AUXILIARY )",
	})
	for name, single := range map[string]bool{"CN": false, "commonname": false, "2.5.4.3": false, "one": true, "Tight": true, "1.2.5": false, "cn;lang-de": false} {
		if a, ok := s.attribute(name); !ok || a.single != single {
			t.Errorf("%s: %+v %v", name, a, ok)
		}
	}
	if _, ok := s.attribute("sn"); ok {
		t.Error("sn is known")
	}
	if !s.same("commonName", "CN") || s.same("cn", "One") || s.same("x", "y") || !s.same("x", "X") {
		t.Error("names are taken for the same or not wrongly")
	}
	must, may, anything := s.contents([]string{"LOOP"})
	if want := []string{"cn", "One", "objectClass"}; !slices.Equal(must, want) || anything {
		t.Errorf("must %q, anything %v", must, anything)
	}
	if want := []string{"extra", "Tight", "sn"}; !slices.Equal(may, want) {
		t.Errorf("may %q", may)
	}
	if _, _, anything := s.contents([]string{"box", "extensibleObject"}); !anything {
		t.Error("an extensible object does not allow everything")
	}
	var unread *schema
	if _, ok := unread.attribute("x"); !ok {
		t.Error("what cannot be read has no attribute")
	}
}

func FuzzSchema(f *testing.F) {
	f.Add("( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'a' SUP name )")
	f.Add("( 1.2 NAME 'x' MUST ( a $ b ) MAY c ")
	f.Fuzz(func(t *testing.T, text string) {
		s := newSchema([]string{text}, []string{text})
		d := parseDefinition(text)
		for _, name := range d.names() {
			if a, ok := s.attribute(name); !ok && !strings.Contains(name, ";") || ok && a.name != d.name() {
				t.Errorf("%q: %q is not found", text, name)
			}
		}
		s.contents(d.names())
	})
}

func TestStartTLSAnswer(t *testing.T) {
	good := []byte{0x02, 1, 1, 0x78, 7, 0x0a, 1, 0, 0x04, 0, 0x04, 0}
	if code, err := extendedResult(good); err != nil || code != 0 {
		t.Errorf("%d %v", code, err)
	}
	refused := slices.Clone(good)
	refused[7] = 52
	if code, err := extendedResult(refused); err != nil || code != 52 {
		t.Errorf("%d %v", code, err)
	}
	for i := range good {
		if _, err := extendedResult(good[:i]); err == nil {
			t.Errorf("%d bytes are enough", i)
		}
	}
	if body, err := readMessage(bytes.NewReader(append([]byte{0x30, byte(len(good))}, good...))); err != nil || !bytes.Equal(body, good) {
		t.Errorf("%x %v", body, err)
	}
	if got := startTLSRequest(); len(got) != int(got[1])+2 || !bytes.Contains(got, []byte("1.3.6.1.4.1.1466.20037")) {
		t.Errorf("asked by %x", got)
	}
}

func TestLogin(t *testing.T) {
	values := map[string]string{"mail": "anna@example.org", "MailboxNumber": "4001"}
	value := func(name string) string { return values[name] }
	for rule, want := range map[string]string{
		"{mail}":                      "anna@example.org",
		"{MailboxNumber}@example.com": "4001@example.com",
		"box/{MailboxNumber}/{mail}":  "box/4001/anna@example.org",
		"{uid}@example.com":           "",
		"{mail":                       "",
		"fixed":                       "fixed",
	} {
		if got := login(rule, value); got != want {
			t.Errorf("%q: %q", rule, got)
		}
	}
	if got := loginNames("a{b}c{d}{e"); !slices.Equal(got, []string{"b", "d"}) {
		t.Errorf("%q", got)
	}
}

// Which of several values would be meant, nobody knows; only of its number an entry
// may have more.
func TestLoginOfEntry(t *testing.T) {
	m := directory.DefaultMapping()
	store := &Store{opts: Options{Mapping: m}}
	mail := func(values ...string) *ldap.Entry {
		return ldap.NewEntry("MailboxNumber=4001,dc=example", map[string][]string{"MailboxNumber": {"4000", "4001"}, "mail": values})
	}
	for _, c := range []struct {
		rule  string
		entry *ldap.Entry
		want  string
	}{
		{"{mail}", mail("anna@example.org"), "anna@example.org"},
		{"{MAIL}", mail("anna@example.org"), "anna@example.org"},
		{"{mail}", mail(), ""},
		{"{mail}", mail(""), ""},
		{"{mail}", mail("anna@example.org", "a.n@example.org"), ""},
		{"{MailboxNumber}", mail(), "4001"},
		{"{MailboxNumber}@example.com", mail(), "4001@example.com"},
		{"{MailboxNumber}/{mail}", mail(), ""},
	} {
		store.opts.Mapping.Login = c.rule
		if got := store.entry(&server{}, c.entry).Login; got != c.want {
			t.Errorf("%s of %v: %q, want %q", c.rule, c.entry.Attributes, got, c.want)
		}
	}
}
