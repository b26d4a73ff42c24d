//go:build integration

package temporalrunner_test

import (
	"slices"
	"testing"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/workflows"
)

// A link has a schedule for its directory while both stores have one, runs over it
// one at a time, and carries on with what was approved meanwhile.
func testDirectory(t *testing.T, b *bench) {
	b.runs = dirsynctest.NewRuns()
	kept := withBook(t, b)
	names := func() []string {
		t.Helper()
		list, err := b.Schedules(t.Context(), []string{b.link})
		must(t, err)
		var all []string
		for _, s := range list {
			if s.Link == b.link && s.Exists {
				all = append(all, s.Name)
			}
		}
		return all
	}
	id := workflows.DirectoryID(b.link)
	must(t, b.EnsureSchedules(t.Context(), b.link))
	if got := names(); slices.Contains(got, id) {
		t.Errorf("a link without directories has the schedules %v", got)
	}
	kept.mu.Lock()
	kept.directory = true
	kept.mu.Unlock()
	must(t, b.EnsureSchedules(t.Context(), b.link))
	s := b.schedule(t, id)
	if s.When != "at 00:45, 06:45, 12:45, 18:45" && len(s.Spec.At) != 4 || !s.Exists || len(s.Next) == 0 {
		t.Errorf("the schedule is %+v", s)
	}

	leave, entered := make(chan struct{}), make(chan struct{}, 10)
	b.runs.Source.Put("1001", map[directory.Column]string{directory.CommonName: "Ann"})
	b.runs.Source.OnExtract = func(int) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	b.work(t)
	must(t, b.RunSchedule(t.Context(), id))
	<-entered
	runID, started, err := b.StartDirectory(t.Context(), b.link, dirsync.TriggerOperator)
	if err != nil || started {
		t.Fatalf("started a run beside the scheduled one: %v, %v", started, err)
	}
	must(t, b.AskDirectory(t.Context(), b.link, dirsync.TriggerApproval))
	close(leave)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunDirectory, Of: b.link, ID: runID}))
	if run := b.runs.Run(); run.Trigger != dirsync.TriggerApproval || run.State != dirsync.Done || run.RunID == runID {
		t.Errorf("the run that followed is %+v", run)
	}
	if len(b.runs.Target.Entries()) != 1 || !b.runs.Joined["1001"] {
		t.Errorf("on the target are %v, in the link %v", b.runs.Target.Entries(), b.runs.Joined)
	}

	kept.mu.Lock()
	kept.directory = false
	kept.mu.Unlock()
	must(t, b.EnsureSchedules(t.Context(), b.link))
	if got := names(); slices.Contains(got, id) {
		t.Errorf("the schedules of a link that has no directory any more: %v", got)
	}
	if err := b.RunSchedule(t.Context(), id); !fault.Is(err, fault.Permanent) {
		t.Errorf("the schedule is still there: %v", err)
	}
}
