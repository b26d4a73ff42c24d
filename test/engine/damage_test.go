//go:build integration

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/corpus"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestLedgerDamage alters the ledger as no program of ours would. It is an
// accelerator and never the truth: whatever it says, both sides end equal, and
// what need not be touched is not.
func TestLedgerDamage(t *testing.T) {
	t.Parallel()
	production, dr := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.DovecotT(t, servers.DovecotOptions{Name: "dr"})
	for i, d := range []struct {
		name string
		sql  []string
		// forced is true where only a forced sync can find it: the counters say
		// that nothing changed, and no message that did is paired wrongly.
		forced bool
		// copies is true where a change that comes first may be mirrored to the
		// wrong message, so that the forced sync has to copy.
		copies bool
	}{
		{name: "nothing"},
		{name: "every other run is gone", sql: []string{`DELETE FROM ledger_runs WHERE source_uid % 2 = 0`}},
		{name: "all runs are gone", sql: []string{`DELETE FROM ledger_runs`}},
		{name: "all folders are gone", sql: []string{`DELETE FROM ledger_folders`}},
		{name: "one folder is gone", sql: []string{`DELETE FROM ledger_folders WHERE folder = 'Greetings'`}},
		{name: "the counters are zero", sql: []string{`UPDATE ledger_folders SET source_at_validity = 0, source_at_uidnext = 0,
			source_at_messages = 0, source_at_modseq = 0, target_at_validity = 0, target_at_uidnext = 0, target_at_messages = 0, target_at_modseq = 0`}},
		{name: "the counters are of the future", sql: []string{`UPDATE ledger_folders SET source_at_uidnext = 100000, target_at_modseq = 100000`}},
		{name: "the target's counters are of the past", sql: []string{`UPDATE ledger_folders SET target_at_uidnext = 2, target_at_messages = 1, target_at_modseq = 1`}},
		{name: "other UIDVALIDITYs", sql: []string{`UPDATE ledger_folders SET source_validity = 1, target_validity = 2`}},
		{name: "the sides are swapped", sql: []string{`UPDATE ledger_folders SET source_validity = target_validity, target_validity = source_validity`}},
		{name: "an intent that nobody had", sql: []string{`INSERT INTO intents SELECT id, 3, '1:50' FROM ledger_folders`}},
		{name: "an intent that is no intent", sql: []string{`INSERT INTO intents SELECT id, 1, 'all of them' FROM ledger_folders`}},
		{name: "runs of any length", sql: []string{`UPDATE ledger_runs SET length = 4000000000`}},
		{name: "runs that overlap", sql: []string{`INSERT INTO ledger_runs SELECT folder_id, source_uid + 1, target_uid, length FROM ledger_runs WHERE length > 2`}},
		{name: "differences that are none", sql: []string{`INSERT INTO differences SELECT id, 2, 'refused', 'made up' FROM ledger_folders ON CONFLICT DO NOTHING`}, forced: true},
		{name: "altered that are not", sql: []string{`INSERT INTO differences SELECT id, 2, 'altered', 'made up' FROM ledger_folders ON CONFLICT DO NOTHING`}, forced: true},
		{name: "pairs shifted by one", sql: []string{`UPDATE ledger_runs SET target_uid = target_uid + 1`}, forced: true, copies: true},
		{name: "pairs turned round", sql: []string{
			`CREATE TEMP TABLE turned AS SELECT r.folder_id, r.source_uid + k AS source_uid, r.target_uid + r.length - 1 - k AS target_uid
				FROM ledger_runs r, generate_series(0, 1000) k WHERE k < r.length`,
			`DELETE FROM ledger_runs`, `INSERT INTO ledger_runs SELECT folder_id, source_uid, target_uid, 1 FROM turned`,
		}, forced: true, copies: true},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, mailboxNumber(100+i), production, dr)
			o := corpus.Options{Seed: uint64(i), Messages: 40, Greetings: 4, MinSize: 1 << 10, MaxSize: 4 << 10}
			if err := corpus.Fill(t.Context(), m.source.access, []string{m.source.number}, o, 1, nil); err != nil {
				t.Fatal(err)
			}
			m.sync()
			m.wholly("before the damage")

			// Damage by itself: nothing is copied and nothing goes.
			m.sql(d.sql...)
			if r := m.sync(); !d.forced {
				m.touchedNothing(r, "the sync after the damage")
				m.wholly("after the damage")
			}
			m.sql(d.sql...)
			m.touchedNothing(m.force(), "the forced sync after the damage")
			m.wholly("forced after the damage")

			// Damage together with changes.
			m.sql(d.sql...)
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("later", 2)...)
				u.Do("SELECT %s", "INBOX")
				u.Do(`STORE 3:4 +FLAGS (\Flagged $Later)`)
				u.Do(`STORE 6,9 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
			// What the ledger does not know any more may be anybody's.
			if r := m.exact(m.sync); !d.copies && r.Messages.Appended > 2 {
				t.Errorf("%d messages were copied, 2 came", r.Messages.Appended)
			}
			if !d.forced {
				m.wholly("after damage and changes")
			}
			if r := m.exact(m.force); !d.copies && r.Messages.Appended > 0 {
				t.Errorf("%d messages were copied by the forced sync", r.Messages.Appended)
			}
			m.wholly("forced after damage and changes")
			m.settled(true)
			m.onlyRead()
		})
	}
}

func (m *mirror) touchedNothing(r copier.Report, when string) {
	m.t.Helper()
	if n := r.Messages.Appended + r.Greetings.Appended + r.Messages.Expunged + r.Greetings.Expunged; n > 0 || (r.Folders != copier.FolderWork{}) {
		m.t.Errorf("%s touched what was equal: %+v", when, r)
	}
}

// TestRestoredTarget puts back an older copy of the target's storage, as an
// administrator does after a disk was lost, and then of the source's.
func TestRestoredTarget(t *testing.T) {
	t.Parallel()
	for _, storage := range []string{"sdbox", "maildir"} {
		t.Run(storage, func(t *testing.T) {
			t.Parallel()
			production := servers.DovecotT(t, servers.DovecotOptions{Name: "production", Storage: storage})
			dr := servers.DovecotT(t, servers.DovecotOptions{Name: "dr", Storage: storage})
			m := newMirror(t, mailboxNumber(200), production, dr)
			o := corpus.Options{Seed: 5, Messages: 30, Greetings: 4, MinSize: 1 << 10, MaxSize: 4 << 10}
			if err := corpus.Fill(t.Context(), m.source.access, []string{m.source.number}, o, 1, nil); err != nil {
				t.Fatal(err)
			}
			m.sync()
			old := backup(t, dr)
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("since", 5)...)
				u.Put("New", user.Voices("new", 3)...)
				u.Do("SELECT %s", "INBOX")
				u.Do(`STORE 2:6 +FLAGS (\Flagged)`)
				u.Do(`STORE 1:* -FLAGS (\Deleted)`)
				u.Do(`STORE 8:9 +FLAGS (\Deleted)`)
				u.Do("EXPUNGE")
			})
			m.sync()
			m.wholly("before the restore")

			// Nothing shows whose the two are that the source deleted since.
			restore(t, dr, old)
			r := m.exact(m.sync)
			m.wholly("after the target was restored")
			if r.Messages.Appended != 8 || r.Messages.Expunged != 2 || r.Folders.Created != 1 {
				t.Errorf("8 messages and a folder were lost and 2 came back, and the sync did %+v", r)
			}
			m.settled(true)

			// UIDs are given out again, by others too.
			restore(t, dr, old)
			m.target.use(func(u *user.User) { u.Put("INBOX", user.Voices("stranger", 3)...) })
			if r := m.exact(m.sync); r.Held != 5 {
				t.Errorf("%d messages were held, want 2 of the backup and 3 of somebody else", r.Held)
			}
			m.wholly("after the target was restored and written to")

			// A production that came back from a backup loses what came since,
			// and so does its mirror; what is there stays. With fewer messages
			// than before a counter goes backwards; with more none does.
			for _, after := range []int{2, 6} {
				old = backup(t, production)
				m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices(fmt.Sprint("lost", after), 4)...) })
				m.sync()
				restore(t, production, old)
				m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices(fmt.Sprint("after", after), after)...) })
				r = m.exact(m.sync)
				m.wholly("after the source was restored")
				if r.Messages.Appended != after || r.Messages.Expunged != 4 {
					t.Errorf("4 messages were lost and %d came, and the sync did %+v", after, r)
				}
			}
			// With as many as before every counter is the same: only a forced
			// sync finds out.
			old = backup(t, production)
			m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("lost", 4)...) })
			m.sync()
			restore(t, production, old)
			m.source.use(func(u *user.User) { u.Put("INBOX", user.Voices("after", 4)...) })
			m.exact(m.force)
			m.wholly("forced after the source was restored")
			m.settled(true)
			m.onlyRead()
		})
	}
}

// backup copies a killed server's mail and starts it again.
func backup(t *testing.T, d *servers.Dovecot) (copied string) {
	t.Helper()
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	copied = filepath.Join(t.TempDir(), "mail")
	servers.RunT(t, "cp", "-a", filepath.Join(d.Dir(), "mail"), copied)
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return copied
}

// restore puts a copy in place of a server's mail.
func restore(t *testing.T, d *servers.Dovecot, copied string) {
	t.Helper()
	if err := d.Kill9(); err != nil {
		t.Fatal(err)
	}
	mail := filepath.Join(d.Dir(), "mail")
	if err := os.RemoveAll(mail); err != nil {
		t.Fatal(err)
	}
	servers.RunT(t, "cp", "-a", copied, mail)
	if err := d.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
