package imapstore

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// fuzzed is a server that logs everybody in and then answers each command with the
// next part of a text, in which "%T" is the command's tag. At the end of the text it
// closes the connection.
func fuzzed(nc net.Conn, text []byte) {
	defer func() { _ = nc.Close() }()
	r := bufio.NewReader(nc)
	write := func(line string) bool {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
		_, err := io.WriteString(nc, line)
		return err == nil
	}
	if !write("* OK [CAPABILITY " + standard + " IDLE NOTIFY ENABLE ID MULTIAPPEND MOVE] ready\r\n") {
		return
	}
	parts := bytes.Split(text, []byte{0x1e})
	for len(parts) > 0 {
		// One that waits for more of an answer gets the next part of it.
		_ = nc.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
		line, err := r.ReadString('\n')
		tag, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err != nil && (line != "" || !endpoint.IsTimeout(err)) {
			return
		}
		switch name, _, _ := strings.Cut(rest, " "); name {
		case "AUTHENTICATE":
			if !write(tag + " OK [CAPABILITY " + standard + " IDLE NOTIFY ENABLE ID MULTIAPPEND MOVE] in\r\n") {
				return
			}
			continue
		case "NAMESPACE":
			if !write(`* NAMESPACE (("" "/")) (("user/" "/")) NIL` + "\r\n" + tag + " OK done\r\n") {
				return
			}
			continue
		}
		if !write(strings.ReplaceAll(string(parts[0]), "%T", tag)) {
			return
		}
		parts = parts[1:]
	}
}

