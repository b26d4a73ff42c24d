//go:build integration

package engine

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"mailmirror/test/reader"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestBigFolder mirrors a large folder, of 50,000 messages in make soak, finds it unchanged without
// reading a message, and mirrors a small change of it by as little.
func TestBigFolder(t *testing.T) {
	t.Parallel()
	count := repeat.Times(5_000, 50_000)
	dovecot := func(name string) *servers.Dovecot {
		return servers.DovecotT(t, servers.DovecotOptions{Name: name, Storage: "mdbox"})
	}
	m := newMirror(t, mailboxNumber(300), dovecot("production"), dovecot("dr"))
	begin := time.Now()
	lap := func(what string) {
		t.Logf("%s: %.1f s", what, time.Since(begin).Seconds())
		begin = time.Now()
	}
	m.source.use(func(u *user.User) { putMany(u, "INBOX", "big", count) })
	lap("filled")
	if r := m.sync(); r.Messages.Appended != count {
		t.Errorf("%d messages were copied of %d", r.Messages.Appended, count)
	}
	lap("copied")

	sent := m.listen()
	if _, unchanged := m.review(); !unchanged {
		t.Error("the counters do not prove an unchanged folder to be unchanged")
	}
	// The sessions before may end only now.
	if c := slices.DeleteFunc(sent(), func(c string) bool { return c == "LOGOUT" }); len(c) > 8 {
		t.Errorf("the review of an unchanged folder took %d commands: %q", len(c), c)
	}
	lap("reviewed")

	m.source.use(func(u *user.User) {
		u.Put("INBOX", user.Voices("later", 3)...)
		u.Do("SELECT %s", "INBOX")
		u.Do(fmt.Sprintf(`STORE 100:199,%d +FLAGS (\Flagged Custom)`, count*4/5))
		u.Do(fmt.Sprintf(`STORE 7,%d:%d,%d +FLAGS (\Deleted)`, count/2, count/2+4, count))
		u.Do("EXPUNGE")
	})
	sent = m.listen()
	if r := m.sync(); r.Messages.Appended != 3 || r.Messages.FlagsChanged != 101 || r.Messages.Expunged != 7 {
		t.Errorf("3 messages came, 101 were marked and 7 went, and the sync did %+v", r.Messages)
	}
	bodies := 0
	for _, c := range sent() {
		if strings.Contains(c, "BODY.PEEK[]") {
			bodies++
		}
	}
	if c := sent(); len(c) > 60 || bodies != 1 {
		t.Errorf("the small change took %d commands, %d of them for bodies: %.5000q", len(c), bodies, c)
	}
	lap("changed")
	m.wholly("after the change")
	lap("compared")
	m.onlyRead()
}

// listen returns what tells which commands both servers were sent since.
func (m *mirror) listen() (since func() []string) {
	source, target := len(m.source.proxy.Commands()), len(m.target.proxy.Commands())
	return func() []string {
		return slices.Concat(m.source.proxy.Commands()[source:], m.target.proxy.Commands()[target:])
	}
}

// putMany deposits small messages of many names, a thousand with each command
// (MULTIAPPEND, RFC 3502).
func putMany(u *user.User, folder, name string, count int) {
	u.T.Helper()
	for first := 0; first < count; first += 1000 {
		var command strings.Builder
		command.WriteString("APPEND " + reader.Quote(u.NS.Wire(folder)))
		for i := first; i < min(first+1000, count); i++ {
			d := user.Voice(fmt.Sprint(name, i), 220+i%100)
			fmt.Fprintf(&command, " \"%s\" {%d+}\r\n", d.Date.Format("02-Jan-2006 15:04:05 -0700"), d.Size)
			if _, err := io.Copy(&command, d.Body()); err != nil {
				u.T.Fatal(err)
			}
		}
		if _, err := u.Conn.Command(command.String()); err != nil {
			u.T.Fatal(err)
		}
	}
}
