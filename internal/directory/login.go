package directory

import (
	"fmt"
	"slices"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// LoginIsNumber reports whether the IMAP log-in of every entry is its number.
func (m Mapping) LoginIsNumber() bool {
	return m.Login == "" || strings.EqualFold(m.Login, "{"+m.Names[MailboxNumber]+"}")
}

// LoginRule tells apart by what rules, and of which entries, log-ins were made: what
// was made by another one is nobody's log-in.
func (m Mapping) LoginRule() string {
	return fmt.Sprintf("%q of %q in %q %q %q %q", m.Login, m.Names[MailboxNumber], m.BaseDN, m.Scope, m.ObjectClass, m.Filter)
}

// Logins says by which IMAP log-in a store knows its mailboxes. It never changes.
//
// No log-in is ever made up: where the rule is not the number itself, a mailbox of
// which the directory tells none, or one that is not its alone, has none, since the
// number, or the other's, may open somebody else's mailbox.
type Logins struct {
	rule string // "" where the number is the log-in
	of   map[string]string
	// shared are log-ins, folded, that several numbers have.
	shared map[string][]string
}

// NumberLogins is what holds where the number is the log-in.
func NumberLogins() *Logins { return &Logins{} }

// NewLogins returns the log-ins that were made by a rule, by number; "" is that the
// entry gives none.
func NewLogins(rule string, of map[string]string) *Logins {
	l := &Logins{rule: rule, of: of, shared: map[string][]string{}}
	first := make(map[string]string, len(of))
	for number, login := range of {
		if login == "" {
			continue
		}
		// Many servers tell upper from lower case, and many do not: two of which one
		// might be the other are both nobody's.
		key := mailbox.FoldLogin(login)
		other, met := first[key]
		if !met {
			first[key] = number
			continue
		}
		if len(l.shared[key]) == 0 {
			l.shared[key] = []string{other}
		}
		l.shared[key] = append(l.shared[key], number)
	}
	for _, numbers := range l.shared {
		slices.Sort(numbers)
	}
	return l
}

// Login returns the log-in of a mailbox. That it has none is Permanent: the
// mailbox's own fault.
func (l *Logins) Login(number string) (string, error) {
	if l.rule == "" {
		return number, nil
	}
	login, known := l.of[number]
	switch {
	case !known:
		return "", fault.New(fault.Permanent, "its log-in is not known: no entry with the number was seen in the store's directory", nil,
			"a run over the directory finds it, if it is there: mailmirror directory sync LINK")
	case login == "":
		return "", fault.New(fault.Permanent, "its entry gives no log-in by the rule "+l.rule, nil,
			"give the entry exactly one value of each attribute of the rule, then: mailmirror directory sync LINK")
	}
	if others := l.shared[mailbox.FoldLogin(login)]; len(others) > 0 {
		return "", fault.New(fault.Permanent, fmt.Sprintf("its log-in %s is that of several mailboxes: %s", printable(login), fewOf(others)), nil,
			"give each entry a log-in of its own, then: mailmirror directory sync LINK")
	}
	return login, nil
}

func fewOf(numbers []string) string {
	const few = 5
	if len(numbers) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(numbers[:few], ", "), len(numbers)-few)
	}
	return strings.Join(numbers, ", ")
}

// printable quotes a log-in that is not fit for a line of text.
func printable(login string) string {
	if quoted := fmt.Sprintf("%q", login); quoted != `"`+login+`"` {
		return quoted
	}
	return login
}
