//go:build integration

package engine

import (
	"maps"
	"slices"
	"time"

	"mailmirror/test/reader"
	"mailmirror/test/user"
)

// change is something that happens to a mailbox, on either side.
type change struct {
	name   string
	source func(u *user.User)
	target func(u *user.User)
	// at most so much may be copied and expunged to make up for it; some
	// where it depends on the server.
	appended, expunged int
	// force has to find it: no counter of the source tells.
	force bool
}

const some = -1

// changes makes every kind of change and mirrors each by itself.
func (m *matrix) changes() {
	list := m.changeList()
	for i, c := range list {
		begin := time.Now()
		if c.source != nil {
			m.source.use(c.source)
		}
		if c.target != nil {
			m.target.use(c.target)
		}
		failed := m.t.Failed()
		sync := m.sync
		if c.force {
			sync = m.force
		}
		report := m.exact(sync)
		if report.Held > 0 && c.target == nil && c.expunged != some {
			m.t.Errorf("%s: the guard held %d messages that the mirror had put there", c.name, report.Held)
		}
		m.judgeBy(c.name, i%6 == 5 || i == len(list)-1)
		if n := report.Messages.Appended + report.Greetings.Appended; c.appended != some && n > c.appended {
			m.t.Errorf("%s: %d messages were copied, %d would have done", c.name, n, c.appended)
		}
		if n := report.Messages.Expunged + report.Greetings.Expunged; c.expunged != some && n > c.expunged {
			m.t.Errorf("%s: %d messages were expunged, %d would have done", c.name, n, c.expunged)
		}
		m.settled(!m.from.noCount && !m.to.noCount)
		m.t.Logf("%s: %.1f s", c.name, time.Since(begin).Seconds())
		if m.t.Failed() && !failed {
			m.t.Fatalf("the first failure came with: %s (%+v)", c.name, report)
		}
	}
}

