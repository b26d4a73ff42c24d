package servers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// startLimit is how long a server may take to greet when the caller's context
// sets no earlier end.
const startLimit = 30 * time.Second

var errEnded = errors.New("await greeting: the server ended by itself")

// awaitGreeting returns when the server at addr has sent an IMAP greeting.
// A listening socket is not enough: Dovecot's master listens long before a
// login process answers.
func awaitGreeting(ctx context.Context, p *process, addr string, useTLS bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := readGreeting(ctx, addr, useTLS)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errEnded
		case <-ctx.Done():
			return fmt.Errorf("await greeting of %s: %w (last: %w)", addr, ctx.Err(), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// readGreeting connects once and reads the greeting line (RFC 3501 section 7.1.5).
func readGreeting(ctx context.Context, addr string, useTLS bool) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if useTLS {
		// Only readiness is asked here; who the server is, the tests check.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // private server on loopback, no data sent
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if !strings.HasPrefix(line, "* OK") {
		return fmt.Errorf("read greeting: unexpected %.40q", line)
	}
	return nil
}

// freePort returns a loopback port that was free a moment ago. Another process
// may take it before the server does; the callers then try again.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	tcp, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("find a free port: not a TCP address")
	}
	return tcp.Port, nil
}

// capabilities logs in as a mailbox and returns what the server announces
// then; servers announce most of their extensions only after the log-in.
func capabilities(ctx context.Context, addr string, useTLS bool, user, password string) ([]string, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if useTLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // private server on loopback
	}
	if _, err := fmt.Fprintf(conn, "a LOGIN %q %q\r\nb CAPABILITY\r\n", user, password); err != nil {
		return nil, fmt.Errorf("ask capabilities: %w", err)
	}
	var caps []string
	for r := bufio.NewReader(conn); ; {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return nil, fmt.Errorf("ask capabilities: %w", err)
		case strings.HasPrefix(line, "* CAPABILITY "):
			caps = strings.Fields(line)[2:]
		case strings.HasPrefix(line, "a ") && !strings.HasPrefix(line, "a OK"):
			return nil, fmt.Errorf("ask capabilities: log-in refused: %.80q", line)
		case strings.HasPrefix(line, "b "):
			return caps, nil
		}
	}
}
