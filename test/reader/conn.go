package reader

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"time"
)

// idleLimit is how long a server may be silent while an answer is due.
const idleLimit = 2 * time.Minute

// StatusError is a command's NO or BAD.
type StatusError struct {
	Command string // the first word only: arguments may hold passwords
	Status  string // NO or BAD
	Text    string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: server says %s %s", strings.ToLower(e.Command), e.Status, e.Text)
}

// Reply is the answer to one command.
type Reply struct {
	Response            // the tagged one
	Untagged []Response // all that came before it
}

// Conn is one IMAP connection. It is for one goroutine at a time.
type Conn struct {
	net  net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	tag  int
	ns   *Namespace
	stop func() bool
}

// Dial connects and reads the greeting. With a TLS configuration it speaks TLS
// from the first byte. When ctx ends the connection is closed.
func Dial(ctx context.Context, addr string, conf *tls.Config) (*Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if conf != nil {
		raw = tls.Client(raw, conf)
	}
	timed := patient{raw}
	c := &Conn{net: raw, r: bufio.NewReaderSize(timed, 64<<10), w: bufio.NewWriterSize(timed, 64<<10)}
	c.stop = context.AfterFunc(ctx, func() { _ = raw.Close() })
	greeting, err := readResponse(c.r)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("read greeting: %w", err)
	}
	if greeting.Name != "OK" {
		c.Close()
		return nil, fmt.Errorf("read greeting: server says %s %s", greeting.Name, greeting.Text)
	}
	return c, nil
}

// patient gives every single read and write its own deadline.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(idleLimit)) // a failure shows in Read
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(idleLimit)) // a failure shows in Write
	return p.Conn.Write(b)
}

// Close drops the connection without a LOGOUT.
func (c *Conn) Close() {
	c.stop()
	_ = c.net.Close()
}

// Logout ends the session and closes the connection.
func (c *Conn) Logout() error {
	defer c.Close()
	_, err := c.Command("LOGOUT")
	return err
}

// Command sends one command, without tag and final CRLF, and returns all of
// its answer. A NO or BAD is a *StatusError, beside the reply. The command may
// hold non-synchronising literals: "{3+}\r\nabc".
func (c *Conn) Command(command string) (*Reply, error) {
	return c.commandEach(command, nil)
}

// commandEach hands every untagged response to each, if given, in place of
// collecting it.
func (c *Conn) commandEach(command string, each func(Response) error) (*Reply, error) {
	tag := c.nextTag()
	if _, err := c.w.WriteString(tag + " " + command + "\r\n"); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return nil, fmt.Errorf("send command: %w", err)
	}
	reply := &Reply{}
	for {
		resp, err := readResponse(c.r)
		if err != nil {
			return reply, err
		}
		switch {
		case resp.Tag == tag:
			reply.Response = resp
			return reply, statusError(command, resp)
		case each != nil && resp.Tag == "*" && resp.Name != "OK":
			if err := each(resp); err != nil {
				return reply, err
			}
		default:
			reply.Untagged = append(reply.Untagged, resp)
		}
	}
}

func (c *Conn) nextTag() string {
	c.tag++
	return fmt.Sprintf("r%d", c.tag)
}

func statusError(command string, r Response) error {
	if r.Name == "OK" {
		return nil
	}
	word, _, _ := strings.Cut(command, " ")
	return &StatusError{Command: word, Status: r.Name, Text: r.Text}
}

// Login logs in with a user's own name and password.
func (c *Conn) Login(user, password string) error {
	_, err := c.Command("LOGIN " + Quote(user) + " " + Quote(password))
	return err
}

// LoginFor logs in as the trusted user for a mailbox, by SASL PLAIN with an
// authorization identity (RFC 4616).
func (c *Conn) LoginFor(mailbox, trusted, password string) error {
	ir := base64.StdEncoding.EncodeToString([]byte(mailbox + "\x00" + trusted + "\x00" + password))
	_, err := c.Command("AUTHENTICATE PLAIN " + ir)
	return err
}

// Namespace asks once for the mailbox's own namespace.
func (c *Conn) Namespace() (Namespace, error) {
	if c.ns != nil {
		return *c.ns, nil
	}
	reply, err := c.Command("NAMESPACE")
	if err != nil {
		return Namespace{}, err
	}
	ns := Namespace{Separator: "/"}
	for _, r := range reply.Untagged {
		if r.Name != "NAMESPACE" {
			continue
		}
		for i, kind := range r.Values { // personal, other users', shared
			for j, entry := range kind.List {
				if len(entry.List) < 2 {
					continue
				}
				if i == 0 && j == 0 {
					ns.Prefix = entry.List[0].Text
					ns.Separator = entry.List[1].Text
					if entry.List[1].Nil() {
						ns.Separator = ""
					}
				} else {
					ns.Others = append(ns.Others, entry.List[0].Text)
				}
			}
		}
	}
	c.ns = &ns
	return ns, nil
}

// Store says how to reach a store and how to log in for any mailbox on it.
type Store struct {
	Addr     string
	TLS      *tls.Config // nil for plain text
	Trusted  string
	Password string
	// Separator, if set, makes the log-in "mailbox<separator>trusted" in place
	// of an authorization identity.
	Separator string
}

// Open connects and logs in for a mailbox.
func (s Store) Open(ctx context.Context, mailbox string) (*Conn, error) {
	c, err := Dial(ctx, s.Addr, s.TLS)
	if err != nil {
		return nil, err
	}
	if s.Separator != "" {
		err = c.Login(mailbox+s.Separator+s.Trusted, s.Password)
	} else {
		err = c.LoginFor(mailbox, s.Trusted, s.Password)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
