//go:build integration

package engine

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	limit "mailmirror/internal/mirror"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// later is the machine's clock, so much ahead.
type later struct {
	wallClock
	ahead time.Duration
}

func (l later) Now() time.Time { return time.Now().Add(l.ahead) }

// TestKeepDeleted moves what is deleted into a folder that is never mirrored, on
// every kind of target, and purges it when its time is over.
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
			check := func(when string, want int) {
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
				n := 0
				for name, f := range kept {
					from := "INBOX"
					if strings.HasSuffix(name, "/Work") {
						from = "Work"
					}
					for msg, count := range f.Messages {
						n += count
						if !gone[from].Had(msg) {
							t.Errorf("%s: %s holds a message that was never in %s", when, name, from)
						}
					}
				}
				if n != want {
					t.Errorf("%s: %d messages are kept, want %d", when, n, want)
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
			}
			check("after the deletion", 6)
			if r := m.sync(); !r.Idle() {
				t.Errorf("the next sync wrote: %+v", r)
			}
			check("after another sync", 6)
			m.engine = copier.NewEngine(m.ledger, later{ahead: 20 * time.Hour}, copier.Options{}, slog.New(slog.DiscardHandler))
			m.sync()
			check("before its time is over", 6)
			m.engine = copier.NewEngine(m.ledger, later{ahead: 72 * time.Hour}, copier.Options{}, slog.New(slog.DiscardHandler))
			m.review()
			check("after its time", 0)
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
	if _, err := m.ledger.DecideHolds(context.Background(), ids, control.HoldApproved, "anna"); err != nil {
		t.Fatal(err)
	}
	if r := m.sync(); r.Outcome != copier.Equal {
		t.Errorf("approved, and the sync ended %s", r.Outcome)
	}
	m.wholly("after the approval")
	m.settled(true)
	m.onlyRead()
}
