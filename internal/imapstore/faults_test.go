//go:build integration

package imapstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// through puts a proxy in front of a server and returns a store behind it.
func through(t *testing.T, s server, change func(*imapstore.Options)) (*faults.Proxy, *imapstore.Store) {
	t.Helper()
	p, err := faults.NewProxy(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	return p, newStore(t, s, func(o *imapstore.Options) {
		o.Address = p.Addr()
		if change != nil {
			change(o)
		}
	})
}

// promptly is how soon something ends that waits for nothing, on a slow machine too.
const promptly = 20 * time.Second

func incoming(body []byte) copier.Incoming {
	return copier.Incoming{Folder: "INBOX", InternalDate: time.Unix(1e9, 0), Size: int64(len(body)), Body: bytes.NewReader(body)}
}

// numbered makes the i-th message of a test, hostile to whoever loses count.
func numbered(i int) []byte {
	return []byte(fmt.Sprintf("Message-ID: <%d@x>\r\n\r\n", i) + strings.Repeat("z CREATE Pwned\r\n", 50+i*400))
}

// TestAppendCut breaks the target's connection at every step of an append:
// what is on the server afterwards are whole messages and nothing else, no
// answer is made up, and the error says that the session is over.
func TestAppendCut(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string][]string{"together": nil, "LITERAL+": {"MULTIAPPEND"}, "synchronising": {"LITERAL+"}} {
		d := servers.DovecotT(t, servers.DovecotOptions{HideCapabilities: hide})
		together, nth := name == "together", 4
		if together {
			nth = 1 // command, of eight messages
		}
		independent := reader.Store{Addr: d.Addr(), Trusted: d.TrustedName(), Password: d.TrustedPassword()}
		box := 0
		for what, f := range map[string]faults.Fault{
			"reset in the message":         faults.MidAppend(4, 700, faults.RST),
			"closed in the message":        faults.MidAppend(4, 700, faults.FIN),
			"stalled in the message":       faults.MidAppend(4, 700, faults.Stall),
			"reset in the last byte":       faults.MidAppend(4, int64(len(numbered(3)))-1, faults.RST),
			"closed after the literal":     faults.AfterLiteral(4, faults.FIN),
			"reset after the literal":      faults.AfterLiteral(4, faults.RST),
			"stalled after the literal":    faults.AfterLiteral(4, faults.Stall),
			"stored and not confirmed":     faults.AfterCommand("APPEND", nth, faults.LoseAnswer),
			"closed after the command":     faults.AfterCommand("APPEND", nth, faults.FIN),
			"server silent after greeting": faults.AfterPattern(faults.ToClient, "APPENDUID", 1, faults.Stall),
		} {
			t.Run(name+", "+what, func(t *testing.T) {
				box++
				number := mailbox.Number(fmt.Sprint(6000 + box))
				p, store := through(t, d, func(o *imapstore.Options) { o.Timeouts.Read, o.Timeouts.Write = 3*time.Second, 3*time.Second })
				s, err := store.Open(t.Context(), number)
				if err != nil {
					t.Fatal(err)
				}
				fired := p.Inject(f)
				sent := map[[32]byte]bool{}
				confirmed := 0
				for i := range 8 {
					body := numbered(i)
					sent[sha256.Sum256(body)] = true
					if err = s.Append(t.Context(), incoming(body), func(r copier.AppendResult) {
						if r.Err != nil || r.UID == 0 {
							t.Errorf("answer %+v", r)
						}
						confirmed++
					}); err != nil {
						break
					}
				}
				if err == nil {
					err = s.Flush(t.Context())
				}
				select {
				case <-fired:
				default:
					t.Fatal("the fault did not fire")
				}
				if !fault.Is(err, fault.Transient) {
					t.Errorf("error: %v", err)
				}
				if _, err := s.UIDs(t.Context()); err == nil {
					t.Error("the session goes on")
				}
				start := time.Now()
				if err := s.Close(); err != nil || time.Since(start) > promptly {
					t.Errorf("close: %v after %v", err, time.Since(start))
				}
				p.CutAll(faults.RST)
				stored := readSettled(t, independent, string(number))
				count := 0
				for m, n := range stored["INBOX"].Messages {
					count += n
					if !sent[m.Digest] || n != 1 {
						t.Errorf("on the server: %v, %d times", m, n)
					}
				}
				if count < confirmed {
					t.Errorf("%d confirmed and %d stored", confirmed, count)
				}
				if together && count != 0 && count != len(sent) {
					t.Errorf("%d stored of %d that belong together", count, len(sent))
				}
				if len(stored) != 1 {
					t.Errorf("folders: %v", stored)
				}
				t.Logf("%d confirmed, %d stored: %v", confirmed, count, err)
			})
		}
	}
}

