//go:build integration

package temporalrunner_test

import (
	"context"
	"testing"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/site"
	"mailmirror/internal/temporalrunner"
	"mailmirror/workflows"
)

// Whoever starts it, there is one compare of a link at a time, and it can be
// waited for.
func testScheduled(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	b.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		entered <- struct{}{}
		<-leave
		return copier.Report{}, nil
	}
	b.work(t)
	must(t, b.EnsureSchedules(t.Context(), b.link))
	handle := b.client.ScheduleClient().GetHandle(t.Context(), workflows.CompareID(b.link))
	must(t, handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	<-entered
	runID, started, err := b.StartCompare(t.Context(), b.link)
	if err != nil || started {
		t.Fatalf("started a compare beside the scheduled one: %v, %v", started, err)
	}
	// Another run of the schedule ends without starting a second one.
	run, err := b.client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: b.opts.TaskQueue},
		workflows.TypeScheduledCompare, workflows.CompareState{Link: b.link, PageSize: 4, Window: 1})
	must(t, err)
	var second bool
	if err := run.Get(t.Context(), &second); err != nil || second {
		t.Errorf("the schedule started a second compare: %v, %v", second, err)
	}
	close(leave)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: runID}))
	record, ok := b.world.Compare(runID)
	if !ok || record.Run.Trigger != activities.TriggerSchedule || record.Progress().Synced != 1 {
		t.Errorf("record %+v", record)
	}
}

func testSchedules(t *testing.T, b *bench) {
	next := func() site.CompareSchedule {
		t.Helper()
		s, err := b.Schedule(t.Context(), b.link)
		must(t, err)
		return s
	}
	if s := next(); s != (site.CompareSchedule{}) {
		t.Errorf("before there is one: %+v", s)
	}
	b.opts.CompareEvery = 30 * time.Minute
	must(t, temporalrunner.New(b.client, b.opts).EnsureSchedules(t.Context(), b.link))
	// The interval is the schedule's, not that of whoever asks.
	if s := next(); s.Paused || !s.WaitingSince.IsZero() || time.Until(s.NextCompare) <= 0 || time.Until(s.NextCompare) > 36*time.Minute {
		t.Errorf("next compare in %s: %+v", time.Until(s.NextCompare), s)
	}
	handle := b.client.ScheduleClient().GetHandle(t.Context(), workflows.CompareID(b.link))
	must(t, handle.Pause(t.Context(), client.SchedulePauseOptions{Note: "maintenance"}))
	changed := b.opts
	changed.CompareEvery = 2 * time.Hour
	for range 2 {
		must(t, temporalrunner.New(b.client, changed).EnsureSchedules(t.Context(), b.link))
	}
	d, err := handle.Describe(t.Context())
	must(t, err)
	if every := d.Schedule.Spec.Intervals; len(every) != 1 || every[0].Every != 2*time.Hour {
		t.Errorf("intervals %+v, want one of 2 h", every)
	}
	if !d.Schedule.State.Paused {
		t.Error("the schedule did not stay paused")
	}
	if s := next(); !s.Paused || !s.NextCompare.IsZero() {
		t.Errorf("while it is paused: %+v", s)
	}
	if d.Schedule.Policy.Overlap != enums.SCHEDULE_OVERLAP_POLICY_SKIP || d.Schedule.Policy.CatchupWindow != time.Hour {
		t.Errorf("policy %+v", d.Schedule.Policy)
	}
	must(t, b.RemoveSchedules(t.Context(), b.link))
	must(t, b.RemoveSchedules(t.Context(), b.link)) // gone already
	if _, err := handle.Describe(t.Context()); err == nil {
		t.Error("the schedule is still there")
	}
}

// A compare that the schedule started waits for a worker, and the schedule
// tells since when.
func testWaiting(t *testing.T, b *bench) {
	must(t, b.EnsureSchedules(t.Context(), b.link))
	handle := b.client.ScheduleClient().GetHandle(t.Context(), workflows.CompareID(b.link))
	begin := time.Now().Add(-time.Second)
	must(t, handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	await := func(waiting bool) {
		t.Helper()
		deadline := time.Now().Add(time.Minute)
		for {
			s, err := b.Schedule(t.Context(), b.link)
			must(t, err)
			if waiting == s.WaitingSince.After(begin) && waiting != s.WaitingSince.IsZero() {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("want waiting %v: %+v", waiting, s)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	await(true)
	b.work(t)
	await(false)
}
