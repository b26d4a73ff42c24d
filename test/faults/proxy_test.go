package faults_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailmirror/test/faults"
)

// lineServer is a server that knows lines and literals, answers "tag OK" to
// each command and keeps what it got.
type lineServer struct {
	l        net.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	commands []string // finished ones
	ended    []error  // how each connection ended
	refuse   bool     // refuse synchronising literals
}

func newLineServer(t *testing.T) *lineServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &lineServer{l: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				defer c.Close()
				err := s.serve(c)
				s.mu.Lock()
				s.ended = append(s.ended, err)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

func (s *lineServer) serve(c net.Conn) error {
	r := bufio.NewReader(c)
	fmt.Fprint(c, "* OK ready\r\n")
	command := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		command += line
		tag, _, _ := strings.Cut(command, " ")
		open := strings.LastIndexByte(line, '{')
		if open >= 0 && strings.HasSuffix(line, "}") {
			digits := line[open+1 : len(line)-1]
			n, err := strconv.Atoi(strings.TrimSuffix(digits, "+"))
			if err != nil {
				return err
			}
			if !strings.HasSuffix(digits, "+") {
				if s.refuse {
					fmt.Fprintf(c, "%s NO refused\r\n", tag)
					command = ""
					continue
				}
				fmt.Fprint(c, "+ go on\r\n")
			}
			if _, err := io.CopyN(io.Discard, r, int64(n)); err != nil {
				return io.ErrUnexpectedEOF
			}
			continue
		}
		if strings.HasSuffix(command, "AUTHENTICATE PLAIN") {
			fmt.Fprint(c, "+ \r\n")
			if _, err := r.ReadString('\n'); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.commands = append(s.commands, command)
		s.mu.Unlock()
		fmt.Fprintf(c, "%s OK done\r\n", tag)
		command = ""
	}
}

func (s *lineServer) got(command string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.commands, command)
}

// setup returns a proxy before a line server and a way to connect through it.
func setup(t *testing.T) (*lineServer, *faults.Proxy, func() net.Conn) {
	t.Helper()
	s := newLineServer(t)
	p, err := faults.NewProxy(s.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, p, func() net.Conn {
		c, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

// readUntil reads lines up to one that begins with prefix.
func readUntil(c net.Conn, prefix string) (string, error) {
	var all strings.Builder
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if err != nil || strings.HasPrefix(line, prefix) {
			return all.String(), err
		}
	}
}

func await(t *testing.T, fired <-chan struct{}) {
	t.Helper()
	select {
	case <-fired:
	case <-time.After(10 * time.Second):
		t.Fatal("the fault did not fire")
	}
}

func TestForwardsAndRecords(t *testing.T) {
	s, p, dial := setup(t)
	c := dial()
	message := strings.Repeat("z CREATE Pwned\r\n", 5000)
	fmt.Fprintf(c, "a LOGIN user secret\r\nb APPEND INBOX (\\Seen) {%d+}\r\n%s\r\nc APPEND {5}\r\n", len(message), message)
	if _, err := readUntil(c, "+"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "In{1}")
	fmt.Fprint(c, " {3+}\r\nxyz\r\nd AUTHENTICATE PLAIN\r\n")
	if _, err := readUntil(c, "+"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "AHNlY3JldA==\r\ne IDLE\r\nDONE\r\nf NOOP\r\n")
	if _, err := readUntil(c, "f OK"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"LOGIN", fmt.Sprintf("APPEND INBOX (\\Seen) {%d+}", len(message)), "APPEND {5} {3+}",
		"AUTHENTICATE PLAIN", "IDLE", "DONE", "NOOP",
	}
	if got := p.Commands(); !slices.Equal(got, want) {
		t.Errorf("recorded %q\n   want %q", got, want)
	}
	if !s.got("f NOOP") || p.Accepted() != 1 || p.Passed(faults.ToServer) < int64(len(message)) {
		t.Errorf("server %q, %d connections, %d bytes", s.commands, p.Accepted(), p.Passed(faults.ToServer))
	}
}

func TestRefusedLiteralIsNotAwaited(t *testing.T) {
	s, p, dial := setup(t)
	s.refuse = true
	c := dial()
	fmt.Fprint(c, "a APPEND INBOX {9}\r\n")
	if _, err := readUntil(c, "a NO"); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "b NOOP\r\n")
	if _, err := readUntil(c, "b OK"); err != nil {
		t.Fatal(err)
	}
	if got := p.Commands(); !slices.Equal(got, []string{"NOOP"}) {
		t.Errorf("recorded %q", got)
	}
}

func TestCutPoints(t *testing.T) {
	body := strings.Repeat("x", 100_000)
	two := fmt.Sprintf("a APPEND INBOX {3+}\r\nabc\r\nb APPEND INBOX {%d+}\r\n%s\r\nc NOOP\r\n", len(body), body)
	upTo := func(part string) int64 { return int64(strings.Index(two, part) + len(part)) }
	for name, c := range map[string]struct {
		fault  faults.Fault
		passed int64 // what the server may have got
	}{
		"bytes":            {faults.AfterBytes(faults.ToServer, 50_000, faults.RST), 50_000},
		"pattern":          {faults.AfterPattern(faults.ToServer, "APPEND INBOX", 2, faults.RST), upTo("b APPEND INBOX")},
		"pattern in a run": {faults.AfterPattern(faults.ToServer, strings.Repeat("x", 1000), 3, faults.RST), upTo("+}\r\nxxx") - 3 + 3000},
		"inside a message": {faults.MidAppend(2, 20_000, faults.RST), upTo("+}\r\nxxx") - 3 + 20_000},
		"last byte of one": {faults.AfterLiteral(2, faults.RST), upTo(body)},
		"first of two":     {faults.AfterLiteral(1, faults.RST), upTo("abc")},
		"whole command":    {faults.AfterCommand("append", 2, faults.RST), upTo(body + "\r\n")},
		"other command":    {faults.AfterCommand("NOOP", 1, faults.RST), upTo("c NOOP\r\n")},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, dial := setup(t)
			conn := dial()
			if _, err := readUntil(conn, "* OK"); err != nil {
				t.Fatal(err)
			}
			fired := p.Inject(c.fault)
			_, _ = io.WriteString(conn, two) // may be cut under way
			await(t, fired)
			got, err := io.ReadAll(conn)
			if err == nil {
				t.Error("no reset")
			}
			if bytes.Contains(got, []byte("c OK")) {
				t.Errorf("an answer passed: %q", got)
			}
			if p.Passed(faults.ToServer) != c.passed {
				t.Errorf("%d bytes passed, want %d", p.Passed(faults.ToServer), c.passed)
			}
			// It fires once: the next connection works.
			next := dial()
			_, _ = io.WriteString(next, two)
			if _, err := readUntil(next, "c OK"); err != nil {
				t.Errorf("next connection: %v", err)
			}
		})
	}
}

