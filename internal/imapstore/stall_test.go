package imapstore

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// patient shortens a store's timeouts for a test.
func patient(s *Store, d time.Duration) *Store {
	s.opts.Timeouts.Read, s.opts.Timeouts.Write = d, d
	return s
}

// A server that owes an answer and is silent is given up, whatever it owes.
func TestStalledServer(t *testing.T) {
	const wait = 500 * time.Millisecond
	for name, c := range map[string]struct {
		play func(*script)
		do   func(*testing.T, *Session) error
	}{
		"command": {
			func(*script) {},
			func(t *testing.T, s *Session) error { _, err := s.List(t.Context()); return err },
		},
		"in a line": {
			func(s *script) { s.command("LIST"); _, _ = io.WriteString(s, "* LIST (") },
			func(t *testing.T, s *Session) error { _, err := s.List(t.Context()); return err },
		},
		"in a literal": {
			func(s *script) {
				s.examine(1)
				s.command("UID FETCH")
				_, _ = io.WriteString(s, "* 1 FETCH (UID 1 BODY[] {1000}\r\nhalf")
			},
			func(t *testing.T, s *Session) error {
				if _, err := s.Examine(t.Context(), "INBOX"); err != nil {
					return err
				}
				return s.Bodies(t.Context(), one, func(_ mailbox.UID, _ int64, body io.Reader) error {
					_, err := io.Copy(io.Discard, body)
					return err
				})
			},
		},
		"before the end of an append": {
			func(s *script) { s.command("APPEND"); _, _ = io.ReadFull(s.r, make([]byte, 5)) },
			func(t *testing.T, s *Session) error {
				in := copier.Incoming{Folder: "INBOX", Size: 3, Body: strings.NewReader("abc")}
				if err := s.Append(t.Context(), in, func(copier.AppendResult) {}); err != nil {
					return err
				}
				return s.Flush(t.Context())
			},
		},
		"takes no data": {
			func(*script) {},
			func(t *testing.T, s *Session) error {
				in := copier.Incoming{Folder: "INBOX", Size: 900_000, Body: io.LimitReader(&trickle{}, 900_000)}
				err := s.Append(t.Context(), in, func(copier.AppendResult) {})
				if !errors.Is(err, endpoint.ErrWriteTimeout) {
					t.Errorf("cause: %v", err)
				}
				return err
			},
		},
		"owes the word on a big message": {
			func(*script) {},
			func(t *testing.T, s *Session) error {
				in := copier.Incoming{Folder: "INBOX", Size: 100 << 20, Body: io.LimitReader(&trickle{}, 100<<20)}
				return s.Append(t.Context(), in, func(copier.AppendResult) {})
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			start := serve
			if name == "takes no data" {
				start = piped
			}
			store := patient(start(t, func(s *script) {
				s.login(standard)
				c.play(s)
				<-done
			}), wait)
			session := openScripted(t, store)
			began := time.Now()
			err := c.do(t, session)
			took := time.Since(began)
			if err == nil || took > 40*wait {
				t.Errorf("%v after %v", err, took)
			}
			if name != "in a literal" && !errors.Is(err, endpoint.ErrReadTimeout) && !errors.Is(err, endpoint.ErrWriteTimeout) {
				t.Errorf("cause: %v", err)
			}
			if errors.Is(err, endpoint.ErrReadTimeout) && !fault.Silent(err) {
				t.Error("nothing says that the server did not answer")
			}
			if !fault.Is(err, fault.Transient) {
				t.Errorf("kind %v", fault.KindOf(err))
			}
			began = time.Now()
			must(t, session.Close())
			if took := time.Since(began); took > 40*wait {
				t.Errorf("close took %v", took)
			}
			close(done)
		})
	}
}

// Time passes only while an answer is owed: not between operations, and not
// while data keeps coming.
func TestPatience(t *testing.T) {
	t.Parallel()
	const wait = 2 * time.Second
	idled := make(chan struct{})
	store := patient(serve(t, func(s *script) {
		s.login(standard)
		<-idled
		s.examine(1)
		tag := s.command("UID FETCH")
		_, _ = io.WriteString(s, "* 1 FETCH (UID 1 BODY[] {8}\r\n")
		for range 8 {
			_, _ = io.WriteString(s, "x")
			time.Sleep(wait / 5) // the pace of the server is what is tested
		}
		s.send(")", tag+" OK done")
	}), wait)
	session := openScripted(t, store)
	time.Sleep(wait * 3 / 2) // idle for longer than an answer may take
	close(idled)
	_, err := session.Examine(t.Context(), "INBOX")
	must(t, err)
	got := map[mailbox.UID]string{}
	must(t, session.Bodies(t.Context(), one, readAll(got)))
	if len(got[1]) != 8 {
		t.Errorf("got %v", got)
	}
}

// Close returns at once in mid-answer, and whatever the caller left unread.
func TestCloseInMidAnswer(t *testing.T) {
	done := make(chan struct{})
	store := serve(t, func(s *script) {
		s.login(standard)
		s.examine(2)
		s.command("UID FETCH")
		_, _ = io.WriteString(s, "* 1 FETCH (UID 1 BODY[] {100000000}\r\n"+strings.Repeat("x", 100_000))
		<-done
	})
	defer close(done)
	session := openScripted(t, store)
	_, err := session.Examine(t.Context(), "INBOX")
	must(t, err)
	start := time.Now()
	mine := errors.New("mine")
	if err := session.Bodies(t.Context(), two, func(mailbox.UID, int64, io.Reader) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("bodies: %v", err)
	}
	must(t, session.Close())
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}
