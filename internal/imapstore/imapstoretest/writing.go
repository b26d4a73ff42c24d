package imapstoretest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func testAppend(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	must(t, s.CreateFolder(t.Context(), "Box", nil))
	counters, _, err := s.Select(t.Context(), "Box")
	must(t, err)
	flags := mailbox.NewFlags(`\Answered`, `\Deleted`, "Blue")
	// Around LITERAL-'s limit and around the size of a write.
	var bodies [][]byte
	for _, size := range []int{1, 4000, 4096, 4097, 65400, 65536, 65537, 200_000} {
		m := message("size", "")
		bodies = append(bodies, append(m, bytes.Repeat([]byte{'x'}, size)...))
	}
	for _, n := range []int{-3, -2, -1, 0, 1} {
		// Exactly one write buffer, head and end included, give or take one.
		m := message("edge", "")
		bodies = append(bodies, append(m, bytes.Repeat([]byte{'y'}, 64<<10-len(m)-150+n*40)...))
	}
	results := put(t, s, "Box", flags, bodies...)
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("append %d: %v", i, r.Err)
		}
		wantUID, wantValidity := mailbox.UID(i+1), counters.UIDValidity
		if !b.UIDPlus {
			wantUID, wantValidity = 0, 0
		}
		if r.UID != wantUID || r.UIDValidity != wantValidity {
			t.Errorf("append %d: %+v", i, r)
		}
	}
	opened, err := s.Examine(t.Context(), "Box")
	must(t, err)
	got, err := s.Messages(t.Context(), all(opened), 0)
	must(t, err)
	content, err := bodiesOf(t.Context(), s, all(opened))
	must(t, err)
	for i, want := range bodies {
		m := got[i]
		if !m.Flags.Equal(flags) || !m.InternalDate.Equal(day) || !bytes.Equal(content[m.UID], want) {
			t.Errorf("message %d: %+v, %d bytes of %d", i, m, len(content[m.UID]), len(want))
		}
	}
	sameAsIndependent(t, b, number)
}

func testAppendRefused(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	// Both below and above LITERAL-'s limit, among others that are taken.
	// What is refused holds commands, which nobody may carry out.
	small, big := message("s", "small\r\nz CREATE Pwned"), message("b", strings.Repeat("z CREATE Pwned\r\n", 15_000))
	var order []int
	var refused []error
	add := func(i int, folder mailbox.FolderName, body []byte) {
		in := copier.Incoming{Folder: folder, InternalDate: day, Size: int64(len(body)), Body: bytes.NewReader(body)}
		must(t, s.Append(t.Context(), in, func(r copier.AppendResult) {
			order = append(order, i)
			if r.Err != nil {
				refused = append(refused, r.Err)
			}
		}))
	}
	add(0, inbox, small)
	add(1, "No/Such/Folder", small)
	add(2, "No/Such/Folder", big)
	add(3, inbox, big)
	add(4, "No/Such/Folder", small)
	add(5, inbox, small)
	must(t, s.Flush(t.Context()))
	if !slices.IsSorted(order) || len(order) != 6 {
		t.Errorf("answers in the order %v", order)
	}
	if len(refused) != 3 {
		t.Fatalf("refused: %v", refused)
	}
	for _, err := range refused {
		if !fault.Is(err, fault.Permanent) {
			t.Errorf("refused with %v", err)
		}
	}
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	got, err := bodiesOf(t.Context(), s, all(c))
	must(t, err)
	if len(got) != 3 || !bytes.Equal(got[2], big) {
		t.Errorf("stored: %d messages", len(got))
	}
	folders, err := s.List(t.Context())
	must(t, err)
	if slices.ContainsFunc(folders, func(f mailbox.Folder) bool { return strings.Contains(string(f.Name), "Pwned") }) {
		t.Error("a message was taken for commands")
	}
}

