package workflows_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/workflows"
)

// steps names activities for the mocks; it is never called.
var steps = &activities.Activities{}

// environment returns a test environment that knows the search attributes and
// the activities, whose answers each test gives.
func environment(t *testing.T) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	return environmentOf(t, &testsuite.WorkflowTestSuite{}, nil)
}

func environmentOf(t *testing.T, suite *testsuite.WorkflowTestSuite, own map[string]any) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env := suite.NewTestWorkflowEnvironment()
	// A busy machine may let a workflow wait for a processor longer than the defaults.
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute})
	env.SetTestTimeout(time.Minute)
	workflows.Register(env)
	for name, of := range own {
		env.RegisterWorkflowWithOptions(of, workflow.RegisterOptions{Name: name})
	}
	activities.Register(env, &activities.Activities{})
	if err := env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(
		workflows.LinkAttribute.ValueSet("dr"), workflows.MailboxAttribute.ValueSet("1001"),
		workflows.PhaseAttribute.ValueSet(workflows.PhaseSyncing))); err != nil {
		t.Fatal(err)
	}
	env.OnUpsertTypedSearchAttributes(mock.Anything).Return(nil).Maybe()
	return env
}

// syncs answers SyncMailbox and notes by what triggers it was called.
type syncs struct {
	mu       sync.Mutex // one that is cancelled may still run when the next one does
	triggers []string
	answers  []activities.SyncResult
	during   func(n int)
}

func (s *syncs) answer(_ context.Context, in activities.SyncInput) (activities.SyncResult, error) {
	s.mu.Lock()
	s.triggers = append(s.triggers, in.Trigger)
	n := len(s.triggers)
	s.mu.Unlock()
	if s.during != nil {
		s.during(n)
	}
	if n > len(s.answers) {
		return activities.SyncResult{State: activities.SyncClean}, nil
	}
	return s.answers[n-1], nil
}

func TestMailboxSync(t *testing.T) {
	equal := activities.SyncResult{State: activities.SyncEqual, Messages: copier.Work{Appended: 2, Bytes: 10}}
	tests := []struct {
		name    string
		input   workflows.MailboxSyncInput
		signals map[time.Duration]string // by when they arrive
		answers []activities.SyncResult
		want    []string // triggers of the syncs
		phase   activities.SyncState
	}{
		{name: "started without a signal", input: workflows.MailboxSyncInput{Trigger: "sweep"},
			answers: []activities.SyncResult{equal}, want: []string{"sweep"}, phase: activities.SyncEqual},
		{name: "bare signal", signals: map[time.Duration]string{0: ""},
			answers: []activities.SyncResult{equal}, want: []string{"event"}, phase: activities.SyncEqual},
		{name: "a burst is one sync", input: workflows.MailboxSyncInput{Debounce: time.Second},
			signals: map[time.Duration]string{0: "event", 200 * time.Millisecond: "event", 900 * time.Millisecond: "event"},
			answers: []activities.SyncResult{equal}, want: []string{"event"}, phase: activities.SyncEqual},
		{name: "dirty again", input: workflows.MailboxSyncInput{Trigger: "sweep"},
			answers: []activities.SyncResult{{State: activities.SyncEqual, Dirty: true}, equal},
			want:    []string{"sweep", "event"}, phase: activities.SyncEqual},
		{name: "parked ends", input: workflows.MailboxSyncInput{Trigger: "sweep"},
			answers: []activities.SyncResult{{State: activities.SyncParked, ErrorKind: "permanent", Retry: time.Minute}},
			want:    []string{"sweep"}, phase: activities.SyncParked},
		{name: "gone ends", input: workflows.MailboxSyncInput{Trigger: "sweep"},
			answers: []activities.SyncResult{{State: activities.SyncGone}}, want: []string{"sweep"}, phase: activities.SyncGone},
		{name: "the operator's trigger wins", input: workflows.MailboxSyncInput{Debounce: time.Second},
			signals: map[time.Duration]string{0: "event", 100 * time.Millisecond: "operator", 200 * time.Millisecond: "event"},
			answers: []activities.SyncResult{equal}, want: []string{"operator"}, phase: activities.SyncEqual},
		{name: "an operator's wish is for one sync", input: workflows.MailboxSyncInput{Trigger: "operator"},
			answers: []activities.SyncResult{{State: activities.SyncEqual, Dirty: true}, equal},
			want:    []string{"operator", "event"}, phase: activities.SyncEqual},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := environment(t)
			s := &syncs{answers: test.answers}
			env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return(
				func(ctx context.Context, in activities.SyncInput) (activities.SyncResult, error) {
					return s.answer(ctx, in)
				})
			for after, trigger := range test.signals {
				env.RegisterDelayedCallback(func() {
					env.SignalWorkflow(workflows.SignalWork, workflows.Work{Trigger: trigger})
				}, after)
			}
			test.input.Link, test.input.Number = "dr", "1001"
			env.ExecuteWorkflow(workflows.MailboxSync, test.input)
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, s.triggers); diff != "" {
				t.Errorf("triggers of syncs (-want +got):\n%s", diff)
			}
			view := syncView(t, env)
			if view.Phase != string(test.phase) || view.Syncs != len(test.want) {
				t.Errorf("ended in phase %s after %d syncs, want %s after %d", view.Phase, view.Syncs, test.phase, len(test.want))
			}
		})
	}
}

