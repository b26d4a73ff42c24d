package imapstore

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

var one, two = mailbox.NewUIDSet(1), mailbox.NewUIDSet(1, 2)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readAll collects bodies; an error of reading is the caller's.
func readAll(into map[mailbox.UID]string) func(mailbox.UID, int64, io.Reader) error {
	return func(uid mailbox.UID, _ int64, body io.Reader) error {
		b, err := io.ReadAll(body)
		if err == nil {
			into[uid] = string(b)
		}
		return err
	}
}

// A literal that a dead connection cuts off must not look like a short message.
func TestCutLiteralIsNoEnd(t *testing.T) {
	for name, cut := range map[string]func(*script){
		"closed": func(s *script) {},
		"reset":  func(s *script) { _ = s.Conn.(interface{ SetLinger(int) error }).SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			store := serve(t, func(s *script) {
				s.login(standard)
				s.examine(1)
				s.command("UID FETCH 1 (UID BODY.PEEK[])")
				s.send("* 1 FETCH (UID 1 BODY[] {100}", "only this")
				cut(s)
			})
			session := openScripted(t, store)
			_, err := session.Examine(t.Context(), "INBOX")
			must(t, err)
			got := map[mailbox.UID]string{}
			var readErr error
			err = session.Bodies(t.Context(), one, func(uid mailbox.UID, _ int64, body io.Reader) error {
				_, readErr = io.ReadAll(body)
				return readErr
			})
			if readErr == nil || errors.Is(readErr, io.EOF) || err == nil || len(got) > 0 {
				t.Errorf("read: %v, bodies: %v", readErr, err)
			}
			if fault.KindOf(err) != fault.Transient {
				t.Errorf("kind %v", fault.KindOf(err))
			}
		})
	}
	t.Run("message whole, connection gone before the answer's end", func(t *testing.T) {
		store := serve(t, func(s *script) {
			s.login(standard)
			s.examine(2)
			s.command("UID FETCH 1:2")
			s.send("* 1 FETCH (UID 1 BODY[] {3}", "abc)")
		})
		session := openScripted(t, store)
		_, err := session.Examine(t.Context(), "INBOX")
		must(t, err)
		got := map[mailbox.UID]string{}
		if err := session.Bodies(t.Context(), two, readAll(got)); !fault.Is(err, fault.Transient) {
			t.Errorf("bodies: %v", err)
		}
	})
}

// An unasked-for FETCH in the middle of a fetch must not take a body's place.
func TestUnsolicitedFetch(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard)
		s.examine(2)
		tag := s.command("UID FETCH 1:2 (UID BODY.PEEK[])")
		s.send(`* 2 FETCH (UID 2 FLAGS (\Seen))`, `* 1 FETCH (FLAGS (\Seen) UID 1 MODSEQ (5))`)
		s.send("* 1 FETCH (UID 1 BODY[] {3}", "one)", `* 2 FETCH (UID 2 FLAGS ())`, "* 2 FETCH (UID 2 BODY[] {3}", "two)", tag+" OK done")
		tag = s.command("UID FETCH 1:2 (UID")
		s.send(`* 1 FETCH (UID 1 FLAGS (\Seen))`, `* 2 FETCH (UID 2 FLAGS (\Seen))`)
		for _, n := range []string{"1", "2"} {
			s.send("* " + n + ` FETCH (RFC822.SIZE 3 UID ` + n + ` FLAGS (a) INTERNALDATE " 1-Jan-2025 00:00:00 +0000")`)
		}
		s.send(tag + " OK done")
		tag = s.command("BODY.PEEK[HEADER]")
		s.send(`* 1 FETCH (UID 1 FLAGS (\Seen))`, "* 1 FETCH (UID 1 BODY[HEADER] {2}", "", ")", `* 2 FETCH (UID 2 BODY[HEADER] "")`, tag+" OK done")
	})
	session := openScripted(t, store)
	_, err := session.Examine(t.Context(), "INBOX")
	must(t, err)
	got := map[mailbox.UID]string{}
	must(t, session.Bodies(t.Context(), two, readAll(got)))
	if got[1] != "one" || got[2] != "two" {
		t.Errorf("bodies: %v", got)
	}
	list, err := session.Messages(t.Context(), two, 0)
	must(t, err)
	if len(list) != 2 || list[0].Flags != "a" || list[1].Size != 3 {
		t.Errorf("messages: %v", list)
	}
	headers, err := session.Headers(t.Context(), two)
	must(t, err)
	if len(headers) != 2 {
		t.Errorf("headers: %v", headers)
	}
}

