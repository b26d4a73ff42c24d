//go:build integration

package engine

import (
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/test/corpus"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestRebuildOfAltered: what a target stores in another form is recognised even
// where the ledger that told of it is gone.
func TestRebuildOfAltered(t *testing.T) {
	t.Parallel()
	production, cyrus := servers.DovecotT(t, servers.DovecotOptions{Name: "production"}), servers.CyrusT(t, servers.CyrusOptions{})
	for i, d := range []struct {
		name string
		sql  []string
	}{
		{"nothing", nil},
		{"all runs are deleted", []string{`DELETE FROM ledger_runs`}},
		{"all folders are deleted", []string{`DELETE FROM ledger_folders`}},
		{"all differences are deleted", []string{`DELETE FROM differences`}},
		{"runs and differences are deleted", []string{`DELETE FROM ledger_runs`, `DELETE FROM differences`}},
		{"pairs are shifted", []string{`UPDATE ledger_runs SET target_uid = target_uid + 1`}},
	} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, mailboxNumber(400+i), production, cyrus)
			m.source.use(func(u *user.User) {
				u.Put("INBOX", user.Voices("plain", 4)...)
				for _, o := range corpus.Oddities() {
					if o.Dovecot == corpus.Kept {
						u.Put("INBOX", o.Deposits...)
					}
				}
			})
			m.sync()
			before := m.judge("before the damage")
			if n := len(before.recorded["INBOX"][copier.Altered]); n == 0 {
				t.Error("nothing is altered: the test does not test")
			} else {
				t.Logf("%d altered, %d refused", n, len(before.recorded["INBOX"][copier.Refused]))
			}
			m.sql(d.sql...)
			m.touchedNothing(m.force(), "the rebuild")
			after := m.judge("after the rebuild")
			for _, kind := range []copier.DifferenceKind{copier.Altered, copier.Refused} {
				if a, b := len(before.recorded["INBOX"][kind]), len(after.recorded["INBOX"][kind]); a != b {
					t.Errorf("%d messages %s before, %d after", a, kind, b)
				}
			}
			m.touchedNothing(m.sync(), "the sync after the rebuild")
			m.onlyRead()
		})
	}
}
