package activities_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/temporal"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

var box = mailbox.Key{Link: link, Number: "1000"}

func syncOnce(t *testing.T, world *activitytest.World, trigger string, stopping chan struct{}) (activities.SyncResult, error) {
	t.Helper()
	a := quick(world)
	env := environment(a)
	if stopping != nil {
		env.SetWorkerStopChannel(stopping)
	}
	value, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: box.Link, Number: box.Number, Trigger: trigger})
	if err != nil {
		return activities.SyncResult{}, err
	}
	var result activities.SyncResult
	if err := value.Get(&result); err != nil {
		t.Fatal(err)
	}
	return result, nil
}

func TestSyncMailbox(t *testing.T) {
	work := copier.Work{Appended: 3, Bytes: 30}
	tests := []struct {
		name    string
		trigger string
		prepare func(*activitytest.World)
		sync    func(w *activitytest.World) (copier.Report, error)
		want    activities.SyncResult
		syncs   int
	}{
		{name: "equal", sync: func(*activitytest.World) (copier.Report, error) {
			return copier.Report{Messages: work, Greetings: work}, nil
		},
			want: activities.SyncResult{State: activities.SyncEqual, Messages: work, Greetings: work}, syncs: 1},
		{name: "differing", sync: func(*activitytest.World) (copier.Report, error) {
			return copier.Report{Outcome: copier.Differing, Differences: 2}, nil
		}, want: activities.SyncResult{State: activities.SyncDiffering, Differences: 2}, syncs: 1},
		{name: "changed meanwhile", sync: func(w *activitytest.World) (copier.Report, error) { w.Touch(box); return copier.Report{}, nil },
			want: activities.SyncResult{State: activities.SyncEqual, Dirty: true}, syncs: 1},
		{name: "nothing due", trigger: activities.TriggerEvent, prepare: clean,
			want: activities.SyncResult{State: activities.SyncClean}},
		{name: "nothing due, but the operator asks", trigger: activities.TriggerOperator, prepare: clean,
			want: activities.SyncResult{State: activities.SyncEqual}, syncs: 1},
		{name: "does not participate", prepare: func(w *activitytest.World) { w.Remove(box) },
			want: activities.SyncResult{State: activities.SyncGone}},
		{name: "removed meanwhile", sync: func(w *activitytest.World) (copier.Report, error) { w.Remove(box); return copier.Report{}, nil },
			want: activities.SyncResult{State: activities.SyncGone}, syncs: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			world := activitytest.New()
			world.Add(link, box.Number)
			if test.prepare != nil {
				test.prepare(world)
			}
			world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
				if job.Force != (test.trigger == activities.TriggerOperator) {
					t.Errorf("forced: %v", job.Force)
				}
				if test.sync == nil {
					return copier.Report{}, nil
				}
				return test.sync(world)
			}
			got, err := syncOnce(t, world, test.trigger, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if len(world.Syncs()) != test.syncs || len(world.Failures()) != 0 {
				t.Errorf("%d syncs, %d failures; want %d, 0", len(world.Syncs()), len(world.Failures()), test.syncs)
			}
		})
	}
}

func clean(w *activitytest.World) {
	if _, err := w.Sync(context.Background(), copier.Job{Key: box, Generation: 1}); err != nil {
		panic(err)
	}
	w.Forget()
}

// A mailbox that goes on failing is tried a few times at once, by Temporal's
// retries, and then parked, longer each time; every failure is on record.
func TestSyncMailboxParksWhatKeepsFailing(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	work := copier.Work{Appended: 1, Bytes: 10}
	world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		return copier.Report{Messages: work}, fault.New(fault.Transient, "append", errors.New("connection lost"), "look at the network")
	}
	for i, wait := range []time.Duration{2 * time.Second, 6 * time.Second, 18 * time.Second} {
		_, err := syncOnce(t, world, activities.TriggerSweep, nil)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() || app.NextRetryDelay() != wait {
			t.Fatalf("failure %d: got %v, want to be repeated after %v", i+1, err, wait)
		}
	}
	for _, wait := range []time.Duration{5 * time.Minute, 10 * time.Minute} {
		got, err := syncOnce(t, world, activities.TriggerSweep, nil)
		if err != nil || got.State != activities.SyncParked || got.ErrorKind != string(fault.Transient) || got.Messages != work {
			t.Fatalf("got %+v, %v, want parked", got, err)
		}
		if got.Retry < wait*9/10 || got.Retry > wait*11/10 {
			t.Errorf("parked for %v, want about %v", got.Retry, wait)
		}
	}
	failures := world.Failures()
	if len(failures) != 5 {
		t.Fatalf("%d failures on record, want 5", len(failures))
	}
	for _, f := range failures {
		if f.Key != box || f.ErrKind != "transient" || f.Err != "append: connection lost" || f.Hint != "look at the network" ||
			f.Messages != work || f.Trigger != activities.TriggerSweep || f.Generation != 1 {
			t.Errorf("recorded %+v", f)
		}
	}
	// Success forgets all that.
	world.OnSync = nil
	if got, err := syncOnce(t, world, activities.TriggerSweep, nil); err != nil || got.State != activities.SyncEqual {
		t.Fatalf("got %+v, %v", got, err)
	}
	if b, _ := world.Mailbox(t.Context(), box); b.Failures != 0 {
		t.Errorf("%d failures in a row after a success", b.Failures)
	}
}

