package imapstore

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/mailbox"
)

func TestUTF7(t *testing.T) {
	for decoded, encoded := range map[string]string{
		"":               "",
		"INBOX":          "INBOX",
		"R&D":            "R&-D",
		"Grüße":          "Gr&APwA3w-e",
		"台北日本語":          "&U,BTF2XlZyyKng-",
		"~peter/mail/日本": "~peter/mail/&ZeVnLA-",
		"a\tb":           "a&AAk-b",
		"😀":              "&2D3eAA-",
		"\x7f":           "&AH8-",
	} {
		if got := encodeUTF7(decoded); got != encoded {
			t.Errorf("encode %q: %q, want %q", decoded, got, encoded)
		}
		if got, ok := decodeUTF7(encoded); !ok || got != decoded {
			t.Errorf("decode %q: %q %v", encoded, got, ok)
		}
	}
	for _, bad := range []string{"&", "&AOQ", "a&b", "&AA-", "&AAA-", "&AGE-", "&2D0-", "&3gA-", "&AOR-", "&/w-", "&AOQ=-", "\xff"} {
		if got, ok := decodeUTF7(bad); ok {
			t.Errorf("decode %q: %q", bad, got)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	f.Add("Grüße", "Gr&APwA3w-e")
	f.Add("\x01😀&", "&2D3eAA-&-")
	f.Fuzz(func(t *testing.T, name, wire string) {
		if utf8.ValidString(name) {
			if !strings.ContainsRune(name, utf8.RuneError) && !strings.ContainsRune(name, 0) {
				if got, ok := decodeUTF7(encodeUTF7(name)); !ok || got != name {
					t.Errorf("%q became %q (%v)", name, got, ok)
				}
			}
			for _, c := range []byte(encodeUTF7(name)) {
				if c < 0x20 || c > 0x7e {
					t.Errorf("%q is written with byte %x", name, c)
				}
			}
		}
		if decoded, ok := decodeUTF7(wire); ok && !utf8.ValidString(decoded) {
			t.Errorf("%q decodes to %q", wire, decoded)
		}
	})
}

// FuzzScanner: no response, however broken, makes the scanner panic or hang.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("* LIST (\\HasChildren) \"/\" {5}\r\nINBOX\r\n"))
	f.Add([]byte("* STATUS \"a\\\"b\" (MESSAGES 1 X (1 (2)) Y NIL)\r\n"))
	f.Add([]byte("* NAMESPACE ((\"\" \"/\" \"X\" (\"a\"))) NIL ((\"#\" NIL))\r\n"))
	f.Add([]byte("* ID (\"name\" \"x\" \"version\" NIL)\r\n"))
	f.Fuzz(func(_ *testing.T, line []byte) {
		s := &scanner{rest: line}
		switch s.kind() {
		case "LIST", "LSUB":
			if l, ok := scanList(s); ok {
				_ = decodeName(l.name)
			}
		case "STATUS":
			_, items, _ := scanStatus(s)
			_, _ = counters(items)
		case "NAMESPACE":
			for range 3 {
				_ = scanNamespaces(s)
			}
		default:
			scanID(&scanner{rest: line}, &CheckReport{})
		}
	})
}

// canned is a connection whose server has said all that it will say.
type canned struct {
	net.Conn
	r io.Reader
}

func (c canned) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c canned) SetReadDeadline(time.Time) error  { return nil }
func (c canned) SetWriteDeadline(time.Time) error { return nil }
func (c canned) Close() error                     { return nil }

// wireOver gives a logged-in wire on which the server has said text.
func wireOver(text []byte, kind fetchKind, oneByOne bool) *wire {
	var r io.Reader = bytes.NewReader(text)
	if oneByOne {
		r = iotestOneByteReader{r}
	}
	c := canned{r: r}
	w := newWire(newLink(c, c, Timeouts{}.withDefaults()))
	w.loggedIn, w.greeted, w.sink, w.found = true, true, &kept{}, &searched{}
	w.expectFetch(kind, mailbox.UIDSet{{First: 1, Last: 1<<32 - 1}})
	for i := range 10 {
		w.sent["T"+itoa(i)] = i%2 == 0
	}
	return w
}

// collected are the responses that a wire of wireOver kept for the session.
func collected(w *wire) [][]byte { return w.sink.(*kept).responses }

type iotestOneByteReader struct{ r io.Reader }

func (o iotestOneByteReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return o.r.Read(p[:1])
}

