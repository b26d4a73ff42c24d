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
	mu   sync.Mutex
	mark string         // what the line about the awaited mailbox holds
	at   chan time.Time // capacity 1
}

// openIdle listens to the inbox of one mailbox.
func openIdle(ctx context.Context, s reader.Store, number string) (*tap, error) {
	return openTap(ctx, s, number, func(string) string { return "EXISTS" }, []string{"EXAMINE INBOX", "IDLE"})
}

// openNotify listens to all mailboxes of a Dovecot.
func openNotify(ctx context.Context, s reader.Store, numbers []string) (*tap, error) {
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = "users/" + n
	}
	return openTap(ctx, s, "", func(number string) string { return "STATUS users/" + number + " " }, []string{
		"ENABLE CONDSTORE", `LIST "" "users/*"`,
		"NOTIFY SET (subtree (" + strings.Join(names, " ") + ") (MessageNew MessageExpunge FlagChange))",
	})
}

func openTap(ctx context.Context, s reader.Store, number string, mark func(string) string, commands []string) (*tap, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, fmt.Errorf("open listener: %w", err)
	}
	t := &tap{conn: conn, at: make(chan time.Time, 1), mark: mark(number)}
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
		hit := strings.Contains(line, t.mark)
		t.mu.Unlock()
		if hit {
			select {
			case t.at <- now:
			default:
			}
		}
	}
}

// listen says which mailbox the next announcement is about.
func (t *tap) listen(number string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if strings.HasPrefix(t.mark, "STATUS ") {
		t.mark = "STATUS users/" + number + " "
	}
	select {
	case <-t.at: // of one before
	default:
	}
}

// heard is when the deposit was announced; it waits a while, since DR may be
// faster than the server's word to us. Zero where nothing came.
func (t *tap) heard() time.Time {
	select {
	case at := <-t.at:
		return at
	case <-time.After(2 * time.Second):
		return time.Time{}
	}
}

func (t *tap) close() { _ = t.conn.Close() }

// awaitListening waits until the worker listens to every mailbox.
func (l *latency) awaitListening(ctx context.Context) error {
	deadline := time.Now().Add(5 * time.Minute)
	for {
		out, err := l.mm.command(ctx, "status", benchLink, "-o", "json").Output()
		if err != nil {
			return fmt.Errorf("mailmirror status: %w", err)
		}
		var s []struct {
			Watchers []struct{ Listened, Polled int }
			States   struct{ Equal int }
		}
		if err := json.Unmarshal(out, &s); err != nil {
			return fmt.Errorf("mailmirror status: %w", err)
		}
		listened := 0
		for _, w := range s[0].Watchers {
			listened += w.Listened + w.Polled
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
