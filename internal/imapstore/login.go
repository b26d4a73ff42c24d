package imapstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

var (
	errNoPlain     = errors.New("the server offers no way to log in with a name and password on this connection")
	errCredentials = errors.New("the server refuses the trusted name or password")
	errNoMailbox   = errors.New("the server has no such mailbox for the trusted account to act for")
	errNoRight     = errors.New("the trusted account may not act for other mailboxes")
)

// sureFor is how long after it acted for a mailbox the trusted account is known
// to be in order: what is refused then, is refused because of the mailbox.
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
	began := time.Now()
	if err := s.authenticate(c, number); err != nil {
		cause := c.wire.cause()
		_ = session.Close()
		return nil, s.explainLogin(ctx, number, err, cause)
	}
	c.login = time.Since(began)
	if number != "" {
		s.noteActed()
	}
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
	c.saslIR = c.wire.has("SASL-IR") // Cyrus no longer announces it after the log-in
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

func (s *Store) noteActed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastActed = time.Now()
}

func (s *Store) actedLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastActed) < sureFor
}

// explainLogin says whose fault a refused log-in is. Servers give much the
// same answer to a wrong password, a mailbox that they do not have and a
// trusted account without rights, so that more than the answer is looked at.
func (s *Store) explainLogin(ctx context.Context, number mailbox.Number, err, cause error) error {
	op := "log in to store " + s.opts.Name
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
		return fault.New(fault.Config, op, errCredentials, "check the trusted name and the password file")
	case no.Code == imap.ResponseCodeAuthorizationFailed || s.actedLately():
		// RFC 5530, section 3: the password was right.
		return fault.New(fault.Permanent, op, errNoMailbox, "create the mailbox on the store, or remove it from the link")
	}
	self, serr := s.open(ctx, "")
	if serr == nil {
		_ = self.Close()
		return fault.New(fault.Config, op, errNoRight,
			"give the account that right on the server (Dovecot: a master passdb; Cyrus: proxyservers), and see whether the mailbox exists; "+
				"check whether the server wants authzid or separator")
	}
	if errors.Is(serr, errCredentials) {
		return fault.New(fault.Config, op, errCredentials, "check the trusted name and the password file")
	}
	return serr
}
