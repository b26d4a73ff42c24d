// Package fault gives every error of Mailmirror one of five kinds.
//
// Adapters classify an error once, at their edge; everything above them only
// adds an operation or passes the error on. The kind decides what happens
// next: who retries, how soon, and whether an operator must act. The package
// must not know of any protocol, database or workflow engine.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Kind says what kind of trouble an error is, and with it what to do next.
type Kind string

const (
	// Transient trouble passes by itself: a lost connection, a server that is
	// starting, a lock. Try again with a growing interval.
	Transient Kind = "transient"
	// Permanent trouble stays until somebody changes the data: a message that
	// the target refuses, a mailbox that a store does not have.
	Permanent Kind = "permanent"
	// Conflict means that what was read is no longer so: another writer holds
	// the lease, a UIDVALIDITY changed. Read again and plan anew.
	Conflict Kind = "conflict"
	// Config trouble is the operator's to correct: a wrong password, an unknown
	// CA, a port that speaks another protocol.
	Config Kind = "config"
	// NotFound means that Mailmirror's own records were read and do not hold
	// what was asked for: a link, a mailbox of a link, a run. It is the only
	// kind that proves this. Work that ends for ever because its link is gone
	// ends on NotFound and on nothing else.
	NotFound Kind = "not_found"
)

// ErrDatabase is in the chain of every error with which Mailmirror's own
// database refused a request or could not be asked. Such an error says nothing
// about a mailbox, a link or a store, so nothing may be concluded from it:
// whoever runs in the background tries again, whatever the error's kind.
var ErrDatabase = errors.New("the database failed")

// Error is a classified error. Its text never holds message content, a
// password or any other credential.
type Error struct {
	Kind Kind
	// Op is what was being done, lower case, for instance "select folder".
	Op string
	// Err is the cause; it may be nil where Op says it all.
	Err error
	// Hint tells the operator what to try; it may be empty.
	Hint string
	// Lost is true if the server closed the connection, or the network did,
	// before the command was answered. A deadline of our own is no such end: the
	// server may still be working.
	Lost bool
	// Silent is true if the server did not answer a command within the time that
	// Mailmirror waits. The connection is closed then.
	Silent bool
	// NoRoom is true if the server rejected something for want of room.
	NoRoom bool
	// Rejected is true if the server answered NO to a command. The session can still
	// be used, whatever the kind.
	Rejected bool
}

// Error returns "op: cause", without the hint, which callers show apart.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Op
	case e.Op == "":
		return e.Err.Error()
	default:
		return e.Op + ": " + e.Err.Error()
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New classifies err, which may be nil. hint may be empty.
func New(kind Kind, op string, err error, hint string) *Error {
	return &Error{Kind: kind, Op: op, Err: err, Hint: hint}
}

// Newf classifies a trouble that has no cause of its own.
func Newf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Op: fmt.Sprintf(format, args...)}
}

// KindOf returns the kind of the outermost classified error in err's chain.
// An error that nobody classified counts as Transient: trying again with a
// growing interval is the one answer that is never harmful here.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Transient
}

// Is reports whether err is of the given kind. A nil error is of none.
func Is(err error, kind Kind) bool {
	return err != nil && KindOf(err) == kind
}

// HintOf returns the first hint in err's tree, from the outside in, or "".
func HintOf(err error) string {
	if e, ok := err.(*Error); ok && e.Hint != "" { //nolint:errorlint // the tree is walked here, node by node
		return e.Hint
	}
	switch e := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return HintOf(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, joined := range e.Unwrap() {
			if hint := HintOf(joined); hint != "" {
				return hint
			}
		}
	}
	return ""
}

// Lost reports whether err is, or wraps, the loss of a connection; see Error.Lost.
func Lost(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Lost
}

// Silent reports whether err is, or wraps, a command without an answer; see
// Error.Silent.
func Silent(err error) bool {
	for e, ok := errors.AsType[*Error](err); ok; e, ok = errors.AsType[*Error](e.Err) {
		if e.Silent {
			return true
		}
	}
	return false
}

// NoRoom reports whether err is, or wraps, a rejection for want of room.
func NoRoom(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.NoRoom
}

// Rejected reports whether err is, or wraps, the server's NO to a command; see
// Error.Rejected.
func Rejected(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Rejected
}

// Wrap puts an operation before err and keeps its kind and hint. A nil error
// stays nil.
func Wrap(err error, op string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", op, err)
}

// Plain returns a text with a blank in the place of each character that is not
// printed, such as control characters, line ends and changes of direction: names
// that others chose must not steer a terminal or begin a line of a log.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}

// Guard runs work on one mailbox or connection and turns a panic into a Permanent
// fault of it: one answer that nobody thought of must not end the process that
// mirrors all the others. The panic's text may hold content and is not kept, its
// type is. A panic of another goroutine is out of its reach.
func Guard(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = New(Permanent, fmt.Sprintf("internal error: panic of type %T", p), nil,
				"this is a defect of Mailmirror; please report it with the worker's version")
		}
	}()
	return work()
}
