package bare

import "testing"

func TestParseFetch(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want fetched
		ok   bool
	}{
		"literal": {
			"* 1 FETCH (UID 7 FLAGS (\\Seen \\Recent Urgent) INTERNALDATE \"05-Jan-2026 10:00:00 +0100\" BODY[] {1234}\r\n",
			fetched{`\Seen Urgent`, "05-Jan-2026 10:00:00 +0100", 1234, true}, true,
		},
		"empty message": {
			"* 2 FETCH (UID 8 FLAGS () INTERNALDATE \"05-Jan-2026 10:00:00 +0100\" BODY[] \"\")\r\n",
			fetched{"", "05-Jan-2026 10:00:00 +0100", 0, false}, true,
		},
		"unsolicited flag change": {"* 2 FETCH (UID 8 FLAGS (\\Seen))\r\n", fetched{}, false},
		"other response":          {"* 12 EXISTS\r\n", fetched{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok, err := parseFetch(c.line)
			if err != nil || ok != c.ok || got != c.want {
				t.Errorf("parseFetch = %+v, %t, %v; want %+v, %t", got, ok, err, c.want, c.ok)
			}
		})
	}
	for _, line := range []string{
		"* 1 FETCH (UID 7 INTERNALDATE \"x\" BODY[] {3}\r\n",
		"* 1 FETCH (UID 7 FLAGS () BODY[] {3}\r\n",
		"* 1 FETCH (BODY[] NIL UID 7 FLAGS () INTERNALDATE \"x\")\r\n",
	} {
		if _, _, err := parseFetch(line); err == nil {
			t.Errorf("no error for %q", line)
		}
	}
}

func TestParseList(t *testing.T) {
	for line, want := range map[string]string{
		`LIST (\HasNoChildren) "/" INBOX`:          "INBOX",
		`LIST () "/" "two words"`:                  "two words",
		`LIST () "/" "say \"hello\" \\o/"`:         `say "hello" \o/`,
		`LIST () NIL flat`:                         "flat",
		`LIST (\Noselect \HasChildren) "/" parent`: "",
		`STATUS INBOX (MESSAGES 1)`:                "",
	} {
		got, ok, err := parseList("LIST", line)
		if err != nil || ok != (want != "") || got != want {
			t.Errorf("parseList(%s) = %q, %t, %v; want %q", line, got, ok, err, want)
		}
	}
}

func TestLiteralSize(t *testing.T) {
	if n, ok := literalSize("BODY[] {42}"); n != 42 || !ok {
		t.Errorf("literalSize = %d, %t", n, ok)
	}
	for _, line := range []string{"", "}", "{}", "{-1}", "{x}", "a {5} b"} {
		if _, ok := literalSize(line); ok {
			t.Errorf("%q taken for a literal", line)
		}
	}
}
