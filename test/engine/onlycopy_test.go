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
