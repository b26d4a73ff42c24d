package imapstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"mailmirror/internal/copier"
	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

var (
	errNoPlain     = errors.New("the server offers no way to log in with a name and password on this connection")
	errCredentials = errors.New("the server refuses the trusted name or password")
	errNoMailbox   = errors.New("the server has no such mailbox for the trusted account to act for")
	errLogin       = errors.New("the server does not understand the login (BAD), or asks for something that SASL PLAIN does not have")
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

// turn waits until a login for a mailbox may begin. A login that the server rejected
// shortly before, or meanwhile, is not tried.
func (s *Store) turn(ctx context.Context, number mailbox.Number) error {
	if _, err := s.loginOf(number); err != nil {
		return err
	}
	if err := s.rejected(number); err != nil {
		return err
	}
	if err := s.gate.Login(ctx); err != nil {
		return s.explainConnect(err)
	}
	return s.rejected(number)
}

// open waits for its turn, connects and logs in; number "" logs in as the trusted
// account itself.
func (s *Store) open(ctx context.Context, number mailbox.Number) (*Session, error) {
	if err := s.turn(ctx, number); err != nil {
		return nil, err
	}
	return s.openNow(ctx, number)
}

// openNow is open for whoever has waited for its turn. If the server refuses a second
// connection to the mailbox, a connection that listens makes room.
func (s *Store) openNow(ctx context.Context, number mailbox.Number) (*Session, error) {
	session, err := s.logIn(ctx, number)
	if errors.Is(err, errTurnedAway) {
		return s.makeRoom(ctx, number, err)
	}
	return session, err
}

// logIn connects and logs in.
func (s *Store) logIn(ctx context.Context, number mailbox.Number) (*Session, error) {
	login, err := s.loginOf(number)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(ctx)
	if err != nil {
		return nil, s.explainConnect(err)
	}
	if number != "" {
		c.wire.holds.memory, c.wire.holds.number = s.opts.Memory, number
	}
	session := &Session{store: s, number: number, login: login, wire: c.wire, client: c.client, conn: c}
	stop := c.wire.Bind(ctx)
	defer stop()
	c.began = time.Now()
	if err := s.authenticate(c, login); err != nil {
		cause := c.wire.Cause()
		_ = session.Close()
		s.noteFailure(number, err, cause)
		return nil, s.noteRejection(number, s.explainLogin(ctx, number, login, err, cause))
	}
	c.login = time.Since(c.began)
	ended := s.loggedIn(number, c.link, false, c.took+c.login)
	c.link.OnEnd(func() {
		ended()
		c.wire.holds.end()
	})
	s.accepted(number)
	if err := session.start(ctx); err != nil {
		_ = session.Close()
		return nil, err
	}
	return session, nil
}

// authenticate logs in with one round trip where the server has SASL-IR, and
// leaves the capabilities known. login is that of the mailbox to act for.
func (s *Store) authenticate(c *connection, login string) error {
	c.wire.Await(true)
	defer c.wire.Await(false)
	// Caps asks the server only where the greeting did not tell.
	if c.client.Caps() == nil {
		return fmt.Errorf("ask for capabilities: %w", errors.Join(c.wire.Cause(), errResponse))
	}
	if !c.wire.has("AUTH=PLAIN") {
		return errNoPlain
	}
	c.saslIR = c.wire.has("SASL-IR") // Cyrus no longer announces it after the log-in
	identity, name := s.identities(login)
	c.wire.beginLogin(s.secretsOf(base64.StdEncoding.EncodeToString([]byte(identity + "\x00" + name + "\x00" + s.opts.Password.Reveal()))))
	if err := c.client.Authenticate(sasl.NewPlainClient(identity, name, s.opts.Password.Reveal())); err != nil {
		return err
	}
	// They change with the log-in; Dovecot and Cyrus tell them in the answer, or
	// before it. Of another server go-imap asks for them when it has read all of the
	// answer, which it has when it has read the next one.
	if _, told := c.wire.toldAtLogin(); !told {
		if err := c.client.Noop().Wait(); err != nil && refusal(err) == nil {
			return err
		}
	}
	if c.client.Caps() == nil {
		return fmt.Errorf("ask for capabilities: %w", errors.Join(c.wire.Cause(), errResponse))
	}
	c.wire.setLoggedIn()
	return nil
}

// secretsOf are the trusted password, and the response by which it is sent.
func (s *Store) secretsOf(response string) secrets {
	password := s.opts.Password.Reveal()
	coded := base64.StdEncoding.EncodeToString([]byte(password))
	return secrets(nil).with(password).with(strings.TrimRight(coded, "=")).with(strings.TrimRight(response, "="))
}

// identities are the authorization identity and the name to log in with, for a
// mailbox's log-in; "" is the trusted account itself.
func (s *Store) identities(login string) (identity, name string) {
	switch {
	case login == "":
		return "", s.opts.TrustedName
	case s.opts.Login == site.LoginSeparator:
		return "", login + s.opts.Separator + s.opts.TrustedName
	default:
		return login, s.opts.TrustedName
	}
}

// loginOf is the log-in of a mailbox, and "" that of no mailbox. It is never made
// up: a mailbox of which none is known is refused.
func (s *Store) loginOf(number mailbox.Number) (string, error) {
	if number == "" {
		return "", nil
	}
	if err := number.Validate(); err != nil {
		return "", err
	}
	if s.opts.Logins == nil {
		return string(number), nil
	}
	op := s.loginOp(number, string(number))
	login, err := s.opts.Logins.Login(number)
	if err != nil {
		return "", fault.Wrap(err, op)
	}
	// A log-in that ends early, or that is cut in two elsewhere, is another's.
	unfit := ""
	switch {
	case login == "":
		unfit = "it is empty"
	case !isPlainText(login) || !utf8.ValidString(login):
		unfit = "it holds a control character, or is not UTF-8"
	case s.opts.Login == site.LoginSeparator && strings.Contains(login, s.opts.Separator):
		unfit = "it holds the separator " + s.opts.Separator
	default:
		return login, nil
	}
	return "", fault.New(fault.Permanent, op, errors.New("its log-in "+endpoint.Printable(strconv.QuoteToGraphic(login))+" cannot be used: "+unfit),
		"correct its entry in the store's directory, then: mailmirror directory sync LINK")
}

// Knows reports whether there is a log-in for a mailbox, so that it can be opened
// if it is there.
func (s *Store) Knows(number mailbox.Number) bool {
	_, err := s.loginOf(number)
	return err == nil
}

// named is how a mailbox is called in errors: with its log-in where that is not
// its number.
func named(number mailbox.Number, login string) string {
	if login == string(number) {
		return string(number)
	}
	return string(number) + " (log-in " + endpoint.Printable(login) + ")"
}

// loginOp is what a login is called in errors; number "" is the trusted account by itself.
func (s *Store) loginOp(number mailbox.Number, login string) string {
	op := "log in to store " + s.opts.Name
	if number != "" {
		op += " for mailbox " + named(number, login)
	}
	return op
}

// nameHint is what else Dovecot may need for a login with capitals or with letters outside
// ASCII; "" for another login.
func nameHint(login string) string {
	if strings.ContainsFunc(login, func(r rune) bool { return r >= utf8.RuneSelf || 'A' <= r && r <= 'Z' }) {
		return "; for capitals and letters outside ASCII, Dovecot also needs auth_username_format = %u (2.4: %{user}) and an empty auth_username_chars"
	}
	return ""
}

func (s *Store) actedLately() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.lastActed) < sureFor
}

