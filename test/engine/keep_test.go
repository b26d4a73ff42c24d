//go:build integration

package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/guard"
	limit "mailmirror/internal/mirror"
	"mailmirror/test/engine/enginetest"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// at has the mirror work with a clock that is so much ahead.
func (m *mirror) at(ahead time.Duration) {
	m.engine = copier.NewEngine(m.ledger, enginetest.Clock{Ahead: ahead}, copier.Options{}, slog.New(slog.DiscardHandler))
}

// TestKeepDeleted moves what is deleted into a folder that is never mirrored, on
// every kind of target, and purges it when its time is over. What a user of the target
// put there stays, and is a lasting difference until it is gone.
func TestKeepDeleted(t *testing.T) {
	t.Parallel()
	source := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	bare := servers.DovecotOptions{Name: "bare", HideCapabilities: extensions}
	for i, target := range []struct {
		name  string
		start func() user.Server
	}{
		{"dovecot", func() user.Server { return servers.DovecotT(t, servers.DovecotOptions{Name: "dr"}) }},
		{"dovecot INBOX.", func() user.Server {
			return servers.DovecotT(t, servers.DovecotOptions{Name: "dr-inbox", Separator: ".", Prefix: "INBOX."})
		}},
		{"bare dovecot", func() user.Server { return servers.DovecotT(t, bare) }},
		{"cyrus", func() user.Server { return servers.CyrusT(t, servers.CyrusOptions{}) }},
		{"bare cyrus", func() user.Server { return servers.CyrusT(t, servers.CyrusOptions{HideCapabilities: extensions}) }},
	} {
		t.Run(target.name, func(t *testing.T) {
			m := newMirror(t, mailboxNumber(300+i), source, target.start())
			const keptIn = "Mailmirror Deleted"
			m.job.Keep = copier.Keep{For: 24 * time.Hour, Folder: keptIn}
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("keep", 6)...)
				u.Put("Work", user.Voices("work", 3)...)
			})
			m.sync()
			gone := reader.Copy{}
			remember := func() {
				c, err := m.source.access.Read(t.Context(), m.source.number)
				if err != nil {
					t.Fatal(err)
				}
				gone = c
			}
			remember()
			m.source.use(func(u *user.User) {
				u.Do("SELECT %s", "INBOX")
				u.Do(`STORE 2:4 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
				u.Do("UNSELECT")
				u.Do("DELETE %s", "Work")
			})
			if r := m.sync(); r.Messages.Expunged != 6 {
				t.Errorf("%d messages were deleted, want 6", r.Messages.Expunged)
			}
			check := func(when string, want, ofUsers int) (folders []string) {
				t.Helper()
				left, err := m.source.access.Read(t.Context(), m.source.number)
				if err != nil {
					t.Fatal(err)
				}
				c, err := m.target.access.Read(t.Context(), m.target.number)
				if err != nil {
					t.Fatal(err)
				}
				mirrored, kept := c.Apart(keptIn)
				for name, v := range unlike(left, mirrored) {
					t.Errorf("%s: folder %q differs: %+v", when, name, v)
				}
				n, others := 0, 0
				for name, f := range kept {
					if name != keptIn {
						folders = append(folders, name)
					}
					from := "INBOX"
					if strings.HasSuffix(name, "/Work") {
						from = "Work"
					}
					for msg, count := range f.Messages {
						if gone[from].Had(msg) {
							n += count
						} else {
							others += count
						}
					}
				}
				if n != want || others != ofUsers {
					t.Errorf("%s: %d messages are kept, and %d others are there; want %d and %d", when, n, others, want, ofUsers)
				}
				verdicts, err := copier.Verify(t.Context(), m.job, true)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range verdicts {
					if !v.Same() {
						t.Errorf("%s: verify finds %+v", when, v)
					}
				}
				return folders
			}
			check("after the deletion", 6, 0)
			if r := m.sync(); !r.Idle() {
				t.Errorf("the next sync wrote: %+v", r)
			}
			check("after another sync", 6, 0)
			m.at(20 * time.Hour)
			m.sync()
			left := check("before its time is over", 6, 0)
			m.target.use(func(u *user.User) {
				for _, name := range left {
					u.Put(name, user.Voice("of a user in "+name, 400))
				}
			})
			m.at(72 * time.Hour)
			if r, _ := m.review(); r.Differences != len(left) || len(left) != 2 {
				t.Errorf("%d folders for deleted messages and %d differences, want 2 of both", len(left), r.Differences)
			}
			check("after its time", 0, 2)
			shown := m.errors()[copier.NotPurged]
			if len(shown) != 2 || !strings.HasPrefix(shown[0].Text, "this folder for deleted messages holds 1 message that") || shown[0].Hint == "" {
				t.Errorf("errors shows %+v", shown)
			}
			before := len(m.target.proxy.Commands())
			if _, unchanged := m.review(); !unchanged && strings.HasPrefix(target.name, "dovecot") {
				t.Error("what is left there has every compare look at the mailbox")
			}
			for _, c := range faults.Changes(m.target.proxy.Commands()[before:]) {
				t.Errorf("the next compare sent %.100q", c)
			}
			m.target.use(func(u *user.User) {
				for _, name := range left {
					u.Empty(name)
				}
			})
			m.compares(2) // a folder that others were below takes another compare
			if folders := check("after the user's messages are gone", 0, 0); len(folders)+len(m.errors()) > 0 {
				t.Errorf("folders %q are left, and errors shows %+v", folders, m.errors())
			}
			m.onlyRead()
		})
	}
}

// TestGuardOnCyrus: production is Cyrus, and is emptied.
func TestGuardOnCyrus(t *testing.T) {
	t.Parallel()
	production, dr := servers.CyrusT(t, servers.CyrusOptions{}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(310), production, dr)
	m.job.Limits = limit.DefaultLimits()
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("cyrus", 30)...)
		u.Put("Work", user.Voices("work", 5)...)
	})
	m.sync()
	m.wholly("before")
	m.source.use(func(u *user.User) {
		u.Empty("INBOX")
		u.Do("DELETE %s", "Work")
		u.Put("INBOX", user.Voice("after", 500))
	})
	r := m.sync()
	if r.Outcome != copier.Held || r.Held != 35 || r.Messages.Appended != 1 {
		t.Errorf("%s, %d held and %d copied; want held, 35 and 1", r.Outcome, r.Held, r.Messages.Appended)
	}
	onDR := func() int {
		c, err := m.target.access.Read(t.Context(), m.target.number)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := c.Counts()
		return n
	}
	if n := onDR(); n != 36 {
		t.Errorf("%d messages on DR, want 36", n)
	}
	holds, err := m.ledger.Holds(t.Context(), link)
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, h := range holds {
		ids = append(ids, h.ID)
	}
	if _, err := m.ledger.DecideHolds(context.Background(), ids, guard.HoldApproved, "anna"); err != nil {
		t.Fatal(err)
	}
	if r := m.sync(); r.Outcome != copier.Equal {
		t.Errorf("approved, and the sync ended %s", r.Outcome)
	}
	m.wholly("after the approval")
	m.settled(true)
	m.onlyRead()
}
