package imapstore

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailmirror/internal/fault"
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

// answer classifies a NO to a command that holds nothing of a message. The text
// is the server's own, cut short.
func answer(op string, no *imap.Error) error {
	text := printable(no.Text)
	if no.Code != "" {
		text = "[" + printable(string(no.Code)) + "] " + text
	}
	cause := errors.New("the server refuses: " + strings.TrimSpace(text))
	kind, hint := fault.Permanent, ""
	switch {
	case no.Code == imap.ResponseCodeOverQuota, no.Code == "" && strings.Contains(strings.ToLower(no.Text), "over quota"):
		kind, hint = fault.Transient, "the mailbox is full on this store; raise its quota there"
	case passing[no.Code]:
		kind = fault.Transient
	case no.Code == imap.ResponseCodeNoPerm:
		hint = "give the trusted account all rights on the mailbox"
	}
	return fault.New(kind, op, cause, hint)
}

// refused says that the server answered NO to a command about a message. Its
// text stays out: it is the server's choice what that quotes.
func refused(no *imap.Error) string {
	if no.Code == "" {
		return "the server refuses it and gives no code; see its log"
	}
	return "the server refuses it: [" + printable(string(no.Code)) + "]"
}

// withoutText is answer for commands about messages.
func withoutText(op string, no *imap.Error) error {
	err := answer(op, no)
	if f, ok := errors.AsType[*fault.Error](err); ok {
		f.Err = errors.New(refused(no))
	}
	return err
}

// earlyAnswer is the end of a session whose server answered an APPEND that could
// have taken more messages. Of a NO it keeps the code: why the server did not
// wait for the rest is what the operator has to know.
type earlyAnswer struct{ no *imap.Error }

func newEarlyAnswer(kind, args []byte) earlyAnswer {
	if !bytes.EqualFold(kind, []byte("NO")) {
		return earlyAnswer{}
	}
	no := &imap.Error{Type: imap.StatusResponseTypeNo}
	if list, ok := bytes.CutPrefix(args, []byte("[")); ok {
		code, _, _ := bytes.Cut(list, []byte("]"))
		code, _, _ = bytes.Cut(code, []byte(" "))
		no.Code = imap.ResponseCode(bytes.ToUpper(code))
	}
	return earlyAnswer{no}
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
	f, _ := errors.AsType[*fault.Error](answer("", e.no))
	return f.Hint
}

// readableCause keeps a library's dump of its own state out of an error text.
func readableCause(err error) error {
	if text := err.Error(); len(text) > 300 || strings.ContainsAny(text, "\n\r") {
		return errors.New("the server's answer cannot be read")
	}
	return err
}

// printable cuts a server's text to something fit for a log line.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() > 160 {
			b.WriteString("…")
			break
		}
		if r < 0x20 || r == 0x7f {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// failed classifies the end of a session: whatever is not a NO.
func (s *Session) failed(op string, err error) error {
	op = "store " + s.store.opts.Name + ": " + op
	cause := s.wire.cause()
	bad, isBad := errors.AsType[*imap.Error](err)
	early, isEarly := errors.AsType[earlyAnswer](cause)
	switch {
	case errors.Is(cause, errBadCommand) && isBad:
		// The session is over, so that this is no Permanent trouble of one
		// folder or message, although it will hardly pass.
		return fault.New(fault.Transient, op, errors.New("the server does not understand: "+printable(bad.Text)),
			"the connection was dropped to be safe; please report this with the server's name and release")
	case isEarly:
		return fault.New(fault.Transient, op, early, early.hint())
	case errors.Is(cause, ErrLeaseOver):
		return fault.New(fault.Conflict, op, ErrLeaseOver, "")
	case cause != nil && !errors.Is(cause, errClosed) && !errors.Is(cause, errAborted):
		return fault.New(fault.Transient, op, cause, "")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Transient, op, err, "")
	}
	return fault.New(fault.Transient, op, readableCause(err), "")
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
	if no := refusal(err); no != nil && s.wire.cause() == nil {
		return answer("store "+s.store.opts.Name+": "+op, no)
	}
	failed := s.failed(op, err)
	_ = s.wire.fail(errAborted)
	return failed
}