// What a server leaves out is asked for again, and is an error where it stays
// out although it exists.
func TestIncompleteAnswers(t *testing.T) {
	metadata := func(n string) string {
		return "* " + n + " FETCH (UID " + n + ` RFC822.SIZE 1 FLAGS () INTERNALDATE " 1-Jan-2025 00:00:00 +0000")`
	}
	store := serve(t, func(s *script) {
		s.login(standard)
		s.examine(3)
		// Metadata: 2 is late, 3 is gone.
		s.answer("UID FETCH 1:2,4", metadata("1"), `* 2 FETCH (UID 2 RFC822.SIZE 1)`)
		tag := s.command("UID SEARCH RETURN (ALL) UID 2,4")
		s.send(`* ESEARCH (TAG "`+tag+`") UID ALL 2`, tag+" OK done")
		s.answer("UID FETCH 2", metadata("2"))
		// A body that never comes.
		s.answer("UID FETCH 1:2 (UID BODY.PEEK[])", "* 1 FETCH (UID 1 BODY[] {1}", "a)", "* 2 FETCH (UID 2 BODY[] NIL)")
		for range 2 {
			tag = s.command("UID SEARCH RETURN (ALL) UID 2")
			s.send(`* ESEARCH (TAG "`+tag+`") UID ALL 2`, tag+" OK done")
			tag = s.command("UID FETCH 2")
			s.send(tag + " NO [SERVERBUG] cannot read it")
		}
		tag = s.command("UID SEARCH RETURN (ALL) UID 2")
		s.send(`* ESEARCH (TAG "`+tag+`") UID ALL 2`, tag+" OK done")
		// The session goes on.
		s.answer("UID FETCH 1 ", "* 1 FETCH (UID 1 BODY[] {1}", "a)")
	})
	session := openScripted(t, store)
	_, err := session.Examine(t.Context(), "INBOX")
	must(t, err)
	list, err := session.Messages(t.Context(), mailbox.NewUIDSet(1, 2, 4), 0)
	must(t, err)
	if len(list) != 2 {
		t.Errorf("messages: %v", list)
	}
	got := map[mailbox.UID]string{}
	err = session.Bodies(t.Context(), two, readAll(got))
	if !fault.Is(err, fault.Permanent) || !strings.Contains(err.Error(), "message 2") {
		t.Errorf("bodies: %v", err)
	}
	if got[1] != "a" {
		t.Errorf("got %v", got)
	}
	must(t, session.Bodies(t.Context(), one, readAll(got)))
}

// An answer that got lost must not look like an empty folder.
func TestLostSearchAnswer(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard)
		s.examine(3)
		for range 5 {
			s.answer("UID SEARCH")
			s.answer("NOOP")
		}
	})
	session := openScripted(t, store)
	_, err := session.Examine(t.Context(), "INBOX")
	must(t, err)
	if uids, err := session.UIDs(t.Context()); err == nil {
		t.Errorf("got %v", uids)
	}
}

