package imapstore

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/mailbox"
)

// Gate bounds the load that all processes together put on a store, and learns how
// the server bears it. It is safe for concurrent use.
type Gate interface {
	// Login waits until a login may begin.
	Login(ctx context.Context) error
	// WorthListing returns an error that is errors.ErrUnsupported and says why, if
	// a list of all mailboxes is not worth its cost for so many of them.
	WorthListing(ctx context.Context, mailboxes int) error
	// Listing waits until a list of all mailboxes may begin, and if session is set
	// also until a session may be opened for it. done is to be called once the
	// list is complete, or broken off. An error that is errors.ErrUnsupported
	// says why there is to be no list.
	Listing(ctx context.Context, session bool) (done func(mailboxes int, complete bool), err error)
	// Session waits until a session may be opened to read one mailbox in turn;
	// leave is to be called when it is closed.
	Session(ctx context.Context) (leave func(), err error)
	// Go runs f, which may go on after ctx, the caller's, until the process ends.
	Go(ctx context.Context, f func(context.Context))
	// LoggedIn notes a login and how long it took; closed is to be called when
	// the connection ends.
	LoggedIn(took time.Duration) (closed func())
	// TurnedAway notes that the server refused a connection or a login that it
	// would take at another time; silent is whether it gave no answer at all.
	TurnedAway(silent bool)
	// MailboxFull notes that the server refused a session to a mailbox as long as so
	// many connections listened to it, and accepted it without them.
	MailboxFull(open int)
}

// openGate is the gate of a store whose load nobody bounds: that of a check, or a
// test. What Go gets goes on until the caller's context ends.
type openGate struct{}

func (openGate) Login(context.Context) error             { return nil }
func (openGate) WorthListing(context.Context, int) error { return nil }
func (openGate) Session(context.Context) (func(), error) { return func() {}, nil }
func (openGate) Listing(context.Context, bool) (func(int, bool), error) {
	return func(int, bool) {}, nil
}
func (openGate) Go(ctx context.Context, f func(context.Context)) { go f(ctx) }
func (openGate) LoggedIn(time.Duration) func()                   { return func() {} }
func (openGate) TurnedAway(bool)                                 {}
func (openGate) MailboxFull(int)                                 {}

var _ Gate = openGate{}

// noteFailure tells the gate of a connection that did not come to be, if its
// failure says something of the load that the server bears. A port where nobody
// listens says nothing, and neither does the refusal of a second connection to the same
// mailbox: the server may bound those.
func (s *Store) noteFailure(number mailbox.Number, err, cause error) {
	no := refusal(err)
	silent := errors.Is(err, errNoGreeting) || errors.Is(cause, endpoint.ErrReadTimeout)
	switch {
	case silent:
		s.gate.TurnedAway(true)
	case no != nil && s.rooms.has(number):
	case no != nil && (no.Code == imap.ResponseCodeUnavailable || no.Code == imap.ResponseCodeLimit || no.Code == imap.ResponseCodeInUse),
		errors.Is(err, errRejected), errors.Is(err, endpoint.ErrServerClosed), errors.Is(cause, endpoint.ErrServerClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
		s.gate.TurnedAway(false)
	}
}