func (m *matrix) changeList() []change {
	list := []change{
		{name: "the oddities go", source: func(u *user.User) {
			folders, err := u.Conn.Folders()
			if err != nil {
				u.T.Fatal(err)
			}
			names := slices.Sorted(maps.Keys(folders))
			slices.Reverse(names)
			for _, f := range names {
				if !folders[f].NoSelect && !slices.Contains([]string{"INBOX", "Greetings", "Saved", "R&D", "two  blanks"}, f) {
					u.Do("DELETE %s", f)
				}
			}
		}},
		{name: "flags", source: func(u *user.User) {
			u.Put("Work", user.Voices("work", 12)...)
			u.Do("SELECT %s", "INBOX")
			u.Do(`STORE 1:3 +FLAGS (\Seen \Answered)`)
			u.Do(`STORE 2 -FLAGS (\Seen)`)
			u.Do(`STORE 4 FLAGS (\Flagged)`)
		}, appended: 12},
		{name: "keywords", source: func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 1:3 +FLAGS ($Forwarded Custom)`)
			u.Do(`STORE 2 -FLAGS (custom)`)
		}},
		{name: "deleted and kept", source: func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 3:4 +FLAGS (\Deleted)`)
		}},
		{name: "expunge beside what is only marked", source: func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 3 -FLAGS (\Deleted)`)
			u.Do(`EXPUNGE`)
			u.Do(`STORE 7:8 +FLAGS (\Deleted)`)
			u.Do(`STORE 1 +FLAGS (\Deleted)`)
			u.Do(`STORE 7:8 -FLAGS (\Deleted)`)
		}, expunged: 1},
		{name: "new", source: func(u *user.User) { u.Put("INBOX", user.Voices("new", 3)...) }, appended: 3},
		{name: "all at once", source: func(u *user.User) {
			u.Put("Work", user.Voices("at once", 2)...)
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 5 +FLAGS (\Seen Custom)`)
			u.Do(`STORE 1,6 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		}, appended: 2, expunged: 2},
		{name: "twins", source: func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do("COPY 1:2 %s", "Work")
			u.Do("COPY 1 %s", "Work")
		}, appended: 3},
		{name: "one of three twins goes", source: func(u *user.User) {
			u.Do("SELECT %s", "Work")
			u.Do(`STORE 1 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		}, expunged: 1},
		{name: "folders", source: func(u *user.User) {
			for _, f := range []string{"Projects", "Projects/Alpha", "Projects/Alpha/Deep", "Projects/Beta", "Lonely/Child"} {
				u.Put(f, user.Voices(f, 2)...)
			}
			u.Do("SUBSCRIBE %s", "Projects/Alpha")
			u.Do("CREATE %s", "Empty")
		}, appended: 10},
		{name: "unsubscribe", source: func(u *user.User) {
			u.Do("UNSUBSCRIBE %s", "Projects/Alpha")
			u.Do("SUBSCRIBE %s", "Projects/Beta")
		}},
		{name: "move", source: func(u *user.User) {
			u.Do("SELECT %s", "Projects/Beta")
			u.Do("COPY 1 %s", "Projects/Alpha")
			u.Do(`STORE 1 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		}, appended: 1, expunged: 1},
		{name: "rename", source: func(u *user.User) { u.Do("RENAME %s %s", "Empty", "Vacant") }},
		{name: "rename with all below", source: func(u *user.User) { u.Do("RENAME %s %s", "Projects", "Archive 2025") }, appended: m.renamed(8)},
		{name: "rename below", source: func(u *user.User) { u.Do("RENAME %s %s", "Archive 2025/Alpha", "Archive 2025/Gamma/Alpha") }, appended: m.renamed(5)},
		{name: "rename above and below", source: func(u *user.User) {
			u.Do("RENAME %s %s", "Archive 2025/Beta", "Archive 2025/Delta")
			u.Do("RENAME %s %s", "Archive 2025", "Retired")
		}, appended: some, expunged: some},
		{name: "rename to another case", source: func(u *user.User) { u.Do("RENAME %s %s", "Vacant", "VACANT") }},
		{name: "names swapped", source: func(u *user.User) {
			u.Do("RENAME %s %s", "Retired/Delta", "Swap")
			u.Do("RENAME %s %s", "Lonely/Child", "Retired/Delta")
			u.Do("RENAME %s %s", "Swap", "Lonely/Child")
		}, appended: some, expunged: some,
			// Cyrus gives all folders of one second the same UIDVALIDITY, and a
			// folder keeps its own when it takes another's name.
			force: m.from.cyrus},
		{name: "a folder goes, what is below it stays", source: func(u *user.User) {
			if !m.from.cyrus { // Cyrus deletes no folder that has others below it
				u.Do("DELETE %s", "Retired/Gamma/Alpha")
			}
		}, expunged: some},
		{name: "a folder goes with all below", source: func(u *user.User) {
			u.Do("DELETE %s", "Retired/Gamma/Alpha/Deep")
			u.Do("DELETE %s", "Retired/Delta")
		}},
		{name: "re-created with fewer messages", source: func(u *user.User) {
			u.Put("Again", user.Voices("again", 6)...)
			u.Do("SELECT %s", "Again")
			u.Do("COPY 2:4 %s", "Work")
			u.Do("UNSELECT")
			u.Do("DELETE %s", "Again")
			u.Put("Again", user.Voices("again", 4)...)
		}, appended: 7},
		{name: "re-created with the same and more", source: func(u *user.User) {
			u.Do("DELETE %s", "Again")
			u.Put("Again", append(user.Voices("again", 4), user.Voices("later", 2)...)...)
			u.Do("SUBSCRIBE %s", "Again")
		}, appended: 2},
		{name: "emptied", source: func(u *user.User) {
			u.Do("SELECT %s", "Again")
			u.Do(`STORE 1:* +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
		}, expunged: 6},
		{name: "written to on the target", target: func(u *user.User) {
			u.Put("Work", user.Voices("stranger", 2)...)
			u.Put("Stranger", user.Voices("stranger", 1)...)
			u.Do("SELECT %s", "INBOX")
			u.Do(`STORE 1:2 +FLAGS (\Flagged)`)
			u.Do(`STORE 3 +FLAGS (\Deleted)`)
			u.Do("EXPUNGE")
			u.Do("UNSUBSCRIBE %s", "Again")
			u.Do("DELETE %s", "VACANT")
		}, appended: some, expunged: some},
		{name: "re-created on the target", target: func(u *user.User) {
			u.Do("DELETE %s", "Work")
			u.Do("CREATE %s", "Work")
		}, appended: some},
		{name: "the inbox renamed", source: func(u *user.User) {
			// Some servers do not do it: Dovecot with maildir or below a prefix,
			// and Cyrus.
			if !m.from.cyrus { // whose process ends at it
				_, _ = u.Conn.Command("RENAME INBOX " + reader.Quote(u.NS.Wire("Was inbox")))
			}
			u.Put("INBOX", user.Voices("after the rename", 1)...)
		}, appended: some, expunged: some},
	}
	return list
}

// renamed is how many messages a rename may copy at the most: none, but from a
// source that gives a renamed folder a new UIDVALIDITY.
func (m *matrix) renamed(messages int) int {
	if m.from.cyrus {
		return messages
	}
	return 0
}
