package imapstore

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/site"
)

// Ways in which connecting goes wrong, told apart for explain (dialerror.go).
var (
	errNotIMAP        = errors.New("the port does not speak IMAP")
	errNoGreeting     = errors.New("the server accepts the connection and sends no greeting")
	errRejected       = errors.New("the server turns the connection away")
	errPreauth        = errors.New("the server logs in without asking who")
	errNoStartTLS     = errors.New("the server does not offer STARTTLS")
	errStartTLSRefuse = errors.New("the server refuses STARTTLS")
)

// connection is a connected and greeted, not yet logged in server.
type connection struct {
	link     *link
	line     []byte // the greeting as it came; after STARTTLS one of our own
	ahead    []byte // what came behind it
	wire     *wire
	client   *imapclient.Client
	greeting string // the greeting's text, without codes
	tls      *tls.ConnectionState
	saslIR   bool
	took     time.Duration // from dialling to the greeting
	began    time.Time     // when the login began
	login    time.Duration // of the log-in alone
}

// busy is how long the server has been busy with the connection if it was given
// work all the time since the login.
func (c *connection) busy() time.Duration { return c.took + time.Since(c.began) }

// connect reaches the server and hands the connection to go-imap.
func (s *Store) connect(ctx context.Context) (*connection, error) {
	c, err := s.reach(ctx)
	if err != nil {
		return nil, err
	}
	c.wire = newWire(c.link)
	c.wire.responses.buf = append(c.line, c.ahead...)
	c.wire.Await(true)
	c.client = c.wire.begin()
	if err := c.client.WaitGreeting(); err != nil {
		// The library's own error may quote the greeting.
		return nil, c.wire.Fail(errNotIMAP)
	}
	return c, nil
}

// reach dials, secures the connection and reads the greeting, all within the
// connect timeout. STARTTLS is done here and not by go-imap, whose TLS would
// lie above the wire instead of below it.
func (s *Store) reach(ctx context.Context) (*connection, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeouts.Connect)
	defer cancel()
	c, err := endpoint.Reach(ctx, s.opts.Dial, s.opts.Address, func(raw net.Conn) (*connection, error) {
		c, err := s.greet(ctx, raw)
		if err != nil {
			s.noteFailure("", err, nil)
		}
		return c, err
	})
	if errors.Is(err, errNoGreeting) {
		return nil, errNoGreeting
	}
	if err != nil {
		return nil, err
	}
	c.took = time.Since(start)
	return c, nil
}

func (s *Store) greet(ctx context.Context, raw net.Conn) (*connection, error) {
	nc := raw
	c := &connection{}
	if s.opts.Security == site.SecurityTLS {
		secure := tls.Client(raw, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc = secure
		c.tls = new(secure.ConnectionState())
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline)
	}
	read := readAhead
	if s.opts.Security == site.SecurityStartTLS {
		read = func(r io.Reader) (line, ahead []byte, err error) {
			line, err = readRawLine(r)
			return line, nil, err
		}
	}
	line, ahead, err := read(nc)
	if err != nil {
		if len(line) == 0 && (errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil) {
			return nil, errNoGreeting
		}
		if len(line) > 0 {
			return nil, fmt.Errorf("%w: %w", errNotIMAP, err)
		}
		return nil, fmt.Errorf("before the greeting: %w", err)
	}
	text, err := checkGreeting(line)
	c.greeting = s.secretsOf("").show(text)
	if errors.Is(err, errRejected) {
		err = fmt.Errorf("%w: %s", err, c.greeting)
	}
	if err != nil {
		return nil, err
	}
	if s.opts.Security == site.SecurityStartTLS {
		secure, err := s.startTLS(ctx, nc)
		if err != nil {
			return nil, err
		}
		nc = secure
		c.tls = new(secure.ConnectionState())
		// go-imap wants a greeting; the capabilities of before no longer count.
		line = []byte("* OK secured\r\n")
	}
	c.link, c.line, c.ahead = newLink(raw, nc, s.opts.Timeouts), line, ahead
	return c, nil
}

// longestLine bounds what is read before a server has shown that it speaks IMAP.
const longestLine = 4096

