package mailbox

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailmirror/internal/fault"
)

// Number names one subscriber's mailbox, equal on both stores of a link.
type Number string

// Validate reports whether n can name a mailbox: 1 to 128 printable
// characters without blanks. Slash is refused because numbers are part of
// workflow ids and of namespace paths; asterisk and percent are LIST wildcards.
func (n Number) Validate() error {
	if length := utf8.RuneCountInString(string(n)); length == 0 || length > 128 {
		return fault.Newf(fault.Config, "mailbox number %q: want 1 to 128 characters", string(n))
	}
	if !utf8.ValidString(string(n)) {
		return fault.Newf(fault.Config, "mailbox number %q: want UTF-8", string(n))
	}
	for _, r := range n {
		if !unicode.IsPrint(r) || unicode.IsSpace(r) || strings.ContainsRune(`/*%"\(){}`, r) {
			return fault.Newf(fault.Config, "mailbox number %q: character %q is not allowed", string(n), r)
		}
	}
	return nil
}

// Key names one mailbox of one link; it is what a sync works on.
type Key struct {
	Link   string `json:"link"`
	Number Number `json:"number"`
}

// Role tells messages from greetings; every count is reported per role.
type Role string

// The two roles of a folder.
const (
	RoleMessages  Role = "messages"
	RoleGreetings Role = "greetings"
)

// UID is an IMAP unique identifier (RFC 9051, section 2.3.1.1), never 0.
type UID uint32

// Message is what a store tells of one message without its content.
type Message struct {
	UID          UID
	Flags        Flags
	Size         int64     // RFC822.SIZE, bytes
	InternalDate time.Time // to the second, with the zone that the server gave
}

// Counters are the figures that STATUS and EXAMINE give for a folder. Two
// equal Counters with a HighestModSeq prove that nothing changed in between
// (RFC 7162, section 3.1).
type Counters struct {
	UIDValidity   uint32
	UIDNext       UID
	Messages      uint32
	HighestModSeq uint64 // 0 where the store has no CONDSTORE
}

// Unchanged reports whether a folder that once had c and now has now is
// proven to be as it was. Without mod-sequences nothing is ever proven,
// because a changed flag moves no other counter.
func (c Counters) Unchanged(now Counters) bool {
	return c.HighestModSeq != 0 && c == now
}

// Folder is one line of a store's folder list.
type Folder struct {
	Name       FolderName
	Selectable bool
	Subscribed bool
	// Unreadable is true where the name is not modified UTF-7, so that the
	// folder cannot be named to any other store; Name is then the raw name.
	Unreadable bool
	// SpecialUse holds the attributes of RFC 6154, such as `\Sent`.
	SpecialUse []string
	// Counters are the zero value where the folder is not selectable or where
	// the store would not tell.
	Counters Counters
}
