package bare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	bufferSize  = 64 << 10
	idleTimeout = 2 * time.Minute // a server that is silent for so long is stuck
)

// Endpoint is one store: where it listens and who may act for any mailbox.
type Endpoint struct {
	Addr     string
	Trusted  string
	Password string
}

// Conn is a logged-in connection. One goroutine may send while another reads;
// neither side is safe for more than one.
type Conn struct {
	c    net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tag  int
	stop func() bool // unties the connection from its context
}

// Dial connects and logs in for mailbox through the trusted user, or as the
// trusted user itself when mailbox is empty. The connection is closed when
// ctx ends.
func Dial(ctx context.Context, e Endpoint, mailbox string) (*Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &Conn{c: raw, r: bufio.NewReaderSize(raw, bufferSize), w: bufio.NewWriterSize(raw, bufferSize)}
	c.stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
	c.extend()
	if err := c.login(e, mailbox); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) login(e Endpoint, mailbox string) error {
	greeting, err := c.readLine()
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if !strings.HasPrefix(greeting, "* OK") {
		return fmt.Errorf("read greeting: unexpected %.40q", greeting)
	}
	user := e.Trusted
	if mailbox != "" {
		user = mailbox + "*" + e.Trusted
	}
	if err := c.Do(nil, "LOGIN %s %s", quote(user), quote(e.Password)); err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	return nil
}

// Close ends the connection without a LOGOUT, which only costs a round trip.
func (c *Conn) Close() {
	c.stop()
	_ = c.c.Close()
}

// extend moves the moment at which a silent server counts as stuck. It is
// called per command, not per read, so that it costs nothing.
func (c *Conn) extend() { _ = c.c.SetDeadline(time.Now().Add(idleTimeout)) }

// Do sends one command and reads up to its tagged answer, handing every
// untagged line to each (which may be nil). Literals are part of the line.
// An answer other than OK is an error.
func (c *Conn) Do(each func(line string) error, format string, args ...any) error {
	tag, err := c.send(format, args...)
	if err != nil {
		return err
	}
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(line, tag+" "):
			return checkOK(line)
		case each != nil && strings.HasPrefix(line, "* "):
			if err := each(line[2:]); err != nil {
				return err
			}
		}
	}
}

// send writes a command and returns its tag.
func (c *Conn) send(format string, args ...any) (string, error) {
	c.extend()
	tag := c.nextTag()
	fmt.Fprintf(c.w, tag+" "+format+"\r\n", args...) // a bufio.Writer keeps its error for Flush
	if err := c.w.Flush(); err != nil {
		return "", fmt.Errorf("send: %w", err)
	}
	return tag, nil
}

func (c *Conn) nextTag() string {
	c.tag++
	return "a" + strconv.Itoa(c.tag)
}

func checkOK(line string) error {
	if _, answer, _ := strings.Cut(line, " "); !strings.HasPrefix(answer, "OK") {
		return fmt.Errorf("server answered %.120q", answer)
	}
	return nil
}

// readLine reads one response, with the literals in it, without the final CRLF.
func (c *Conn) readLine() (string, error) {
	var whole strings.Builder
	for {
		part, err := c.r.ReadString('\n')
		if err != nil {
			return "", fmt.Errorf("read: %w", err)
		}
		part = strings.TrimRight(part, "\r\n")
		whole.WriteString(part)
		n, ok := literalSize(part)
		if !ok {
			return whole.String(), nil
		}
		if _, err := io.CopyN(&whole, c.r, n); err != nil {
			return "", fmt.Errorf("read literal: %w", err)
		}
	}
}

// literalSize returns n for a line that ends in "{n}" (RFC 3501 section 4.3).
func literalSize(line string) (int64, bool) {
	if !strings.HasSuffix(line, "}") {
		return 0, false
	}
	i := strings.LastIndexByte(line, '{')
	if i < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(line[i+1:len(line)-1], 10, 64)
	return n, err == nil && n >= 0
}

// quote makes a quoted string (RFC 3501 section 4.3).
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Folders lists the selectable folders, as the server spells their names.
func (c *Conn) Folders() ([]string, error) {
	return c.list("LIST")
}

// Subscribed lists the subscribed folders. LIST RETURN (SUBSCRIBED) would do
// both in one command, but Dovecot 2.3 leaves \Subscribed out there for an
// inbox that has never held a message.
func (c *Conn) Subscribed() ([]string, error) {
	return c.list("LSUB")
}

func (c *Conn) list(verb string) ([]string, error) {
	var names []string
	err := c.Do(func(line string) error {
		name, ok, err := parseList(verb, line)
		if ok {
			names = append(names, name)
		}
		return err
	}, `%s "" "*"`, verb)
	if err != nil {
		return nil, fmt.Errorf("list folders: %w", err)
	}
	return names, nil
}

// parseList reads a LIST or LSUB response; ok is false for any other response
// and for a folder that cannot be selected.
func parseList(verb, line string) (name string, ok bool, err error) {
	rest, found := strings.CutPrefix(line, verb+" (")
	if !found {
		return "", false, nil
	}
	attrs, rest, found := strings.Cut(rest, ") ")
	if !found {
		return "", false, errors.New("parse list: attributes do not end")
	}
	attrs = strings.ToLower(attrs)
	if strings.Contains(attrs, `\noselect`) || strings.Contains(attrs, `\nonexistent`) {
		return "", false, nil
	}
	_, name, found = strings.Cut(rest, " ") // before it the separator, "/" or NIL
	if !found || name == "" {
		return "", false, errors.New("parse list: no name")
	}
	if name[0] == '"' && len(name) > 1 {
		name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(name[1 : len(name)-1])
	}
	return name, true, nil
}