// readSettled reads a mailbox until two looks agree: a commit can land after
// the connection died.
func readSettled(t *testing.T, s reader.Store, number string) reader.Copy {
	t.Helper()
	var last reader.Copy
	for {
		now, err := s.Read(t.Context(), number)
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && len(reader.Diff(last, now)) == 0 {
			return now
		}
		last = now
		time.Sleep(200 * time.Millisecond) // the fence that the copy engine waits out
	}
}

// TestCopyCut streams from one server to the other while the source's
// connection breaks: the message under way must not arrive.
func TestCopyCut(t *testing.T) {
	t.Parallel()
	source, target := servers.DovecotT(t, servers.DovecotOptions{}), servers.DovecotT(t, servers.DovecotOptions{})
	from := newStore(t, source, nil)
	fill, err := from.Open(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	sent := map[[32]byte]bool{}
	for i := range 6 {
		body := numbered(i)
		sent[sha256.Sum256(body)] = true
		if err := fill.Append(t.Context(), incoming(body), func(copier.AppendResult) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := fill.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = fill.Close()
	for i, how := range []faults.How{faults.RST, faults.FIN, faults.Stall} {
		for j, at := range []int64{20_000, 60_000, 60_001} {
			t.Run(fmt.Sprintf("%d after %d", how, at), func(t *testing.T) {
				number := mailbox.Number(fmt.Sprint(100 + 10*i + j))
				p, cut := through(t, source, func(o *imapstore.Options) { o.Timeouts.Read = 3 * time.Second })
				to, err := newStore(t, target, nil).Open(t.Context(), number)
				if err != nil {
					t.Fatal(err)
				}
				src, err := cut.Open(t.Context(), "1")
				if err != nil {
					t.Fatal(err)
				}
				if _, err := src.Examine(t.Context(), "INBOX"); err != nil {
					t.Fatal(err)
				}
				p.Inject(faults.AfterBytes(faults.ToClient, at, how))
				err = src.Bodies(t.Context(), mailbox.UIDSet{{First: 1, Last: 6}}, func(_ mailbox.UID, size int64, body io.Reader) error {
					return to.Append(t.Context(), copier.Incoming{Folder: "INBOX", InternalDate: time.Unix(1e9, 0), Size: size, Body: body},
						func(copier.AppendResult) {})
				})
				if !fault.Is(err, fault.Transient) || errors.Is(err, io.EOF) {
					t.Errorf("bodies: %v", err)
				}
				_, _ = src.Close(), to.Close()
				stored := readSettled(t, reader.Store{Addr: target.Addr(), Trusted: "trusted", Password: "secret"}, string(number))
				for m, n := range stored["INBOX"].Messages {
					if !sent[m.Digest] || n != 1 {
						t.Errorf("on the target: %v, %d times", m, n)
					}
				}
				if len(stored) != 1 {
					t.Errorf("folders: %v", stored)
				}
			})
		}
	}
}

// TestOnlyReads: a session that is used as a Reader sends nothing that writes.
func TestOnlyReads(t *testing.T) {
	for _, s := range []server{servers.DovecotT(t, servers.DovecotOptions{}), servers.CyrusT(t, servers.CyrusOptions{})} {
		setup, err := newStore(t, s, nil).Open(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := setup.Append(t.Context(), incoming(numbered(i)), func(copier.AppendResult) {}); err != nil {
				t.Fatal(err)
			}
		}
		if err := setup.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = setup.Close()
		p, store := through(t, s, nil)
		var r copier.Reader
		if r, err = store.Open(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		all := mailbox.UIDSet{{First: 1, Last: 3}}
		_, err1 := r.List(t.Context())
		_, err2 := r.Examine(t.Context(), "INBOX")
		_, err3 := r.UIDs(t.Context())
		_, err4 := r.Messages(t.Context(), all, 1)
		_, err5 := r.Headers(t.Context(), all)
		err6 := r.Bodies(t.Context(), all, func(mailbox.UID, int64, io.Reader) error { return nil })
		if err := errors.Join(err1, err2, err3, err4, err5, err6, r.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Check(t.Context(), "1"); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Overview(t.Context(), []mailbox.Number{"1"}); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			t.Fatal(err)
		}
		if bad := faults.OnlyReads(p.Commands()); len(bad) > 0 {
			t.Errorf("commands that do not only read: %v", bad)
		}
		t.Logf("%q", p.Commands())
	}
}

// TestLatency counts round trips by the time that they take behind a slow line.
func TestLatency(t *testing.T) {
	const trip = 200 * time.Millisecond
	d := servers.DovecotT(t, servers.DovecotOptions{})
	warm := newStore(t, d, nil)
	if s, err := warm.Open(t.Context(), "1"); err != nil {
		t.Fatal(err)
	} else {
		_, _ = s.List(t.Context())
		_ = s.Close()
	}
	p, store := through(t, d, nil)
	if s, err := store.Open(t.Context(), "1"); err != nil { // learns the namespace
		t.Fatal(err)
	} else {
		_ = s.Close()
	}
	p.SetDelay(trip / 2)
	measure := func(what string, most float64, f func() error) {
		t.Helper()
		start := time.Now()
		if err := f(); err != nil {
			t.Fatal(err)
		}
		trips := float64(time.Since(start)) / float64(trip)
		t.Logf("%s: %.1f round trips", what, trips)
		// A busy machine adds to every trip; work that is not pipelined takes ten
		// times as many.
		if trips > 5*most {
			t.Errorf("%s takes more than %.1f", what, 5*most)
		}
	}
	var s copier.Session
	// Half a trip for the greeting, which needs no question, and one for the log-in.
	measure("open", 3, func() (err error) { s, err = store.Open(t.Context(), "1"); return err })
	measure("list", 2, func() error { _, err := s.List(t.Context()); return err })
	measure("append 50 messages", 4, func() error {
		for i := range 50 {
			body := append(numbered(1), byte(i))
			if err := s.Append(t.Context(), incoming(body), func(r copier.AppendResult) {
				if r.Err != nil {
					t.Error(r.Err)
				}
			}); err != nil {
				return err
			}
		}
		return s.Flush(t.Context())
	})
	measure("select", 2, func() error { _, _, err := s.Select(t.Context(), "INBOX"); return err })
	all := mailbox.UIDSet{{First: 1, Last: 50}}
	measure("metadata", 2, func() error { _, err := s.Messages(t.Context(), all, 0); return err })
	measure("bodies", 3, func() error {
		return s.Bodies(t.Context(), all, func(mailbox.UID, int64, io.Reader) error { return nil })
	})
	measure("close", 1, s.Close)
}

// TestServerKilled: a server that dies lets go of every session at once.
func TestServerKilled(t *testing.T) {
	d := servers.DovecotT(t, servers.DovecotOptions{})
	store := newStore(t, d, nil)
	s, err := store.Open(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := s.Append(t.Context(), incoming(append(numbered(i), bytes.Repeat([]byte("x"), 5<<20)...)), func(copier.AppendResult) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Examine(t.Context(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	var killed time.Time
	err = s.Bodies(t.Context(), mailbox.UIDSet{{First: 1, Last: 5}}, func(uid mailbox.UID, _ int64, body io.Reader) error {
		if uid == 2 {
			if err := d.Kill9(); err != nil {
				return err
			}
			killed = time.Now()
		}
		_, err := io.Copy(io.Discard, body)
		return err
	})
	if err == nil || killed.IsZero() || time.Since(killed) > promptly {
		t.Errorf("bodies: %v, %v after the kill", err, time.Since(killed))
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := store.Open(t.Context(), "1"); !fault.Is(err, fault.Transient) {
		t.Errorf("open on a dead server: %v", err)
	}
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}