// testAppendTogether: where several messages go by one command, a NO is for all
// of them and none is stored; one that is to be alone is alone.
func testAppendTogether(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	var answers []copier.AppendResult
	add := func(folder mailbox.FolderName, alone bool) {
		body := message(fmt.Sprint(len(answers)), "z CREATE Pwned")
		in := copier.Incoming{Folder: folder, Flags: `\Seen kw`, InternalDate: day, Size: int64(len(body)), Body: bytes.NewReader(body), Alone: alone}
		must(t, s.Append(t.Context(), in, func(r copier.AppendResult) { answers = append(answers, r) }))
	}
	for range 3 {
		add("No/Such/Folder", false)
	}
	add("No/Such/Folder", true)
	for range 3 {
		add(inbox, false)
	}
	must(t, s.Flush(t.Context()))
	if len(answers) != 7 {
		t.Fatalf("%d answers", len(answers))
	}
	for i, r := range answers {
		if refused := r.Err != nil; refused != (i < 4) {
			t.Errorf("answer %d: %v", i, r.Err)
		}
		if r.WithOthers && i >= 3 {
			t.Errorf("answer %d is said to be to several messages", i)
		}
		if b.UIDPlus && i > 3 && r.UID != mailbox.UID(i-3) {
			t.Errorf("answer %d: uid %d", i, r.UID)
		}
	}
	got, err := s.List(t.Context())
	must(t, err)
	for _, f := range got {
		if strings.Contains(string(f.Name), "Pwned") || (f.Name == inbox && f.Counters.Messages != 3) {
			t.Errorf("folder %+v", f)
		}
	}
}

func testAppendBulk(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	const count = 200
	answered := 0
	start := time.Now()
	for i := range count {
		body := message(fmt.Sprint(i), strings.Repeat("voice ", 500+i*10))
		in := copier.Incoming{Folder: inbox, InternalDate: day, Size: int64(len(body)), Body: bytes.NewReader(body)}
		must(t, s.Append(t.Context(), in, func(r copier.AppendResult) {
			if r.Err != nil {
				t.Errorf("append %d: %v", answered, r.Err)
			}
			if answered++; b.UIDPlus && r.UID != mailbox.UID(answered) {
				t.Errorf("append %d got uid %d", answered, r.UID)
			}
		}))
	}
	must(t, s.Flush(t.Context()))
	t.Logf("%d messages in %v", count, time.Since(start).Round(time.Millisecond))
	if answered != count {
		t.Fatalf("%d answers", answered)
	}
	sameAsIndependent(t, b, number)
}

