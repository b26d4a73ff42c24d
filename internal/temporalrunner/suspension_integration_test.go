//go:build integration

package temporalrunner_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"mailmirror/activities/activitytest"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/temporalrunner"
	"mailmirror/workflows"
)

// book is a database of operators' decisions.
type book struct {
	*activitytest.World
	mu    sync.Mutex
	specs map[string]site.ScheduleSpec
	// directory is whether links have one.
	directory bool
}

func (b *book) HasDirectory(context.Context, string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.directory, nil
}

func (b *book) ScheduleSpecs(context.Context) (map[string]site.ScheduleSpec, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.specs, nil
}

func (b *book) set(specs map[string]site.ScheduleSpec) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.specs = specs
}

// withBook gives the bench a book, and removes what there is one of at the end.
func withBook(t *testing.T, b *bench) *book {
	t.Helper()
	kept := &book{World: b.world}
	b.opts.Book = kept
	b.Runner = temporalrunner.New(b.client, b.opts)
	t.Cleanup(func() {
		ctx := context.Background()
		_ = b.client.TerminateWorkflow(ctx, workflows.ControlID, "", "the test is over")
		_ = b.client.TerminateWorkflow(ctx, workflows.ControlIDOf(b.link), "", "the test is over")
		for _, id := range []string{workflows.SweepID, workflows.CompareID(b.link)} {
			_ = b.client.ScheduleClient().GetHandle(ctx, id).Delete(ctx)
		}
	})
	return kept
}

// schedule returns one of the bench's schedules.
func (b *bench) schedule(t *testing.T, name string) site.ScheduleInfo {
	t.Helper()
	list, err := b.Schedules(t.Context(), []string{b.link})
	must(t, err)
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no schedule %s among %+v", name, list)
	return site.ScheduleInfo{}
}

func (b *bench) stands(t *testing.T, want suspension.State) suspension.Suspension {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		s, err := b.world.Suspension(t.Context())
		must(t, err)
		if s.State == want {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %s, it is %+v", want, s)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *bench) updateControl(t *testing.T, name string, r suspension.Request) suspension.Suspension {
	t.Helper()
	update, err := b.client.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{WorkflowID: workflows.ControlID,
		UpdateName: name, Args: []any{r}, WaitForStage: client.WorkflowUpdateStageCompleted})
	must(t, err)
	var s suspension.Suspension
	must(t, update.Get(t.Context(), &s))
	return s
}

func testMirrorControl(t *testing.T, b *bench) {
	kept := withBook(t, b)
	b.world.Add(b.link, "1001")
	must(t, b.EnsureCommonSchedules(t.Context()))
	must(t, b.EnsureSchedules(t.Context(), b.link))
	for range 2 {
		must(t, b.EnsureControl(t.Context()))
	}
	compare := workflows.CompareID(b.link)
	must(t, b.PauseSchedule(t.Context(), compare, "paused by carol: her own reasons"))
	stop := b.work(t)

	s := b.updateControl(t, workflows.SignalSuspend, suspension.Request{Reason: "storage", Who: "alice"})
	if s.State != suspension.Suspended || s.Reason != "storage" || s.Who != "alice" || s.Since.IsZero() {
		t.Errorf("suspended: %+v", s)
	}
	if sweep := b.schedule(t, workflows.SweepID); !sweep.Paused || !sweep.Suspended || !strings.Contains(sweep.Note, "storage") || len(sweep.Next) != 0 {
		t.Errorf("while suspended: %+v", sweep)
	}
	if c := b.schedule(t, compare); !c.Paused || c.Suspended || c.Note != "paused by carol: her own reasons" {
		t.Errorf("what was paused before: %+v", c)
	}
	value, err := b.client.QueryWorkflow(t.Context(), workflows.ControlID, "", workflows.QuerySuspension)
	must(t, err)
	var view workflows.ControlView
	must(t, value.Get(&view))
	if view.State != suspension.Suspended || view.Who != "alice" {
		t.Errorf("query: %+v", view)
	}
	d, err := b.client.DescribeWorkflowExecution(t.Context(), workflows.ControlID, "")
	must(t, err)
	phase := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()[workflows.PhaseAttribute.GetName()]
	if string(phase.GetData()) != `"suspended"` {
		t.Errorf("search attribute %s", phase)
	}

	// It stays suspended over the restart of a worker, which makes schedules anew.
	stop()
	must(t, b.client.ScheduleClient().GetHandle(t.Context(), workflows.SweepID).Delete(t.Context()))
	must(t, b.EnsureCommonSchedules(t.Context()))
	must(t, b.EnsureCommonSchedules(t.Context()))
	if sweep := b.schedule(t, workflows.SweepID); !sweep.Paused || !sweep.Suspended {
		t.Errorf("made while suspended: %+v", sweep)
	}
	must(t, b.EnsureControl(t.Context()))
	// What an operator resumes meanwhile goes on with the mirror, what is paused
	// meanwhile does not.
	must(t, b.UnpauseSchedule(t.Context(), compare, "resumed by carol"))
	if c := b.schedule(t, compare); !c.Paused || !c.Suspended {
		t.Errorf("resumed while suspended: %+v", c)
	}
	b.work(t)
	must(t, b.AskResume(t.Context(), suspension.Request{Who: "bob", Epoch: s.Epoch}))
	if s := b.stands(t, suspension.Running); s.Who != "bob" {
		t.Errorf("resumed: %+v", s)
	}
	b.updateControl(t, workflows.SignalResume, suspension.Request{Who: "bob"}) // answered when the schedules go on
	for _, name := range []string{workflows.SweepID, compare} {
		if s := b.schedule(t, name); s.Paused || len(s.Next) == 0 {
			t.Errorf("after the resumption: %+v", s)
		}
	}
	// The sweep that comes with it starts what is due.
	deadline := time.Now().Add(time.Minute)
	for len(b.world.Dirty()) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still dirty: %v", b.world.Dirty())
		}
		time.Sleep(20 * time.Millisecond)
	}

	// A bare signal, as `temporal workflow signal` sends it, does the same; and
	// so does a command where the workflow was ended by somebody.
	_, err = b.client.WorkflowService().SignalWorkflowExecution(t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "default", SignalName: workflows.SignalSuspend,
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: workflows.ControlID},
	})
	must(t, err)
	s = b.stands(t, suspension.Suspended)
	must(t, b.client.TerminateWorkflow(t.Context(), workflows.ControlID, "", "an accident"))
	// One that is started after it knows of the suspension, also if the database does not.
	b.world.Restore(suspension.Suspension{State: suspension.Running, Epoch: 1})
	if started, err := b.ReviveControl(t.Context(), ""); err != nil || !started {
		t.Errorf("started anew: %v, %v", started, err)
	}
	s = b.stands(t, suspension.Suspended)
	if known, err := b.ControlView(t.Context(), ""); err != nil || !known.Still() || known.Unconfirmed {
		t.Errorf("it knows %+v, %v", known, err)
	}
	must(t, b.AskResume(t.Context(), suspension.Request{Who: "bob", Epoch: s.Epoch}))
	b.stands(t, suspension.Running)

	// A schedule that was left paused by an old suspension goes on at a start.
	must(t, b.PauseSchedule(t.Context(), workflows.SweepID, "mirror suspended by alice: storage"))
	kept.set(map[string]site.ScheduleSpec{workflows.SweepID: {Every: 2 * time.Hour}})
	must(t, b.EnsureCommonSchedules(t.Context()))
	if s := b.schedule(t, workflows.SweepID); s.Paused || s.Spec.Every != 2*time.Hour || !s.Set {
		t.Errorf("after a start: %+v", s)
	}
}

