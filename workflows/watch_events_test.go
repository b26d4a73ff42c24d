package workflows_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/watch"
	"mailmirror/workflows"
)

// ears answers the activities of a WatchEvents: plans one after the other, the
// last again and again, and shards that listen until they are told to end.
type ears struct {
	mu      sync.Mutex
	plans   []activities.WatchPlan
	planned int
	starts  []int
	ends    map[int]chan activities.ListenResult
}

func (e *ears) expect(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(steps.PlanWatch, mock.Anything, mock.Anything).Return(func(context.Context, string) (activities.WatchPlan, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		plan := e.plans[min(e.planned, len(e.plans)-1)]
		e.planned++
		return plan, nil
	})
	env.OnActivity(steps.Listen, mock.Anything, mock.Anything).Return(func(ctx context.Context, in activities.ListenInput) (activities.ListenResult, error) {
		e.mu.Lock()
		e.starts = append(e.starts, in.Shard)
		end := e.ending(in.Shard)
		e.mu.Unlock()
		select {
		case result := <-end:
			return result, nil
		case <-ctx.Done():
			return activities.ListenResult{}, ctx.Err()
		}
	}).Maybe()
}

// end ends a shard's listening.
func (e *ears) end(shard int, why watch.Outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ending(shard) <- activities.ListenResult{Outcome: why}
}

// ending is where a shard, of which the start may be to come, is told to end.
// Called with mu held.
func (e *ears) ending(shard int) chan activities.ListenResult {
	if e.ends == nil {
		e.ends = map[int]chan activities.ListenResult{}
	}
	if e.ends[shard] == nil {
		e.ends[shard] = make(chan activities.ListenResult, 10)
	}
	return e.ends[shard]
}

func (e *ears) started() []int {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := slices.Clone(e.starts)
	slices.Sort(list)
	return list
}

func plans(shards ...int) []activities.WatchPlan {
	var list []activities.WatchPlan
	for _, n := range shards {
		list = append(list, activities.WatchPlan{Shards: n, Mailboxes: 10 * n})
	}
	return list
}

func TestWatchEventsOfNoLink(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(0)}
	e.expect(env)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if len(e.starts) > 0 {
		t.Errorf("shards %v were started", e.starts)
	}
}

func TestWatchEventsEndsWithItsLink(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(3, 0)}
	e.expect(env)
	env.RegisterDelayedCallback(func() { e.end(1, watch.Gone) }, 100*time.Millisecond)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 1, 2}, e.started()); diff != "" {
		t.Errorf("shards started (-want +got):\n%s", diff)
	}
}

// A link that is removed and added again before its WatchEvents has ended.
func TestWatchEventsOfALinkThatIsBack(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(1, 1, 0)}
	e.expect(env)
	env.RegisterDelayedCallback(func() { e.end(0, watch.Gone) }, 100*time.Millisecond)
	env.RegisterDelayedCallback(func() { e.end(0, watch.Gone) }, 4*time.Second)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{0, 0}, e.started()); diff != "" {
		t.Errorf("shards started (-want +got):\n%s", diff)
	}
}

func TestWatchEventsPlansAnew(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(1, 3, 3, 2, 0)}
	e.expect(env)
	env.RegisterDelayedCallback(func() { e.end(0, watch.Reshard) }, 100*time.Millisecond)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalRoster, nil) }, 3*time.Second)
	env.RegisterDelayedCallback(func() {
		value, err := env.QueryWorkflow(workflows.QueryProgress)
		if err != nil {
			t.Fatal(err)
		}
		var view workflows.WatchView
		if err := value.Get(&view); err != nil {
			t.Fatal(err)
		}
		if view.Shards != 3 || view.Mailboxes != 30 || view.Since.IsZero() {
			t.Errorf("progress %+v", view)
		}
		env.SignalWorkflow(workflows.SignalRoster, nil)
	}, 5*time.Second)
	env.RegisterDelayedCallback(func() { e.end(0, watch.Gone) }, 7*time.Second)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	// The first shard again, since it asked, and the new ones; none of those
	// that went on listening.
	if diff := cmp.Diff([]int{0, 0, 1, 2}, e.started()); diff != "" {
		t.Errorf("shards started (-want +got):\n%s", diff)
	}
}

func TestWatchEventsContinuesAsNew(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(2)}
	e.expect(env)
	env.SetContinueAsNewSuggested(true)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalRoster, nil) }, 100*time.Millisecond)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want to continue as new", env.GetWorkflowError())
	}
	var carried workflows.WatchState
	decode(t, next.Input, &carried)
	if carried.Link != "dr" || carried.Since.IsZero() {
		t.Errorf("carried over %+v", carried)
	}
}

func TestWatchEventsCancelled(t *testing.T) {
	env := environment(t)
	e := &ears{plans: plans(2)}
	e.expect(env)
	env.RegisterDelayedCallback(env.CancelWorkflow, 100*time.Millisecond)
	env.ExecuteWorkflow(workflows.WatchEvents, workflows.WatchState{Link: "dr"})
	if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("got %v, want a cancellation", err)
	}
}

// The first sync after a quiet time does not wait, those that follow do; what
// an earlier release started waits as it did there.
func TestMailboxSyncAtOnce(t *testing.T) {
	for _, test := range []struct {
		name  string
		input workflows.MailboxSyncInput
		waits []time.Duration // before each sync
	}{
		{"at once", workflows.MailboxSyncInput{AtOnce: true}, []time.Duration{0, time.Minute}},
		{"continued", workflows.MailboxSyncInput{AtOnce: true, Continued: true}, []time.Duration{time.Minute, time.Minute}},
		{"of an earlier release", workflows.MailboxSyncInput{}, []time.Duration{time.Minute, time.Minute}},
	} {
		t.Run(test.name, func(t *testing.T) {
			env := environment(t)
			test.input.Link, test.input.Number, test.input.Debounce = "dr", "1001", time.Minute
			last := env.Now()
			var waits []time.Duration
			env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return(
				func(context.Context, activities.SyncInput) (activities.SyncResult, error) {
					waits = append(waits, env.Now().Sub(last).Round(time.Second))
					last = env.Now()
					return activities.SyncResult{State: activities.SyncEqual, Dirty: len(waits) == 1}, nil
				})
			env.ExecuteWorkflow(workflows.MailboxSync, test.input)
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.waits, waits); diff != "" {
				t.Errorf("waited (-want +got):\n%s", diff)
			}
		})
	}
}