// testAppendWrongLength: a body that breaks off, fails or goes on must never
// be stored, whole or in part, and nothing may follow it on the connection.
func testAppendWrongLength(t *testing.T, b Backend) {
	number := b.Mailbox(t)
	broken := errors.New("the source went away")
	for name, body := range map[string]func(m []byte) io.Reader{
		"short":           func(m []byte) io.Reader { return bytes.NewReader(m[:len(m)-1]) },
		"nothing":         func([]byte) io.Reader { return bytes.NewReader(nil) },
		"fails":           func(m []byte) io.Reader { return io.MultiReader(bytes.NewReader(m[:len(m)/2]), failing{broken}) },
		"fails at end":    func(m []byte) io.Reader { return io.MultiReader(bytes.NewReader(m[:len(m)-1]), failing{broken}) },
		"long":            func(m []byte) io.Reader { return io.MultiReader(bytes.NewReader(m), strings.NewReader("x")) },
		"ends in LITERAL": func(m []byte) io.Reader { return bytes.NewReader(m[:40]) },
	} {
		for _, size := range []int{100, 300_000} {
			t.Run(fmt.Sprintf("%s %d", name, size), func(t *testing.T) {
				s := open(t, b, number)
				m := append(message("w", ""), bytes.Repeat([]byte("z NOOP\r\n"), size/8)...)
				in := copier.Incoming{Folder: inbox, InternalDate: day, Size: int64(len(m)), Body: body(m)}
				err := s.Append(t.Context(), in, func(r copier.AppendResult) { t.Errorf("answered: %+v", r) })
				if err == nil {
					err = s.Flush(t.Context())
				}
				if err == nil {
					t.Fatal("stored")
				}
				if strings.HasPrefix(name, "fails") && !errors.Is(err, broken) {
					t.Errorf("the cause is lost: %v", err)
				}
				if _, err := s.UIDs(t.Context()); err == nil {
					t.Error("the session goes on")
				}
			})
		}
	}
	s := open(t, b, number)
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	if c.Messages != 0 || c.UIDNext != 1 {
		t.Errorf("something was stored: %+v", c)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func testFlags(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	var bodies [][]byte
	for range 20 {
		bodies = append(bodies, message("f", "x"))
	}
	putAll(t, s, inbox, mailbox.NewFlags(`\Seen`, "old"), bodies...)
	_, _, err := s.Select(t.Context(), inbox)
	must(t, err)
	want := mailbox.NewFlags(`\Flagged`, `\Draft`, `\Deleted`, "new", "$Junk")
	odd := mailbox.NewUIDSet(1, 3, 5, 7, 9, 11)
	must(t, s.SetFlags(t.Context(), odd, want))
	must(t, s.SetFlags(t.Context(), mailbox.NewUIDSet(2), ""))
	must(t, s.SetFlags(t.Context(), mailbox.NewUIDSet(1000), want)) // gone is no error
	got, err := s.Messages(t.Context(), mailbox.UIDSet{{First: 1, Last: 20}}, 0)
	must(t, err)
	for _, m := range got {
		expect := mailbox.NewFlags(`\Seen`, "old")
		switch {
		case odd.Contains(m.UID):
			expect = want
		case m.UID == 2:
			expect = ""
		}
		if !m.Flags.Equal(expect) {
			t.Errorf("message %d: %q, want %q", m.UID, m.Flags, expect)
		}
	}
	sameAsIndependent(t, b, number)
}

func testExpunge(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	var bodies [][]byte
	for range 10 {
		bodies = append(bodies, message("e", "x"))
	}
	putAll(t, s, inbox, mailbox.NewFlags(`\Seen`), bodies...)
	_, _, err := s.Select(t.Context(), inbox)
	must(t, err)
	// Others carry \Deleted, by their owner's wish: they stay, and keep it.
	must(t, s.SetFlags(t.Context(), mailbox.NewUIDSet(2, 4, 10), mailbox.NewFlags(`\Deleted`, "mine")))
	must(t, s.Expunge(t.Context(), mailbox.NewUIDSet(1, 4, 5, 9)))
	must(t, s.Expunge(t.Context(), mailbox.NewUIDSet(1)))
	must(t, s.Expunge(t.Context(), nil))
	got, err := s.Messages(t.Context(), mailbox.UIDSet{{First: 1, Last: 10}}, 0)
	must(t, err)
	equalUIDs(t, "left", uidsOf(got), mailbox.NewUIDSet(2, 3, 6, 7, 8, 10))
	for _, m := range got {
		if m.Flags.Has(`\Deleted`) != (m.UID == 2 || m.UID == 10) {
			t.Errorf("message %d: %q", m.UID, m.Flags)
		}
	}
	// Closing the folder must not expunge them either.
	must(t, s.Unselect(t.Context()))
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	if c.Messages != 6 {
		t.Errorf("after closing: %+v", c)
	}
	sameAsIndependent(t, b, number)
}

// testRefusedHere: what a server could misunderstand never leaves, because it
// would then read the message as commands.
func testRefusedHere(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	hostile := []byte("z CREATE Pwned\r\nz CREATE Pwned\r\n\r\nz CREATE Pwned\r\n")
	add := func(in copier.Incoming) error {
		in.Size, in.Body = int64(len(hostile)), bytes.NewReader(hostile)
		var answer error
		must(t, s.Append(t.Context(), in, func(r copier.AppendResult) { answer = r.Err }))
		must(t, s.Flush(t.Context()))
		return answer
	}
	for _, flag := range []string{`\Recent`, `\*`, `\NoSuch`, "a]b", "a b) x", "a(b", "a{5+}", `a"b`, "a%b", "a*b", `a\b`, "gr\u00fcn", "a\r\nz CREATE Pwned", "a\x00b", "\x7f", strings.Repeat("k", 300)} {
		// Not by NewFlags, which drops \Recent and sorts.
		if err := add(copier.Incoming{Folder: inbox, Flags: mailbox.Flags(strings.ReplaceAll(flag, " ", "\u00a0")), InternalDate: day}); !fault.Is(err, fault.Permanent) {
			t.Errorf("flag %q: %v", flag, err)
		}
	}
	for _, name := range []mailbox.FolderName{"", "a\r\nz CREATE Pwned", "a\x00", "a\x7f", "a\tb", "bad\xff", "odd\ufffd", mailbox.FolderName(strings.Repeat("n", 5000))} {
		if err := add(copier.Incoming{Folder: name, InternalDate: day}); !fault.Is(err, fault.Permanent) {
			t.Errorf("folder %q: %v", name, err)
		}
		if err := s.CreateFolder(t.Context(), name, nil); !fault.Is(err, fault.Permanent) {
			t.Errorf("create folder %q: %v", name, err)
		}
	}
	zone := func(seconds int) *time.Location { return time.FixedZone("", seconds) }
	for _, date := range []time.Time{
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2025, 1, 1, 0, 0, 0, 0, zone(30)),
		time.Date(2025, 1, 1, 0, 0, 0, 0, zone(100*3600)),
	} {
		if err := add(copier.Incoming{Folder: inbox, InternalDate: date}); !fault.Is(err, fault.Permanent) {
			t.Errorf("date %v: %v", date, err)
		}
	}
	// The same body with nothing to misunderstand: taken or refused, and harmless.
	_ = add(copier.Incoming{Folder: inbox, InternalDate: day})
	if _, _, err := s.Select(t.Context(), inbox); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []mailbox.Flags{`\Recent`, "a]b", "a)\r\nz"} {
		if err := s.SetFlags(t.Context(), mailbox.NewUIDSet(1), flag); !fault.Is(err, fault.Permanent) {
			t.Errorf("set flag %q: %v", flag, err)
		}
	}
	must(t, s.Unselect(t.Context()))
	folders, err := s.List(t.Context())
	must(t, err)
	for _, f := range folders {
		if strings.Contains(strings.ToLower(string(f.Name)), "pwned") {
			t.Fatalf("the message was read as commands: %v", folders)
		}
	}
}

// testLimits: whatever is just about allowed to leave gets an answer that is no
// BAD, which would cost the session and could do harm.
func testLimits(t *testing.T, b Backend) {
	number := b.Mailbox(t)
	hostile := []byte("Subject: x\r\n\r\nz CREATE Pwned\r\nz CREATE Pwned\r\n")
	try := func(what string, in copier.Incoming) {
		t.Helper()
		s := open(t, b, number)
		in.Size, in.Body = int64(len(hostile)), bytes.NewReader(hostile)
		if in.Folder == "" {
			in.Folder = inbox
		}
		answer := "stored"
		err := s.Append(t.Context(), in, func(r copier.AppendResult) {
			if r.Err != nil {
				answer = r.Err.Error()
			}
		})
		if err == nil {
			err = s.Flush(t.Context())
		}
		if err != nil {
			t.Errorf("%s costs the session: %v", what, err)
			return
		}
		t.Logf("%s: %.150s", what, answer)
		if _, err := s.Examine(t.Context(), inbox); err != nil {
			t.Errorf("after %s: %v", what, err)
		}
	}
	zone := func(hours, minutes int) *time.Location { return time.FixedZone("", hours*3600+minutes*60) }
	for _, d := range []time.Time{
		time.Date(1901, 12, 15, 0, 0, 0, 0, time.UTC), // refused here: Cyrus says BAD
		time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Unix(0, 0),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
		time.Date(2106, 2, 7, 6, 28, 17, 0, time.UTC),
		time.Date(9999, 12, 29, 0, 0, 0, 0, time.UTC),
		time.Date(2025, 1, 1, 0, 0, 0, 0, zone(14, 0)),
		time.Date(2025, 1, 1, 0, 0, 0, 0, zone(23, 59)),
		time.Date(2025, 1, 1, 0, 0, 0, 0, zone(-23, -59)),
	} {
		try("date "+d.Format(time.RFC3339), copier.Incoming{InternalDate: d})
	}
	for _, n := range []int{50, 51, 100, 255} {
		try(fmt.Sprintf("keyword of %d characters", n), copier.Incoming{InternalDate: day, Flags: mailbox.NewFlags(strings.Repeat("k", n))})
	}
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("keyword%d", i))
	}
	try("200 keywords", copier.Incoming{InternalDate: day, Flags: mailbox.NewFlags(many...)})
	for _, k := range []string{"'", "[", "~", "&AOQ-", "$", "+x", "-x", "|", "}", "\\SEEN", "NIL", "0"} {
		try("keyword "+k, copier.Incoming{InternalDate: day, Flags: mailbox.NewFlags(k)})
	}
	for _, name := range []mailbox.FolderName{
		"~", "/", "//", "a//b", "..", "../x", "a/../b", "*", "%25", "\"", "\\", "#", "INBOX/", "{5}", "{5+}", "(", ")", "[", "]", "&", "=?utf-8?q?x?=", "NIL",
		mailbox.FolderName(strings.Repeat("n", 256)), mailbox.FolderName(strings.Repeat("n", 999)), mailbox.FolderName(strings.Repeat("ä", 499)),
		mailbox.FolderName(strings.TrimSuffix(strings.Repeat("d/", 400), "/")), "e\u0301", "\u200b", "\ufeff", "\u2028",
	} {
		try(fmt.Sprintf("folder %.40q", name), copier.Incoming{Folder: name, InternalDate: day})
		s := open(t, b, number)
		if err := s.CreateFolder(t.Context(), name, nil); err != nil && !fault.Is(err, fault.Permanent) {
			t.Errorf("create %.40q: %v", name, err)
		}
		if _, err := s.List(t.Context()); err != nil {
			t.Fatalf("list with %.40q: %v", name, err)
		}
	}
	s := open(t, b, number)
	for _, name := range names(t, s) {
		if strings.Contains(strings.ToLower(string(name)), "pwned") {
			t.Errorf("the message was read as commands: %s", name)
		}
	}
}
