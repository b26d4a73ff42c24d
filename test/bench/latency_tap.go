package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"mailmirror/test/reader"
)

// tap is a listener of the benchmark's own: it tells when the server announces
// a deposit.
type tap struct {
	conn net.Conn
	// owner tells which mailbox a line is about, "" for none.
	owner func(line string) string

	mu    sync.Mutex
	await map[string]chan time.Time // by mailbox, capacity 1
}

// openIdle listens to the inbox of one mailbox.
func openIdle(ctx context.Context, s reader.Store, number string) (*tap, error) {
	return openTap(ctx, s, number, func(line string) string {
		if strings.Contains(line, " EXISTS") {
			return number
		}
		return ""
	}, []string{"EXAMINE INBOX", "IDLE"})
}

// openNotify listens to all mailboxes of a Dovecot.
func openNotify(ctx context.Context, s reader.Store, numbers []string) (*tap, error) {
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = "users/" + n
	}
	return openTap(ctx, s, "", func(line string) string {
		rest, ok := strings.CutPrefix(line, "* STATUS users/")
		if !ok {
			return ""
		}
		number, _, _ := strings.Cut(rest, " ")
		return number
	}, []string{
		"ENABLE CONDSTORE", `LIST "" "users/*"`,
		"NOTIFY SET (subtree (" + strings.Join(names, " ") + ") (MessageNew MessageExpunge FlagChange))",
	})
}

func openTap(ctx context.Context, s reader.Store, number string, owner func(string) string, commands []string) (*tap, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("open listener: %w", err)
	}
	t := &tap{conn: conn, owner: owner, await: map[string]chan time.Time{}}
	login := "AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte(number+"\x00"+s.Trusted+"\x00"+s.Password))
	r := bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	for i, command := range append([]string{"", login}, commands...) {
		if err := ask(conn, r, fmt.Sprint("x", i), command); err != nil {
			return nil, errors.Join(fmt.Errorf("open listener: %w", err), conn.Close())
		}
	}
	_ = conn.SetDeadline(time.Time{})
	go t.read(r)
	return t, nil
}

// ask sends a command, "" for none, and reads up to its answer or a "+".
func ask(conn net.Conn, r *bufio.Reader, tag, command string) error {
	if command != "" {
		if _, err := io.WriteString(conn, tag+" "+command+"\r\n"); err != nil {
			return err
		}
	}
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return err
		case command == "", strings.HasPrefix(line, "+"), strings.HasPrefix(line, tag+" OK"):
			return nil
		case strings.HasPrefix(line, tag+" "):
			return errors.New(strings.TrimSpace(line))
		}
	}
}

func (t *tap) read(r *bufio.Reader) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		now := time.Now()
		t.mu.Lock()
		at := t.await[t.owner(line)]
		t.mu.Unlock()
		select {
		case at <- now: // nil where nobody waits
		default:
		}
	}
}

// listen returns what gets the time of the next announcement about a mailbox.
func (t *tap) listen(number string) <-chan time.Time {
	at := make(chan time.Time, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.await[number] = at
	return at
}

func (t *tap) forget(number string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.await, number)
}

// heard is when the deposit was announced; it waits a while, since DR may be
// faster than the server's word to us. Zero where nothing came.
func heard(at <-chan time.Time) time.Time {
	select {
	case at := <-at:
		return at
	case <-time.After(2 * time.Second):
		return time.Time{}
	}
}

func (t *tap) close() { _ = t.conn.Close() }

// awaitListening waits until mailmirror listens to every mailbox, by another
// worker than the one that is dead, 0 for none.
func (l *latency) awaitListening(ctx context.Context, dead int) error {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		out, err := l.mm.command(ctx, "status", benchLink, "-o", "json").Output()
		if err != nil {
			return fmt.Errorf("mailmirror status: %w", err)
		}
		var s []struct {
			Watchers []struct {
				Worker                                string
				Listened, Polled, Connections, Wanted int
			}
			States struct{ Equal int }
		}
		if err := json.Unmarshal(out, &s); err != nil {
			return fmt.Errorf("mailmirror status: %w", err)
		}
		listened := 0
		for _, w := range s[0].Watchers {
			ready := w.Connections == w.Wanted && (l.events != "notify" || w.Wanted > 0) // until the first mirroring notify waits
			if ready && !strings.HasPrefix(w.Worker, fmt.Sprint(dead, "@")) {
				listened += w.Listened + w.Polled
			}
		}
		if listened == len(l.numbers) && s[0].States.Equal == len(l.numbers) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d mailboxes are listened to: %s", listened, len(l.numbers), out)
		}
		time.Sleep(500 * time.Millisecond)
	}
}
