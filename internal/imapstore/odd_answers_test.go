package imapstore

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Names that are no modified UTF-7, in literals, quoted with escapes, in raw
// UTF-8, NIL separators and unknown attributes: LIST survives them all.
func TestOddNamesInList(t *testing.T) {
	status := func(name string) string {
		return "* STATUS " + name + " (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ 4 X-SIZE NIL APPENDLIMIT (1 2))"
	}
	store := serve(t, func(s *script) {
		s.login(standard)
		s.answer(`LIST "" "*" RETURN (`,
			`* LIST () "/" inbox`, status("INBOX"),
			`* LIST (\HasNoChildren \X-Odd) "/" "Gr&APwA3w-e"`, status(`"Gr&APwA3w-e"`),
			`* LIST () "/" &bad`, `* LIST () "/" "broken&AOQ"`,
			"* LIST () \"/\" {7}\r\nliteral", status(`"literal"`),
			`* LIST () "/" "say \"hi\" \\ there"`, status(`"say \"hi\" \\ there"`),
			`* LIST (\Subscribed \Sent) "/" Sent ("CHILDINFO" ("SUBSCRIBED"))`, status("Sent"),
			`* LIST () "/" Grüße-roh`, status("Grüße-roh"),
			"* LIST () \"/\" \"latin\xfc\"",
			`* LIST (\NonExistent) "/" ghost`, `* LIST (\Noselect) NIL flat`,
			`* LIST () "/" untold`,
			`* LIST () "/" refused`,
			"* XYZZY unheard of", "* VANISHED (EARLIER) 1:5", "* 7 XYZZY {3}\r\n* B", "* OK [NEWCODE (] here",
		)
		s.answer(`STATUS "untold"`, status("untold"))
		tag := s.command(`STATUS "refused"`)
		s.send(tag + " NO [NOPERM] not yours")
	})
	session := openScripted(t, store)
	folders, err := session.List(t.Context())
	must(t, err)
	c := mailbox.Counters{UIDValidity: 3, UIDNext: 2, Messages: 1, HighestModSeq: 4}
	want := []mailbox.Folder{
		{Name: "INBOX", Selectable: true, Counters: c},
		{Name: "Grüße", Selectable: true, Counters: c},
		{Name: "&bad\ufffd", Unreadable: true},
		{Name: "broken&AOQ\ufffd", Unreadable: true},
		{Name: "literal", Selectable: true, Counters: c},
		{Name: `say "hi" \ there`, Selectable: true, Counters: c},
		{Name: "Sent", Selectable: true, Subscribed: true, SpecialUse: []string{`\Sent`}, Counters: c},
		{Name: "Grüße-roh", Selectable: true, Counters: c},
		{Name: "latin\ufffd\ufffd", Unreadable: true},
		{Name: "ghost"},
		{Name: "flat"},
		{Name: "untold", Selectable: true, Counters: c},
		{Name: "refused", Selectable: true},
	}
	if diff := cmp.Diff(want, folders); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The inbox's subscription is asked for by itself, and a server that does not
// tell it is none the worse for that.
func TestInboxSubscription(t *testing.T) {
	for _, c := range []struct {
		name, caps string
		lsub       []string // nil where it must not be asked
		want       bool
	}{
		{"told", standard, []string{`* LSUB () "/" inbox`, "OK"}, true},
		{"only what is below", standard, []string{`* LSUB (\Noselect) "/" INBOX`, "OK"}, false},
		{"refused", standard, []string{"NO not here"}, false},
		{"revision 2", strings.Replace(standard, "IMAP4rev1", "IMAP4rev2", 1), nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := serve(t, func(s *script) {
				s.login(c.caps)
				s.lsub = []string{`* LSUB () "/" INBOX`} // asked although it must not be
				if n := len(c.lsub) - 1; n >= 0 {
					s.answer("NAMESPACE", s.namespace)
					tag := s.command(`LSUB "" "INBOX"`)
					s.send(append(c.lsub[:n:n], tag+" "+c.lsub[n])...)
				}
				s.answer(`LIST "" "*"`, `* LIST () "/" INBOX`, `* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)`)
			})
			folders, err := openScripted(t, store).List(t.Context())
			must(t, err)
			if len(folders) != 1 || folders[0].Subscribed != c.want {
				t.Errorf("folders %+v, want the inbox subscribed: %v", folders, c.want)
			}
		})
	}
}