// uses are what a session is put to.
var uses = []func(ctx context.Context, s *Session) error{
	func(ctx context.Context, s *Session) error { _, err := s.List(ctx); return err },
	func(ctx context.Context, s *Session) error { _, err := s.UIDs(ctx); return err },
	func(ctx context.Context, s *Session) error { _, err := s.Messages(ctx, fuzzedSet, 0); return err },
	func(ctx context.Context, s *Session) error { _, err := s.Headers(ctx, fuzzedSet); return err },
	func(ctx context.Context, s *Session) error {
		return s.Bodies(ctx, fuzzedSet, func(_ mailbox.UID, _ int64, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
	},
	func(ctx context.Context, s *Session) error {
		for range 2 {
			in := copier.Incoming{Folder: "INBOX", InternalDate: time.Unix(1e9, 0), Size: 3, Body: strings.NewReader("abc"), Flags: "kw"}
			if err := s.Append(ctx, in, func(copier.AppendResult) {}); err != nil {
				return err
			}
		}
		return s.Flush(ctx)
	},
	func(ctx context.Context, s *Session) error { return s.Expunge(ctx, fuzzedSet) },
	func(ctx context.Context, s *Session) error { return s.check(ctx, &CheckReport{}) },
	func(ctx context.Context, s *Session) error {
		_, err := s.overview(ctx, namespace{"user/", '/'}, ofNamespace(1))
		return err
	},
}

var fuzzedSet = mailbox.UIDSet{{First: 1, Last: 3}, {First: 7, Last: 7}}

// FuzzSession: whatever a server answers to whatever a session asks, nothing
// panics, here or in go-imap, and go-imap understands all that it gets.
func FuzzSession(f *testing.F) {
	for use, text := range []string{
		"* LIST (\\HasNoChildren) \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 X ((1) \"a\"))\r\n* LSUB () \"/\" {3}\r\nabc\r\n%T OK done\r\n\x1e* LIST () NIL {2}\r\na&\r\n%T OK\r\n\x1e%T NO [NONEXISTENT] none\r\n",
		"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 9] x\r\n%T OK [READ-WRITE] in\r\n\x1e* ESEARCH (TAG \"%T\") UID COUNT 3 ALL 1:2,7\r\n* SEARCH 1 2 (MODSEQ 5)\r\n%T OK done\r\n\x1e* 1 EXPUNGE\r\n%T OK\r\n",
		"%T OK in\r\n\x1e* 1 FETCH (UID 1 FLAGS (\\Seen a]b) INTERNALDATE \" 1-Jan-2025 00:00:00 +0530\" RFC822.SIZE 1 BODYSTRUCTURE ((\"a\" NIL) {3}\r\nabc))\r\n* 2 FETCH (RFC822.SIZE 2 UID 2)\r\n%T OK done\r\n",
		"* 1 FETCH (UID 1 BODY[HEADER] {4}\r\na: b FLAGS ())\r\n* 2 FETCH (UID 2 BODY[HEADER.FIELDS (TO)]<0> \"x\" BODY[HEADER] \"y\\\"z\")\r\n* 3 FETCH (UID 3 BODY[HEADER] NIL)\r\n%T OK done\r\n",
		"* 1 FETCH (UID 1 ENVELOPE ({2}\r\nab) BODY[] {3}\r\nabc X {1}\r\nz)\r\n* 2 FETCH (BODY[] {1}\r\na UID 2)\r\n* 3 FETCH (UID 3 BODY[] {0}\r\n)\r\n%T NO [EXPUNGEISSUED] gone\r\n",
		"+ go\r\n\x1e%T OK [APPENDUID 7 1:2] stored\r\n\x1e* BYE x\r\n%T NO [OVERQUOTA] full\r\n",
		"%T OK [HIGHESTMODSEQ 5] stored\r\n\x1e* 1 EXPUNGE\r\n* VANISHED 1:3\r\n%T OK [COPYUID 7 1 2] gone\r\n\x1e* SEARCH\r\n%T OK\r\n",
		"* ID (\"name\" \"Dovecot\" \"version\" {3}\r\n2.4)\r\n%T OK\r\n\x1e%T OK\r\n\x1e* OK [PERMANENTFLAGS (a]b \\*)] x\r\n* CAPABILITY IMAP4rev1 IMAP4rev2\r\n%T BAD what\r\n",
		"* LIST () \"/\" user/1\r\n* STATUS user/1 (UIDNEXT 1 UIDVALIDITY 1 HIGHESTMODSEQ 18446744073709551615)\r\n%T OK\r\n",
	} {
		f.Add([]byte(text), uint8(use))
	}
	f.Fuzz(func(t *testing.T, text []byte, use uint8) {
		store := pipeStore(t, text)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := store.open(ctx, "1000")
		if err != nil {
			return
		}
		if use%2 == 0 {
			_, _, err = s.Select(ctx, "INBOX")
		}
		if err == nil {
			err = uses[int(use)%len(uses)](ctx, s)
		}
		if err != nil && (len(err.Error()) > 1000 || strings.Contains(err.Error(), "imapwire")) {
			t.Errorf("error %q", err)
		}
		_ = s.Close()
		if err := s.client.Close(); err != nil {
			for _, bad := range []string{"panic", "expected", "unsupported", "unknown tag"} {
				if strings.Contains(err.Error(), bad) {
					t.Errorf("go-imap got what it does not understand: %v", err)
				}
			}
		}
	})
}

// FuzzEar does the same with what listens.
func FuzzEar(f *testing.F) {
	f.Add([]byte("* LIST () \"/\" INBOX\r\n* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3)\r\n%T OK\r\n\x1e* 1 EXISTS\r\n* OK [UIDNEXT 2] x\r\n%T OK\r\n\x1e+ idling\r\n* 2 EXISTS\r\n* 1 FETCH (FLAGS ())\r\n\x1e%T OK\r\n"), false)
	f.Add([]byte("%T OK\r\n\x1e* LIST () \"/\" user/1000\r\n* STATUS {9}\r\nuser/1000 (UIDNEXT 2 UIDVALIDITY 3)\r\n%T OK\r\n\x1e%T OK\r\n\x1e* LIST () \"/\" user/1000\r\n* STATUS user/1000 (UIDNEXT 2 UIDVALIDITY 3)\r\n%T OK\r\n\x1e* STATUS user/1000 (MESSAGES 5)\r\n* OK [NOTIFICATIONOVERFLOW] x\r\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, notify bool) {
		store := pipeStore(t, text)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		var conn watch.Conn
		var err error
		if notify {
			conn, err = store.Notify(ctx, []mailbox.Number{"1000"})
		} else {
			conn, err = store.Idle(ctx, "1000", time.Millisecond)
		}
		if err != nil {
			return
		}
		_ = conn.Listen(ctx, func(watch.Report) {}, func() {})
		conn.Close()
	})
}

// pipeStore is a store whose every connection is a fuzzed server's.
func pipeStore(t *testing.T, text []byte) *Store {
	t.Helper()
	store, err := New(Options{
		Name: "fuzzed", Address: "pipe:143", Security: site.SecurityNone, Login: site.LoginAuthzid, TrustedName: "trusted",
		Password: seal.NewSecret("pw"), Logger: slog.New(slog.DiscardHandler),
		Timeouts: Timeouts{Connect: 2 * time.Second, Read: 500 * time.Millisecond, Write: 500 * time.Millisecond, Quiet: 5 * time.Millisecond, Answer: 100 * time.Millisecond},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				fuzzed(server, text)
			}()
			t.Cleanup(func() {
				_ = client.Close()
				<-done
			})
			return client, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return store
}