// explainLogin says whose fault a refused log-in is. Servers give much the
// same answer to a wrong password, a mailbox that they do not have and a
// trusted account without rights, so that more than the answer is looked at.
func (s *Store) explainLogin(ctx context.Context, number mailbox.Number, login string, err, cause error) error {
	op := s.loginOp(number, login)
	switch no := refusal(err); {
	case errors.Is(err, errNoPlain):
		hint := "the server wants TLS first: use starttls or tls"
		if s.opts.Security != site.SecurityNone {
			hint = "enable AUTH=PLAIN on the server"
		}
		return fault.New(fault.Config, op, err, hint)
	case no == nil && errors.Is(cause, endpoint.ErrServerClosed):
		return fault.New(fault.Transient, op, cause,
			"see the server's log; the trusted account may need a user id of its own (Dovecot: uid, gid and home in its line of the passwd-file)")
	case no == nil && cause != nil:
		return transient(op, cause)
	case errors.Is(err, errResponse):
		return fault.New(fault.Config, op, errResponse, storeFaultHint)
	case no == nil:
		return fault.New(fault.Config, op, errLogin, "see the server's log; check that the address is that of an IMAP server with AUTH=PLAIN")
	case passing[no.Code], no.Code == "" && s.rooms.has(number):
		// A mailbox to which there is a connection exists, and the trusted account may
		// act for it: Cyrus says in plain words alone that it allows no more of them.
		text := errTurnedAway.Error()
		if no.Code != "" {
			text += ": [" + string(no.Code) + "]"
		}
		return fault.New(fault.Transient, op, endpoint.Sentence(text, errTurnedAway), fewConnections)
	case number == "":
		return fault.New(fault.Config, op, errCredentials, "check the trusted name and the password file")
	case no.Code == imap.ResponseCodeAuthorizationFailed || s.actedLately():
		// RFC 5530, section 3: the password was right.
		return fault.New(fault.Permanent, op, errNoMailbox, "create the mailbox on the store, or remove it from the link"+nameHint(login))
	}
	self, serr := s.open(ctx, "")
	if errors.Is(serr, errCredentials) && s.alone(number) {
		// The trusted account acts for others and never logs in by itself.
		return fault.New(fault.Permanent, op, errNoMailbox, "create the mailbox on the store, or remove it from the link"+nameHint(login))
	}
	if serr == nil {
		_ = self.Close()
		return fault.New(fault.Config, op, errNoRight,
			"give the account that right on the server (Dovecot: a master passdb; Cyrus: proxyservers), and see whether the mailbox exists; "+
				"check whether the server wants authzid or separator"+nameHint(login))
	}
	if errors.Is(serr, errCredentials) {
		return fault.New(fault.Config, op, errCredentials,
			"check the trusted name and the password file; if the trusted account never logs in by itself, see also whether the mailbox exists")
	}
	return serr
}
