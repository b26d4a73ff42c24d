package activities_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// heartbeats keeps the last one of an activity, as the server would, up to the
// moment at which the test takes the worker for dead.
type heartbeats struct {
	mu   sync.Mutex
	last any
	dead bool
}

func (h *heartbeats) watch(env *testsuite.TestActivityEnvironment) {
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.dead {
			h.last = nil
			_ = details.Get(&h.last)
		}
	})
	if h.last != nil {
		env.SetHeartbeatDetails(h.last)
	}
}

func (h *heartbeats) die() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = true
}

// diesAt runs an activity and has its worker die as soon as a mailbox is synced:
// nothing that comes later is heard of.
func (h *heartbeats) diesAt(world *activitytest.World, run func(*testsuite.TestActivityEnvironment, *activities.Activities)) {
	h.dead = false
	world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		h.die()
		return copier.Report{}, errors.New("not heard of")
	}
	a := quick(world)
	env := environment(a)
	h.watch(env)
	run(env, a)
}

func TestSyncMailboxParksWhatKillsWorkers(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	var h heartbeats
	for range 3 {
		h.diesAt(world, func(env *testsuite.TestActivityEnvironment, a *activities.Activities) {
			_, _ = env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number})
		})
	}
	world.Forget()
	if got := syncAfter(t, world, h.last); got.State != activities.SyncParked || len(world.Syncs()) != 0 {
		t.Errorf("ended %s after %d more tries", got.State, len(world.Syncs()))
	}
	if f := world.Failures(); len(f) != 1 || f[0].ErrKind != string(fault.Permanent) || f[0].Hint == "" {
		t.Errorf("recorded %+v", f)
	}
}

// What died while it got on, or ended in good order, is no suspect.
func TestSyncMailboxGoesOnAfterDeaths(t *testing.T) {
	for name, last := range map[string]any{
		"got on":     map[string]any{"deaths": 2, "working": true, "advanced": true},
		"once more":  map[string]any{"deaths": 1, "working": true},
		"good order": map[string]any{"deaths": 2, "working": false},
		"unreadable": "x",
	} {
		world := activitytest.New()
		world.Add(link, box.Number)
		if got := syncAfter(t, world, last); got.State != activities.SyncEqual {
			t.Errorf("%s: ended %s", name, got.State)
		}
	}
}

// syncAfter runs SyncMailbox after an attempt whose last heartbeat is given.
func syncAfter(t *testing.T, world *activitytest.World, last any) activities.SyncResult {
	t.Helper()
	world.OnSync = nil
	a := quick(world)
	env := environment(a)
	env.SetHeartbeatDetails(last)
	value, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number})
	if err != nil {
		t.Fatal(err)
	}
	var got activities.SyncResult
	if err := value.Get(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReviewPageLeavesWhatKillsWorkersToSyncs(t *testing.T) {
	world := begun(t, 6)
	world.Differs = func(n mailbox.Number) bool { return n == "1002" }
	var h heartbeats
	var got site.CompareProgress
	run := func(env *testsuite.TestActivityEnvironment, a *activities.Activities) {
		value, err := env.ExecuteActivity(a.ReviewPage, activities.ReviewInput{RunID: "run", Link: link, Page: everything})
		if err == nil {
			err = value.Get(&got)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 4 { // the first one gets on with the mailboxes that are equal
		h.diesAt(world, run)
	}
	world.Forget()
	h.dead, world.OnSync = false, nil
	a := quick(world)
	env := environment(a)
	h.watch(env)
	run(env, a)
	if len(world.Syncs()) != 0 || len(world.Reviews()) != 0 {
		t.Errorf("%d synced and %d reviewed at a page where workers die", len(world.Syncs()), len(world.Reviews()))
	}
	if got.Reviewed != 6 || got.Busy == 0 || got.Failed != 0 {
		t.Errorf("progress %+v", got)
	}
	found := false
	for _, n := range world.Dirty() {
		found = found || n == "1002"
	}
	if !found {
		t.Error("the mailbox is not due for a sync by itself")
	}
}
