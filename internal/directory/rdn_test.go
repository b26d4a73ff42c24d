package directory_test

import (
	"bytes"
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
