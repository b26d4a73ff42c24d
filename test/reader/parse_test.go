package reader

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

func parse(s string) (Response, error) { return readResponse(bufio.NewReader(strings.NewReader(s))) }

func TestReadResponse(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	r, err := parse("* 3 FETCH (FLAGS (\\Seen $x[1) UID 7 BODY[HEADER.FIELDS (A B)] {4}\r\n)\r\n( BODY[] {16385}\r\n" + long + " X \"a\\\"b\")\r\n")
	if err != nil {
		t.Fatal(err)
	}
	items := r.Values[0].List
	if r.Number != 3 || r.Name != "FETCH" || len(items) != 10 {
		t.Fatalf("got %+v", r)
	}
	if items[1].List[1].Text != "$x[1" || items[4].Text != "BODY[HEADER.FIELDS (A B)]" || items[5].Text != ")\r\n(" || items[9].Text != `a"b` {
		t.Errorf("got %+v", items)
	}
	if items[7].Digest != sha256.Sum256([]byte(long)) || items[7].Size != int64(len(long)) || items[7].Text != "" {
		t.Errorf("long literal: %+v", items[7])
	}
	if r, err = parse("a1 OK [APPENDUID 5 17] done (really\r\n"); err != nil {
		t.Fatal(err)
	}
	if args, ok := r.Code("appenduid"); !ok || args != "5 17" || r.Tag != "a1" {
		t.Errorf("got %+v, %q", r, args)
	}
}

// A response that ends early must never look like a whole one.
func TestReadResponseCut(t *testing.T) {
	whole := "* 3 FETCH (FLAGS (\\Seen) BODY[] {5}\r\nabcde UID 7)\r\n"
	for i := range len(whole) {
		if _, err := parse(whole[:i]); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: %v", i, err)
		}
	}
	for _, bad := range []string{"* LIST () {x}\r\n", "* LIST )\r\n", "* LIST (\r\n)\r\n"} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for plain, coded := range map[string]string{
		"Entwürfe": "Entw&APw-rfe", "R&D": "R&-D", "日本": "&ZeVnLA-", "😀": "&2D3eAA-", "tail&": "tail&-", "a\tb": "a&AAk-b",
	} {
		if got := EncodeName(plain); got != coded {
			t.Errorf("encode %q: %q, want %q", plain, got, coded)
		}
		if got := DecodeName(coded); got != plain {
			t.Errorf("decode %q: %q, want %q", coded, got, plain)
		}
	}
	for _, bad := range []string{"&", "a&b", "&A-", "&!!!-", "&2D0-"} {
		if got := DecodeName(bad); got != bad {
			t.Errorf("decode invalid %q: %q", bad, got)
		}
	}
	ns := Namespace{Prefix: "INBOX.", Separator: ".", Others: []string{"users."}}
	for wire, want := range map[string]string{"inbox": "INBOX", "INBOX.a.b": "a/b", "INBOX.a/b%": "a%2Fb%25", "INBOX.INBOX": "%49NBOX", "INBOX.inbox": "%69nbox"} {
		got, foreign := ns.Canonical(wire)
		if got != want || foreign {
			t.Errorf("%q: %q, want %q", wire, got, want)
		}
		if back := ns.Wire(got); !strings.EqualFold(back, wire) {
			t.Errorf("%q came back as %q", wire, back)
		}
	}
	for _, wire := range []string{"users.4001", "users", "elsewhere"} {
		if _, foreign := ns.Canonical(wire); !foreign {
			t.Errorf("%q is not the mailbox's own", wire)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("Entwürfe & 日本 😀")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError) {
			t.Skip("no UTF-8")
		}
		if got := DecodeName(EncodeName(s)); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}

func FuzzReadResponse(f *testing.F) {
	f.Add("* 3 FETCH (FLAGS (\\Seen) BODY[] {5}\r\nabcde UID 7)\r\n")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = parse(s) })
}

func TestDiff(t *testing.T) {
	m := Message{Size: 1, Date: 100}
	flagged := m
	flagged.Flags = `\flagged`
	a := Copy{"INBOX": {Messages: map[Message]int{m: 2}}, "Greetings": {Subscribed: true}}
	if d := Diff(a, a); len(d) > 0 {
		t.Errorf("equal ones differ: %q", d)
	}
	for name, b := range map[string]Copy{
		"one twin less":       {"INBOX": {Messages: map[Message]int{m: 1}}, "Greetings": {Subscribed: true}},
		"one twin more":       {"INBOX": {Messages: map[Message]int{m: 3}}, "Greetings": {Subscribed: true}},
		"a flag":              {"INBOX": {Messages: map[Message]int{m: 1, flagged: 1}}, "Greetings": {Subscribed: true}},
		"no folder":           {"INBOX": {Messages: map[Message]int{m: 2}}},
		"a subscription less": {"INBOX": {Messages: map[Message]int{m: 2}}, "Greetings": {}},
		"another folder":      {"INBOX": {Messages: map[Message]int{m: 2}}, "Greetings": {Subscribed: true}, "x": {}},
	} {
		if len(Diff(a, b)) == 0 || len(Diff(b, a)) == 0 {
			t.Errorf("%s: not seen", name)
		}
	}
}

// The proof is worth something only while the reader shares nothing with what
// it judges.
func TestIndependence(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if strings.Contains(dep, "go-imap") || strings.HasPrefix(dep, "mailmirror/internal") {
			t.Errorf("the reader depends on %s", dep)
		}
	}
}
