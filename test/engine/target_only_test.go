//go:build integration

package engine

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/guard"
	limit "mailmirror/internal/mirror"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// count returns how many messages the side's folder holds.
func (s *side) count(folder string) int {
	s.t.Helper()
	n := 0
	s.use(func(u *user.User) {
		messages, err := u.Conn.ReadFolder(folder)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, k := range messages {
			n += k
		}
	})
	return n
}

// held returns what waits for the operator.
func (m *mirror) held() []guard.Hold {
	m.t.Helper()
	all, err := m.ledger.Holds(m.t.Context(), link)
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// TestTargetOnly leaves messages on a target in every way there is, and syncs in
// every way there is: none goes before it was approved.
func TestTargetOnly(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	leave := func(m *mirror) { m.target.use(func(u *user.User) { u.Put("INBOX", user.Voices("left", 2)...) }) }
	forget := func(statement string) func(m *mirror) {
		return func(m *mirror) {
			leave(m)
			m.sql(statement)
		}
	}
	for i, tt := range []struct {
		name string
		// before happens on a target that was never mirrored to, after on one that
		// is equal; both with five messages on the source.
		before, after func(m *mirror)
		held          int
		keep          time.Duration
	}{
		{name: "left in the inbox", after: leave, held: 2},
		{name: "left in the inbox of a link that keeps what is deleted", after: leave, held: 2, keep: 24 * time.Hour},
		{name: "left in a folder of its own, with others below it", after: func(m *mirror) {
			m.target.use(func(u *user.User) {
				u.Put("Trip/Photos", user.Voices("photo", 2)...)
				u.Put("Trip", user.Voices("trip", 1)...)
			})
		}, held: 3},
		{name: "there when the link began", before: leave, held: 2},
		{name: "there when the link began, beside copies", before: func(m *mirror) {
			leave(m)
			m.target.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 3)...) })
		}, held: 2},
		{name: "the ledger is lost", after: forget(`DELETE FROM ledger_folders`), held: 2},
		{name: "the pairs are lost", after: forget(`DELETE FROM ledger_runs`), held: 2},
		{name: "the ledger is lost, and the source deleted two", after: func(m *mirror) {
			leave(m)
			m.sql(`DELETE FROM ledger_folders`)
			m.source.use(func(u *user.User) {
				u.Do("SELECT %s", "INBOX")
				u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
		}, held: 4},
		{name: "left while the source deletes two", after: func(m *mirror) {
			leave(m)
			m.source.use(func(u *user.User) {
				u.Do("SELECT %s", "INBOX")
				u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
		}, held: 2},
		{name: "left in a folder that the source deletes", after: func(m *mirror) {
			m.target.use(func(u *user.User) { u.Put("Work", user.Voices("left", 2)...) })
			m.source.use(func(u *user.User) { u.Do("DELETE %s", "Work") })
		}, held: 2},
		{name: "left in a folder that the source makes anew", after: func(m *mirror) {
			m.target.use(func(u *user.User) { u.Put("Work", user.Voices("left", 2)...) })
			m.source.use(func(u *user.User) {
				u.Do("DELETE %s", "Work")
				u.Put("Work", user.Voices("new", 1)...)
			})
		}, held: 2},
		{name: "left in a folder that the source renames", after: func(m *mirror) {
			m.target.use(func(u *user.User) { u.Put("Work", user.Voices("left", 2)...) })
			m.source.use(func(u *user.User) { u.Do("RENAME %s %s", "Work", "Business") })
		}, held: 2},
		{name: "moved to another folder by a user of the target", after: func(m *mirror) {
			m.target.use(func(u *user.User) {
				u.Do("SELECT %s", "INBOX")
				u.Do("MOVE 1 %s", "Work")
			})
		}, held: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, mailboxNumber(420+i), production, dr)
			if m.job.Keep.For = tt.keep; tt.keep > 0 {
				m.job.Keep.Folder = "Kept"
			}
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("voice", 5)...)
				u.Put("Work", user.Voices("work", 3)...)
			})
			if tt.before != nil {
				tt.before(m)
			} else {
				m.sync()
				m.wholly("before anything was left there")
			}
			if tt.after != nil {
				tt.after(m)
			}
			for _, how := range []struct {
				name string
				sync func() copier.Report
			}{
				{"sync", m.sync},
				{"compare", func() copier.Report { r, _ := m.review(); return r }},
				{"forced sync", m.force},
				{"rebuild", func() copier.Report {
					rebuild := *m
					rebuild.job.Force = true
					r, _ := rebuild.review()
					return r
				}},
			} {
				if r := how.sync(); r.Held != tt.held || r.Outcome != copier.Held {
					t.Fatalf("%s: %d messages are held and it ended %s, want %d", how.name, r.Held, r.Outcome, tt.held)
				}
			}
			only := 0
			for _, h := range m.held() {
				only += h.TargetOnly
				if len(h.Reasons) != 1 || h.Reasons[0].Rule != limit.RuleTargetOnly {
					t.Errorf("held is %+v", h)
				}
			}
			if only != tt.held {
				t.Errorf("%d messages are called the target's own, want %d", only, tt.held)
			}
			if r := m.exact(m.sync); r.Held != tt.held {
				t.Errorf("%d messages were held in the end, want %d", r.Held, tt.held)
			}
			if tt.keep > 0 {
				if kept := m.kept(); kept != tt.held {
					t.Errorf("%d messages are kept, want %d", kept, tt.held)
				}
				return
			}
			m.wholly("after all was approved")
			m.settled(true)
			m.onlyRead()
		})
	}
}

// kept counts what the target keeps of deleted messages.
func (m *mirror) kept() int {
	m.t.Helper()
	c, err := m.target.access.Read(m.t.Context(), m.target.number)
	if err != nil {
		m.t.Fatal(err)
	}
	n := 0
	for name, f := range c {
		if strings.HasPrefix(name, "Kept/") {
			n += f.Count()
		}
	}
	return n
}

// TestLeftAndRecognised: a message that the source gets, too, leaves the hold by
// itself, and is not copied; one that was refused stays.
func TestLeftAndRecognised(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(440), production, dr)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 3)...) })
	m.sync()
	left := user.Voices("left", 3)
	m.target.use(func(u *user.User) { u.Put("INBOX", left...) })
	if r := m.sync(); r.Held != 3 {
		t.Fatalf("%d are held, want 3", r.Held)
	}
	m.source.use(func(u *user.User) { u.Put("INBOX", left[:2]...) })
	if r := m.sync(); r.Held != 1 || r.Messages.Appended != 0 {
		t.Errorf("%d are held and %d were copied, want 1 and none", r.Held, r.Messages.Appended)
	}
	hold := m.held()[0]
	if _, err := m.ledger.DecideHolds(t.Context(), []int64{hold.ID}, guard.HoldRefused, "operator"); err != nil {
		t.Fatal(err)
	}
	m.target.use(func(u *user.User) { u.Put("INBOX", user.Voices("another", 1)...) })
	if r := m.sync(); r.Kept != 1 || r.Held != 1 || m.target.count("INBOX") != 7 {
		t.Errorf("%d are kept, %d are held and %d are there, want 1, 1 and 7", r.Kept, r.Held, m.target.count("INBOX"))
	}
	// What both sides were equal in goes when the source deletes it.
	m.source.use(func(u *user.User) { u.Empty("INBOX") })
	if r := m.sync(); r.Messages.Expunged != 5 || r.Held != 1 {
		t.Errorf("%d were deleted and %d are held, want 5 and 1", r.Messages.Expunged, r.Held)
	}
}
