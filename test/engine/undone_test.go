//go:build integration

package engine

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/site"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// compares reviews the mailbox again and again, as compares do, and returns what
// each review did.
func (m *mirror) compares(times int) (reports []copier.Report) {
	m.t.Helper()
	for range times {
		r, _ := m.review()
		reports = append(reports, r)
	}
	return reports
}

// errors returns what `mailmirror errors` shows, by kind of difference.
func (m *mirror) errors() map[copier.DifferenceKind][]site.ErrorEntry {
	m.t.Helper()
	entries, err := m.ledger.Errors(m.t.Context(), link)
	if err != nil {
		m.t.Fatal(err)
	}
	out := map[copier.DifferenceKind][]site.ErrorEntry{}
	for _, e := range entries {
		out[copier.DifferenceKind(e.Kind)] = append(out[copier.DifferenceKind(e.Kind)], e)
	}
	return out
}

// TestTargetThatExpires: a Dovecot that keeps only the last five messages of an
// inbox. Mailmirror copies what it loses a few times, says so, and stops.
func TestTargetThatExpires(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Extra: `
namespace inbox {
  mailbox INBOX {
    autoexpunge = 3650d
    autoexpunge_max_mails = 5
  }
}
`})
	m := newMirror(t, mailboxNumber(410), production, dr)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 12)...) })
	copies, quiet := 0, 0
	for range 15 {
		r := m.compares(1)[0]
		copies += r.Messages.Appended
		if quiet++; r.Messages.Appended > 0 {
			quiet = 0
		}
		// Dovecot expunges when the session ends, which may take a moment.
		m.target.fewer(5)
	}
	if copies > 4*12 || quiet < 5 {
		t.Errorf("%d copies of 12 messages, and the last %d compares copied nothing", copies, quiet)
	}
	if r := m.compares(1)[0]; r.Outcome != copier.Differing || r.Differences != 7 {
		t.Errorf("ended %s with %d differences, want 7", r.Outcome, r.Differences)
	}
	lost := m.errors()[copier.Lost]
	if len(lost) != 1 || !strings.Contains(lost[0].Text, "loses messages by itself: 7 messages") || lost[0].Hint == "" {
		t.Errorf("errors shows %+v", lost)
	}
	m.onlyRead()
}

// fewer waits until the inbox holds at most so many messages.
func (s *side) fewer(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		there := 0
		s.use(func(u *user.User) {
			messages, err := u.Conn.ReadFolder("INBOX")
			if err != nil {
				s.t.Fatal(err)
			}
			for _, n := range messages {
				there += n
			}
		})
		if there <= n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the target still holds %d messages", there)
		}
	}
}

// TestTargetThatCreatesFolders: a Dovecot that creates and subscribes folders by
// itself. Mailmirror deletes them once, says that they come back, and leaves them.
func TestTargetThatCreatesFolders(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Extra: `
namespace inbox {
  mailbox Trash {
    auto = create
  }
  mailbox Sent {
    auto = subscribe
  }
}
`})
	m := newMirror(t, mailboxNumber(411), production, dr)
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("voice", 3)...)
		u.Put("Sent", user.Voices("sent", 2)...)
		_, _ = u.Conn.Command("UNSUBSCRIBE " + reader.Quote(u.NS.Wire("Sent")))
	})
	deleted, subscribed := 0, 0
	reports := m.compares(8)
	for _, r := range reports {
		deleted += r.Folders.Deleted
		subscribed += r.Folders.Subscribed
	}
	if last := reports[len(reports)-1]; deleted > 2 || subscribed > 2 || last.Outcome != copier.Differing || !last.Idle() {
		t.Errorf("%d deletions and %d changed subscriptions, and the last compare: %+v", deleted, subscribed, last)
	}
	before := len(m.target.proxy.Commands())
	m.compares(3)
	for _, c := range faults.Changes(m.target.proxy.Commands()[before:]) {
		t.Errorf("the target was sent %.100q again", c)
	}
	shown := m.errors()
	if kept := shown[copier.FolderKept]; len(kept) != 1 || kept[0].Folder != "Trash" || kept[0].Hint == "" {
		t.Errorf("of the folder errors shows %+v", kept)
	}
	if kept := shown[copier.SubscriptionKept]; len(kept) != 1 || kept[0].Folder != "Sent" || kept[0].Hint == "" {
		t.Errorf("of the subscription errors shows %+v", kept)
	}
	// What somebody leaves in such a folder stays.
	m.target.use(func(u *user.User) { u.Put("Trash", user.Voices("left", 1)...) })
	if r := m.compares(1)[0]; r.Held != 1 {
		t.Errorf("%d messages are held, want 1", r.Held)
	}
	m.onlyRead()
}