func testScheduleControl(t *testing.T, b *bench) {
	kept := withBook(t, b)
	b.opts.SweepEvery = time.Hour
	b.Runner = temporalrunner.New(b.client, b.opts)
	compare := workflows.CompareID(b.link)
	if s := b.schedule(t, compare); s.Exists || s.When != "every 4h" {
		t.Errorf("before there is one: %+v", s)
	}
	must(t, b.EnsureSchedules(t.Context(), b.link))
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	for _, c := range []struct {
		spec  site.ScheduleSpec
		right func(next []time.Time) bool
	}{
		{site.ScheduleSpec{Every: 2 * time.Hour}, func(next []time.Time) bool {
			return next[1].Sub(next[0]) > time.Hour && next[1].Sub(next[0]) < 3*time.Hour
		}},
		{site.ScheduleSpec{At: []string{"01:00", "07:30"}, Timezone: "Europe/Berlin"}, func(next []time.Time) bool {
			for _, at := range next {
				// With a jitter of five minutes.
				if at := at.In(berlin); (at.Hour() != 1 || at.Minute() > 5) && (at.Hour() != 7 || at.Minute() < 30 || at.Minute() > 35) {
					return false
				}
			}
			return true
		}},
		{site.ScheduleSpec{Cron: "15 3 * * 1"}, func(next []time.Time) bool {
			return next[0].UTC().Weekday() == time.Monday && next[0].UTC().Hour() == 3 && next[1].Sub(next[0]) > 6*24*time.Hour
		}},
	} {
		kept.set(map[string]site.ScheduleSpec{compare: c.spec})
		must(t, b.ApplySchedule(t.Context(), compare, []string{b.link}))
		// A worker that starts leaves it so.
		must(t, temporalrunner.New(b.client, b.opts).EnsureSchedules(t.Context(), b.link))
		if s := b.schedule(t, compare); !s.Set || s.When != c.spec.String() || len(s.Next) < 2 || !c.right(s.Next) {
			t.Errorf("%s: %+v", c.spec, s)
		}
	}
	for _, wrong := range []site.ScheduleSpec{{Cron: "a b c d e"}, {At: []string{"01:00"}, Timezone: "Europe/Nowhere"}} {
		kept.set(map[string]site.ScheduleSpec{compare: wrong})
		if err := b.ApplySchedule(t.Context(), compare, []string{b.link}); !fault.Is(err, fault.Config) || !errors.Is(err, site.ErrSpecRejected) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	kept.set(nil)
	must(t, b.ApplySchedule(t.Context(), compare, []string{b.link}))
	if s := b.schedule(t, compare); s.Set || s.When != "every 4h" {
		t.Errorf("as built in: %+v", s)
	}
	must(t, b.PauseSchedule(t.Context(), compare, "paused by alice"))
	must(t, b.RunSchedule(t.Context(), compare)) // paused or not
	deadline := time.Now().Add(time.Minute)
	for {
		s := b.schedule(t, compare)
		if s.Running && !s.LastRun.IsZero() && s.Paused && s.Note == "paused by alice" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a run was asked for: %+v", s)
		}
		time.Sleep(20 * time.Millisecond)
	}
	// Another that is due while it goes on is skipped, and counted.
	must(t, b.RunSchedule(t.Context(), compare))
	for b.schedule(t, compare).Skipped != 1 {
		if time.Now().After(deadline) {
			t.Fatalf("a second run: %+v", b.schedule(t, compare))
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := b.ApplySchedule(t.Context(), "nowhere", nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("a schedule that there is none of: %v", err)
	}
}
