//go:build integration

package engine

import (
	"os"
	"path/filepath"
	"regexp"
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

var maildirSize = regexp.MustCompile(`,S=\d+`)

// belie gives the file of a message in a maildir a name that tells a wrong size.
func belie(t *testing.T, d *servers.Dovecot, number, part, size string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(d.Dir(), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(path, "/"+number+"/") || !maildirSize.MatchString(path) {
			return nil //nolint:nilerr // a file that the server removes meanwhile is none of these
		}
		content, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(content), part) {
			return err
		}
		n++
		return os.Rename(path, maildirSize.ReplaceAllString(path, ",S="+size))
	})
	if err != nil || n != 1 {
		t.Fatalf("%d files renamed, %v", n, err)
	}
	_ = filepath.WalkDir(d.Dir(), func(path string, _ os.DirEntry, _ error) error {
		if strings.Contains(path, "/"+number+"/") && strings.HasSuffix(path, "dovecot.index.cache") {
			_ = os.Remove(path)
		}
		return nil
	})
}

// TestWrongSizeInMaildir: a file name that tells a wrong size costs at most that
// message, on either side, also where each sync tries again what failed. Dovecot
// corrects a size that is too big. If the size is too small, Dovecot disconnects in
// the middle of the message, every time.
func TestWrongSizeInMaildir(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production", Storage: "maildir"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Storage: "maildir"})
	for i, size := range []string{"100", "99999"} {
		for j, side := range []string{"source", "target"} {
			t.Run(side+" "+size, func(t *testing.T) {
				number := mailboxNumber(750 + 2*i + j)
				m := newMirror(t, number, production, dr)
				m.source.use(func(u *user.User) {
					u.Put("INBOX", user.Voices("before", 3)...)
					u.Put("INBOX", user.Voice("belied", 5000))
					u.Put("INBOX", user.Voices("after", 3)...)
					u.Put("Work", user.Voices("work", 2)...)
				})
				want := 7
				if side == "source" {
					belie(t, production, number, strings.Repeat("v", 4000), size)
					if size == "100" {
						want = 6
					}
				} else {
					m.sync()
					belie(t, dr, number, strings.Repeat("v", 4000), size)
					if size == "100" {
						want = 8 // the renamed file is another message, and the mirror copies its own once more
					}
				}
				for round := range 4 {
					m.job.Retry = round > 1
					if round == 0 {
						m.sync()
					} else {
						m.force()
					}
					if n := m.target.holds("INBOX"); n != want {
						t.Errorf("%d messages on the target after sync %d, want %d: %+v", n, round, want, m.recorded())
					}
				}
				// What comes later is copied, beside a message that nobody can read.
				m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("later", 1)...) })
				m.sync()
				m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("last", 3)...) })
				for range 2 {
					if m.force(); m.target.holds("INBOX") != want+4 {
						t.Errorf("%d messages on the target after four more came, want %d: %+v", m.target.holds("INBOX"), want+4, m.recorded())
					}
				}
				if n := m.target.holds("Work"); n != 2 {
					t.Errorf("%d messages in the other folder, want 2", n)
				}
				if side == "source" && size == "100" {
					m.rejected("INBOX", 8, "connection to the source is lost at this message", "repair tool")
				}
			})
		}
	}
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
