package activities_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/watch"
	"mailmirror/test/logged"
)

// logging is environment, and what is logged in it.
func logging(a *activities.Activities) (*testsuite.TestActivityEnvironment, *logged.Log) {
	said := &logged.Log{}
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
	env, said := logging(a)
	if _, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number, Trigger: activities.TriggerSweep}); err != nil {
		t.Fatal(err)
	}
	said.Want(t, "mailbox parked", 1, "anary")
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
	env, said := logging(a)
	if _, err := env.ExecuteActivity(a.SyncMailbox, activities.SyncInput{Link: link, Number: box.Number, Trigger: activities.TriggerSweep}); err == nil {
		t.Fatal("the sync did not fail")
	}
	said.Want(t, "mailbox parked", 0, "anary")
}

// noisyEar is a store that refuses to be listened to, with words of the server. The second
// time the link is gone.
type noisyEar struct {
	activitytest.Ear
	world *activitytest.World
	calls atomic.Int64
}

func (e *noisyEar) Notify(context.Context, []mailbox.Number) (watch.Conn, error) {
	if e.calls.Add(1) == 2 {
		e.world.Listen(func(l *activitytest.Listened) { l.Gone = true })
	}
	return nil, fault.New(fault.Transient, "select folder Canary Folder", errors.New("NO not canary-password"), "a canary hint")
}

// A worker that adopts a shard says so, and that it lost it. Of what the store says no
// word is in the log.
func TestListeningIsLogged(t *testing.T) {
	world, said := activitytest.New(), &logged.Log{}
	world.Add(link, activitytest.Numbers(3)...)
	world.LinkStores.Source = &noisyEar{world: world}
	world.Listen(func(l *activitytest.Listened) {
		l.Store = site.Store{Name: "prod", Events: site.ListenNotify, IdleLimit: 10}
	})
	a := activities.New(world.Ports(nil), activities.Settings{Log: said.Logger(), Identity: "1@one"})
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(said.Logger()))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	activities.Register(env, a)
	if _, err := env.ExecuteActivity(a.Listen, activities.ListenInput{Link: link}); err != nil {
		t.Fatal(err)
	}
	said.Want(t, "shard adopted", 1)
	said.Want(t, "shard lost", 1, "anary")
	if !strings.Contains(said.String(), "listening is disturbed") {
		t.Errorf("logged %s", said.String())
	}
}

// If the overview of a store fails, the line has nothing of the server's words.
func TestMissingOverviewIsLoggedWithoutItsText(t *testing.T) {
	world := begun(t, 3)
	world.LinkStores = activities.LinkStores{Target: &overviewer{},
		Source: &overviewer{err: fault.New(fault.Transient, "list Canary Folder", errors.New("NO not canary-password"), "a canary hint")}}
	a := quick(world)
	env, said := logging(a)
	if _, err := review(t, env, a, 0); err != nil {
		t.Fatal(err)
	}
	if text := said.String(); !strings.Contains(text, "no overview") || strings.Contains(text, "anary") {
		t.Errorf("logged %s", text)
	}
}

func TestSuspensionIsLogged(t *testing.T) {
	for _, of := range []string{"", link} {
		world := activitytest.New()
		world.Add(link, box.Number)
		a := activities.New(world.Ports(&schedules{}), activities.Settings{Report: 5 * time.Millisecond})
		s, err := world.Suspend(t.Context(), suspension.Request{Link: of, Reason: "canary", Who: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		env, said := logging(a)
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
		said.Want(t, "mirror is being suspended", 1, "canary")
		said.Want(t, "mirror suspended", 1)
		said.Want(t, "mirror resumed", 1)
	}
}
