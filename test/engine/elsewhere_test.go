//go:build integration

package engine

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestFilterThatMoves: a client of the target moves whatever is in the inbox to another
// folder after each sync, as a filter does. Mailmirror stops copying, says where the
// messages are, and reads no body again. The operator's sync copies none either. Of the
// surplus copies the operator is asked; the last one stays until the source deletes the
// message. Once the messages are moved back, the mailbox is equal.
func TestFilterThatMoves(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	for i, target := range []struct {
		name  string
		start func() user.Server
	}{
		{"dovecot", func() user.Server { return servers.DovecotT(t, servers.DovecotOptions{Name: "dr"}) }},
		{"bare dovecot", func() user.Server {
			return servers.DovecotT(t, servers.DovecotOptions{Name: "bare", HideCapabilities: extensions})
		}},
		{"cyrus", func() user.Server { return servers.CyrusT(t, servers.CyrusOptions{}) }},
	} {
		t.Run(target.name, func(t *testing.T) {
			m := newMirror(t, mailboxNumber(800+i), production, target.start())
			m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 5)...) })
			ahead := time.Duration(0)
			const day = 24 * time.Hour
			// compares has compares a time apart, and the filter after each. It returns how
			// many messages were copied.
			compares := func(n int, apart time.Duration, filter bool) (copies int) {
				for range n {
					m.at(ahead)
					ahead += apart
					r, _ := m.review()
					copies += r.Messages.Appended
					if n := m.target.holds("INBOX"); filter && n > 0 {
						m.target.move("INBOX", "Filed", "1:*")
					}
				}
				return copies
			}
			compares(4, day, true)
			filed := m.target.holds("Filed")
			if filed > 2*5 {
				t.Errorf("the target has %d copies of 5 messages, want 2 of each at most", filed)
			}
			m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("later", 1)...) })
			compares(2, day, true)
			before := len(m.target.proxy.Commands())
			if n := compares(5, 16*day, true); n > 0 || m.target.holds("Filed") != filed+1 {
				t.Errorf("%d copied in 80 days; the target has %d copies of 6 messages, want %d", n, m.target.holds("Filed"), filed+1)
			}
			for _, c := range m.target.proxy.Commands()[before:] {
				if strings.Contains(c, "BODY") {
					t.Errorf("the target was sent %.100q again", c)
				}
			}
			lost := m.errors()[copier.Lost]
			if len(lost) != 1 || !strings.Contains(lost[0].Text, "6 messages of this folder to its folder Filed") || !strings.Contains(lost[0].Hint, "filter") {
				t.Errorf("errors shows %+v", lost)
			}
			// What is surplus goes once the operator approves it; one copy of each stays.
			m.exact(func() copier.Report { return m.force() })
			if n := m.target.holds("Filed"); n != 6 {
				t.Fatalf("the target has %d messages after the approval, want 6: %+v", n, m.recorded())
			}
			// The source deletes one of them: its copy is held.
			m.source.use(func(u *user.User) {
				u.Do("SELECT INBOX")
				u.Do(`STORE 1 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
			if r := m.sync(); r.Held != 1 || m.target.holds("Filed") != 6 {
				t.Errorf("%d held and %d messages, want 1 and 6: %+v", r.Held, m.target.holds("Filed"), m.recorded())
			}
			if held := m.held(); len(held) != 1 || held[0].Folder != "Filed" {
				t.Errorf("held: %+v", held)
			}
			m.exact(m.sync)
			if n := m.target.holds("Filed"); n != 5 {
				t.Errorf("%d messages after the approval, want 5", n)
			}
			// Two copies vanish: these are copied when they are due, and only these.
			m.target.use(func(u *user.User) {
				u.Do("SELECT %s", "Filed")
				u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
			if n := compares(2, 2*day, false); n != 2 {
				t.Errorf("%d copied after two copies were deleted, want 2: %+v", n, m.recorded())
			}
			m.target.move("Filed", "INBOX", "1:*")
			if r := m.sync(); r.Messages.Appended > 0 || r.Outcome != copier.Equal {
				t.Errorf("once moved back, the sync ended %s with %+v: %+v", r.Outcome, r.Messages, m.recorded())
			}
			m.wholly("once moved back")
			m.onlyRead()
		})
	}
}

// TestFilterAndARestoredSource: a filter of the target moves each message from the inbox
// to another folder. The source comes back from a backup and gives the UIDs of such
// messages to others, and to more than before. All of these are copied.
func TestFilterAndARestoredSource(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(810), production, dr)
	compares := func(n int) (copies int) {
		for range n {
			r, _ := m.review()
			copies += r.Messages.Appended
			if m.target.holds("INBOX") > 0 {
				m.target.move("INBOX", "Filed", "1:*")
			}
		}
		return copies
	}
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 3)...) })
	compares(4)
	old := backup(t, production)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("later", 2)...) })
	compares(3)
	restore(t, production, old)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("other", 6)...) })
	if n := compares(2); n != 6 {
		t.Errorf("%d messages copied, want the 6 that came after the backup: %+v", n, m.recorded())
	}
	if n := compares(2); n > 0 {
		t.Errorf("%d messages copied again: %+v", n, m.recorded())
	}
	m.onlyRead()
}

// move has a client move messages of a folder to another one.
func (s *side) move(from, to, messages string) {
	s.t.Helper()
	s.use(func(u *user.User) {
		if err := u.Conn.EnsureFolders(to); err != nil {
			s.t.Fatal(err)
		}
		u.Do("SELECT %s", from)
		u.Do("COPY "+messages+" %s", to)
		u.Do("STORE " + messages + ` +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
	})
}
