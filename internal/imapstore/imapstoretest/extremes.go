package imapstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/test/corpus"
)

// testOddMessages copies every oddity into a mailbox: what the server keeps
// must come back as it is, what it refuses must be a Permanent answer.
func testOddMessages(t *testing.T, b Backend) {
	for _, o := range corpus.Oddities() {
		t.Run(o.Name, func(t *testing.T) {
			s, number := fresh(t, b)
			refused := 0
			for _, d := range o.Deposits {
				in := copier.Incoming{Folder: inbox, Flags: mailbox.NewFlags(d.Flags...), InternalDate: d.Date, Size: d.Size, Body: d.Body()}
				must(t, s.Append(t.Context(), in, func(r copier.AppendResult) {
					if r.Err == nil {
						return
					}
					refused++
					if !fault.Is(r.Err, fault.Permanent) {
						t.Errorf("refused with %v", r.Err)
					}
				}))
			}
			must(t, s.Flush(t.Context()))
			c, err := s.Examine(t.Context(), inbox)
			must(t, err)
			got, err := bodiesOf(t.Context(), s, all(c))
			must(t, err)
			list, err := s.Messages(t.Context(), all(c), 0)
			must(t, err)
			saw := corpus.Kept
			if refused == len(o.Deposits) {
				saw = corpus.Refused
			} else {
				for i, d := range o.Deposits {
					want, err := io.ReadAll(d.Body())
					must(t, err)
					if i >= len(list) || !bytes.Equal(got[list[i].UID], want) ||
						!list[i].InternalDate.Equal(d.Date) || !list[i].Flags.Equal(mailbox.NewFlags(d.Flags...)) {
						saw = corpus.Altered
					}
				}
			}
			if want := b.Message(o); saw != want {
				t.Errorf("%v, expected %v (%d refused, stored %v)", saw, want, refused, list)
			}
			if _, err := s.Headers(t.Context(), all(c)); err != nil {
				t.Errorf("headers: %v", err)
			}
			must(t, s.Unselect(t.Context()))
			folders, err := s.List(t.Context())
			must(t, err)
			if _, pwned := folderNamed(folders, corpus.Pwned); pwned {
				t.Error("a message was read as commands")
			}
			sameAsIndependent(t, b, number)
		})
	}
}

// testWriteDeadline: nothing reaches the server at or after the deadline, not
// even the rest of a message that is on its way.
func testWriteDeadline(t *testing.T, b Backend) {
	number := b.Mailbox(t)
	body := message("late", strings.Repeat("x\r\n", 100_000))
	incoming := func(r io.Reader) copier.Incoming {
		return copier.Incoming{Folder: inbox, InternalDate: day, Size: int64(len(body)), Body: r}
	}
	never := func(r copier.AppendResult) { t.Errorf("answered: %+v", r) }

	t.Run("passed", func(t *testing.T) {
		s := open(t, b, number)
		s.SetWriteDeadline(time.Now())
		if err := s.Append(t.Context(), incoming(bytes.NewReader(body)), never); !fault.Is(err, fault.Conflict) {
			t.Errorf("append: %v", err)
		}
	})
	t.Run("passes in mid-message", func(t *testing.T) {
		s := open(t, b, number)
		s.SetWriteDeadline(time.Now().Add(time.Hour))
		half := &hook{r: bytes.NewReader(body), at: len(body) / 2, do: func() { s.SetWriteDeadline(time.Now()) }}
		if err := s.Append(t.Context(), incoming(half), never); !fault.Is(err, fault.Conflict) {
			t.Errorf("append: %v", err)
		}
	})
	t.Run("passes before the last byte", func(t *testing.T) {
		s := open(t, b, number)
		s.SetWriteDeadline(time.Now().Add(time.Hour))
		last := &hook{r: bytes.NewReader(body), at: len(body) - 1, do: func() { s.SetWriteDeadline(time.Now()) }}
		err := s.Append(t.Context(), incoming(last), never)
		if err == nil { // the last bytes waited for more
			err = s.Flush(t.Context())
		}
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("append: %v", err)
		}
	})
	t.Run("renewed", func(t *testing.T) {
		s := open(t, b, number)
		s.SetWriteDeadline(time.Now().Add(time.Hour))
		must(t, s.CreateFolder(t.Context(), "InTime", nil))
		s.SetWriteDeadline(time.Time{})
		must(t, s.CreateFolder(t.Context(), "InTime", nil))
		s.SetWriteDeadline(time.Now().Add(-time.Second))
		if err := s.CreateFolder(t.Context(), "TooLate", nil); !fault.Is(err, fault.Conflict) {
			t.Errorf("create: %v", err)
		}
	})
	s := open(t, b, number)
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	if c.UIDNext != 1 {
		t.Errorf("something was stored after the deadline: %+v", c)
	}
	must(t, s.Unselect(t.Context()))
	folders, err := s.List(t.Context())
	must(t, err)
	if _, late := folderNamed(folders, "TooLate"); late {
		t.Error("a folder was created after the deadline")
	}
}

// hook does something once, when a body has been read up to a point.
type hook struct {
	r  io.Reader
	at int
	do func()
}

