//go:build integration

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestRejectedFolder: a store answers NO to each command on one folder, since the folder
// is damaged, and says that this may pass. All other folders are mirrored meanwhile.
func TestRejectedFolder(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	for i, damaged := range []*servers.Dovecot{production, dr} {
		m := newMirror(t, mailboxNumber(780+i), production, dr)
		m.source.use(func(u *user.User) {
			for _, folder := range []string{"INBOX", "Damaged", "Work"} {
				u.Put(folder, user.Voices(folder, 3)...)
			}
		})
		m.sync()
		dir := filepath.Join(damaged.Dir(), "mail", m.source.number, "sdbox", "mailboxes", "Damaged", "dbox-Mails")
		if err := os.Chmod(dir, 0); err != nil {
			t.Fatal(err)
		}
		m.source.use(func(u *user.User) {
			u.Put("INBOX", user.Voices("later", 2)...)
			u.Put("Work", user.Voices("later", 2)...)
			u.Put("Zoo", user.Voices("zoo", 2)...)
		})
		report, err := m.inTurn()
		if err == nil || !strings.Contains(report.Err, "folder Damaged") || !strings.Contains(report.Hint, "log") {
			t.Errorf("the operator sees %q, hint %q", report.Err, report.Hint)
		}
		for folder, want := range map[string]int{"INBOX": 5, "Work": 5, "Zoo": 2} {
			if n := m.target.holds(folder); n != want {
				t.Errorf("%d messages in %s on the target, want %d", n, folder, want)
			}
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		m.sync()
		m.wholly("after the folder was repaired")
	}
}

// TestQuotaOfFolders: a target with a quota for one folder, which rejects a message that
// production moved there also from MOVE, and with a quota for the number of folders. What
// is due in other folders is done.
func TestQuotaOfFolders(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.CyrusT(t, servers.CyrusOptions{})
	m := newMirror(t, mailboxNumber(782), production, dr)
	quota := func(folder, limit string) {
		conn, err := user.Access(dr).Open(t.Context(), dr.TrustedName())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Command(fmt.Sprintf("SETQUOTA user/%s%s (%s)", m.target.number, folder, limit)); err != nil {
			t.Fatal(err)
		}
	}
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("big", 50<<10), user.Voice("small", 400))
		u.Put("Work", user.Voices("work", 3)...)
		u.Put("Zoo", user.Voices("zoo", 3)...)
	})
	m.sync()
	quota("/Work", "STORAGE 10")
	quota("", "X-NUM-FOLDERS 2")
	m.source.use(func(u *user.User) {
		u.Do("SELECT INBOX")
		u.Do("MOVE 1 Work")
		u.Do("SELECT Zoo")
		u.Do(`STORE 1 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		for _, folder := range []string{"Apart", "Work", "Zoo"} {
			u.Put(folder, user.Voices("later", 2)...)
		}
	})
	for range 2 {
		if r := m.sync(); r.Outcome != copier.Differing {
			t.Errorf("ended %s", r.Outcome)
		}
		for folder, want := range map[string]int{"INBOX": 2, "Work": 5, "Zoo": 4} {
			if n := m.target.holds(folder); n != want {
				t.Errorf("%d messages in %s on the target, want %d", n, folder, want)
			}
		}
	}
	if said := m.recorded(); len(said["INBOX"][copier.OnlyCopy]) != 1 || !strings.Contains(said["Apart"][copier.FolderRefused][0], "OVERQUOTA] Over quota; the mailbox is full") {
		t.Errorf("recorded are %v", said)
	}
	quota("/Work", "STORAGE 10000")
	quota("", "X-NUM-FOLDERS 20")
	m.job.Retry = true
	m.sync()
	m.wholly("with room")
	m.onlyRead()
}

// TestPurgeOfFullMailbox: what was kept of deleted messages fills the mailbox. When its
// time is over, it goes first, and what waited for room is copied in the same sync.
func TestPurgeOfFullMailbox(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", QuotaBytes: 100 << 10})
	m := newMirror(t, mailboxNumber(783), production, dr)
	m.job.Keep = copier.Keep{For: 24 * time.Hour, Folder: "Mailmirror Deleted"}
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voice("a", 40<<10), user.Voice("b", 40<<10)) })
	m.sync()
	m.source.use(func(u *user.User) {
		u.Empty("INBOX")
		u.Put("INBOX", user.Voice("c", 50<<10), user.Voice("d", 40<<10))
	})
	if r, err := m.inTurn(); err == nil || !strings.Contains(r.Hint, "quota") || m.target.holds("INBOX") != 0 {
		t.Fatalf("there was room: %+v, %v", r, err)
	}
	m.at(72 * time.Hour)
	if r, err := m.inTurn(); err != nil || r.Outcome != copier.Equal || r.Messages.Appended != 2 {
		t.Errorf("after the time of what was kept: %+v, %v", r, err)
	}
}

// TestDeletedFolderInUse: the operator has deleted messages kept in a folder that the
// source uses, with folders below it whose names are days. They are not purged.
func TestDeletedFolderInUse(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(784), production, dr)
	m.source.use(func(u *user.User) {
		u.Put("Archive/2020-01-01", user.Voices("archive", 3)...)
		u.Put("Archive/2020-01-02", user.Voices("archive", 2)...)
	})
	m.sync()
	m.job.Keep = copier.Keep{For: 24 * time.Hour, Folder: "Archive"}
	m.source.use(func(u *user.User) { u.Do("DELETE %s", "Archive/2020-01-02") })
	for range 2 {
		if r := m.sync(); r.Outcome != copier.Differing {
			t.Errorf("ended %s", r.Outcome)
		}
		if a, b := m.target.holds("Archive/2020-01-01"), m.target.holds("Archive/2020-01-02"); a != 3 || b != 2 {
			t.Errorf("%d and %d messages on the target, want 3 and 2", a, b)
		}
	}
	if said := m.recorded()["Archive"][copier.FolderRefused][0]; !strings.Contains(said, "--deleted-folder") {
		t.Errorf("the operator sees %q", said)
	}
}

// TestFolderNameOfAnotherSeparator: errors says why the target cannot have a folder, and
// what to do. Its messages that were elsewhere before stay there.
func TestFolderNameOfAnotherSeparator(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Separator: "."})
	m := newMirror(t, mailboxNumber(785), production, dr)
	m.source.use(func(u *user.User) { u.Put("Work", user.Voices("work", 3)...) })
	m.sync()
	m.source.use(func(u *user.User) { u.Do("RENAME %s %s", "Work", "v1.2") })
	m.sync()
	if n := m.target.holds("Work"); n != 3 {
		t.Errorf("%d messages on the target, want 3", n)
	}
	if said := m.errors()[copier.FolderRefused]; len(said) != 1 || !strings.Contains(said[0].Text, "separator; rename it on the source") {
		t.Errorf("errors shows %+v", said)
	}
	m.source.use(func(u *user.User) { u.Do("RENAME %s %s", "v1.2", "v1-2") })
	m.sync()
	m.wholly("after the folder was renamed")
}
