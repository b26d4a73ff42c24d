package ldapdir

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/directory"
)

func TestParseDN(t *testing.T) {
	for text, want := range map[string]dn{
		"":                               nil,
		"MailboxNumber=4001,dc=example":  {{{"MailboxNumber", "4001"}}, {{"dc", "example"}}},
		` cn = Berg\, Anna , dc=example`: {{{"cn", "Berg, Anna"}}, {{"dc", "example"}}},
		`cn=Berg\2C Anna;dc=example`:     {{{"cn", "Berg, Anna"}}, {{"dc", "example"}}},
		`cn=A\+B+sn=C,dc=example`:        {{{"cn", "A+B"}, {"sn", "C"}}, {{"dc", "example"}}},
		`cn=\ A\ ,dc=example`:            {{{"cn", " A "}}, {{"dc", "example"}}},
		`cn=\"quoted\"`:                  {{{"cn", `"quoted"`}}},
		`cn=a=b`:                         {{{"cn", "a=b"}}},
		`cn=B\C3\A4r`:                    {{{"cn", "Bär"}}},
		"cn=B\xe4r":                      {{{"cn", "B\xe4r"}}},
		`cn=B\e4r`:                       {{{"cn", "B\xe4r"}}},
		`2.5.4.3=#040541204220 43`[:20]:  nil,
		`2.5.4.3=#0403412042,dc=example`: {{{"2.5.4.3", "A B"}}, {{"dc", "example"}}},
		`cn=\#5`:                         {{{"cn", "#5"}}},
		`cn=`:                            {{{"cn", ""}}},
	} {
		got, err := parseDN(text)
		if strings.HasPrefix(text, "2.5.4.3=#0405") {
			if err == nil {
				t.Errorf("%q: no error", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if d := cmp.Diff(want, got, cmp.AllowUnexported(ava{})); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
	for _, text := range []string{"cn", "=x", "cn=a,", "cn=a,,dc=b", `cn="a"`, `cn=a\`, `cn=a\4`, `cn=a\zz`, "cn=<a>", "cn=a\x00", "c n=a", "cn=#0", "cn=#zz", "cn=#040541"} {
		if got, err := parseDN(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestBelow(t *testing.T) {
	base, err := parseDN("ou=Mail Boxes,dc=example")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"cn=a,ou=Mail Boxes,dc=example":                     true,
		"cn=a,OU=mail  boxes, DC=Example":                   true,
		"cn=a,organizationalUnitName=mail boxes,dc=example": true,
		`cn=a,ou=Mail\20Boxes,dc=example`:                   true,
		"cn=a,cn=b,ou=Mail Boxes,dc=example":                true,
		"ou=Mail Boxes,dc=example":                          false,
		"dc=example":                                        false,
		"":                                                  false,
		`cn=a\,ou=Mail Boxes,dc=example`:                    false,
		"cn=a,ou=Mail Boxes,dc=example,dc=org":              false,
		"cn=a,ou=Mail Boxes+cn=b,dc=example":                false,
	} {
		name, err := parseDN(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := name.below(base); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"cn=a,dc=b", `cn=\ a\,b\2c\e4+sn=c , dc=d`, "2.5.4.3=#0403412042", "cn=B\xe4r;dc=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := parseDN(s)
		if err != nil {
			return
		}
		// Every byte escaped, it is the same name again.
		var b strings.Builder
		for i, part := range name {
			for j, a := range part {
				if j > 0 {
					b.WriteByte('+')
				} else if i > 0 {
					b.WriteByte(',')
				}
				b.WriteString(a.name + "=")
				for _, c := range []byte(a.value) {
					b.WriteString(`\` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
				}
			}
		}
		again, err := parseDN(b.String())
		if err != nil || !cmp.Equal(name, again, cmp.AllowUnexported(ava{})) {
			t.Errorf("%q is %q, %q is %q (%v)", s, name, b.String(), again, err)
		}
		if name.below(name) {
			t.Errorf("%q is below itself", s)
		}
	})
}

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
			if isDescriptor(name) && !slices.Contains(got, name) {
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