func syncView(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.SyncView {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryProgress)
	if err != nil {
		t.Fatal(err)
	}
	var view workflows.SyncView
	if err := value.Get(&view); err != nil {
		t.Fatal(err)
	}
	return view
}

// A signal that arrives while the last sync is at work must lead to another
// one, at whatever moment it comes.
func TestMailboxSyncLosesNoSignal(t *testing.T) {
	env := environment(t)
	s := &syncs{answers: []activities.SyncResult{{State: activities.SyncEqual}, {State: activities.SyncParked}, {State: activities.SyncEqual}}}
	s.during = func(n int) {
		if n < 3 {
			env.SignalWorkflow(workflows.SignalWork, workflows.Work{Trigger: "event"})
		}
	}
	env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.SyncInput) (activities.SyncResult, error) {
			return s.answer(ctx, in)
		})
	env.ExecuteWorkflow(workflows.MailboxSync, workflows.MailboxSyncInput{Link: "dr", Number: "1001", Trigger: "sweep"})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if len(s.triggers) != 3 {
		t.Errorf("%d syncs, want 3", len(s.triggers))
	}
}

func TestMailboxSyncContinuesAsNew(t *testing.T) {
	env := environment(t)
	env.SetContinueAsNewSuggested(true)
	env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return(
		activities.SyncResult{State: activities.SyncEqual, Dirty: true, Messages: copier.Work{Appended: 1}}, nil)
	env.ExecuteWorkflow(workflows.MailboxSync, workflows.MailboxSyncInput{Link: "dr", Number: "1001", Debounce: time.Second, Syncs: 4})
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want to continue as new", env.GetWorkflowError())
	}
	var carried workflows.MailboxSyncInput
	decode(t, next.Input, &carried)
	want := workflows.MailboxSyncInput{Link: "dr", Number: "1001", Trigger: "event", Debounce: time.Second, Syncs: 5,
		Messages: copier.Work{Appended: 1}}
	if diff := cmp.Diff(want, carried); diff != "" {
		t.Errorf("carried over (-want +got):\n%s", diff)
	}
}

func TestMailboxSyncCancelled(t *testing.T) {
	env := environment(t)
	env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, _ activities.SyncInput) (activities.SyncResult, error) {
			env.CancelWorkflow()
			<-ctx.Done()
			return activities.SyncResult{}, ctx.Err()
		})
	env.ExecuteWorkflow(workflows.MailboxSync, workflows.MailboxSyncInput{Link: "dr", Number: "1001"})
	if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("got %v, want a cancellation", err)
	}
}