// readAhead reads a line, and whatever is there behind it.
func readAhead(r io.Reader) (line, ahead []byte, err error) {
	buf, n := make([]byte, longestLine), 0
	for n < len(buf) {
		got, err := r.Read(buf[n:])
		end := bytes.IndexByte(buf[n:n+got], '\n')
		n += got
		if end >= 0 {
			end += n - got + 1
			return buf[:end:end], buf[end:n], nil
		}
		if err != nil && n < len(buf) {
			return buf[:n], nil, err
		}
	}
	return buf, nil, errNotIMAP
}

// readRawLine reads up to a line end and not one byte more: what follows may
// belong to TLS, which the kernel holds.
func readRawLine(r io.Reader) ([]byte, error) {
	var line []byte
	var one [1]byte
	for len(line) < longestLine {
		if _, err := io.ReadFull(r, one[:]); err != nil {
			return line, err
		}
		line = append(line, one[0])
		if one[0] == '\n' {
			return line, nil
		}
	}
	return line, errNotIMAP
}

// checkGreeting returns the human part of a greeting, which is to be cleaned
// before it is shown.
func checkGreeting(line []byte) (string, error) {
	star, rest, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	kind, text, _ := strings.Cut(rest, " ")
	switch {
	case star != "*":
		return "", errNotIMAP
	case strings.EqualFold(kind, "BYE"):
		return text, errRejected
	case strings.EqualFold(kind, "PREAUTH"):
		return "", errPreauth
	case !strings.EqualFold(kind, "OK"):
		return "", errNotIMAP
	}
	if strings.HasPrefix(text, "[") {
		if _, after, ok := strings.Cut(text, "]"); ok {
			text = after
		}
	}
	return text, nil
}

// startTLS secures a greeted connection (RFC 9051, section 6.2.1). Anything
// that the server sent ahead of the handshake is refused, since a stranger in
// between could have put it there.
func (s *Store) startTLS(ctx context.Context, nc net.Conn) (*tls.Conn, error) {
	exchange := func(command string) (status string, untagged []string, err error) {
		if _, err := nc.Write([]byte("S " + command + "\r\n")); err != nil {
			return "", nil, err
		}
		for {
			line, err := readRawLine(nc)
			if err != nil {
				return "", nil, err
			}
			text := strings.TrimRight(string(line), "\r\n")
			if rest, ok := strings.CutPrefix(text, "S "); ok {
				status, _, _ = strings.Cut(rest, " ")
				return strings.ToUpper(status), untagged, nil
			}
			if untagged = append(untagged, strings.ToUpper(text)); len(untagged) > maxLiterals {
				return "", nil, errResponse
			}
		}
	}
	_, lines, err := exchange("CAPABILITY")
	if err != nil {
		return nil, err
	}
	offered := false
	for _, l := range lines {
		if strings.HasPrefix(l, "* CAPABILITY ") && bytes.Contains([]byte(l+" "), []byte(" STARTTLS ")) {
			offered = true
		}
	}
	if !offered {
		return nil, errNoStartTLS
	}
	status, _, err := exchange("STARTTLS")
	if err != nil {
		return nil, err
	}
	if status != "OK" {
		return nil, errStartTLSRefuse
	}
	secure := tls.Client(nc, s.tls)
	return secure, secure.HandshakeContext(ctx)
}

// isPlainIMAP reports whether a failed TLS handshake met an IMAP greeting.
func isPlainIMAP(err error) bool {
	var header tls.RecordHeaderError
	return errors.As(err, &header) && bytes.HasPrefix(header.RecordHeader[:], []byte("* "))
}

// answersTLS reports whether the store's port begins with TLS.
func (s *Store) answersTLS(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeouts.Connect)
	defer cancel()
	raw, err := s.opts.Dial(ctx, "tcp", s.opts.Address)
	if err != nil {
		return false
	}
	defer func() { _ = raw.Close() }()
	// A ClientHello by hand is not worth it: any answer that begins like a TLS
	// record will do, whatever the certificate says.
	probe := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // nothing is sent over it
	return probe.HandshakeContext(ctx) == nil
}
