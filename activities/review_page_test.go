package activities_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

const link = "dr"

// everything is a page that holds all mailboxes of a world.
var everything = activities.Page{Last: "9999"}

func environment(a *activities.Activities) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	activities.Register(env, a)
	return env
}

func quick(world *activitytest.World) *activities.Activities {
	return activities.New(world.Ports(nil), activities.Settings{Mailboxes: 4, Report: 5 * time.Millisecond})
}

func review(t *testing.T, env *testsuite.TestActivityEnvironment, a *activities.Activities, index int) (site.CompareProgress, error) {
	t.Helper()
	value, err := env.ExecuteActivity(a.ReviewPage, activities.ReviewInput{
		RunID: "run", Link: link, Trigger: activities.TriggerCompare, Index: index, Page: everything})
	if err != nil {
		return site.CompareProgress{}, err
	}
	var progress site.CompareProgress
	if err := value.Get(&progress); err != nil {
		t.Fatal(err)
	}
	return progress, nil
}

// begun returns a world with a compare and n mailboxes, all clean.
func begun(t *testing.T, n int) *activitytest.World {
	t.Helper()
	world := activitytest.New()
	world.Add(link, activitytest.Numbers(n)...)
	var reviewed []site.Reviewed
	for _, number := range activitytest.Numbers(n) {
		reviewed = append(reviewed, site.Reviewed{Number: number, Generation: 1})
	}
	if err := world.RecordReviewed(t.Context(), link, reviewed); err != nil {
		t.Fatal(err)
	}
	if err := world.StartCompare(t.Context(), site.CompareRun{RunID: "run", Link: link, Mailboxes: n}); err != nil {
		t.Fatal(err)
	}
	return world
}

func TestReviewPageOfUnchangedMailboxes(t *testing.T) {
	world := begun(t, 300)
	a := quick(world)
	before := world.Calls("RecordReviewed")
	got, err := review(t, environment(a), a, 0)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(site.CompareProgress{Reviewed: 300, Unchanged: 300}, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if len(world.Syncs()) != 0 || len(world.Reviews()) != 300 {
		t.Errorf("%d synced and %d reviewed, want 0 and 300", len(world.Syncs()), len(world.Reviews()))
	}
	if calls := world.Calls("RecordReviewed") - before; calls > 30 {
		t.Errorf("recorded in %d batches", calls)
	}
	record, _ := world.Compare("run")
	if diff := cmp.Diff(map[int]site.CompareProgress{0: got}, record.Pages); diff != "" {
		t.Errorf("recorded progress (-want +got):\n%s", diff)
	}
}

func TestReviewPageKeepsTroubleApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := begun(t, 12)
		numbers := activitytest.Numbers(12)
		changed := numbers[:8]
		world.Differs = func(n mailbox.Number) bool { return slices.Contains(changed, n) }
		work := copier.Work{Appended: 2, Bytes: 100}
		world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
			switch job.Key.Number {
			case numbers[0]:
				return copier.Report{Messages: work, Greetings: work}, nil
			case numbers[1]:
				return copier.Report{Messages: work, Outcome: copier.Differing, Differences: 1}, nil
			case numbers[2]: // what was done before it failed counts
				return copier.Report{Messages: work}, fault.Newf(fault.Transient, "append: connection lost")
			case numbers[3]:
				return copier.Report{}, fault.Newf(fault.Permanent, "open mailbox: no such mailbox")
			case numbers[4]:
				return copier.Report{}, fault.New(fault.Conflict, "begin", &lease.HeldError{Resource: lease.OfMailbox(job.Key), Wait: time.Second}, "")
			case numbers[5]:
				panic("boom")
			case numbers[6]: // removed from the link while its sync fails
				world.Remove(job.Key)
				return copier.Report{}, fault.Newf(fault.Conflict, "save ledger: lease lost")
			}
			return copier.Report{}, nil
		}
		a := quick(world) // comes back to what is busy for a while
		got, err := review(t, environment(a), a, 3)
		if err != nil {
			t.Fatal(err)
		}
		want := site.CompareProgress{Reviewed: 11, Unchanged: 4, Synced: 3, Differing: 1, Failed: 3, Busy: 1,
			Messages: copier.Work{Appended: 6, Bytes: 300}, Greetings: work, DueMessages: 8, DueBytes: 400}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("progress (-want +got):\n%s", diff)
		}
		failed := map[mailbox.Number]string{}
		for _, r := range world.Failures() {
			failed[r.Key.Number] = r.ErrKind
			if r.Trigger != activities.TriggerCompare || r.Outcome != copier.Failed || r.Finished.IsZero() {
				t.Errorf("recorded %+v", r)
			}
		}
		for _, job := range world.Syncs() {
			if job.RunID != "run" || job.Generation != 1 || job.Force {
				t.Errorf("synced %+v", job)
			}
		}
		if diff := cmp.Diff(map[mailbox.Number]string{numbers[2]: "transient", numbers[3]: "permanent", numbers[5]: "permanent"}, failed); diff != "" {
			t.Errorf("failures (-want +got):\n%s", diff)
		}
	})
}

func TestPagesShareTheBoundOnMailboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := begun(t, 40)
		world.Differs = func(mailbox.Number) bool { return true }
		var now atomic.Int64
		goOn := make(chan struct{})
		world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			now.Add(1)
			defer now.Add(-1)
			<-goOn
			return copier.Report{}, nil
		}
		a := quick(world)
		var pages sync.WaitGroup
		for i := range 2 {
			pages.Go(func() {
				if _, err := review(t, environment(a), a, i); err != nil {
					t.Error(err)
				}
			})
		}
		// Ten times, all that may run are at it, and each of them then goes on.
		for range 10 {
			synctest.Wait()
			n := now.Load()
			if n != 4 {
				t.Errorf("%d mailboxes at a time, want 4", n)
			}
			for range n {
				goOn <- struct{}{}
			}
		}
		close(goOn)
		pages.Wait()
	})
}

// overviewer is a store whose trusted server sees many mailboxes at once.
type overviewer struct {
	copier.Store
	shows func(mailbox.Number) bool
	err   error
	calls atomic.Int64
}

func (o *overviewer) OffersOverview(context.Context) (bool, error) { return o.err == nil, o.err }

func (o *overviewer) Overview(_ context.Context, numbers []mailbox.Number) (map[mailbox.Number][]mailbox.Folder, error) {
	o.calls.Add(1)
	if o.err != nil {
		return nil, o.err
	}
	seen := map[mailbox.Number][]mailbox.Folder{}
	for _, n := range numbers {
		if o.shows == nil || o.shows(n) {
			seen[n] = []mailbox.Folder{{Name: mailbox.Inbox}}
		}
	}
	return seen, nil
}

func TestReviewPageByOverview(t *testing.T) {
	numbers := activitytest.Numbers(20)
	hidden := func(n mailbox.Number) bool { return n != numbers[7] }
	tests := []struct {
		name           string
		source, target *overviewer
		reviewed       []mailbox.Number // by themselves
	}{
		{"both see all", &overviewer{}, &overviewer{}, nil},
		{"one hides a mailbox", &overviewer{}, &overviewer{shows: hidden}, numbers[7:8]},
		{"unsupported", &overviewer{}, &overviewer{err: errors.ErrUnsupported}, numbers},
		{"out of order", &overviewer{err: fault.Newf(fault.Transient, "list: connection lost")}, &overviewer{}, numbers},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			world := begun(t, 20)
			world.LinkStores = activities.LinkStores{Source: test.source, Target: test.target}
			world.Differs = func(n mailbox.Number) bool { return n == numbers[3] }
			a := quick(world)
			got, err := review(t, environment(a), a, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got.Reviewed != 20 || got.Unchanged != 19 || got.Synced != 1 {
				t.Errorf("progress %+v", got)
			}
			reviewed := world.Reviews()
			slices.Sort(reviewed)
			if diff := cmp.Diff(test.reviewed, reviewed); diff != "" {
				t.Errorf("reviewed by themselves (-want +got):\n%s", diff)
			}
			if test.source.calls.Load() != 1 || test.target.calls.Load() != 1 {
				t.Errorf("%d and %d overviews, want one each", test.source.calls.Load(), test.target.calls.Load())
			}
		})
	}
}

