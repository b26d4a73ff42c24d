package imapstore

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"mailmirror/internal/endpoint"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// An APPEND goes out with its message right behind it. A server that answers
// BAD, because it did not understand a flag, the date or the folder's name,
// reads the message as commands, with the rights of the trusted account. So
// nothing leaves here that is not certain to be understood.

var systemFlags = []string{`\Answered`, `\Flagged`, `\Deleted`, `\Seen`, `\Draft`}

const (
	maxKeyword = 255  // bytes; Dovecot refuses more than 50 by itself, with NO
	maxFlags   = 4000 // bytes of all flags of a message: a command line has its limits
	maxName    = 1000 // bytes of a folder's name in UTF-8
)

// validFlag accepts the five system flags that are stored with a message and
// keywords that are atoms (RFC 9051, section 9, flag).
func validFlag(f string) bool {
	if strings.HasPrefix(f, `\`) {
		return slices.ContainsFunc(systemFlags, func(s string) bool { return strings.EqualFold(s, f) })
	}
	if f == "" || len(f) > maxKeyword {
		return false
	}
	for i := range len(f) {
		if !isAtomByte(f[i]) {
			return false
		}
	}
	return true
}

func validateFlags(flags mailbox.Flags) error {
	if len(flags) > maxFlags {
		return fault.New(fault.Permanent, "more flags than fit into a command", nil,
			"the message has very many keywords on the other store; remove some there")
	}
	for _, f := range flags.List() {
		if !validFlag(f) {
			return fault.New(fault.Permanent, "flag that IMAP does not allow", nil,
				"the other store keeps a flag or keyword that no IMAP command can carry; remove it there")
		}
	}
	return nil
}

// validateName accepts what modified UTF-7 carries unharmed and servers can be
// expected to answer with OK or NO.
func validateName(name mailbox.FolderName, wire string) error {
	bad := ""
	switch {
	case slices.Contains(name.Components(), ""):
		// Cyrus takes "INBOX." and "INBOX.." for the inbox itself.
		bad = "it is empty, or one of its levels is"
	case slices.ContainsFunc(name.Components(), func(c string) bool { return c == "." || c == ".." }):
		bad = "one of its levels is a dot or two, which some servers take for another folder of their disk"
	case len(wire) > maxName:
		bad = "it is too long"
	case !utf8.ValidString(wire):
		bad = "it is not UTF-8"
	case strings.ContainsFunc(wire, unicode.IsControl):
		bad = "it holds a control character"
	case strings.ContainsRune(wire, utf8.RuneError):
		bad = "it holds a character that stands for an unreadable one"
	default:
		return nil
	}
	return fault.New(fault.Permanent, "folder "+endpoint.Printable(string(name))+": the name cannot be used here: "+bad, nil, "rename the folder on the source")
}

// The dates that both Dovecot and Cyrus understand: before the first, Cyrus
// answers BAD, and after the last a year has five digits.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC)
)

func validateDate(t time.Time) error {
	_, offset := t.Zone()
	if t.Before(earliest) || t.After(latest) || offset%60 != 0 || offset <= -24*3600 || offset >= 24*3600 {
		return fault.Newf(fault.Permanent, "internal date %s is one that IMAP cannot carry", t.Format(time.RFC3339))
	}
	return nil
}
