//go:build integration

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/copier"
	limit "mailmirror/internal/mirror"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestKeepDeletedWithoutRoom: the target has no MOVE and hardly any room, so that a
// deleted message that is to be kept cannot be copied away. It stays where it is, with a
// difference that says why. Everything else goes on: other deletions, flags, and new
// messages for which there is room.
func TestKeepDeletedWithoutRoom(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	o := servers.DovecotOptions{Name: "dr", Dir: t.TempDir(), QuotaBytes: 1 << 30, HideCapabilities: []string{"MOVE"}}
	if err := os.Chmod(filepath.Dir(o.Dir), 0o755); err != nil { // the server's user has to get in
		t.Fatal(err)
	}
	dr := servers.DovecotT(t, o)
	m := newMirror(t, mailboxNumber(780), production, dr)
	m.job.Keep, m.job.Limits = copier.Keep{For: 24 * time.Hour, Folder: "Mailmirror Deleted"}, limit.Limits{}
	const big = 100 << 10
	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voice("first", 400), user.Voice("big", big), user.Voice("second", 400), user.Voice("third", 400))
		u.Put("Archive", user.Voices("archive", 3)...)
		u.Put("Old", user.Voice("old", big))
		u.Put("Work", user.Voices("work", 3)...)
	})
	m.sync()
	restart := func(quota int64) {
		t.Helper()
		if err := dr.Stop(); err != nil {
			t.Fatal(err)
		}
		o.QuotaBytes = quota
		dr = servers.DovecotT(t, o)
		m.target.proxy.SetTarget(dr.Addr())
		m.target.access.Addr = dr.Addr()
	}
	restart(2*big + 50<<10)
	m.source.use(func(u *user.User) {
		u.Do("SELECT INBOX")
		u.Do(`STORE 1:2 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		u.Do(`STORE 1 +FLAGS (\Flagged)`)
		u.Do("UNSELECT")
		u.Do("DELETE Old")
		u.Do("SELECT Work")
		u.Do(`STORE 1 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
		u.Put("INBOX", user.Voice("new", 500))
		u.Put("Zoo", user.Voices("zoo", 2)...)
	})
	const keptIn = "Mailmirror Deleted"
	for range 2 { // the second sync finds the same
		if r, err := m.inTurn(); err != nil || r.Outcome != copier.Differing {
			t.Fatalf("the sync ended %s, %v (hint: %s)", r.Outcome, err, r.Hint)
		}
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
			if name == "INBOX" && v.Extra == 1 && v.Missing+v.Flags == 0 || name == "Old" && v.Extra == 1 {
				continue // the large ones wait
			}
			t.Errorf("folder %q differs: %+v", name, v)
		}
		if n, _ := kept.Counts(); n != 2 {
			t.Errorf("%d messages are kept, want the small ones of the inbox and of Work", n)
		}
		for _, name := range []string{"INBOX", "Old"} {
			if said := m.recorded()[name][copier.NotKept][0]; !strings.HasPrefix(said, "1 message, deleted on the source") || !strings.Contains(said, "full") {
				t.Errorf("of %s is recorded %q of %+v", name, said, m.recorded())
			}
		}
	}
	restart(1 << 30)
	if r := m.sync(); r.Outcome != copier.Equal {
		t.Errorf("with room the sync ended %s: %+v", r.Outcome, m.recorded())
	}
	c, err := m.target.access.Read(t.Context(), m.target.number)
	if err != nil {
		t.Fatal(err)
	}
	_, kept := c.Apart(keptIn)
	if n, _ := kept.Counts(); n != 4 {
		t.Errorf("%d messages are kept in the end, want 4", n)
	}
	m.onlyRead()
}
