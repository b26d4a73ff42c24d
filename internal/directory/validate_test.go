package directory_test

import (
	"strings"
	"testing"

	"mailmirror/internal/directory"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() directory.Mapping {
		m := directory.DefaultMapping()
		m.BaseDN = `ou=a\,b,dc=example`
		return m
	}
	for name, c := range map[string]struct {
		change func(*directory.Mapping)
		want   string // in the text, "" for none
	}{
		"default": {func(*directory.Mapping) {}, ""},
		"all there is": {func(m *directory.Mapping) {
			m.Filter, m.Protected, m.Needs = `(&(a=b)(c=\28))`, []string{"0", "(cn=x)"}, map[string][]string{"description": {"x"}}
		}, ""},
		"no base":             {func(m *directory.Mapping) { m.BaseDN = "" }, "base_dn"},
		"a base that is none": {func(m *directory.Mapping) { m.BaseDN = "ou=a,b" }, "base_dn"},
		"no class":            {func(m *directory.Mapping) { m.ObjectClass = "" }, "object_class"},
		"a filter":            {func(m *directory.Mapping) { m.Filter = "a=b" }, "filter"},
		"half a filter":       {func(m *directory.Mapping) { m.Filter = "(a=b)(c=d)" }, "filter"},
		"a scope":             {func(m *directory.Mapping) { m.Scope = "base" }, "scope"},
		"a name":              {func(m *directory.Mapping) { m.Names[directory.Misc1] = "no name" }, "misc1"},
		"a name twice":        {func(m *directory.Mapping) { m.Names[directory.Misc1] = "CN" }, "that of cn"},
		"no number":           {func(m *directory.Mapping) { delete(m.Names, directory.MailboxNumber); m.RDN = "cn" }, "mailbox_number is missing"},
		"a column":            {func(m *directory.Mapping) { m.Names["misc5"] = "Misc5" }, `"misc5"`},
		"named by what":       {func(m *directory.Mapping) { m.RDN = "uid" }, "rdn"},
		"named by a secret":   {func(m *directory.Mapping) { m.RDN = "password" }, "must not be named"},
		"a need":              {func(m *directory.Mapping) { m.Needs = map[string][]string{"sn": {"x"}} }, "mirrored as last_name"},
		"an empty need":       {func(m *directory.Mapping) { m.Needs = map[string][]string{"description": nil} }, "has no value"},
		"a class as need":     {func(m *directory.Mapping) { m.Needs = map[string][]string{"objectclass": {"x"}} }, "new_classes"},
		"a class":             {func(m *directory.Mapping) { m.NewClasses = []string{"a b"} }, "new_classes"},
		"no log-in":           {func(m *directory.Mapping) { m.Login = "mail" }, "login"},
		"braces":              {func(m *directory.Mapping) { m.Login = "{mail" }, "login"},
		"braces in braces":    {func(m *directory.Mapping) { m.Login = "{{mail}}" }, "login"},
		"no attribute":        {func(m *directory.Mapping) { m.Login = "{a b}" }, "login"},
		"protected":           {func(m *directory.Mapping) { m.Protected = []string{"(cn=x"} }, "protected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := good()
			c.change(&m)
			err := m.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	err := directory.Mapping{}.Validate()
	for _, want := range []string{"base_dn", "object_class", "scope", "mailbox_number", "rdn", "login"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not tell of %s as well", err, want)
		}
	}
}

func TestWriteLDIF(t *testing.T) {
	t.Parallel()
	m := directory.DefaultMapping()
	ref := directory.Ref{DN: "cn=Lučić,dc=dr"}
	long := strings.Repeat("x", 100)
	operations := []directory.Operation{
		{Add: &directory.Add{DN: "MailboxNumber=1,dc=dr", Attributes: map[string][][]byte{
			"Password": {[]byte("hush-hush")}, "objectClass": {[]byte("top"), []byte("umMailbox")}, "Misc1": {[]byte(" a"), []byte(""), []byte(long)},
			"umRecordedName": {make([]byte, 2048)}, "cn": {[]byte("a\nb")}, "userPassword": {[]byte("hush-hush")}, "sn": {[]byte(":a")}}}},
		{Modify: &directory.Modify{Ref: ref, Replace: map[string][][]byte{"Password": {[]byte("hush-hush")}, "Misc2": nil, "umRecordedName": nil, "cn": {[]byte("a"), []byte("b ")}}}},
		{Rename: &directory.Rename{Ref: ref, NewRDN: `cn=a\,b`}},
		{Delete: &directory.Delete{Ref: ref}},
	}
	write := func(o directory.LDIFOptions) string {
		t.Helper()
		var b strings.Builder
		if err := directory.WriteLDIF(&b, m, operations, o); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	got := write(directory.LDIFOptions{Header: true})
	want := "version: 1\n\n" +
		"dn: MailboxNumber=1,dc=dr\nchangetype: add\nobjectClass: top\nobjectClass: umMailbox\nMisc1:: IGE=\nMisc1:\n" +
		"Misc1: " + long[:69] + "\n " + long[69:] + "\n# Password: not shown\ncn:: YQpi\nsn:: OmE=\n# umRecordedName: 2048 bytes\n# userPassword: not shown\n\n" +
		"dn:: Y249THXEjWnEhyxkYz1kcg==\nchangetype: modify\nreplace: Misc2\n-\n# replace: Password, Password: not shown\n" +
		"replace: cn\ncn: a\ncn:: YiA=\n-\nreplace: umRecordedName\n-\n\n" +
		"dn:: Y249THXEjWnEhyxkYz1kcg==\nchangetype: modrdn\nnewrdn: cn=a\\,b\ndeleteoldrdn: 1\n\n" +
		"dn:: Y249THXEjWnEhyxkYz1kcg==\nchangetype: delete\n\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	whole := write(directory.LDIFOptions{Secrets: true})
	if strings.Contains(whole, "version") || strings.Contains(whole, "#") || strings.Count(whole, "Password: hush-hush\n") != 3 || !strings.Contains(whole, "umRecordedName:: AAAA") {
		t.Errorf("with secrets:\n%.2000s", whole)
	}
	for line := range strings.SplitSeq(whole, "\n") {
		if len(line) > 76 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}
