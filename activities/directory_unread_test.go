package activities_test

import (
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/lease"
	"mailmirror/test/servers"
)

// newMirrorerOf is a mirrorer of which some directories are real ones; nil is one in
// memory.
func newMirrorerOf(t *testing.T, source, target *dirsync.Directory) *mirrorer {
	t.Helper()
	m := newMirrorer(t, nil)
	ports := activitytest.New().Ports(nil)
	ports.Directory = m.runs.Ports()
	ports.Directory.Directories = onServers{m.runs, source, target}
	var suite testsuite.WorkflowTestSuite
	m.env = suite.NewTestActivityEnvironment()
	m.env.SetTestTimeout(2 * time.Minute)
	m.env.RegisterActivity(activities.New(ports, activities.Settings{Report: time.Millisecond,
		Lease: lease.Times{TTL: time.Minute, Fence: time.Millisecond}}))
	return m
}

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
				m := newMirrorerOf(t, source, target)
				for _, d := range []*activitytest.Directory{m.runs.Source, m.runs.Target} {
					for _, number := range []string{"1001", "1002", "1003", "1005"} {
						d.Put(number, map[directory.Column]string{directory.CommonName: "Other"})
					}
				}
				m.in = activities.DirectoryInput{RunID: "run", Link: "dr", Trigger: dirsync.TriggerOperator}
				if _, err := m.env.ExecuteActivity("BeginDirectory", m.in); err != nil {
					t.Fatal(err)
				}
				extract := func(side dirsync.Side) (directory.Extracted, error) {
					return do[directory.Extracted](m, "ExtractDirectory", activities.ExtractInput{DirectoryInput: m.in, Side: side})
				}
				s, sErr := extract(dirsync.SourceSide)
				d, dErr := extract(dirsync.TargetSide)
				if mode == servers.LDAPCutAll {
					if sErr == nil && dErr == nil {
						t.Errorf("no entry can be read, and it succeeds: %+v %+v", s, d)
					}
					return
				}
				if sErr != nil || dErr != nil {
					t.Fatal(sErr, dErr)
				}
				must[activities.DirectoryPlan](m, "CompareDirectory", activities.CompareDirectoryInput{DirectoryInput: m.in, Source: s, Target: d})
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
				must[dirsync.State](m, "FinishDirectory", activities.FinishDirectoryInput{DirectoryInput: m.in})
				if reasons := strings.Join(m.runs.Run().Reasons, "\n"); !strings.Contains(reasons, "cannot be read") {
					t.Errorf("the run says %q", reasons)
				}
			})
		}
	}
}
