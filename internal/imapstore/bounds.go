package imapstore

import (
	"errors"
	"fmt"

	"mailmirror/internal/fault"
)

// Bounds of what a store may make Mailmirror read and hold. They are far above
// what a store in order sends: a mailbox of 1,500 folders takes 300 kB to list, a
// message's line of metadata has less than 1 kB. The content of a message is not
// among them: it goes through in pieces and takes no memory.
const (
	readBuffer = 16 << 10
	// maxLine bounds a line, and a response with its literals, in bytes.
	maxLine = 1 << 20
	// maxLiterals bounds the literals of one response.
	maxLiterals = 100
	// maxNesting bounds the lists within lists of one response.
	maxNesting = 32
	// maxUnasked bounds what comes between two commands without being an
	// answer, in bytes: a million changed flags are 40 MB.
	maxUnasked = 64 << 20
	// maxSearch bounds a list of UIDs in bytes, maxRanges in runs of UIDs.
	maxSearch = 64 << 20
	maxRanges = 1 << 20
	// maxMessages bounds the messages of a folder. A sync of a folder of that size takes
	// about 120 MB, four times that with a million.
	maxMessages = 250_000
	// maxOutOfOrder bounds the messages of one answer that come after one with
	// a higher UID: sorting them in costs time.
	maxOutOfOrder = 50_000
	// maxMessageFlags bounds the flags of one message, maxFlagSets the
	// different sets of flags of a folder, in bytes.
	maxMessageFlags = 16 << 10
	maxFlagSets     = 8 << 20
)

// listBound bounds the answer to a question for folders.
type listBound struct {
	responses int
	bytes     int64
}

// ofMailbox is for the folders of one mailbox.
var ofMailbox = listBound{responses: 60_000, bytes: 6 << 20}

// ofNamespace is for the folders of all mailboxes, of which n are asked for. The
// store may show eight times as many as that.
func ofNamespace(n int) listBound {
	return listBound{responses: 150_000 + 100*n, bytes: 12<<20 + int64(n)*10<<10}
}

// boundError says that a store sent more than Mailmirror reads.
type boundError struct{ what, bound string }

func beyond(what, format string, args ...any) error {
	return &boundError{what, fmt.Sprintf(format, args...)}
}

// Error implements error. It holds none of the store's words.
func (e *boundError) Error() string {
	return "the store is at fault: it sends " + e.what + "; Mailmirror reads at most " + e.bound
}

// storeFaultHint tells what to do about a store that breaks the protocol or a bound.
const storeFaultHint = "Mailmirror dropped the connection to be safe; see the store's log, and check that the address is that of the right server and that the mailbox is intact there"

// storeFault returns the hint for an error that is the store's fault, "" for others.
func storeFault(err error) string {
	_, bound := errors.AsType[*boundError](err)
	if bound || errors.Is(err, errResponse) || errors.Is(err, errUnknownTag) {
		return storeFaultHint
	}
	return ""
}

// transient classifies the end of a connection.
func transient(op string, err error) error {
	return fault.New(fault.Transient, op, err, storeFault(err))
}