func TestListWithoutInbox(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard)
		s.answer("LIST")
		s.answer("LIST", `* LIST () "/" Other`, `* STATUS Other (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)`)
	})
	session := openScripted(t, store)
	for range 2 {
		if got, err := session.List(t.Context()); !fault.Is(err, fault.Permanent) {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

// The session and the write side: every form of literal, byte by byte.
func TestLiteralForms(t *testing.T) {
	small, big := strings.Repeat("s", 4096), strings.Repeat("b", 4097)
	for _, c := range []struct {
		name, announce     string
		smallSync, bigSync bool
	}{
		{"LITERAL+", " LITERAL+", false, false},
		{"LITERAL-", " LITERAL-", false, true},
		{"none", "", true, true},
		{"rev2 without ENABLE", " IMAP4rev2", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := serve(t, func(s *script) {
				s.login(strings.ReplaceAll(standard, " LITERAL+", "") + c.announce)
				for i, body := range []string{small, big, ""} {
					sync := []bool{c.smallSync, c.bigSync, c.smallSync}[i]
					mark := map[bool]string{true: "}", false: "+}"}[sync]
					tag := s.command(`APPEND "Gr&APwA3w-e" (\Seen) " 2-Jan-2025 03:04:05 +0100" {` + map[int]string{0: "4096", 1: "4097", 2: "0"}[i] + mark)
					if sync {
						s.send("+ go on")
					}
					got := make([]byte, len(body)+2)
					if _, err := io.ReadFull(s.r, got); err != nil || string(got) != body+"\r\n" {
						s.t.Errorf("message %d arrives as %d bytes, %v", i, len(got), err)
					}
					s.send(tag + " OK [APPENDUID 7 " + map[int]string{0: "11", 1: "12", 2: "13"}[i] + "] stored")
				}
				s.answer("NOOP")
			})
			session := openScripted(t, store)
			var uids []mailbox.UID
			for _, body := range []string{small, big, ""} {
				in := copier.Incoming{Folder: "Grüße", Flags: `\Seen`, InternalDate: time.Date(2025, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)),
					Size: int64(len(body)), Body: strings.NewReader(body)}
				must(t, session.Append(t.Context(), in, func(r copier.AppendResult) {
					uids = append(uids, r.UID)
				}))
			}
			must(t, session.Flush(t.Context()))
			if len(uids) != 3 || uids[0] != 11 || uids[2] != 13 {
				t.Errorf("uids %v", uids)
			}
			must(t, session.run(t.Context(), "noop", func() error { return session.client.Noop().Wait() }))
		})
	}
}

// A NO in place of "+" refuses one message and costs neither the session nor
// the message after it.
func TestRefusedLiteral(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login("IMAP4rev1 SASL-IR AUTH=PLAIN NAMESPACE")
		tag := s.command("APPEND")
		s.send(tag + " NO [TRYCREATE] no such folder")
		tag = s.command("APPEND")
		s.send("* 5 EXISTS", "+ yes")
		got := make([]byte, 5)
		_, _ = io.ReadFull(s.r, got)
		if string(got) != "abc\r\n" {
			s.t.Errorf("got %q", got)
		}
		s.send(tag + " NO [OVERQUOTA] full")
		s.answer("NOOP")
	})
	session := openScripted(t, store)
	var errs []error
	for range 2 {
		in := copier.Incoming{Folder: "Box", Size: 3, Body: strings.NewReader("abc")}
		must(t, session.Append(t.Context(), in, func(r copier.AppendResult) { errs = append(errs, r.Err) }))
	}
	must(t, session.Flush(t.Context()))
	if len(errs) != 2 || !fault.Is(errs[0], fault.Permanent) || !fault.Is(errs[1], fault.Transient) {
		t.Errorf("errors %v", errs)
	}
	must(t, session.run(t.Context(), "noop", func() error { return session.client.Noop().Wait() }))
}

// After a body that breaks off, not one byte more reaches the server.
func TestShortBodyEndsTheConnection(t *testing.T) {
	received := make(chan string, 1)
	store := serve(t, func(s *script) {
		s.login(standard)
		s.command("APPEND INBOX {200000+}")
		received <- s.rest()
	})
	session := openScripted(t, store)
	in := copier.Incoming{Folder: "INBOX", Size: 200_000, Body: strings.NewReader(strings.Repeat("x", 150_000))}
	if err := session.Append(t.Context(), in, func(copier.AppendResult) {}); !fault.Is(err, fault.Transient) {
		t.Errorf("append: %v", err)
	}
	_ = session.Close()
	if got := <-received; strings.Trim(got, "x") != "" || len(got) >= 200_000 {
		t.Errorf("the server got %d bytes, with %q among them", len(got), strings.Trim(got, "x"))
	}
}

