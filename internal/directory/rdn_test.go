package directory_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/directory"
)

func TestEscapeValue(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"":                   "",
		"Smith":              "Smith",
		"Smith, J":           `Smith\, J`,
		" a ":                `\ a\ `,
		"  ":                 `\ \ `,
		"#a#":                `\#a#`,
		`a"b\c+d;e<f>g=h`:    `a\"b\\c\+d\;e\<f\>g\=h`,
		"Lučić":              "Lučić",
		"\xff\x00ü\r":        `\FF\00ü\0D`,
		"\xed\xa0\x80\ufffd": `\ED\A0\80` + "\ufffd",
	} {
		if got := directory.EscapeValue([]byte(value)); got != want {
			t.Errorf("%q becomes %s, want %s", value, got, want)
		}
	}
}

func TestParseRDN(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]struct{ first, second, rest string }{
		"cn=Smith,dc=a,dc=b":                {"Smith", "", "dc=a,dc=b"},
		`cn=Smith\2C J\20 , dc=a`:           {"Smith, J ", "", "dc=a"},
		`CN = a + MailboxNumber = 1 ; dc=a`: {"a", "1", "dc=a"},
		`cn="a,b\"c" , dc=a`:                {`a,b"c`, "", "dc=a"},
		`cn=#04024869,dc=a`:                 {"Hi", "", "dc=a"},
		`1.2.3.4=a\=b`:                      {"a=b", "", ""},
		`cn=`:                               {"", "", ""},
		`cn=\C4\8D`:                         {"č", "", ""},
	} {
		parts, rest, err := directory.ParseRDN(dn)
		if err != nil || string(parts[0].Value) != want.first || rest != want.rest {
			t.Errorf("%s: %q, %q, %v", dn, parts, rest, err)
		}
		if want.second != "" && (len(parts) != 2 || string(parts[1].Value) != want.second) {
			t.Errorf("%s: %q", dn, parts)
		}
	}
	for _, dn := range []string{"", "a", "=a", "cn=a\\", `cn=a\zz`, `cn="a`, "cn=#0", "cn=#0405aa", "c n=a", `cn="a"b`, "cn=a+"} {
		if parts, _, err := directory.ParseRDN(dn); err == nil {
			t.Errorf("%q is read as %q", dn, parts)
		}
	}
}

// TestNames: whatever the bytes, a name that is written is read as what it was.
func TestNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var parts []directory.AVA
		for range rapid.IntRange(1, 3).Draw(t, "parts") {
			parts = append(parts, directory.AVA{Type: "cn", Value: rapid.OneOf(rapid.SliceOf(rapid.Byte()),
				rapid.SliceOf(rapid.SampledFrom([]byte(` "#+,;<=>\a`+"\x00\xc3\xa4")))).Draw(t, "value")})
		}
		rdn := directory.FormatRDN(parts)
		got, rest, err := directory.ParseRDN(rdn + ",dc=a")
		if err != nil || rest != "dc=a" || len(got) != len(parts) {
			t.Fatalf("%s: %q, %q, %v", rdn, got, rest, err)
		}
		for i := range parts {
			if !bytes.Equal(got[i].Value, parts[i].Value) {
				t.Fatalf("%s: %q, want %q", rdn, got[i].Value, parts[i].Value)
			}
		}
	})
}

func FuzzParseRDN(f *testing.F) {
	for _, dn := range []string{"cn=a,dc=b", `cn=\2C+x=#0401aa;y`, `cn="a"`} {
		f.Add(dn)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		parts, _, err := directory.ParseRDN(dn)
		if err != nil {
			return
		}
		again, rest, err := directory.ParseRDN(directory.FormatRDN(parts))
		if err != nil || rest != "" || len(again) != len(parts) {
			t.Fatalf("%q: %q, then %q, %q, %v", dn, parts, again, rest, err)
		}
		for i := range parts {
			if !bytes.Equal(again[i].Value, parts[i].Value) {
				t.Fatalf("%q: %q, then %q", dn, parts, again)
			}
		}
	})
}

// show shows the parts of a name, with their values as they are.
func show(name directory.DN) string {
	var parts []string
	for _, part := range name {
		var attributes []string
		for _, a := range part {
			attributes = append(attributes, a.Type+"="+string(a.Value))
		}
		parts = append(parts, strings.Join(attributes, "+"))
	}
	return strings.Join(parts, "|")
}

func TestParseDN(t *testing.T) {
	for text, want := range map[string]string{
		"":                               ``,
		"MailboxNumber=4001,dc=example":  "MailboxNumber=4001|dc=example",
		` cn = Berg\, Anna , dc=example`: "cn=Berg, Anna|dc=example",
		`cn=Berg\2C Anna;dc=example`:     "cn=Berg, Anna|dc=example",
		`cn=A\+B+sn=C,dc=example`:        "cn=A+B+sn=C|dc=example",
		`cn=\ A\ ,dc=example`:            "cn= A |dc=example",
		`cn=\"quoted\"`:                  `cn="quoted"`,
		`cn=a=b`:                         "cn=a=b",
		`cn=B\C3\A4r`:                    "cn=Bär",
		"cn=B\xe4r":                      "cn=B\xe4r",
		`cn=B\e4r`:                       "cn=B\xe4r",
		`2.5.4.3=#040541204220 43`[:20]:  ``,
		`2.5.4.3=#0403412042,dc=example`: "2.5.4.3=A B|dc=example",
		`cn=\#5`:                         "cn=#5",
		`cn=`:                            "cn=",
	} {
		got, err := directory.ParseDN(text)
		if strings.HasPrefix(text, "2.5.4.3=#0405") {
			if err == nil {
				t.Errorf("%q: no error", text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if shown := show(got); shown != want {
			t.Errorf("%q: %q, want %q", text, shown, want)
		}
	}
	for _, text := range []string{"cn", "=x", "cn=a,", "cn=a,,dc=b", `cn="a"b`, `cn=a"`, `cn=a\`, `cn=a\4`, `cn=a\zz`, "cn=<a>", "cn=a\x00", "c n=a", "cn=#0", "cn=#zz", "cn=#040541"} {
		if got, err := directory.ParseDN(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestBelow(t *testing.T) {
	base, err := directory.ParseDN("ou=Mail Boxes,dc=example")
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
		name, err := directory.ParseDN(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := name.Below(base); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"cn=a,dc=b", `cn=\ a\,b\2c\e4+sn=c , dc=d`, "2.5.4.3=#0403412042", "cn=B\xe4r;dc=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := directory.ParseDN(s)
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
				b.WriteString(a.Type + "=")
				for _, c := range a.Value {
					b.WriteString(`\` + string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]))
				}
			}
		}
		again, err := directory.ParseDN(b.String())
		if err != nil || show(name) != show(again) {
			t.Errorf("%q is %q, %q is %q (%v)", s, name, b.String(), again, err)
		}
		if name.Below(name) {
			t.Errorf("%q is below itself", s)
		}
	})
}