// The heartbeats of an attempt that dies are where the next one takes up: every
// mailbox is synced once, but for those under way, and the sums come out right.
func TestReviewPageTakesUpWhereItStopped(t *testing.T) {
	world := begun(t, 60)
	numbers := activitytest.Numbers(60)
	world.Differs = func(n mailbox.Number) bool { return n >= numbers[30] }
	stopping := make(chan struct{})
	stop := sync.OnceFunc(func() { close(stopping) })
	world.OnSync = func(ctx context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number == numbers[40] {
			// Half of this mailbox is copied when the worker is told to stop.
			job.Progress(copier.Progress{DueMessages: 10, DueBytes: 1000, Messages: copier.Work{Appended: 5, Bytes: 500}})
			stop()
			<-ctx.Done()
			return copier.Report{Messages: copier.Work{Appended: 5, Bytes: 500}}, ctx.Err()
		}
		return copier.Report{Messages: copier.Work{Appended: 1, Bytes: 100}}, nil
	}
	a := quick(world)
	env := environment(a)
	env.SetWorkerStopChannel(stopping)
	var mu sync.Mutex
	var last converter.EncodedValues
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		mu.Lock()
		defer mu.Unlock()
		last = details
	})
	_, err := review(t, env, a, 0)
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != activities.TypeStopping || app.NonRetryable() {
		t.Fatalf("got %v, want to be repeated at once by another worker", err)
	}
	first := world.Syncs()

	world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number == numbers[40] { // the ledger knows the first half
			return copier.Report{Messages: copier.Work{Appended: 5, Bytes: 500}}, nil
		}
		return copier.Report{Messages: copier.Work{Appended: 1, Bytes: 100}}, nil
	}
	next := environment(a)
	var carried any
	mu.Lock()
	if err := last.Get(&carried); err != nil {
		t.Fatal(err)
	}
	mu.Unlock()
	next.SetHeartbeatDetails(carried)
	got, err := review(t, next, a, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := site.CompareProgress{Reviewed: 60, Unchanged: 30, Synced: 30,
		Messages: copier.Work{Appended: 39, Bytes: 3900}, DueMessages: 39, DueBytes: 3900}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("progress of both attempts (-want +got):\n%s", diff)
	}
	times := map[mailbox.Number]int{}
	for _, job := range world.Syncs() {
		times[job.Key.Number]++
	}
	for n, count := range times {
		if count > 1 && n != numbers[40] {
			t.Errorf("mailbox %s was synced %d times", n, count)
		}
	}
	if len(first) == 0 || len(world.Failures()) != 0 {
		t.Errorf("%d synced at first, failures %+v", len(first), world.Failures())
	}
}

func TestReviewPageFailsWithTheDatabase(t *testing.T) {
	for _, method := range []string{"NumbersPage", "ReviewStates", "RecordReviewed", "RecordFailure", "AddCompareProgress"} {
		t.Run(method, func(t *testing.T) {
			world := begun(t, 10)
			world.Differs = func(n mailbox.Number) bool { return n == "1003" }
			world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
				return copier.Report{}, fault.Newf(fault.Permanent, "append: refused")
			}
			broken := fault.Newf(fault.Transient, "connect to database: refused")
			world.FailAt(method, broken)
			a := quick(world)
			_, err := review(t, environment(a), a, 0)
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.Type() != string(fault.Transient) || app.NonRetryable() || app.Message() != broken.Error() {
				t.Errorf("got %v, want the database's error, retryable", err)
			}
		})
	}
}

// While one mailbox is being copied, what it has done so far is on record, and
// so are the mailboxes that are done.
func TestReviewPageShowsWorkUnderWay(t *testing.T) {
	world := begun(t, 5)
	world.Differs = func(n mailbox.Number) bool { return n == "1000" }
	soFar := site.CompareProgress{Reviewed: 4, Unchanged: 4, Messages: copier.Work{Appended: 4, Bytes: 400},
		DueMessages: 10, DueBytes: 1000}
	world.OnSync = func(ctx context.Context, job copier.Job) (copier.Report, error) {
		job.Progress(copier.Progress{DueMessages: 10, DueBytes: 1000, Messages: soFar.Messages})
		for record, _ := world.Compare("run"); record.Progress() != soFar; record, _ = world.Compare("run") {
			select {
			case <-ctx.Done():
				return copier.Report{}, ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		return copier.Report{Messages: copier.Work{Appended: 10, Bytes: 1000}}, nil
	}
	a := quick(world)
	env := environment(a)
	got, err := review(t, env, a, 0)
	want := site.CompareProgress{Reviewed: 5, Unchanged: 4, Synced: 1, Messages: copier.Work{Appended: 10, Bytes: 1000},
		DueMessages: 10, DueBytes: 1000}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, progress (-want +got):\n%s", err, diff)
	}
}
