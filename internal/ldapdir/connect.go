package ldapdir

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/site"
)

// Ways in which connecting goes wrong, told apart in dialerror.go.
var (
	errNoAnswer   = errors.New("the server accepts the connection and says nothing")
	errHungUp     = errors.New("the server closes the connection before it says anything")
	errHandshake  = errors.New("the TLS handshake fails")
	errNoStartTLS = errors.New("the server refuses StartTLS")
)

// Session is one bound connection to a directory. It is used by one goroutine
// at a time. After an error that is not an answer of the server it is dead, and
// every later call fails.
type Session struct {
	store *Store
	link  *link
	conn  *ldap.Conn
	tls   *tls.ConnectionState
	took  time.Duration // from dialling to the bind's answer
	known *server       // asked when it is first needed
	wrote bool          // it has sent a write, or a try of one
}

// Open connects and binds as the trusted server. What an operator must mend is
// a Config error in one plain sentence, with a hint.
func (s *Store) Open(ctx context.Context) (*Session, error) {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, s.opts.Timeouts.Connect)
	defer cancel()
	session, err := s.reach(limited)
	if err != nil {
		return nil, s.explainConnect(ctx, err)
	}
	// A server may look a password up elsewhere, which takes its time.
	if err := session.bind(ctx); err != nil {
		_ = session.link.Fail(endpoint.ErrClosed)
		_ = session.conn.Close()
		return nil, s.explainConnect(ctx, err)
	}
	session.took = time.Since(start)
	return session, nil
}

// reach dials and secures the connection, all before the end of ctx. StartTLS
// is done here and not by go-ldap, which hides why a handshake fails and whose
// TLS would lie above the link instead of below it.
func (s *Store) reach(ctx context.Context) (*Session, error) {
	session, err := endpoint.Reach(ctx, s.opts.Dial, s.opts.Address, func(raw net.Conn) (*Session, error) {
		nc, state, err := s.secure(ctx, raw)
		if err != nil {
			return nil, err
		}
		return &Session{store: s, link: newLink(raw, nc, s.opts.Timeouts), tls: state}, nil
	})
	if err != nil {
		return nil, err
	}
	session.conn = ldap.NewConn(session.link, session.tls != nil)
	session.conn.Start()
	return session, nil
}

func (s *Store) secure(ctx context.Context, raw net.Conn) (net.Conn, *tls.ConnectionState, error) {
	if s.opts.Security == site.SecurityNone {
		return raw, nil, nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline)
	}
	if s.opts.Security == site.SecurityStartTLS {
		if _, err := raw.Write(startTLSRequest()); err != nil {
			return nil, nil, err
		}
		answer, err := readMessage(raw)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) || err != nil && ctx.Err() != nil:
			return nil, nil, errNoAnswer
		case errors.Is(err, errNotLDAP), errors.Is(err, errTooLarge):
			return nil, nil, errNotLDAP
		case err != nil:
			return nil, nil, fmt.Errorf("%w: %w", errHungUp, err)
		}
		code, err := extendedResult(answer)
		if err != nil {
			return nil, nil, err
		}
		if code != 0 {
			return nil, nil, fmt.Errorf("%w: %s", errNoStartTLS, codeName(uint16(code)))
		}
	}
	secure := tls.Client(raw, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	state := secure.ConnectionState()
	return secure, &state, nil
}

// bind logs in by name and password (RFC 4513, 5.1.3).
func (s *Session) bind(ctx context.Context) error {
	opts := s.store.opts
	err := s.ask(ctx, func(c *ldap.Conn) error { return c.Bind(opts.BindDN, opts.Password.Reveal()) })
	cause := s.link.Cause()
	switch {
	case err == nil || cause == nil:
		return err
	case errors.Is(cause, errNotLDAP), errors.Is(cause, errTooLarge):
		return cause
	case errors.Is(cause, endpoint.ErrReadTimeout), errors.Is(err, context.DeadlineExceeded):
		return errNoAnswer
	}
	return fmt.Errorf("%w: %w", errHungUp, cause)
}

// ask runs one exchange with the server: nothing is sent at or after the
// deadline of ctx, and the end of ctx closes the connection.
func (s *Session) ask(ctx context.Context, exchange func(*ldap.Conn) error) error {
	return s.exchange(ctx, nil, false, exchange)
}

// askPatiently is ask for a write: once the request is sent whole, the deadline of
// ctx does not end the wait for the answer. The deadline is about what is sent.
func (s *Session) askPatiently(ctx context.Context, exchange func(*ldap.Conn) error) error {
	return s.exchange(ctx, nil, true, exchange)
}

// find runs a search. The server may send that many entries and some references,
// and each entry is handed to each by another goroutine, until find returns. It
// returns the controls of the answer, and how often the server referred to others.
// The server's refusal is the library's own error.
func (s *Session) find(ctx context.Context, request *ldap.SearchRequest, most int, each func(*ldap.Entry)) (controls []ldap.Control, references int, err error) {
	expect := &expected{most: most + maxReferences, entry: each}
	err = s.exchange(ctx, expect, false, func(c *ldap.Conn) error {
		found, err := c.Search(request)
		if err == nil {
			controls = found.Controls
		}
		return err
	})
	return controls, expect.stop(), err
}

// maxReferences is how many references to other servers an answer may hold.
const maxReferences = 100

func (s *Session) exchange(ctx context.Context, expect *expected, patient bool, exchange func(*ldap.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	until, _ := ctx.Deadline()
	if err := s.link.begin(until, expect); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !patient || !errors.Is(cause, context.DeadlineExceeded) || !s.link.sent() {
			_ = s.link.Fail(cause)
		}
	})
	err := exchange(s.conn)
	s.link.end()
	if !stop() {
		// The connection is dead, or about to be: an answer that came in the same
		// moment counts still.
		if err == nil {
			return nil
		}
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// Close ends the session in order where it is alive.
func (s *Session) Close() error {
	if s.link.Cause() == nil {
		_ = s.link.begin(time.Now().Add(time.Second), nil)
		_ = s.conn.Unbind()
	}
	_ = s.link.Fail(endpoint.ErrClosed)
	_ = s.conn.Close()
	return nil
}
