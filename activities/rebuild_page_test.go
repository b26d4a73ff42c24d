package activities_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func rebuild(t *testing.T, world *activitytest.World) site.CompareProgress {
	t.Helper()
	a := quick(world)
	value, err := environment(a).ExecuteActivity(a.RebuildPage, activities.ReviewInput{
		RunID: "run", Link: link, Trigger: activities.TriggerRebuild, Page: everything})
	if err != nil {
		t.Fatal(err)
	}
	var progress site.CompareProgress
	if err := value.Get(&progress); err != nil {
		t.Fatal(err)
	}
	return progress
}

// TestRebuildPage looks at every mailbox, though an overview and the ledger say
// that none has changed, and records what fails against its mailbox.
func TestRebuildPage(t *testing.T) {
	world := begun(t, 9)
	numbers := activitytest.Numbers(9)
	source, target := &overviewer{}, &overviewer{}
	world.LinkStores = activities.LinkStores{Source: source, Target: target}
	world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number == numbers[4] {
			return copier.Report{}, fault.Newf(fault.Permanent, "open mailbox: no such mailbox")
		}
		return copier.Report{}, nil
	}
	got := rebuild(t, world)
	if got.Reviewed != 9 || got.Synced != 8 || got.Failed != 1 || len(world.Failures()) != 1 {
		t.Errorf("progress %+v, failures %+v", got, world.Failures())
	}
	if n := source.calls.Load() + target.calls.Load(); n > 0 || len(world.Reviews()) > 0 {
		t.Errorf("%d overviews and %d reviews: the ledger was believed", n, len(world.Reviews()))
	}
	for _, job := range world.Syncs() {
		if !job.Force || job.Retry || job.Trigger != activities.TriggerRebuild || job.Generation != 1 {
			t.Errorf("synced %+v", job)
		}
	}
}

// TestPagesComeBack to mailboxes that another sync was at, for a while.
func TestPagesComeBack(t *testing.T) {
	for _, page := range []func(*activities.Activities) any{
		func(a *activities.Activities) any { return a.RebuildPage },
		func(a *activities.Activities) any { return a.ReviewPage },
	} {
		synctest.Test(t, func(t *testing.T) {
			world := begun(t, 6)
			world.Differs = func(mailbox.Number) bool { return true }
			numbers := activitytest.Numbers(6)
			tries := map[mailbox.Number]int{}
			begin := time.Now()
			world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
				n := job.Key.Number
				if n != numbers[1] && n != numbers[3] {
					return copier.Report{}, nil
				}
				tries[n]++
				if n == numbers[1] && time.Since(begin) >= 10*time.Second {
					return copier.Report{}, nil
				}
				return copier.Report{}, fault.New(fault.Conflict, "", &lease.HeldError{Resource: lease.OfMailbox(job.Key), Wait: 10 * time.Second}, "")
			}
			a := activities.New(world.Ports(nil), activities.Settings{Mailboxes: 1, Report: 5 * time.Millisecond})
			value, err := environment(a).ExecuteActivity(page(a), activities.ReviewInput{
				RunID: "run", Link: link, Trigger: activities.TriggerCompare, Page: everything})
			if err != nil {
				t.Fatal(err)
			}
			var got site.CompareProgress
			if err := value.Get(&got); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < 10*time.Second || took > 20*time.Second {
				t.Errorf("gave up after %s", took)
			}
			if got.Reviewed != 6 || got.Synced != 5 || got.Busy != 1 || tries[numbers[1]] < 2 || tries[numbers[3]] < tries[numbers[1]] {
				t.Errorf("progress %+v, tries %v", got, tries)
			}
		})
	}
}

// TestAdmitted: a job is admitted before it opens anything, and gives
// back what it was given, whatever becomes of it.
func TestAdmitted(t *testing.T) {
	world := begun(t, 5)
	inside, most := 0, 0
	world.LinkStores = activities.LinkStores{Source: &overviewer{}, Target: &overviewer{},
		Admit: func(context.Context) (func(), error) {
			inside++
			most = max(most, inside)
			return func() { inside-- }, nil
		},
		Pace: func(context.Context, int) error { return errors.New("unused") },
	}
	world.Differs = func(mailbox.Number) bool { return true }
	a := quick(world)
	if _, err := review(t, environment(a), a, 0); err != nil {
		t.Fatal(err)
	}
	if inside != 0 || most != 0 { // stores admit their lists, and the world's engine opens nothing
		t.Errorf("%d are inside after all ended, %d were at most", inside, most)
	}
	for _, job := range world.Syncs() {
		if job.Admit == nil || job.Pace == nil {
			t.Error("a job has no bounds")
		}
	}
}

func TestPurgeRecords(t *testing.T) {
	world := activitytest.New()
	keep := site.Retention{History: time.Hour, Archive: 2 * time.Hour}
	want := site.Retained{Archived: 3}
	world.OnRetain = func(got site.Retention) (site.Retained, error) {
		if got != keep {
			t.Errorf("kept by %+v, want %+v", got, keep)
		}
		return want, nil
	}
	a := activities.New(world.Ports(nil), activities.Settings{Retention: keep})
	value, err := environment(a).ExecuteActivity(a.PurgeRecords)
	if err != nil {
		t.Fatal(err)
	}
	var got site.Retained
	if err := value.Get(&got); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}
