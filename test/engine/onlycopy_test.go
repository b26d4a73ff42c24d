//go:build integration

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestMovedToWhereItIsRejected: a user moves a message to another folder, and the target
// rejects it there, since it is too big by now or the mailbox is full. The target's copy
// in the former folder stays until the other is mirrored. A server that has MOVE moves
// its own copy, which needs no room and no second copy.
func TestMovedToWhereItIsRejected(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	for i, tt := range []struct {
		name        string
		quota, next int64
		config      string
		bare        bool
	}{
		{name: "too big, with MOVE", quota: 1 << 30, next: 1 << 30, config: "plugin {\n  quota_max_mail_size = 50k\n}\n"},
		{name: "too big, without MOVE", quota: 1 << 30, next: 1 << 30, config: "plugin {\n  quota_max_mail_size = 50k\n}\n", bare: true},
		{name: "no room, with MOVE", quota: 1 << 30, next: 150 << 10},
		{name: "no room, without MOVE", quota: 1 << 30, next: 150 << 10, bare: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := servers.DovecotOptions{Name: "dr", Dir: t.TempDir(), QuotaBytes: tt.quota}
			if tt.bare {
				o.HideCapabilities = extensions
			}
			if err := os.Chmod(filepath.Dir(o.Dir), 0o755); err != nil { // the server's user has to get in
				t.Fatal(err)
			}
			dr := servers.DovecotT(t, o)
			m := newMirror(t, mailboxNumber(770+i), production, dr)
			const big = 100 << 10
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voice("small", 400), user.Voice("big", big))
				u.Put("Work", user.Voices("work", 2)...)
			})
			m.sync()
			m.wholly("at first")
			restart := func(quota int64, config string) {
				if err := dr.Stop(); err != nil {
					t.Fatal(err)
				}
				o.QuotaBytes, o.Extra = quota, config
				dr = servers.DovecotT(t, o)
				m.target.proxy.SetTarget(dr.Addr())
				m.target.access.Addr = dr.Addr()
			}
			restart(tt.next, tt.config)
			m.source.use(func(u *user.User) {
				u.Do("SELECT INBOX")
				u.Do("MOVE 2 Work")
				u.Put("Work", user.Voices("later", 2)...)
			})
			for range 2 {
				m.sync()
				if tt.bare {
					if inbox, work := m.target.holds("INBOX"), m.target.holds("Work"); inbox != 2 || work != 4 {
						t.Fatalf("%d and %d messages on the target, want 2 and 4: %+v", inbox, work, m.recorded())
					}
					if said := m.recorded()["INBOX"][copier.OnlyCopy][0]; !strings.HasPrefix(said, "1 message") {
						t.Errorf("recorded: %+v", m.recorded())
					}
				} else {
					m.wholly("after the message was moved")
				}
			}
			restart(1<<30, "")
			m.job.Retry = true
			if r, _ := m.review(); r.Outcome != copier.Equal {
				t.Errorf("with room the sync ended %s: %+v", r.Outcome, m.recorded())
			}
			m.wholly("with room")
			m.onlyRead()
		})
	}
}

// TestMovedToFolderWithoutAName: a user moves messages to a folder whose name Mailmirror
// cannot tell any store, as Dovecot names one that is not UTF-8 on its disk. The target's
// copies stay until the folder has another name. What is deleted elsewhere goes.
func TestMovedToFolderWithoutAName(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	m := newMirror(t, mailboxNumber(790), production, dr)
	m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("voice", 8)...) })
	m.sync()
	move := func(messages string) {
		m.source.use(func(u *user.User) {
			_, _ = u.Conn.Command(`CREATE "Caf&,,0-"`) // the second time it is there
			u.Do("SELECT INBOX")
			u.Do("MOVE " + messages + ` "Caf&,,0-"`)
		})
	}
	wants := func(when string, want int) {
		t.Helper()
		m.sync()
		if n := m.target.holds("INBOX"); n != want {
			t.Fatalf("%s: %d messages on the target, want %d: %+v", when, n, want, m.recorded())
		}
	}
	move("1:3")
	wants("moved", 8)
	wants("looked at again", 8)
	m.source.use(func(u *user.User) {
		u.Do("SELECT INBOX")
		u.Do(`STORE 1 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
	})
	wants("another one deleted", 7)
	move("1:2")
	wants("more moved", 7)
	m.source.use(func(u *user.User) { u.Do(`RENAME "Caf&,,0-" Cafe`) })
	m.sync()
	m.wholly("after the folder was renamed")
	m.onlyRead()
}