func (h *hook) Read(p []byte) (int, error) {
	if h.do != nil && h.at == 0 {
		h.do()
		h.do = nil
	}
	if h.do != nil && len(p) > h.at {
		p = p[:h.at]
	}
	n, err := h.r.Read(p)
	h.at -= n
	return n, err
}

func testCancelled(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	putAll(t, s, inbox, "", message("1", strings.Repeat("x\r\n", 100_000)), message("2", strings.Repeat("x\r\n", 100_000)))
	_, err := s.Examine(t.Context(), inbox)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	err = s.Bodies(ctx, mailbox.NewUIDSet(1, 2), func(_ mailbox.UID, _ int64, body io.Reader) error {
		cancel()
		// Until the connection is closed, data may still come.
		_, err := io.Copy(io.Discard, body)
		return err
	})
	if err == nil {
		err = func() error { _, err := s.UIDs(ctx); return err }()
	}
	if !errors.Is(err, context.Canceled) && !fault.Is(err, fault.Transient) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := b.Store.Open(ctx, number); err == nil {
		t.Error("a session opened under a cancelled context")
	}
}

// testBig: a message of 100 MB goes in and out in little memory.
func testBig(t *testing.T, b Backend) {
	if b.Small {
		t.Skip("left out for this server")
	}
	s, _ := fresh(t, b)
	d := corpus.Huge(7, 100<<20)
	in := copier.Incoming{Folder: inbox, InternalDate: day, Size: d.Size, Body: d.Body()}
	// Collected often, the heap shows what is held and not what is left behind.
	defer debug.SetGCPercent(debug.SetGCPercent(10))
	peak := watchHeap()
	must(t, s.Append(t.Context(), in, func(r copier.AppendResult) { must(t, r.Err) }))
	must(t, s.Flush(t.Context()))
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	hash := sha256.New()
	must(t, s.Bodies(t.Context(), all(c), func(_ mailbox.UID, size int64, body io.Reader) error {
		if size != d.Size {
			return fmt.Errorf("%d bytes of %d", size, d.Size)
		}
		_, err := io.Copy(hash, body)
		return err
	}))
	grown := peak()
	want := sha256.New()
	if _, err := io.Copy(want, d.Body()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(hash.Sum(nil), want.Sum(nil)) {
		t.Error("other bytes came back")
	}
	t.Logf("heap grew by at most %.1f MB", float64(grown)/1e6)
	// On a busy machine the collector falls behind by some tens of megabytes; a
	// message held in memory is more than this.
	if grown > 64<<20 {
		t.Errorf("heap grew by %d bytes", grown)
	}
}

// watchHeap samples the heap in use until the function returned is called,
// which gives by how much it grew at most.
func watchHeap() func() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := m.HeapInuse, m.HeapInuse
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return most - before
	}
}

// testBigFolder: 50,000 messages, then every other one gone. The server itself
// multiplies them, since appending so many takes minutes.
func testBigFolder(t *testing.T, b Backend) {
	if b.Small || b.Independent == nil {
		t.Skip("left out for this server")
	}
	s, number := fresh(t, b)
	const count = 50_000
	have := 100
	var bodies [][]byte
	for range have {
		bodies = append(bodies, message("many", "x"))
	}
	putAll(t, s, inbox, "", bodies...)
	c0, err := b.Independent.Open(t.Context(), string(number))
	must(t, err)
	defer c0.Close()
	_, err = c0.Command("SELECT INBOX")
	must(t, err)
	for have < count {
		more := min(have, count-have)
		_, err = c0.Command(fmt.Sprintf("COPY 1:%d INBOX", more))
		must(t, err)
		have += more
	}
	c, _, err := s.Select(t.Context(), inbox)
	must(t, err)
	if c.Messages != count {
		t.Fatalf("%d messages", c.Messages)
	}
	start := time.Now()
	list, err := s.Messages(t.Context(), all(c), 0)
	must(t, err)
	t.Logf("metadata of %d messages in %v", len(list), time.Since(start).Round(time.Millisecond))
	equalUIDs(t, "metadata", uidsOf(list), all(c))

	var odd mailbox.UIDSet
	for uid := mailbox.UID(1); uid <= count; uid += 2 {
		odd.Add(uid)
	}
	// The set takes 140 kB as text, far more than a server reads in one line.
	start = time.Now()
	must(t, s.SetFlags(t.Context(), odd, `\Seen`))
	must(t, s.Expunge(t.Context(), odd))
	t.Logf("flags and expunge of %d messages in %v", odd.Len(), time.Since(start).Round(time.Millisecond))
	start = time.Now()
	uids, err := s.UIDs(t.Context())
	must(t, err)
	t.Logf("%d uids in %v", uids.Len(), time.Since(start).Round(time.Millisecond))
	equalUIDs(t, "left", uids, all(c).Minus(odd))
	start = time.Now()
	list, err = s.Messages(t.Context(), all(c), 0)
	must(t, err)
	t.Logf("metadata of %d scattered messages in %v", len(list), time.Since(start).Round(time.Millisecond))
	equalUIDs(t, "metadata left", uidsOf(list), uids)
}