// BAD after log-in means that the server may read a message as commands.
func TestBadDropsTheConnection(t *testing.T) {
	for _, bad := range []string{"TAG BAD what", "* BAD what"} {
		received := make(chan string, 1)
		store := serve(t, func(s *script) {
			s.login(standard)
			tag := s.command("APPEND INBOX {1000000+}")
			s.send(strings.Replace(bad, "TAG", tag, 1))
			received <- s.rest()
		})
		session := openScripted(t, store)
		// Nothing but the BAD ends this body early.
		in := copier.Incoming{Folder: "INBOX", Size: 1_000_000, Body: &slow{strings.NewReader(strings.Repeat("z CREATE Pwned\r\n", 62_500))}}
		err := session.Append(t.Context(), in, func(copier.AppendResult) {})
		if err == nil {
			err = session.Flush(t.Context())
		}
		if err == nil {
			t.Error("no error")
		}
		if _, err := session.List(t.Context()); err == nil {
			t.Error("the session goes on")
		}
		if got := <-received; len(got) >= 1_000_000 {
			t.Errorf("%s: the server got the whole message", bad)
		}
	}
}

// slow gives the other side time to speak.
type slow struct{ r io.Reader }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return s.r.Read(p)
}

// What the server confirmed before its end is known, the rest is not.
func TestAnswersBeforeTheEnd(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard)
		for i := range 3 {
			tag := s.command("APPEND INBOX {3+}")
			_, _ = io.ReadFull(s.r, make([]byte, 5))
			switch i {
			case 0:
				s.send(tag + " OK [APPENDUID 7 21] stored")
			case 1:
				s.send(tag + " NO [CANNOT] refused")
			}
		}
		// Not closed before the client is: a reset would overtake the answers.
		_ = s.Conn.(*net.TCPConn).CloseWrite()
		s.rest()
	})
	session := openScripted(t, store)
	var results []copier.AppendResult
	var err error
	for err == nil {
		// The end is seen with the third message or a later one.
		in := copier.Incoming{Folder: "INBOX", Size: 3, Body: strings.NewReader("abc")}
		err = session.Append(t.Context(), in, func(r copier.AppendResult) { results = append(results, r) })
	}
	if !fault.Is(err, fault.Transient) {
		t.Errorf("append: %v", err)
	}
	if len(results) != 2 || results[0].UID != 21 || !fault.Is(results[1].Err, fault.Permanent) {
		t.Errorf("results: %+v", results)
	}
}

// The body itself is the second line of defence against a cut literal.
func TestBodyCountsItsBytes(t *testing.T) {
	for _, cut := range []int{0, 1, 9} {
		b := &body{r: strings.NewReader(strings.Repeat("x", cut)), left: 10, size: 10}
		if got, err := io.ReadAll(b); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != cut {
			t.Errorf("%d of 10 bytes: %v", len(got), err)
		}
	}
}

// A server that was asked for its capabilities before the log-in tells them by a
// response of their own with it, as Dovecot does after STARTTLS. The library would
// ask again, at any moment: here anything but what is expected fails the test.
func TestCapabilitiesBesideTheLogin(t *testing.T) {
	store := serve(t, func(s *script) {
		s.send("* OK hello")
		s.answer("CAPABILITY", "* CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN")
		tag := s.command("AUTHENTICATE PLAIN MTAwMAB0cnVzdGVkAHB3")
		s.send("* CAPABILITY "+standard+" MULTIAPPEND", tag+" OK in")
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) NIL NIL`)
		s.examine(0)
		if rest := s.rest(); strings.Contains(rest, "CAPABILITY") {
			s.t.Errorf("the client still sends %q", rest)
		}
	})
	session := openScripted(t, store)
	if !session.wire.has("MULTIAPPEND") {
		t.Error("the capabilities are those of before the log-in")
	}
	if _, err := session.Examine(t.Context(), mailbox.Inbox); err != nil {
		t.Error(err)
	}
	_ = session.Close()
}
