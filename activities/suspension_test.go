package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/suspension"
)

// suspendedSync is how the engine ends where no lease is given.
func suspendedSync(context.Context, copier.Job) (copier.Report, error) {
	return copier.Report{}, fault.New(fault.Conflict, "take write lease", &lease.SuspendedError{}, "mailmirror resume")
}

func suspend(t *testing.T, w *activitytest.World) suspension.Suspension {
	t.Helper()
	s, err := w.Suspend(t.Context(), suspension.Request{Reason: "storage", Who: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A sync that is refused, or ended in its midst, is no failure of the mailbox:
// it stays as due as it was.
func TestSyncMailboxWhileSuspended(t *testing.T) {
	for name, sync := range map[string]func(*testing.T, *activitytest.World) func(context.Context, copier.Job) (copier.Report, error){
		"refused": func(t *testing.T, w *activitytest.World) func(context.Context, copier.Job) (copier.Report, error) {
			return func(ctx context.Context, job copier.Job) (copier.Report, error) {
				suspend(t, w)
				return suspendedSync(ctx, job)
			}
		},
		"in its midst": func(t *testing.T, w *activitytest.World) func(context.Context, copier.Job) (copier.Report, error) {
			return func(ctx context.Context, _ copier.Job) (copier.Report, error) {
				suspend(t, w)
				<-ctx.Done() // told by the lookout, long before any lease would end
				return copier.Report{Messages: copier.Work{Appended: 2}}, fault.New(fault.Transient, "append", ctx.Err(), "")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			world := activitytest.New()
			world.Add(link, box.Number)
			world.OnSync = sync(t, world)
			result, err := syncOnce(t, world, activities.TriggerSweep, nil)
			if err != nil || result.State != activities.SyncSuspended || result.Dirty {
				t.Errorf("got %+v, %v", result, err)
			}
			if len(world.Failures()) != 0 {
				t.Errorf("recorded as a failure: %+v", world.Failures())
			}
			if dirty := world.Dirty(); !slices.Contains(dirty, box.Number) {
				t.Errorf("dirty are %v", dirty)
			}
		})
	}
}

// If no lease is given although the mirror is not suspended, as after a start of
// PostgreSQL, the sync is repeated: no resumption comes after which a sweep begins.
func TestSyncMailboxAfterAStartOfTheDatabase(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	world.OnSync = suspendedSync
	_, err := syncOnce(t, world, activities.TriggerSweep, nil)
	wantSuspended(t, err)
	if len(world.Failures()) != 0 {
		t.Errorf("recorded as a failure: %+v", world.Failures())
	}
	world.OnSync = nil
	if result, err := syncOnce(t, world, activities.TriggerSweep, nil); err != nil || result.State != activities.SyncEqual {
		t.Errorf("got %+v, %v", result, err)
	}
}

// wantSuspended checks that an activity is to be repeated after the resumption.
func wantSuspended(t *testing.T, err error) {
	t.Helper()
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || app.Type() != activities.TypeSuspended || app.NonRetryable() || app.NextRetryDelay() <= 0 {
		t.Errorf("got %v, want to be tried again after the resumption", err)
	}
}

// A page ends as suspended, keeps what it knows, and is taken up after that.
func TestReviewPageWhileSuspended(t *testing.T) {
	world := begun(t, 8)
	for _, n := range activitytest.Numbers(8) {
		world.Touch(mailbox.Key{Link: link, Number: n})
	}
	var once sync.Once
	world.OnSync = func(ctx context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number < activitytest.Numbers(8)[2] {
			return copier.Report{}, nil
		}
		once.Do(func() { suspend(t, world) })
		return suspendedSync(ctx, job)
	}
	a := quick(world)
	_, err := review(t, environment(a), a, 0)
	wantSuspended(t, err)
	if len(world.Failures()) != 0 {
		t.Errorf("recorded as failures: %+v", world.Failures())
	}
	record, _ := world.Compare("run")
	if p := record.Progress(); p.Synced != 2 || p.Failed != 0 || p.Busy != 0 {
		t.Errorf("progress %+v", p)
	}
	// Before the resumption no store is asked.
	world.Forget()
	_, err = review(t, environment(a), a, 0)
	wantSuspended(t, err)
	if len(world.Syncs())+len(world.Reviews()) != 0 {
		t.Errorf("while suspended: synced %v, looked at %v", world.Syncs(), world.Reviews())
	}
	s, _ := world.Suspension(t.Context())
	if _, err := world.Resume(t.Context(), suspension.Request{Epoch: s.Epoch}); err != nil {
		t.Fatal(err)
	}
	world.OnSync = nil
	if _, err = review(t, environment(a), a, 0); err != nil {
		t.Fatal(err)
	}
	if dirty := world.Dirty(); len(dirty) != 0 {
		t.Errorf("still dirty after the resumption: %v", dirty)
	}
}

// A sweep starts nothing that would only be refused.
func TestStartDueWhileSuspended(t *testing.T) {
	world := activitytest.New()
	world.Add(link, activitytest.Numbers(3)...)
	suspend(t, world)
	runs := dirsynctest.NewRuns()
	runs.Approved = []string{link}
	ports := world.Ports(nil) // without a starter: a start would panic
	ports.Approvals, ports.Approved = runs, asked(func(string, string) error { t.Error("a run was asked for"); return nil })
	a := activities.New(ports, activities.Settings{})
	value, err := environment(a).ExecuteActivity(a.StartDue, activities.SweepInput{Limit: 10, Window: 2})
	if err != nil {
		t.Fatal(err)
	}
	var result activities.SweepResult
	if err := value.Get(&result); err != nil || result != (activities.SweepResult{}) {
		t.Errorf("got %+v, %v", result, err)
	}
}

// schedules notes what is done to them.
type schedules struct {
	activities.Starter
	mu    sync.Mutex
	done  []string
	fault error
}

func (s *schedules) note(what string, links []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, what)
	if !slices.Equal(links, []string{link}) {
		s.done = append(s.done, "of other links")
	}
	return s.fault
}

func (s *schedules) SuspendSchedules(_ context.Context, links []string, _ suspension.Suspension) error {
	return s.note("pause", links)
}

func (s *schedules) ResumeSchedules(_ context.Context, links []string, _ suspension.Suspension) error {
	return s.note("go on", links)
}

func (s *schedules) AskSuspend(_ context.Context, r suspension.Request) error {
	return s.note(fmt.Sprintf("ask suspend %d", r.Epoch), []string{r.Link})
}

func (s *schedules) AskResume(_ context.Context, r suspension.Request) error {
	return s.note("ask resume", []string{r.Link})
}

// TestAskLink: a request for a link is recorded for that link before it is handed on. One
// for a link that nobody knows does nothing.
func TestAskLink(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	world.Add("other", box.Number)
	done := &schedules{}
	a := activities.New(world.Ports(done), activities.Settings{})
	ask := func(of string, suspend bool) (got suspension.Suspension) {
		t.Helper()
		value, err := environment(a).ExecuteActivity(a.AskLink, activities.LinkRequest{
			Request: suspension.Request{Link: of, Who: "alice"}, Suspend: suspend})
		if err == nil {
			err = value.Get(&got)
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := ask(link, true); got.State != suspension.Suspending || got.Link != link || got.Who != "alice" {
		t.Errorf("got %+v", got)
	}
	ask(link, false)
	if got := ask("nowhere", true); got.Epoch != 0 || got.Suspended() {
		t.Errorf("a link that is not there: %+v", got)
	}
	if !slices.Equal(done.done, []string{"ask suspend 2", "ask resume"}) {
		t.Errorf("asked for %v", done.done)
	}
	all, err := world.Suspensions(t.Context())
	if err != nil || all.Own("").Suspended() || all.Own("other").Suspended() || !all.Own(link).Suspended() {
		t.Errorf("the rows are %+v, %v", all, err)
	}
}

// TestSuspendOneLink: what is under way for the link that is suspended ends, and that of
// another link goes on.
func TestSuspendOneLink(t *testing.T) {
	world := begun(t, 1)
	world.Add("other", box.Number)
	a := quick(world)
	ended := map[string]chan error{}
	entered := make(chan string, 2)
	leave := make(chan struct{})
	world.OnSync = func(ctx context.Context, job copier.Job) (copier.Report, error) {
		entered <- job.Key.Link
		select {
		case <-ctx.Done():
			return copier.Report{}, context.Cause(ctx)
		case <-leave:
			return copier.Report{}, nil
		}
	}
	for _, of := range []string{link, "other"} {
		ended[of] = make(chan error, 1)
		go func() {
			value, err := environment(a).ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: of, Number: activitytest.Numbers(1)[0], Trigger: activities.TriggerOperator})
			var result activities.SyncResult
			if err == nil {
				err = value.Get(&result)
			}
			if err == nil && (result.State == activities.SyncSuspended) != (of == link) {
				err = fmt.Errorf("ended as %s", result.State)
			}
			ended[of] <- err
		}()
	}
	<-entered
	<-entered
	if _, err := world.Suspend(t.Context(), suspension.Request{Link: link, Who: "alice"}); err != nil {
		t.Fatal(err)
	}
	if err := <-ended[link]; err != nil {
		t.Error(err)
	}
	close(leave)
	if err := <-ended["other"]; err != nil {
		t.Error(err)
	}
}

// A suspension is complete when no lease is held any more.
func TestSettleSuspension(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	world.HoldLeases(1)
	s := suspend(t, world)
	done := &schedules{}
	a := activities.New(world.Ports(done), activities.Settings{Report: 5 * time.Millisecond})
	ended := make(chan suspension.Suspension, 1)
	go func() {
		var got suspension.Suspension
		value, err := environment(a).ExecuteActivity(a.SettleSuspension, s)
		if err == nil {
			err = value.Get(&got)
		}
		if err != nil {
			t.Error(err)
		}
		ended <- got
	}()
	for world.Calls("ConfirmSuspended") < 3 {
		select {
		case got := <-ended:
			t.Fatalf("ended as %+v while a lease is held", got)
		case <-time.After(5 * time.Millisecond):
		}
	}
	world.HoldLeases(0)
	if got := <-ended; got.State != suspension.Suspended || got.Epoch != s.Epoch {
		t.Errorf("got %+v", got)
	}
	if !slices.Equal(done.done, []string{"pause", "pause"}) {
		t.Errorf("the schedules were told to %v", done.done)
	}
}

// An attempt that comes when the mirror was resumed already takes back what it
// did to the schedules; so does one that comes after the next suspension.
func TestSettleLate(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	s := suspend(t, world)
	running, err := world.Resume(t.Context(), suspension.Request{Epoch: s.Epoch})
	if err != nil {
		t.Fatal(err)
	}
	done := &schedules{}
	a := activities.New(world.Ports(done), activities.Settings{})
	if _, err := environment(a).ExecuteActivity(a.SettleSuspension, s); err != nil {
		t.Fatal(err)
	}
	suspend(t, world)
	if _, err := environment(a).ExecuteActivity(a.SettleRunning, running); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done.done, []string{"pause", "go on", "go on", "pause"}) {
		t.Errorf("the schedules were told to %v", done.done)
	}
}

// Whatever fails in settling is tried again: of a mirror that could never be
// resumed nobody has anything.
func TestSettleIsTriedAgain(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	done := &schedules{fault: fault.Newf(fault.Config, "pause schedule: permission denied")}
	a := activities.New(world.Ports(done), activities.Settings{})
	_, err := environment(a).ExecuteActivity(a.SettleSuspension, suspend(t, world))
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok || app.NonRetryable() || app.Type() != string(fault.Config) {
		t.Errorf("got %v, want an error of its kind that is tried again", err)
	}
}

// TestSettleAfterARestore: the database goes back to a time before the suspension while
// its last write is waited for. The suspension is written again.
func TestSettleAfterARestore(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	done := &schedules{}
	a := activities.New(world.Ports(done), activities.Settings{})
	s := suspend(t, world)
	world.Restore(suspension.Suspension{State: suspension.Running, Epoch: 1})
	if _, err := environment(a).ExecuteActivity(a.SettleSuspension, s); err != nil {
		t.Fatal(err)
	}
	now, err := world.Suspension(t.Context())
	if err != nil || now.State == suspension.Running || now.Who != "alice" || now.Reason != "storage" {
		t.Errorf("the row is %+v, %v", now, err)
	}
	// After a resumption nothing is written that is not known.
	world.Restore(suspension.Suspension{State: suspension.Running, Epoch: 1})
	done.done = nil
	if _, err := environment(a).ExecuteActivity(a.SettleRunning, suspension.Suspension{State: suspension.Running, Epoch: 3}); err != nil {
		t.Fatal(err)
	}
	if now, err := world.Suspension(t.Context()); err != nil || !now.Unconfirmed || !slices.Equal(done.done, []string{"go on"}) {
		t.Errorf("the row is %+v, %v, and the schedules were changed by %v", now, err, done.done)
	}
}

// TestSettleAfterAResumption: the link is resumed while its last write is waited for, and
// the row is not confirmed yet. The suspension is not written again.
func TestSettleAfterAResumption(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	a := activities.New(world.Ports(&schedules{}), activities.Settings{})
	s, err := world.Suspend(t.Context(), suspension.Request{Link: link, Who: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	resumed := suspension.Suspension{Link: link, State: suspension.Running, Epoch: s.Epoch + 1, Who: "bob"}
	world.Restore(resumed)
	value, err := environment(a).ExecuteActivity(a.SettleSuspension, s)
	if err != nil {
		t.Fatal(err)
	}
	var now suspension.Suspension
	if err := value.Get(&now); err != nil || now.Epoch != resumed.Epoch || now.Suspended() {
		t.Errorf("got %+v, %v", now, err)
	}
	if all, _ := world.Suspensions(t.Context()); all.Own(link).Suspended() {
		t.Errorf("the row is %+v", all.Own(link))
	}
}

// standing are suspensions that stand so, whoever asks.
type standing struct {
	activities.SuspensionRecords
	now suspension.Scopes
}

func (s standing) Suspensions(context.Context) (suspension.Scopes, error) { return s.now, nil }

// TestAwaitRunning: it ends when leases are given again, which after a start of
// PostgreSQL is later than the mirror is running.
func TestAwaitRunning(t *testing.T) {
	for name, c := range map[string]struct {
		now  suspension.Suspension
		ends bool
	}{
		"running":      {suspension.Suspension{State: suspension.Running}, true},
		"suspending":   {suspension.Suspension{State: suspension.Suspending}, false},
		"suspended":    {suspension.Suspension{State: suspension.Suspended}, false},
		"unconfirmed":  {suspension.Suspension{State: suspension.Running, Unconfirmed: true}, false},
		"just started": {suspension.Suspension{State: suspension.Running, Remaining: time.Second}, false},
		"another link": {suspension.Suspension{Link: "other", State: suspension.Suspended}, true},
		"the link":     {suspension.Suspension{Link: link, State: suspension.Suspended}, false},
	} {
		t.Run(name, func(t *testing.T) {
			all := suspension.Scopes{c.now}
			if c.now.Link != "" {
				all = suspension.Scopes{{State: suspension.Running}, c.now}
			}
			a := activities.New(activities.Ports{Suspension: standing{now: all}}, activities.Settings{})
			_, err := environment(a).ExecuteActivity(a.AwaitRunning, link)
			if c.ends {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantSuspended(t, err)
		})
	}
}