// Two folders that would get one name are an error, not one folder.
func TestDoubleNames(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login("IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE LIST-EXTENDED LIST-STATUS")
		s.answer("LIST", `* LIST () "/" INBOX`, `* LIST () "/" "a&bad\ufffd"`, "* LIST () \"/\" \"x\xfc\"", "* LIST () \"/\" \"x\xfd\"",
			"* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)")
	})
	session := openScripted(t, store)
	if got, err := session.List(t.Context()); !fault.Is(err, fault.Permanent) {
		t.Errorf("%v, %v", got, err)
	}
}

// Keywords and dates that would end go-imap's connection are read all the same.
func TestOddFlagsAndDates(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard)
		s.answer("SELECT", "* 4 EXISTS", `* FLAGS (\Seen a]b)`, `* OK [PERMANENTFLAGS (\Seen a]b $Fine \*)] some`,
			"* OK [UIDVALIDITY 7] ok", "* OK [UIDNEXT 9] ok", "* OK [HIGHESTMODSEQ 9] ok")
		fetch := func(uid, flags, date string) string {
			return "* " + uid + " FETCH (UID " + uid + " FLAGS (" + flags + ") INTERNALDATE \"" + date + "\" RFC822.SIZE 1)"
		}
		s.answer("UID FETCH 1:8",
			fetch("1", `\Seen a]b 100% x*y q"z b\c`, "01-Jan-2025 00:00:00 +0000"),
			fetch("2", "gr\xfcn \x01\x85 $Label1 \\Recent", "31-Feb-2025 00:00:00 +0000"),
			fetch("3", "", "00-Jan-0000 00:00:00 +0000"),
			fetch("4", `\Seen\Odd`, " 1-Jan-2025 00:00:00 +0530"),
		)
	})
	session := openScripted(t, store)
	counters, permanent, err := session.Select(t.Context(), "INBOX")
	must(t, err)
	if counters.UIDNext != 9 || !permanent.Any || permanent.Flags != mailbox.NewFlags("$Fine", `\Seen`) {
		t.Errorf("%+v %+v", counters, permanent)
	}
	list, err := session.Messages(t.Context(), mailbox.UIDSet{{First: 1, Last: 8}}, 0)
	must(t, err)
	want := []mailbox.Flags{
		mailbox.NewFlags(`\Seen`, "a]b", "100%", "x*y", `q"z`, `b\c`),
		mailbox.NewFlags("gr\xfcn", "\x01\x85", "$Label1"),
		"",
		mailbox.NewFlags(`\Seen\Odd`),
	}
	if len(list) != 4 {
		t.Fatalf("%v", list)
	}
	for i, m := range list {
		if m.Flags != want[i] {
			t.Errorf("message %d: flags %q, want %q", i+1, m.Flags, want[i])
		}
	}
	if list[1].InternalDate.Unix() != 0 || list[2].InternalDate.Unix() != 0 {
		t.Errorf("dates: %v %v", list[1].InternalDate, list[2].InternalDate)
	}
}

// A poor server: no capabilities in greeting or log-in, no SASL-IR, no
// NAMESPACE, LSUB, plain SEARCH, no UNSELECT; and it talks byte by byte.
func TestPoorServer(t *testing.T) {
	const few = "* CAPABILITY IMAP4rev1 AUTH=PLAIN"
	store := serve(t, func(s *script) {
		s.Conn = dribble{s.Conn}
		s.send("* OK hello")
		s.capabilities = few
		tag := s.command("AUTHENTICATE PLAIN")
		s.send("+ ")
		line, _ := s.r.ReadString('\n')
		if line != "MTAwMAB0cnVzdGVkAHB3\r\n" {
			s.t.Errorf("credentials: %q", line)
		}
		s.send(tag + " OK in")
		s.capabilities = few
		s.answer(`LIST "" ""`, `* LIST (\Noselect) "." ""`)

		s.answer(`LIST "" "*"`, `* LIST () "." INBOX`, `* LIST () "." a.b`)
		s.answer(`LSUB "" "*"`, `* LSUB () "." a.b`, `* LSUB (\Noselect) "." INBOX`, `* LSUB () "." gone`)
		one, two := s.command("STATUS INBOX ("), s.command(`STATUS "a.b" (`)
		s.send("* STATUS a.b (UIDVALIDITY 1 UIDNEXT 5 MESSAGES 4)", two+" OK", "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)", one+" OK")

		s.answer(`EXAMINE "a.b"`, "* 4 EXISTS", "* OK [UIDVALIDITY 1] ok", "* OK [UIDNEXT 5] ok", "* OK [NOMODSEQ] none")
		s.answer("UID SEARCH ALL", "* SEARCH 4 1 3 2")
		s.answer(`EXAMINE "a.b"`)
		s.answer("CLOSE")
	})
	session := openScripted(t, store)
	folders, err := session.List(t.Context())
	must(t, err)
	want := []mailbox.Folder{
		{Name: "INBOX", Selectable: true, Counters: mailbox.Counters{UIDValidity: 1, UIDNext: 1}},
		{Name: "a/b", Selectable: true, Subscribed: true, Counters: mailbox.Counters{UIDValidity: 1, UIDNext: 5, Messages: 4}},
	}
	if diff := cmp.Diff(want, folders); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	counters, err := session.Examine(t.Context(), "a/b")
	must(t, err)
	if counters != want[1].Counters {
		t.Errorf("%+v", counters)
	}
	uids, err := session.UIDs(t.Context())
	must(t, err)
	if uids.String() != "1:4" {
		t.Errorf("uids %v", uids)
	}
	must(t, session.Unselect(t.Context()))
}

