package imapstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-sasl"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

var (
	errNoPlain = errors.New("the server offers no way to log in with a name and password on this connection")
)

// sureFor is how long after a good log-in a refused one is put down to the
// mailbox rather than to the credentials.
const sureFor = time.Minute

// Open logs in as the trusted server, acting for the given mailbox.
func (s *Store) Open(ctx context.Context, number mailbox.Number) (copier.Session, error) {
	session, err := s.open(ctx, number)
	if err != nil {
		return nil, err
	}
	return session, nil
}

// open connects and logs in; number "" logs in as the trusted account itself.
func (s *Store) open(ctx context.Context, number mailbox.Number) (*Session, error) {
	if number != "" {
		if err := number.Validate(); err != nil {
			return nil, err
		}
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, s.explainConnect(err)
	}
	session := &Session{store: s, number: number, wire: c.wire, client: c.client, conn: c}
	stop := c.wire.bind(ctx)
	defer stop()
	if err := s.authenticate(c, number); err != nil {
		cause := c.wire.cause()
		_ = session.Close()
		return nil, s.explainLogin(ctx, number, err, cause)
	}
	s.noteLogin()
	if err := session.start(ctx); err != nil {
		_ = session.Close()
		return nil, err
	}
	return session, nil
}

// authenticate logs in with one round trip where the server has SASL-IR, and
// leaves the capabilities known.
func (s *Store) authenticate(c *connection, number mailbox.Number) error {
	c.wire.await(true)
	defer c.wire.await(false)
	// Caps asks the server only where the greeting did not tell.
	if c.client.Caps() == nil {
		return fmt.Errorf("ask for capabilities: %w", errors.Join(c.wire.cause(), errResponse))
	}
	if !c.wire.has("AUTH=PLAIN") {
		return errNoPlain
	}
	identity, name := "", s.opts.TrustedName
	if number != "" {
		switch s.opts.Login {
		case LoginSeparator:
			name = string(number) + s.opts.Separator + name
		default:
			identity = string(number)
		}
	}
	if err := c.client.Authenticate(sasl.NewPlainClient(identity, name, s.opts.Password.Reveal())); err != nil {
		return err
	}
	// They change with the log-in; Dovecot and Cyrus tell them in the answer.
	if c.client.Caps() == nil {
		return fmt.Errorf("ask for capabilities: %w", errors.Join(c.wire.cause(), errResponse))
	}
	c.wire.setLoggedIn()
	return nil
}

func (s *Store) noteLogin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastLogin = time.Now()
}

func (s *Store) loggedInLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastLogin) < sureFor
}

// explainLogin says whose fault a refused log-in is. A server gives the same
// answer to a wrong password and to a mailbox that it does not have, so that
// the credentials are tried alone before the mailbox is blamed.
func (s *Store) explainLogin(ctx context.Context, number mailbox.Number, err, cause error) error {
	op := "store " + s.opts.Name + ": log in"
	if number != "" {
		op += " for mailbox " + string(number)
	}
	switch no := refusal(err); {
	case errors.Is(err, errNoPlain):
		hint := "the server wants TLS first: use starttls or tls"
		if s.opts.Security != SecurityNone {
			hint = "enable AUTH=PLAIN on the server"
		}
		return fault.New(fault.Config, op, err, hint)
	case no == nil && cause != nil:
		return fault.New(fault.Transient, op, cause, "")
	case no == nil:
		// BAD, or an exchange that is not SASL PLAIN.
		return fault.New(fault.Config, op, errors.New(printable(err.Error())), "")
	case passing[no.Code]:
		return fault.New(fault.Transient, op, errors.New("the server refuses for now: "+printable(no.Text)), "")
	case number == "":
		return fault.New(fault.Config, op, errors.New("the server refuses the trusted name or password"),
			"check --trusted-name and the password file")
	}
	if !s.loggedInLately() {
		self, serr := s.open(ctx, "")
		if serr != nil {
			if fault.Is(serr, fault.Config) {
				return fault.New(fault.Config, op, errors.New("the server refuses the trusted name or password"),
					"check --trusted-name and the password file")
			}
			return serr
		}
		_ = self.Close()
	}
	return fault.New(fault.Permanent, op, errors.New("the server knows the trusted account and refuses this mailbox"),
		"the mailbox does not exist there, or the trusted account may not act for it")
}
