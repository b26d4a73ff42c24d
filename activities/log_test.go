package activities_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/suspension"
)

// logged is environment, and what is logged in it.
func logged(a *activities.Activities) (*testsuite.TestActivityEnvironment, *activitytest.Log) {
	said := &activitytest.Log{}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(said.Logger()))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	activities.Register(env, a)
	return env, said
}

// A mailbox that is parked has one line. It contains nothing of the error, which may name
// a folder, or a password that the server quotes.
func TestParkingIsLogged(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		return copier.Report{Key: job.Key, RunID: job.RunID}, fault.New(fault.Permanent, "select folder Canary Folder", errors.New("NO canary subject, not canary-password"), "a canary hint")
	}
	a := quick(world)
	env, said := logged(a)
	if _, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number, Trigger: activities.TriggerSweep}); err != nil {
		t.Fatal(err)
	}
	said.Want(t, "mailbox parked", 1, "error_kind failures link mailbox_id retry_after run_id", "anary")
	said.Want(t, "mailbox sync failed", 0, "")
}

// The lines of a sync that fails, and that of Temporal's SDK with the error of the
// activity, contain as little of the error.
func TestFailureIsLoggedWithoutItsText(t *testing.T) {
	world := activitytest.New()
	world.Add(link, box.Number)
	world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		return copier.Report{Key: job.Key, RunID: job.RunID}, fault.New(fault.Transient, "select folder Canary Folder", errors.New("NO not canary-password"), "a canary hint")
	}
	a := quick(world)
	env, said := logged(a)
	if _, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number, Trigger: activities.TriggerSweep}); err == nil {
		t.Fatal("the sync did not fail")
	}
	said.Want(t, "mailbox parked", 0, "", "anary")
}

func TestSuspensionIsLogged(t *testing.T) {
	for of, keys := range map[string]string{"": "epoch run_id waiting who", link: "epoch link run_id waiting who"} {
		world := activitytest.New()
		world.Add(link, box.Number)
		a := activities.New(world.Ports(&schedules{}), activities.Settings{Report: 5 * time.Millisecond})
		s, err := world.Suspend(t.Context(), suspension.Request{Link: of, Reason: "canary", Who: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		env, said := logged(a)
		for range 2 { // an attempt that comes late finds it suspended
			value, err := env.ExecuteActivity(a.SettleSuspension, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := value.Get(&s); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second changes nothing
			if _, err := env.ExecuteActivity(a.RecordResume, suspension.Request{Link: of, Who: "bob", Epoch: s.Epoch}); err != nil {
				t.Fatal(err)
			}
		}
		said.Want(t, "mirror is being suspended", 1, keys, "canary")
		said.Want(t, "mirror suspended", 1, keys)
		said.Want(t, "mirror resumed", 1, keys)
	}
}