// FuzzWire: whatever a server says, the wire neither panics nor gives go-imap
// something else when it comes in other pieces.
func FuzzWire(f *testing.F) {
	f.Add([]byte("* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* LIST () \"/\" {2}\r\nab\r\nT1 OK done {5}\r\n"), uint8(3))
	f.Add([]byte("* OK [CAPABILITY IMAP4rev1 LITERAL+] x\r\n* OK [PERMANENTFLAGS (a]b \\*)] y\r\n+ \r\n"), uint8(0))
	f.Add([]byte("* 1 FETCH (FLAGS (a]b \\Seen) INTERNALDATE \"x\" RFC822.SIZE 1)\r\n* BAD x\r\n"), uint8(1))
	f.Add([]byte("* VANISHED {3}\r\nab\r\r\n* 3 fetch (rfc822.size 1)\n* SEARCH 1 2\n"), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, kind uint8) {
		whole := wireOver(text, fetchKind(kind%4), false)
		a, _ := io.ReadAll(io.LimitReader(whole, 1<<20))
		pieces := wireOver(text, fetchKind(kind%4), true)
		b, _ := io.ReadAll(io.LimitReader(iotestOneByteReader{pieces}, 1<<20))
		if !errors.Is(whole.Cause(), endpoint.ErrServerClosed) || !errors.Is(pieces.Cause(), endpoint.ErrServerClosed) {
			// Given up on the way: what was buffered by then may differ.
			if !bytes.HasPrefix(a, b) {
				t.Errorf("%q: %q and then %q", text, a, b)
			}
			return
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%q in one piece gives %q, in many %q", text, a, b)
		}
		if one, many := collected(whole), collected(pieces); len(one) != len(many) {
			t.Errorf("%q: %d and %d collected", text, len(one), len(many))
		}
		if one, many := whole.stopSearch().String(), pieces.stopSearch().String(); one != many {
			t.Errorf("%q: %s and %s found", text, one, many)
		}
	})
}

// A literal's content is no line, whatever it holds.
func TestWireSplitsByLiterals(t *testing.T) {
	hostile := "* LIST () \"/\" x\r\nT1 BAD no\r\n+ \r\n)\r\n"
	text := "* 1 FETCH (UID 1 BODY[] {" + itoa(len(hostile)) + "}\r\n" + hostile + ")\r\n" +
		"* 2 FETCH (UID 2 X {" + itoa(len(hostile)) + "}\r\n" + hostile + ")\r\n" + // dropped, literal and all
		"* LIST () \"/\" {" + itoa(len(hostile)) + "}\r\n" + hostile + "\r\n" +
		"* OK see {4}\r\n* BYE {9}\r\nT1 OK {4}\r\n"
	w := wireOver([]byte(text), fetchBody, false)
	got, _ := io.ReadAll(w)
	want := "* 1 FETCH (UID 1 BODY[] {" + itoa(len(hostile)) + "}\r\n" + hostile + ")\r\n" + "T1 OK\r\n"
	if string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got := collected(w); len(got) != 1 {
		t.Errorf("collected %q", got)
	}
	if errors.Is(w.Cause(), errBadCommand) {
		t.Error("a literal was read as an answer")
	}
}

func itoa(n int) string {
	return mailbox.UIDSet{{First: mailbox.UID(n), Last: mailbox.UID(n)}}.String()
}

// What go-imap must see of capabilities, and what it must not.
func TestWireCapabilities(t *testing.T) {
	w := wireOver([]byte("* OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ idle] hi [x]\r\n"), fetchNone, false)
	got, _ := io.ReadAll(w)
	if string(got) != "* OK [CAPABILITY LITERAL- IMAP4rev1 idle]\r\n" {
		t.Errorf("got %q", got)
	}
	if !w.has("LITERAL+") || w.has("LITERAL-") || !w.has("IDLE") || !w.has("IMAP4REV2") {
		t.Errorf("caps %v", w.capabilities())
	}
}

func TestEscapedFlags(t *testing.T) {
	for _, flag := range []string{`\Seen`, "plain", "a]b", "%*(\"", "\xff\xfe", "\x00\x7f\x80", `x\y`} {
		escaped := string(escapeFlags([]byte(flag)))
		if got := unescapeFlag(escaped); got != flag {
			t.Errorf("%q became %q by %q", flag, got, escaped)
		}
	}
}

func TestHeaderLook(t *testing.T) {
	for header, want := range map[string]bool{
		"Message-ID: <a@b>\r\n\r\n":            true,
		"MESSAGE-id:<a@b>\r\n\r\n":             true,
		"Message-ID:\r\n <a@b>\r\n\r\n":        true,
		"Message-ID: \r\n\t\r\n <a@b>\r\n\r\n": true,
		"Message-ID:\r\nSubject: x\r\n\r\n":    false,
		"Message-ID: \r\n\r\n":                 false,
		"Subject: Message-ID: x\r\n\r\n":       false,
		"X-Message-ID: x\r\n\r\n":              false,
		"Subject: a\r\n Message-ID: x\r\n\r\n": false,
		"Message-ID : x\r\n\r\n":               false,
		"":                                     false,
		"Subject: " + strings.Repeat("x", 9999) + "\nMessage-ID: y\n": true,
	} {
		for _, step := range []int{1, 3, 1000} {
			var look headerLook
			for i := 0; i < len(header); i += step {
				look.write([]byte(header[i:min(i+step, len(header))]))
			}
			if look.found != want {
				t.Errorf("%.60q in steps of %d: %v", header, step, look.found)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	_, err := New(Options{Name: "x", Address: "nowhere", Security: "ssl", Login: "magic", Separator: "\x00"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"host:port", "security", "login", "trusted name", "trusted password", "control character"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not among %v", want, err)
		}
	}
}
