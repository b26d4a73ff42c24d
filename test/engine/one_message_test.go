//go:build integration

package engine

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/test/faults"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestMessageTooBigForTheTarget: a target that rejects one message for its size gets
// all others in the same sync, and what comes later. The rejected one is recorded.
func TestMessageTooBigForTheTarget(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", QuotaBytes: 1 << 30,
		Extra: "plugin {\n  quota_max_mail_size = 1M\n}\n"})
	m := newMirror(t, mailboxNumber(740), production, dr)
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("first", 400), user.Voice("big", 2<<20))
		u.Put("INBOX", user.Voices("small", 300)...)
	})
	if report := m.sync(); report.Outcome != copier.Differing {
		t.Errorf("the first sync ended %s", report.Outcome)
	}
	if n := m.target.holds("INBOX"); n != 301 {
		t.Errorf("%d messages on the target, want 301", n)
	}
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("later", 2)...) })
	m.sync()
	if n := m.target.holds("INBOX"); n != 303 {
		t.Errorf("%d messages on the target after two more came, want 303", n)
	}
	m.rejected("INBOX", 2, "LIMIT", "2097152 bytes")
	if again := m.sync(); !again.Idle() {
		t.Errorf("the next sync changed something: %+v", again)
	}
}

// rejected checks that exactly one message of a folder is recorded, and what is said.
func (m *mirror) rejected(folder string, uid uint32, said ...string) {
	m.t.Helper()
	entries, err := m.ledger.Errors(m.t.Context(), link)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(entries) != 1 || string(entries[0].Folder) != folder || uint32(entries[0].SourceUID) != uid {
		m.t.Fatalf("recorded: %+v", entries)
	}
	for _, want := range said {
		if !strings.Contains(entries[0].Text+" "+entries[0].Hint, want) {
			m.t.Errorf("the operator sees %q, hint %q, without %q", entries[0].Text, entries[0].Hint, want)
		}
	}
}

// TestSmallMessagesFit: a mailbox that has no room for one message gets all that fit,
// in the same sync.
func TestSmallMessagesFit(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", QuotaBytes: 200 << 10})
	m := newMirror(t, mailboxNumber(741), production, dr)
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("fits", 120<<10), user.Voice("does not fit", 120<<10))
		u.Put("INBOX", user.Voices("small", 40)...)
		u.Put("Work", user.Voices("work", 3)...)
	})
	if report := m.sync(); report.Outcome != copier.Differing {
		t.Errorf("the first sync ended %s", report.Outcome)
	}
	if inbox, work := m.target.holds("INBOX"), m.target.holds("Work"); inbox != 41 || work != 3 {
		t.Errorf("%d and %d messages on the target, want 41 and 3", inbox, work)
	}
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("later", 2)...) })
	m.sync()
	if n := m.target.holds("INBOX"); n != 43 {
		t.Errorf("%d messages on the target after two more came, want 43", n)
	}
	m.rejected("INBOX", 2, "OVERQUOTA", "122880 bytes", "quota")
}

// TestSlowTarget: a target that greets after 12 s, whose login takes 16 s and that
// answers each command after 0.3 s is mirrored to like any other.
func TestSlowTarget(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(760), production, dr)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 40)...) })
	m.target.proxy.SetDelay(150 * time.Millisecond)
	after := func(held <-chan struct{}, d time.Duration) {
		go func() {
			<-held
			time.Sleep(d)
			m.target.proxy.Release()
		}()
	}
	after(m.target.proxy.Inject(faults.AfterPattern(faults.ToClient, "* O", 1, faults.Hold)), 12*time.Second)
	after(m.target.proxy.Inject(faults.AfterPattern(faults.ToServer, "AUTHEN", 1, faults.Hold)), 16*time.Second)
	if report := m.sync(); report.Outcome != copier.Equal {
		t.Errorf("the sync ended %s", report.Outcome)
	}
	m.target.proxy.SetDelay(0)
	m.wholly("after a slow login")
	m.settled(true)
}