// TestSyncMailboxRecordsWhatAFailureConcerns: whether changes of a parked mailbox
// make it due early depends on what the engine says that failed.
func TestSyncMailboxRecordsWhatAFailureConcerns(t *testing.T) {
	for _, inPart := range []bool{false, true} {
		world := activitytest.New()
		world.Add(link, box.Number)
		world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			return copier.Report{Key: box, InPart: inPart}, fault.Newf(fault.Permanent, "folder INBOX: the target refuses every message")
		}
		if got, err := syncOnce(t, world, activities.TriggerEvent, nil); err != nil || got.State != activities.SyncParked {
			t.Fatalf("got %+v, %v", got, err)
		}
		if f := world.Failures(); len(f) != 1 || f[0].InPart != inPart {
			t.Errorf("recorded %+v, want in part: %v", f, inPart)
		}
		// A change starts a sync again, whose success ends the failure.
		world.OnSync = nil
		if got, err := syncOnce(t, world, activities.TriggerEvent, nil); err != nil || got.State != activities.SyncEqual {
			t.Errorf("the sync of a parked mailbox for a change: %+v, %v", got, err)
		}
	}
}

func TestSyncMailboxLeavesABusyMailboxAlone(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{0: 100 * time.Millisecond, 300 * time.Millisecond: 300 * time.Millisecond, 9 * time.Second: 500 * time.Millisecond} {
		world := activitytest.New()
		world.Add(link, box.Number)
		world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			return copier.Report{}, fault.New(fault.Conflict, "", &lease.HeldError{Resource: lease.OfMailbox(box), Wait: wait}, "")
		}
		_, err := syncOnce(t, world, activities.TriggerEvent, nil)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() || app.Type() != string(fault.Conflict) || app.NextRetryDelay() != want {
			t.Errorf("lease held for %v: got %v after %v, want a retry after %v", wait, err, app.NextRetryDelay(), want)
		}
		if len(world.Failures()) != 0 {
			t.Error("recorded as a failure")
		}
	}
}

func TestSyncMailboxEndsWithItsWorker(t *testing.T) {
	for _, when := range []string{"syncing", "waiting for its turn"} {
		t.Run(when, func(t *testing.T) {
			world := activitytest.New()
			world.Add(link, box.Number)
			stopping := make(chan struct{})
			if when != "syncing" {
				close(stopping)
			}
			stop := sync.OnceFunc(func() { close(stopping) })
			world.OnSync = func(ctx context.Context, _ copier.Job) (copier.Report, error) {
				stop()
				<-ctx.Done()
				return copier.Report{}, fault.New(fault.Transient, "append", ctx.Err(), "")
			}
			if when != "syncing" {
				world.OnSync = func(ctx context.Context, _ copier.Job) (copier.Report, error) {
					<-ctx.Done()
					return copier.Report{}, ctx.Err()
				}
			}
			_, err := syncOnce(t, world, activities.TriggerEvent, stopping)
			var app *temporal.ApplicationError
			if !errors.As(err, &app) || app.Type() != activities.TypeStopping || app.NextRetryDelay() > time.Second {
				t.Errorf("got %v, want to be handed on at once", err)
			}
			if len(world.Failures()) != 0 {
				t.Error("recorded as a failure of the mailbox")
			}
		})
	}
}

func TestSyncMailboxWithoutDatabase(t *testing.T) {
	for _, method := range []string{"Mailbox", "RecordFailure"} {
		world := activitytest.New()
		world.Add(link, box.Number)
		world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
			return copier.Report{}, fault.Newf(fault.Permanent, "open mailbox: gone")
		}
		world.FailAt(method, fault.Newf(fault.Transient, "connect to database: refused"))
		_, err := syncOnce(t, world, activities.TriggerEvent, nil)
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() || !strings.Contains(app.Message(), "database") {
			t.Errorf("%s fails: got %v, want the database's error, retryable", method, err)
		}
	}
}

// starter notes what it is asked to start.
type starter struct {
	mu      sync.Mutex
	started []mailbox.Key
	running []mailbox.Number
	err     error
}

func (s *starter) StartSync(_ context.Context, key mailbox.Key, trigger string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || trigger != activities.TriggerSweep {
		return false, s.err
	}
	if slices.Contains(s.running, key.Number) {
		return false, nil
	}
	s.started = append(s.started, key)
	return true, nil
}

func TestStartDue(t *testing.T) {
	world := activitytest.New()
	numbers := activitytest.Numbers(30)
	world.Add(link, numbers...)
	s := &starter{running: numbers[:5]}
	a := activities.New(world.Ports(s), activities.Settings{})
	env := environment(a)
	value, err := env.ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 20, Window: 3})
	if err != nil {
		t.Fatal(err)
	}
	var got activities.SweepResult
	if err := value.Get(&got); err != nil {
		t.Fatal(err)
	}
	if want := (activities.SweepResult{Due: 20, Started: 15, Running: 5}); got != want || len(s.started) != 15 {
		t.Errorf("got %+v, started %d; want %+v", got, len(s.started), want)
	}
	s.err = fault.Newf(fault.Transient, "start sync: unavailable")
	if _, err := env.ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 20, Window: 3}); err == nil {
		t.Error("no error when nothing can be started")
	}
}
