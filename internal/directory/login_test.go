package directory_test

import (
	"strings"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

func TestLogins(t *testing.T) {
	l := directory.NewLogins("{mail}", map[string]string{
		"2001": "u2001@example.com", "2002": "2003", "2003": "",
		"2004": "Twin@example.com", "2005": "twin@example.com", "2006": "twin@example.com", "2007": "twin@example.comm",
	})
	for number, want := range map[string]string{"2001": "u2001@example.com", "2002": "2003", "2007": "twin@example.comm"} {
		if got, err := l.Login(number); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", number, got, err, want)
		}
	}
	for number, because := range map[string]string{"9": "not known", "": "not known", "2003": "gives no log-in by the rule {mail}",
		"2004": "several mailboxes: 2004, 2005, 2006", "2005": "several mailboxes", "2006": "several mailboxes"} {
		got, err := l.Login(number)
		if got != "" || !fault.Is(err, fault.Permanent) || !strings.Contains(err.Error(), because) || fault.HintOf(err) == "" {
			t.Errorf("%q: %q, %v (%s), want an error that tells %q", number, got, err, fault.HintOf(err), because)
		}
	}
	if got, err := directory.NumberLogins().Login("2001"); got != "2001" || err != nil {
		t.Errorf("by number: %q, %v", got, err)
	}
}

func TestLoginIsNumber(t *testing.T) {
	for rule, want := range map[string]bool{"": true, "{MailboxNumber}": true, "{mailboxnumber}": true,
		"{mail}": false, "{MailboxNumber}@example.com": false, "x{MailboxNumber}": false} {
		m := directory.DefaultMapping()
		m.Login = rule
		if got := m.LoginIsNumber(); got != want {
			t.Errorf("%q: %v", rule, got)
		}
	}
	m := directory.DefaultMapping()
	m.Names[directory.MailboxNumber] = "extension" // and the rule is {MailboxNumber} still
	if m.LoginIsNumber() {
		t.Error("an attribute that is not the number is taken for it")
	}
}

// Log-ins that nobody has any more were hidden, not taken away.
func TestBelieveLogins(t *testing.T) {
	limits := directory.Limits{ShrinkShare: 10}
	had := directory.Extracted{Entries: 100, Having: map[directory.Column]int{}, Rule: "{mail}", Logins: 90}
	now := had
	now.Logins = 0
	if got := directory.Believe(limits, now, had, had, had, true); len(got) != 1 || !strings.Contains(got[0], "source gives an IMAP log-in any more") {
		t.Errorf("the source's: %q", got)
	}
	if got := directory.Believe(limits, had, now, had, had, true); len(got) != 1 || !strings.Contains(got[0], "target") {
		t.Errorf("the target's: %q", got)
	}
	other := now
	other.Rule = "{uid}"
	if got := directory.Believe(limits, other, had, had, had, true); len(got) != 0 {
		t.Errorf("by another rule: %q", got)
	}
	few := had
	few.Logins = 1
	if got := directory.Believe(limits, few, had, had, had, true); len(got) != 0 {
		t.Errorf("one is left: %q", got)
	}
}
