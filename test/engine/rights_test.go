//go:build integration

package engine

import (
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestFlagsWithoutRights mirrors to folders whose access list forbids most flags
// and every keyword, which both servers tell by PERMANENTFLAGS. Messages are
// mirrored, the flags are shown as lasting differences and not tried again.
func TestFlagsWithoutRights(t *testing.T) {
	t.Parallel()
	const all, limited = "lrswitekxa", "lrsitekxa" // w is the right to change flags but \Seen and \Deleted
	number := mailboxNumber(320)
	dovecot := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Extra: `
protocol imap {
  mail_plugins = acl imap_acl
}
plugin {
  acl = vfile
  acl_user = %u
}
`})
	cyrus := servers.CyrusT(t, servers.CyrusOptions{})
	for _, target := range []struct {
		name   string
		server user.Server
		// grant sets what the mailbox itself may do in a folder of its own.
		grant func(m *mirror, folder, rights string)
	}{
		{"dovecot", dovecot, func(m *mirror, folder, rights string) {
			m.target.use(func(u *user.User) { u.Do("SETACL %s owner "+rights, folder) })
		}},
		{"cyrus", cyrus, func(m *mirror, folder, rights string) {
			admin := &side{t: m.t, access: m.target.access} // acts for nobody but itself
			admin.use(func(u *user.User) {
				u.Do("SETACL " + reader.Quote("user/"+number+"/"+folder) + " " + number + " " + rights)
			})
		}},
	} {
		t.Run(target.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, number, servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), target.server)
			m.target.use(func(u *user.User) { u.Do("CREATE %s", "Limited") })
			target.grant(m, "Limited", limited)
			m.source.use(func(u *user.User) {
				u.Put("INBOX", marked(user.Voice("free", 300), `\Flagged`, "Custom"))
				u.Put("Limited", user.Voice("plain", 300), marked(user.Voice("read", 301), `\Seen`), marked(user.Voice("flagged", 302), `\Seen`, `\Flagged`),
					marked(user.Voice("keyword", 303), "Custom"), marked(user.Voice("all", 304), `\Answered`, `\Draft`, "Custom", "$Forwarded"))
				u.Put("Later", user.Voice("kept", 305), marked(user.Voice("both", 306), `\Flagged`, "Custom"), marked(user.Voice("gone", 307), `\Flagged`))
			})
			if r := m.sync(); r.Outcome != copier.Differing || r.Differences != 3 || r.Messages.Appended != 9 {
				t.Errorf("3 of 9 messages have flags that are not kept, and the sync did %+v", r)
			}
			m.withoutFlags("at first", 3)

			// New messages, and changes that are kept only in part.
			m.source.use(func(u *user.User) {
				u.Put("Limited", marked(user.Voice("new", 308), `\Seen`, "Custom"))
				u.Do("SELECT %s", "Limited")
				u.Do(`STORE 1 +FLAGS (\Seen \Answered)`)
				u.Do(`STORE 3 -FLAGS (\Flagged)`)
				u.Do(`STORE 5 +FLAGS (\Deleted)`)
			})
			m.sync()
			m.withoutFlags("after changes", 4) // 1, 4, 5 and the new one

			// The right goes while flags are there: what both sides have is equal,
			// what only one has stays so.
			target.grant(m, "Later", limited)
			m.source.use(func(u *user.User) {
				u.Do("SELECT %s", "Later")
				u.Do(`STORE 1 +FLAGS (\Answered \Seen)`)
				u.Do(`STORE 2 +FLAGS (\Seen)`)
				u.Do(`STORE 3 -FLAGS (\Flagged)`)
			})
			m.sync()
			m.withoutFlags("without a right that was there", 4+2)
			if r := m.force(); !r.Idle() {
				t.Errorf("a forced sync tries in vain: %+v", r)
			}
			m.withoutFlags("forced", 4+2)

			// With the right, a forced sync mends all.
			target.grant(m, "Limited", all)
			target.grant(m, "Later", all)
			m.force()
			m.wholly("with the right again")
			m.settled(true)
			m.onlyRead()
		})
	}
}

// withoutFlags fails the test unless so many messages, and nothing else, lack
// flags on the target or have too many, all of them shown, and left alone.
func (m *mirror) withoutFlags(when string, want int) {
	m.t.Helper()
	j := m.judge(when)
	n := 0
	for name, v := range j.unlike {
		n += v.Flags
		if (v != verdict{Flags: v.Flags}) {
			m.t.Errorf("%s: folder %s differs: %+v", when, name, v)
		}
		if shown := len(j.recorded[name][copier.FlagsRefused]); shown != v.Flags {
			m.t.Errorf("%s: folder %s: %d messages differ in flags, %d are shown", when, name, v.Flags, shown)
		}
	}
	if n != want {
		m.t.Errorf("%s: %d messages differ in flags, want %d", when, n, want)
	}
	m.settled(true)
}

func marked(d reader.Deposit, flags ...string) reader.Deposit {
	d.Flags = flags
	return d
}
