package servers

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startLimit is how long a server may take to greet when the caller's context
// sets no earlier end.
const startLimit = 30 * time.Second

var errEnded = errors.New("await greeting: the server ended by itself")

// awaitGreeting returns when greets says that the server at addr answers.
// A listening socket is not enough: Dovecot's master listens long before a
// login process answers.
func awaitGreeting(ctx context.Context, p *process, addr string, useTLS bool, greets func(context.Context, string, bool) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := greets(ctx, addr, useTLS)
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

// knock connects, to ask only whether anybody is there; who it is, the tests
// check.
func knock(ctx context.Context, addr string, useTLS bool) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil || !useTLS {
		return conn, err
	}
	return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}), nil //nolint:gosec // private server on loopback, no data sent
}

// readGreeting connects once and reads the greeting line (RFC 3501 section 7.1.5).
func readGreeting(ctx context.Context, addr string, useTLS bool) error {
	conn, err := knock(ctx, addr, useTLS)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if !strings.HasPrefix(line, "* OK") {
		return fmt.Errorf("read greeting: unexpected %.40q", line)
	}
	return nil
}

// PortFree is an error if a port of 127.0.0.1 cannot be listened on.
func PortFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is in use", port)
	}
	if err != nil {
		return fmt.Errorf("port %d cannot be used: %w", port, err)
	}
	return l.Close()
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

// session logs in with a user's own name and password, sends the commands and
// returns the tagged answer to each, and all untagged lines before it.
func session(ctx context.Context, addr string, useTLS bool, user, password string, commands []string) (answers []string, err error) {
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
	r := bufio.NewReader(conn)
	ask := func(command string) (string, error) {
		if _, err := fmt.Fprintf(conn, "a %s\r\n", command); err != nil {
			return "", fmt.Errorf("send: %w", err)
		}
		untagged := ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return "", fmt.Errorf("read answer: %w", err)
			}
			if answer, ok := strings.CutPrefix(line, "a "); ok {
				return strings.TrimSpace(answer) + untagged, nil
			}
			untagged += "\n" + strings.TrimSpace(line)
		}
	}
	answer, err := ask(fmt.Sprintf("LOGIN %q %q", user, password))
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(answer, "OK") {
		return nil, fmt.Errorf("log in as %s: server says %.80q", user, answer)
	}
	for _, c := range commands {
		if answer, err = ask(c); err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// capabilities returns what the server announces to a mailbox after its
// log-in; servers announce most of their extensions only then.
func capabilities(ctx context.Context, addr string, useTLS bool, user, password string) ([]string, error) {
	answers, err := session(ctx, addr, useTLS, user, password, []string{"CAPABILITY"})
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(answers[0]) {
		if list, ok := strings.CutPrefix(line, "* CAPABILITY "); ok {
			return strings.Fields(list), nil
		}
	}
	return nil, errors.New("ask capabilities: none came")
}