// dribble writes one byte at a time.
type dribble struct{ net.Conn }

func (d dribble) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := d.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// The namespace decides which folders are the mailbox's own.
func TestForeignNamespaces(t *testing.T) {
	for name, c := range map[string]struct {
		namespace string
		folders   []string
		want      []mailbox.FolderName
	}{
		"dovecot": {
			`(("" "/")) (("users/" "/")) (("public/" "/"))`,
			[]string{"INBOX", "users", "users/4711", "users/4711/a", "public", "public/x", "usersown"},
			[]mailbox.FolderName{"INBOX", "usersown"},
		},
		"shared has no prefix": {
			`(("INBOX." ".")) (("user." ".")) (("" "."))`,
			[]string{"INBOX", "INBOX.a", "user.b", "common", "INBOX.user.c"},
			[]mailbox.FolderName{"INBOX", "a", "user/c"},
		},
		"flat": {`(("" NIL)) NIL NIL`, []string{"INBOX", "a/b"}, []mailbox.FolderName{"INBOX", "a%2Fb"}},
		"extensions": {
			`(("" "/" "TRANSLATION" ("x"))("#mh/" "/" "X-PARAM" ("FLAG1" "FLAG2"))) NIL NIL`,
			[]string{"INBOX", "a"}, []mailbox.FolderName{"INBOX", "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := serve(t, func(s *script) {
				s.send("* OK [CAPABILITY " + standard + "] ready")
				tag := s.command("AUTHENTICATE")
				s.send(tag + " OK [CAPABILITY " + standard + "] in")
				s.answer("NAMESPACE", "* NAMESPACE "+c.namespace)
				var lines []string
				for _, f := range c.folders {
					separator := `"/"`
					if strings.Contains(c.namespace, `"."`) {
						separator = `"."`
					}
					if name == "flat" {
						separator = "NIL"
					}
					lines = append(lines, "* LIST () "+separator+" "+f, "* STATUS "+f+" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)")
				}
				s.answer("LIST", lines...)
			})
			session := openScripted(t, store)
			folders, err := session.List(t.Context())
			must(t, err)
			var got []mailbox.FolderName
			for _, f := range folders {
				got = append(got, f.Name)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The log-in does not hang on a server that goes away in the middle of it.
func TestLoginCut(t *testing.T) {
	for name, play := range map[string]func(*script){
		"before the greeting": func(*script) {},
		"in the greeting":     func(s *script) { _, _ = io.WriteString(s, "* OK [CAPAB") },
		"after the greeting":  func(s *script) { s.send("* OK hello") },
		"in the log-in":       func(s *script) { s.send("* OK [CAPABILITY " + standard + "] hi"); s.command("AUTH") },
		"after the log-in": func(s *script) {
			s.send("* OK [CAPABILITY " + standard + "] hi")
			s.send(s.command("AUTH") + " OK in")
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := serve(t, play).Open(t.Context(), "1000")
			if !fault.Is(err, fault.Transient) {
				// A greeting cut off in the middle is no IMAP at all.
				if name != "in the greeting" || !fault.Is(err, fault.Config) {
					t.Errorf("%v", err)
				}
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