func TestLoseAnswer(t *testing.T) {
	s, p, dial := setup(t)
	c := dial()
	fired := p.Inject(faults.AfterCommand("APPEND", 2, faults.LoseAnswer))
	fmt.Fprint(c, "a APPEND INBOX {1+}\r\nx\r\nb APPEND INBOX {1+}\r\ny\r\n")
	await(t, fired)
	got, err := io.ReadAll(c)
	if !errors.Is(err, syscall.ECONNRESET) || strings.Contains(string(got), "b OK") {
		t.Errorf("got %q, %v", got, err)
	}
	if !s.got("b APPEND INBOX {1+}") {
		t.Errorf("the server did not get it: %q", s.commands)
	}
}

func TestFinAndAnswersToClient(t *testing.T) {
	_, p, dial := setup(t)
	c := dial()
	p.Inject(faults.AfterPattern(faults.ToClient, "a O", 1, faults.FIN))
	fmt.Fprint(c, "a NOOP\r\n")
	got, err := io.ReadAll(c)
	if err != nil || string(got) != "* OK ready\r\na O" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestEvery(t *testing.T) {
	_, p, dial := setup(t)
	p.Inject(faults.AfterCommand("NOOP", 1, faults.RST).Every())
	for range 3 {
		c := dial()
		fmt.Fprint(c, "a NOOP\r\n")
		if got, err := io.ReadAll(c); err == nil || strings.Contains(string(got), "a OK") {
			t.Errorf("got %q, %v", got, err)
		}
	}
	p.Clear()
	c := dial()
	fmt.Fprint(c, "a NOOP\r\n")
	if _, err := readUntil(c, "a OK"); err != nil {
		t.Error(err)
	}
}

func TestStall(t *testing.T) {
	_, p, dial := setup(t)
	c := dial()
	if _, err := readUntil(c, "* OK"); err != nil {
		t.Fatal(err)
	}
	p.CutAll(faults.Stall)
	fmt.Fprint(c, "a NOOP\r\n")
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	var late net.Error
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestHide(t *testing.T) {
	_, p, dial := setup(t)
	p.Hide("* OK", "a OK")
	c := dial()
	fmt.Fprint(c, "a NOOP\r\nb NOOP\r\n")
	if got, err := readUntil(c, "b "); err != nil || got != "b OK done\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	p.Hide()
	fmt.Fprint(c, "a NOOP\r\n")
	if got, err := readUntil(c, "a "); err != nil || got != "a OK done\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHold(t *testing.T) {
	s, p, dial := setup(t)
	c := dial()
	held := p.Inject(faults.AfterPattern(faults.ToServer, "a NO", 1, faults.Hold))
	fmt.Fprint(c, "a NOOP\r\nb NOOP\r\n")
	await(t, held)
	other := dial()
	fmt.Fprint(other, "c NOOP\r\n")
	if _, err := readUntil(other, "c OK"); err != nil {
		t.Error(err)
	}
	if s.got("a NOOP") {
		t.Error("what is held back has passed")
	}
	p.Release()
	if got, err := readUntil(c, "b OK"); err != nil || !strings.Contains(got, "a OK") {
		t.Errorf("got %q, %v", got, err)
	}
	held = p.Inject(faults.AfterPattern(faults.ToClient, "d O", 1, faults.Hold))
	fmt.Fprint(c, "d NOOP\r\n")
	await(t, held) // and Close does not wait for it
}

func TestRefuse(t *testing.T) {
	_, p, dial := setup(t)
	if err := p.Refuse(true); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	if err := p.Refuse(false); err != nil {
		t.Fatal(err)
	}
	if _, err := readUntil(dial(), "* OK"); err != nil {
		t.Error(err)
	}
}

func TestDelayAndBandwidth(t *testing.T) {
	_, p, dial := setup(t)
	c := dial()
	if _, err := readUntil(c, "* OK"); err != nil {
		t.Fatal(err)
	}
	p.SetDelay(20 * time.Millisecond)
	begin := time.Now()
	for i := range 3 {
		fmt.Fprintf(c, "a%d NOOP\r\n", i)
		if _, err := readUntil(c, fmt.Sprintf("a%d OK", i)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begin); took < 120*time.Millisecond {
		t.Errorf("three round trips at 40 ms took %v", took)
	}
	p.SetDelay(0)
	p.SetBandwidth(1 << 20)
	begin = time.Now()
	body := strings.Repeat("x", 200<<10)
	fmt.Fprintf(c, "b APPEND INBOX {%d+}\r\n%s\r\n", len(body), body)
	if _, err := readUntil(c, "b OK"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 190*time.Millisecond {
		t.Errorf("200 kB at 1 MB/s took %v", took)
	}
}

func TestDeadTarget(t *testing.T) {
	s, p, _ := setup(t)
	s.l.Close()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		return // the reset came first
	}
	defer c.Close()
	if _, err := io.ReadAll(c); err == nil {
		t.Error("a connection to nothing ended in order")
	}
}

func TestOnlyReads(t *testing.T) {
	reads := []string{
		"LOGIN", "AUTHENTICATE PLAIN", "CAPABILITY", "NAMESPACE", "ID NIL", "ENABLE CONDSTORE",
		`LIST "" "*" RETURN (STATUS (MESSAGES))`, "STATUS INBOX (MESSAGES)", "EXAMINE INBOX (CONDSTORE)",
		"UID FETCH 1:* (FLAGS BODY.PEEK[] RFC822.SIZE)", "FETCH 1 RFC822.HEADER", "UID SEARCH ALL", "NOOP",
		"IDLE", "DONE", "UNSELECT", "CLOSE", "LOGOUT",
	}
	if got := faults.OnlyReads(reads); len(got) > 0 {
		t.Errorf("harmless ones were refused: %q", got)
	}
	writes := []string{
		"SELECT INBOX", "CLOSE", "FETCH 1 BODY[]", "UID FETCH 1 (UID BODY[TEXT])", "UID FETCH 1 RFC822", "FETCH 1 (RFC822.TEXT)",
		"FETCH 1 (RFC822)", "UID FETCH 1 BINARY[1]", "APPEND INBOX {3+}", "STORE 1 +FLAGS (x)", "UID STORE 1 FLAGS ()", "EXPUNGE",
		"UID EXPUNGE 1", "CREATE x", "DELETE x", "RENAME x y", "SUBSCRIBE x", "UNSUBSCRIBE x", "COPY 1 x", "UID MOVE 1 x", "SETACL x y z",
		"STARTTLS", "COMPRESS DEFLATE", "listen", "",
	}
	if got := faults.OnlyReads(writes); !slices.Equal(got, writes) {
		t.Errorf("missed some of %q: got %q", writes, got)
	}
}
