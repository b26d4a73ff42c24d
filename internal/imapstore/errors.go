package imapstore

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
)

// Why Mailmirror gave a connection up.
var (
	errAborted    = errors.New("the session was given up")
	errBadCommand = errors.New("the server did not understand a command (BAD)")
)

// passing are the response codes (RFC 5530, RFC 9051 section 7.1) of a NO
// that may be a yes later, without anybody changing the message.
var passing = map[imap.ResponseCode]bool{
	imap.ResponseCodeInUse:       true,
	imap.ResponseCodeUnavailable: true,
	imap.ResponseCodeOverQuota:   true,
	imap.ResponseCodeLimit:       true,
	imap.ResponseCodeServerBug:   true,
}

// refusal returns the server's NO where err is one.
func refusal(err error) *imap.Error {
	if e, ok := errors.AsType[*imap.Error](err); ok && e.Type == imap.StatusResponseTypeNo {
		return e
	}
	return nil
}

// answer classifies a NO. Its text is the server's own, as the wire lets it be
// shown, and left out where that shows none.
func answer(op string, no *imap.Error) error {
	if no.Text == "" {
		return withoutText(op, no)
	}
	text := no.Text
	if no.Code != "" {
		text = "[" + string(no.Code) + "] " + text
	}
	return refusalOf(op, no, errors.New("the server refuses: "+text))
}

// refusalOf gives a NO its kind and hint.
func refusalOf(op string, no *imap.Error, cause error) *fault.Error {
	kind, hint := fault.Permanent, ""
	switch {
	case no.Code == imap.ResponseCodeOverQuota:
		kind, hint = fault.Transient, "the mailbox is full on this store; raise its quota there"
	case passing[no.Code]:
		kind, hint = fault.Transient, "Mailmirror tries again later; if that does not help, the store's log says why it rejects this"
	case no.Code == imap.ResponseCodeNoPerm:
		hint = "give the trusted account all rights on the mailbox"
	}
	return &fault.Error{Kind: kind, Op: op, Err: cause, Hint: hint, NoRoom: no.Code == imap.ResponseCodeOverQuota, Rejected: true}
}

// refused says that the server answered NO to a command about a message. Its
// text stays out: it is the server's choice what that quotes.
func refused(no *imap.Error) string {
	if no.Code == "" {
		return "the server refuses it and gives no code; see its log"
	}
	return "the server refuses it: [" + string(no.Code) + "]"
}

// withoutText is answer for commands about messages.
func withoutText(op string, no *imap.Error) error {
	return refusalOf(op, no, errors.New(refused(no)))
}

// ofMessage is withoutText for a message that the server does not store. A limit
// that it exceeds is the message's own, and does not pass.
func ofMessage(op string, no *imap.Error) error {
	if no.Code == imap.ResponseCodeLimit {
		return fault.New(fault.Permanent, op, errors.New(refused(no)),
			"the store accepts no message like this one; raise its limit for the size of a message")
	}
	return withoutText(op, no)
}

// earlyAnswer is the end of a session whose server answered an APPEND that could
// have taken more messages. Of a NO it keeps the code: why the server did not
// wait for the rest is what the operator has to know.
type earlyAnswer struct{ no *imap.Error }

func newEarlyAnswer(kind string, said status) earlyAnswer {
	if kind != "NO" {
		return earlyAnswer{}
	}
	return earlyAnswer{&imap.Error{Type: imap.StatusResponseTypeNo, Code: said.refusedFor()}}
}

// Error implements error.
func (e earlyAnswer) Error() string {
	text := "the server answered an APPEND before its end"
	if e.no != nil {
		text += ": " + refused(e.no)
	}
	return text
}

// hint is what the operator can do about it.
func (e earlyAnswer) hint() string {
	if e.no == nil {
		return ""
	}
	return refusalOf("", e.no, nil).Hint
}

// errUnreadable stands for whatever go-imap says of an answer: its errors may
// quote the answer.
var errUnreadable = errors.New("the server's answer cannot be read")

// ownErrors are the errors whose text is fit to be shown.
var ownErrors = []error{
	errResponse, errUnknownTag, errNoFolder, errEncoding, errBodySize, io.ErrUnexpectedEOF, io.EOF, context.Canceled, context.DeadlineExceeded,
}

// readableCause keeps what a library says out of an error text, but for errors
// that are known to hold none of the server's words.
func readableCause(err error) error {
	var network net.Error
	_, bound := errors.AsType[*boundError](err)
	if bound || errors.As(err, &network) || slices.ContainsFunc(ownErrors, func(own error) bool { return errors.Is(err, own) }) {
		return err
	}
	return errUnreadable
}

// failed classifies the end of a session: whatever is not a NO. It is a loss, see
// fault.Error, unless it was our own doing or the server may still be working.
func (s *Session) failed(op string, err error) error {
	op = "store " + s.store.opts.Name + ": " + op
	cause := s.wire.Cause()
	bad, isBad := errors.AsType[*imap.Error](err)
	early, isEarly := errors.AsType[earlyAnswer](cause)
	lost := func(err error, hint string) error {
		return &fault.Error{Kind: fault.Transient, Op: op, Err: err, Hint: hint, Lost: true}
	}
	switch {
	case errors.Is(cause, errBadCommand):
		// The session is over, so that this is no Permanent trouble of one
		// folder or message, although it will hardly pass.
		if isBad {
			cause = notUnderstood(bad)
		}
		return lost(cause,
			"the connection was dropped to be safe; please report this with the server's name and release")
	case isEarly:
		return lost(early, early.hint())
	case errors.Is(cause, endpoint.ErrLeaseOver):
		return fault.New(fault.Conflict, op, endpoint.ErrLeaseOver, "")
	case errors.Is(cause, endpoint.ErrReadTimeout):
		return &fault.Error{Kind: fault.Transient, Op: op, Err: cause, Silent: true}
	case errors.Is(cause, endpoint.ErrWriteTimeout), errors.Is(cause, endpoint.ErrClosed),
		errors.Is(cause, context.Canceled), errors.Is(cause, context.DeadlineExceeded):
		return fault.New(fault.Transient, op, cause, "")
	case cause != nil && !errors.Is(cause, errAborted):
		return lost(cause, storeFault(cause))
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Transient, op, err, "")
	}
	cause = readableCause(err)
	return lost(cause, storeFault(cause))
}

// notUnderstood is the error for a BAD.
func notUnderstood(bad *imap.Error) error {
	if bad.Text == "" {
		return errors.New("the server does not understand a command of Mailmirror; its log says why")
	}
	return errors.New("the server does not understand: " + bad.Text)
}

// classify gives the result of a whole operation: nil, a NO as what it is, an
// error that has a kind already unchanged, and everything else as the end of
// the session.
func (s *Session) classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[*callerError](err); ok {
		return own.error
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if no := refusal(err); no != nil && s.wire.Cause() == nil {
		return answer("store "+s.store.opts.Name+": "+op, no)
	}
	failed := s.failed(op, err)
	_ = s.wire.Fail(errAborted)
	return failed
}
