//go:build integration

package engine

import (
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestRestoredThenDeleted puts back an older copy of the target's storage. The
// target's users leave messages that get the UIDs of messages which the copy lacks,
// and the source deletes those. What the users left stays until it is approved.
func TestRestoredThenDeleted(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(460), production, dr)
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("voice", 5)...)
		u.Put("Work", user.Voices("work", 5)...)
	})
	m.sync()
	old := backup(t, dr)
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("later", 2)...)
		u.Put("Work", user.Voices("later", 2)...)
	})
	m.sync()
	m.wholly("before the restoration")
	restore(t, dr, old)
	m.target.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("left", 2)...)
		u.Put("Work", user.Voices("left", 2)...)
	})
	m.source.use(func(u *user.User) {
		u.Do("SELECT %s", "INBOX")
		u.Do(`STORE 6:7 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		u.Do("CLOSE")
		u.Do("DELETE %s", "Work")
	})
	for _, how := range []struct {
		name string
		sync func() copier.Report
	}{
		{"sync", m.sync},
		{"compare", func() copier.Report { r, _ := m.review(); return r }},
		{"forced sync", m.force},
	} {
		if r := how.sync(); r.Held != 4 || m.target.count("INBOX") != 7 || m.target.count("Work") != 2 {
			t.Fatalf("%s: %d messages are held, and the target has %d in the inbox and %d in the folder, want 4, 7 and 2",
				how.name, r.Held, m.target.count("INBOX"), m.target.count("Work"))
		}
	}
	m.exact(m.sync)
	m.wholly("after all was approved")
	m.onlyRead()
}
