package dirsync_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/test/servers"
)

// A directory that does not hand over one of its entries, as it ends the connection in
// it, or as the entry is larger than what Mailmirror accepts: all others are mirrored in
// the same run, the entry is recorded with what to do, and nothing is done to it.
func TestExtractPassesAnEntryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, mode := range []servers.HostileLDAPMode{servers.LDAPCutEntry, servers.LDAPCutName, servers.LDAPLargeEntry, servers.LDAPCutAll} {
		for _, side := range []dirsync.Side{dirsync.SourceSide, dirsync.TargetSide} {
			t.Run(string(mode)+" "+string(side), func(t *testing.T) {
				t.Parallel()
				there, _ := hostileDirectory(t, time.Minute, mode, "1001", "1002", "1003", "1004")
				source, target := there, (*dirsync.Directory)(nil)
				if side == dirsync.TargetSide {
					source, target = nil, there
				}
				m := newMirrorerOf(t, source, target, slog.DiscardHandler)
				for _, d := range []*dirsynctest.Directory{m.runs.Source, m.runs.Target} {
					for _, number := range []string{"1001", "1002", "1003", "1005"} {
						d.Put(number, map[directory.Column]string{directory.CommonName: "Other"})
					}
				}
				m.begin(dirsync.TriggerOperator)
				s, sErr := m.extract(dirsync.SourceSide)
				d, dErr := m.extract(dirsync.TargetSide)
				if mode == servers.LDAPCutAll {
					if sErr == nil && dErr == nil {
						t.Errorf("no entry can be read, and it succeeds: %+v %+v", s, d)
					}
					return
				}
				if sErr != nil || dErr != nil {
					t.Fatal(sErr, dErr)
				}
				must[dirsync.Plan](m)(m.engine.Compare(t.Context(), m.job, s, d, 1))
				if _, err := m.apply(100); err != nil {
					t.Fatal(err)
				}
				found := map[string]directory.ChangeKind{}
				for _, c := range m.runs.Changes() {
					found[c.Number] = c.Kind
					if c.Kind == directory.Unreadable && (c.Hint == "" || !strings.Contains(c.Error, "1002") || strings.Contains(c.Error, "xxx")) {
						t.Errorf("%s: %s (%s)", c.Number, c.Error, c.Hint)
					}
				}
				if found["1002"] != directory.Unreadable || found["1001"] != directory.Alter || found["1003"] != directory.Alter {
					t.Errorf("%v", found)
				}
				if other := found["1005"]; mode == servers.LDAPCutName && side == dirsync.SourceSide && other == directory.Remove {
					t.Error("an entry is to be removed though not all names are known")
				}
				if side == dirsync.SourceSide {
					now := m.runs.Target.Entries()
					if got := string(now["1002"].Values[directory.CommonName][0]); got != "Other" {
						t.Errorf("the entry that cannot be read became %q", got)
					}
					if got := string(now["1003"].Values[directory.CommonName][0]); got != "Box 1003" || !m.runs.Target.Has("1004") {
						t.Errorf("the others are not mirrored: %q", got)
					}
				}
				m.finish()
				if reasons := strings.Join(m.runs.Run().Reasons, "\n"); !strings.Contains(reasons, "cannot be read") {
					t.Errorf("the run says %q", reasons)
				}
			})
		}
	}
}
