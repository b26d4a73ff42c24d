//go:build integration

package engine

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// stored is the path of a message of the inbox in Dovecot's sdbox, by UID.
func stored(t *testing.T, d *servers.Dovecot, number, folder string, uid int) string {
	t.Helper()
	var found []string
	_ = filepath.WalkDir(d.Dir(), func(path string, _ os.DirEntry, _ error) error {
		if strings.HasSuffix(path, fmt.Sprintf("%s/dbox-Mails/u.%d", folder, uid)) && strings.Contains(path, "/"+number+"/") {
			found = append(found, path)
		}
		return nil
	})
	if len(found) != 1 {
		t.Fatalf("message %d of %s is stored as %q", uid, folder, found)
	}
	return found[0]
}

// damages are what breaks a message on a disk, by what the operator would call it.
var damages = map[string]func(path string) error{
	"cut short":          func(path string) error { return os.Truncate(path, 200) },
	"garbage":            func(path string) error { return overwrite(path, 60) },
	"without permission": func(path string) error { return os.Chown(path, 0, 0) },
}

// overwrite puts garbage in the place of all of a message but its first bytes, which
// say of what kind the file is: without them Dovecot drops the message by itself.
func overwrite(path string, keep int64) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.WriteAt([]byte(strings.Repeat("\x00garbage", int(size)))[:size-keep], keep)
	}
	return err
}

// damage breaks a message and what the server has cached of it.
func damage(t *testing.T, how, path string) {
	t.Helper()
	if err := damages[how](path); err != nil {
		t.Fatal(err)
	}
	if how == "without permission" {
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(filepath.Join(filepath.Dir(path), "dovecot.index.cache"))
}

// holds is how many messages a folder of the store holds, readable or not.
func (s *side) holds(folder string) (n int) {
	s.use(func(u *user.User) {
		for _, r := range u.Do("EXAMINE %s", folder).Untagged {
			if r.Name == "EXISTS" {
				n = int(r.Number)
			}
		}
	})
	return n
}

// TestDamagedMessage: a message at which the server ends every connection costs
// that message only. All others are mirrored in the same sync, also those that come
// later, those of other folders, their flags, and what is deleted.
func TestDamagedMessage(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	for i, how := range slices.Sorted(slices.Values([]string{"cut short", "garbage", "without permission"})) {
		for j, mirrored := range []bool{false, true} {
			name := how
			if mirrored {
				name += " after it was mirrored"
			}
			t.Run(name, func(t *testing.T) {
				number := mailboxNumber(700 + 2*i + j)
				m := newMirror(t, number, production, dr)
				m.source.use(func(u *user.User) {
					u.Put("INBOX", user.Voices("inbox", 6)...)
					u.Put("Work", user.Voices("work", 3)...)
				})
				if mirrored {
					m.sync()
				}
				damage(t, how, stored(t, production, number, "INBOX", 3))
				m.source.use(func(u *user.User) {
					u.Do("SELECT INBOX")
					u.Do(`STORE 5 +FLAGS (\Flagged)`)
					u.Do(`STORE 1 +FLAGS (\Deleted)`)
					u.Do("EXPUNGE")
					u.Put("INBOX", user.Voices("later", 2)...)
					u.Put("Work", user.Voices("later work", 1)...)
				})
				report := m.sync()
				inbox, work := 6, 4 // of 8, without the deleted one and the damaged one
				if mirrored {
					inbox++ // the target has the damaged one still
				}
				if n := m.target.holds("INBOX"); n != inbox {
					t.Errorf("%d messages in the inbox of the target, want %d: %+v", n, inbox, report)
				}
				if n := m.target.holds("Work"); n != work {
					t.Errorf("%d messages in the other folder, want %d", n, work)
				}
				if again := m.sync(); !again.Idle() {
					t.Errorf("the next sync changed something: %+v", again)
				}
				m.force()
				if n := m.target.holds("INBOX"); n != inbox {
					t.Errorf("%d messages in the inbox after a forced sync, want %d", n, inbox)
				}
				if mirrored {
					return // nothing has to be read of it
				}
				if d := m.recorded()["INBOX"]; len(d) != 1 || d[copier.Unreadable][3] == "" {
					t.Errorf("recorded: %+v", d)
				}
			})
		}
	}
}

// TestDamagedMessageOnTheTarget: a message that the target cannot hand over is
// neither copied again nor deleted, whether the ledger knows it or not, and what
// comes later is mirrored.
func TestDamagedMessageOnTheTarget(t *testing.T) {
	t.Parallel()
	production := servers.DovecotT(t, servers.DovecotOptions{Name: "production"})
	dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	for i, how := range slices.Sorted(slices.Values([]string{"cut short", "garbage", "without permission"})) {
		t.Run(how, func(t *testing.T) {
			number := mailboxNumber(720 + i)
			m := newMirror(t, number, production, dr)
			m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("inbox", 6)...) })
			m.sync()
			damage(t, how, stored(t, dr, number, "INBOX", 3))
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("later", 2)...)
				u.Do("SELECT INBOX")
				u.Do(`STORE 1:6 +FLAGS (\Flagged)`)
			})
			m.sync()
			if n := m.target.holds("INBOX"); n != 8 {
				t.Errorf("%d messages on the target, want 8", n)
			}
			m.force()
			if n := m.target.holds("INBOX"); n != 8 {
				t.Errorf("%d messages on the target after a forced sync, want 8", n)
			}
			if d := m.recorded()["INBOX"]; len(d) != 1 || d[copier.TargetUnreadable][3] == "" {
				t.Errorf("recorded: %+v", d)
			}
			m.sql("DELETE FROM ledger_folders")
			m.sync()
			if n := m.target.holds("INBOX"); n != 8 {
				t.Errorf("%d messages on the target after the ledger was lost, want 8", n)
			}
		})
	}
}
