package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// mirror is what MirrorControl steers, with a row of its own for each test. It
// notes what is done, in order.
type mirror struct {
	*activitytest.World
	env *testsuite.TestWorkflowEnvironment
	// An activity that is cancelled may still run when the next one does.
	mu    sync.Mutex
	notes []string
	// settle is how long SettleSuspension takes.
	settle time.Duration
	// unproven is true if rows that say running are unconfirmed.
	unproven bool
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{World: activitytest.New(), env: environment(t)}
	m.PutLink("dr")
	m.env.OnActivity(steps.ReadSuspension, mock.Anything, mock.Anything).Return(m.own).Maybe()
	m.env.OnActivity(steps.RecordSuspend, mock.Anything, mock.Anything).Return(m.Suspend).Maybe()
	m.env.OnActivity(steps.RecordResume, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
			s, err := m.Resume(ctx, r)
			return m.shown(s), err
		}).Maybe()
	m.env.OnActivity(steps.SettleSuspension, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, s suspension.Suspension) (suspension.Suspension, error) {
			m.note("pause")
			s, err := m.ConfirmSuspended(ctx, s.Link, s.Epoch)
			return m.shown(s), err
		}).AfterFn(func() time.Duration { return m.settle }).Maybe()
	m.env.OnActivity(steps.SettleRunning, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, s suspension.Suspension) (suspension.Suspension, error) {
			m.note("go on")
			return m.own(ctx, s.Link)
		}).Maybe()
	return m
}

func (m *mirror) own(ctx context.Context, link string) (suspension.Suspension, error) {
	all, err := m.Suspensions(ctx)
	return m.shown(all.Own(link)), err
}

func (m *mirror) shown(s suspension.Suspension) suspension.Suspension {
	s.Unconfirmed = s.Unconfirmed || m.unproven && s.State == suspension.Running
	return s
}

func (m *mirror) note(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = append(m.notes, what)
}

func (m *mirror) done() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.notes)
}

func (m *mirror) at(t *testing.T, when time.Duration, f func()) {
	t.Helper()
	m.env.RegisterDelayedCallback(f, when)
}

// run lets it run until everything that is to happen has, and cancels it then.
func (m *mirror) run(t *testing.T) {
	t.Helper()
	m.at(t, time.Hour, m.env.CancelWorkflow)
	m.env.ExecuteWorkflow(workflows.MirrorControl, workflows.ControlState{})
	if !m.env.IsWorkflowCompleted() {
		t.Fatal("not over")
	}
}

func (m *mirror) state(t *testing.T) suspension.Suspension {
	t.Helper()
	s, err := m.Suspension(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (m *mirror) view(t *testing.T) workflows.ControlView {
	t.Helper()
	value, err := m.env.QueryWorkflow(workflows.QuerySuspension)
	if err != nil {
		t.Fatal(err)
	}
	var v workflows.ControlView
	if err := value.Get(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// answer takes in the answer of one update.
type answer struct {
	suspension suspension.Suspension
	err        error
	at         time.Time
}

func (m *mirror) update(name string, r suspension.Request, a *answer) {
	m.env.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
		OnAccept: func() {},
		OnReject: func(err error) { a.err = err },
		OnComplete: func(result any, err error) {
			a.at, a.err = m.env.Now(), err
			if s, ok := result.(suspension.Suspension); ok {
				a.suspension = s
			}
		},
	}, r)
}

func TestMirrorControlSignals(t *testing.T) {
	type signal struct {
		name     string
		argument any
	}
	for _, c := range []struct {
		name    string
		signals []signal // an hour apart, in order; a nil name is a pause
		state   suspension.State
		reason  string
		who     string
		epoch   int64
	}{
		{"suspend, bare", []signal{{workflows.SignalSuspend, nil}}, suspension.Suspended, "", "unknown", 2},
		{"suspend, with a word", []signal{{workflows.SignalSuspend, "storage"}}, suspension.Suspended, "storage", "unknown", 2},
		{"suspend, with a number", []signal{{workflows.SignalSuspend, 42}}, suspension.Suspended, "", "unknown", 2},
		{"suspend, as the command does", []signal{{workflows.SignalSuspend, suspension.Request{Reason: "storage", Who: "alice"}}},
			suspension.Suspended, "storage", "alice", 2},
		{"suspend twice keeps the first", []signal{{workflows.SignalSuspend, "storage"}, {workflows.SignalSuspend, "network"}},
			suspension.Suspended, "storage", "unknown", 2},
		{"resume what runs", []signal{{workflows.SignalResume, nil}}, suspension.Running, "", "", 1},
		{"suspend and resume", []signal{{workflows.SignalSuspend, nil}, {workflows.SignalResume, nil}}, suspension.Running, "", "unknown", 3},
		{"three times", []signal{{workflows.SignalSuspend, nil}, {workflows.SignalResume, nil}, {workflows.SignalSuspend, "again"}},
			suspension.Suspended, "again", "unknown", 4},
		{"a resumption of an older suspension", []signal{{workflows.SignalSuspend, nil}, {workflows.SignalResume, nil},
			{workflows.SignalSuspend, "again"}, {workflows.SignalResume, suspension.Request{Who: "bob", Epoch: 2}}},
			suspension.Suspended, "again", "unknown", 4},
		{"a suspension that is over", []signal{{workflows.SignalSuspend, nil}, {workflows.SignalResume, nil},
			{workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: 2}}}, suspension.Running, "", "unknown", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			for i, s := range c.signals {
				m.at(t, time.Duration(i+1)*time.Minute, func() { m.env.SignalWorkflow(s.name, s.argument) })
			}
			var view workflows.ControlView
			m.at(t, 30*time.Minute, func() { view = m.view(t) })
			m.run(t)
			got := m.state(t)
			if got.State != c.state || got.Reason != c.reason || got.Who != c.who || got.Epoch != c.epoch {
				t.Errorf("got %+v", got)
			}
			if view.State != got.State || view.Reason != got.Reason || view.Epoch != got.Epoch || view.Served != len(c.signals) {
				t.Errorf("shows %+v", view)
			}
			if done := m.done(); (done[len(done)-1] == "pause") != (c.state == suspension.Suspended) {
				t.Errorf("%s, and the schedules were told to %v", c.state, done)
			}
		})
	}
}

// Which of two signals came first cannot be told where they arrive together:
// the suspension prevails, unless the requests name what they are about.
func TestMirrorControlSignalsTogether(t *testing.T) {
	m := newMirror(t)
	m.at(t, 0, func() { // while it reads the row for the first time
		m.env.SignalWorkflow(workflows.SignalSuspend, nil)
		m.env.SignalWorkflow(workflows.SignalResume, nil)
	})
	m.run(t)
	if s := m.state(t); s.State != suspension.Suspended {
		t.Errorf("bare: %+v", s)
	}

	m = newMirror(t)
	m.at(t, 0, func() { // while it reads the row for the first time
		s, err := m.Suspend(t.Context(), suspension.Request{Who: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: s.Epoch})
		m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Who: "bob", Epoch: s.Epoch})
	})
	m.run(t)
	if s := m.state(t); s.State != suspension.Running || s.Who != "bob" {
		t.Errorf("named: %+v", s)
	}
}

// An update is answered when it is carried out: a suspension not before the
// last lease is over.
func TestMirrorControlUpdates(t *testing.T) {
	m := newMirror(t)
	m.settle = 7 * time.Second
	var begin time.Time
	var suspended, again, resumed, bad answer
	m.at(t, time.Minute, func() {
		begin = m.env.Now()
		m.update(workflows.SignalSuspend, suspension.Request{Reason: "storage", Who: "alice"}, &suspended)
	})
	m.at(t, time.Minute+time.Second, func() {
		if v := m.view(t); v.State != suspension.Suspending {
			t.Errorf("while a lease is held it shows %+v", v)
		}
		m.update(workflows.SignalSuspend, suspension.Request{}, &again)
		m.update(workflows.SignalSuspend, suspension.Request{Reason: string(make([]byte, 501))}, &bad)
	})
	m.at(t, 2*time.Minute, func() { m.update(workflows.SignalResume, suspension.Request{Who: "bob"}, &resumed) })
	m.run(t)
	for name, a := range map[string]answer{"the first": suspended, "the second": again} {
		if a.err != nil || a.suspension.State != suspension.Suspended || a.suspension.Reason != "storage" || a.at.Sub(begin) < 7*time.Second {
			t.Errorf("%s suspension was answered %+v after %s", name, a, a.at.Sub(begin))
		}
	}
	if resumed.err != nil || resumed.suspension.State != suspension.Running || resumed.suspension.Who != "bob" {
		t.Errorf("resumption was answered %+v", resumed)
	}
	if bad.err == nil {
		t.Error("a reason without end was accepted")
	}
	if !slices.Equal(m.done(), []string{"go on", "pause", "go on"}) {
		t.Errorf("the schedules were told to %v", m.done())
	}
}

// A resumption need not wait for the suspension that it ends.
func TestMirrorControlResumesWhileSuspending(t *testing.T) {
	m := newMirror(t)
	m.HoldLeases(3)
	m.settle = 20 * time.Minute // a lease that does not end
	var suspended, resumed answer
	m.at(t, time.Minute, func() { m.update(workflows.SignalSuspend, suspension.Request{Who: "alice"}, &suspended) })
	m.at(t, 2*time.Minute, func() { m.update(workflows.SignalResume, suspension.Request{Who: "bob"}, &resumed) })
	var told []string
	m.at(t, 3*time.Minute, func() { told = m.done() })
	m.run(t)
	if s := m.state(t); s.State != suspension.Running || s.Who != "bob" {
		t.Errorf("got %+v", s)
	}
	if suspended.suspension.State != suspension.Running || resumed.suspension.State != suspension.Running {
		t.Errorf("suspension answered %+v, resumption %+v", suspended, resumed)
	}
	if !slices.Equal(told, []string{"go on", "go on"}) {
		t.Errorf("the schedules were told to %v", told)
	}
}

// Started anew, it goes on from what the database says.
func TestMirrorControlStartsFromTheRow(t *testing.T) {
	m := newMirror(t)
	if _, err := m.Suspend(t.Context(), suspension.Request{Who: "alice", Reason: "storage"}); err != nil {
		t.Fatal(err)
	}
	m.run(t)
	if s := m.state(t); s.State != suspension.Suspended || s.Who != "alice" {
		t.Errorf("got %+v", s)
	}
	if !slices.Equal(m.done(), []string{"pause"}) {
		t.Errorf("the schedules were told to %v", m.done())
	}
}

// A long history ends with nothing asked and nobody waiting, and what comes at
// that moment is served by the run that follows.
func TestMirrorControlContinuesAsNew(t *testing.T) {
	m := newMirror(t)
	m.settle = 7 * time.Second
	var suspended answer
	m.at(t, time.Minute, func() {
		m.update(workflows.SignalSuspend, suspension.Request{Who: "alice", Reason: "storage"}, &suspended)
	})
	m.at(t, time.Minute+time.Second, func() { m.env.SetContinueAsNewSuggested(true) })
	m.env.ExecuteWorkflow(workflows.MirrorControl, workflows.ControlState{})
	var next *workflow.ContinueAsNewError
	if !errors.As(m.env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want to continue as new", m.env.GetWorkflowError())
	}
	if suspended.suspension.State != suspension.Suspended {
		t.Errorf("the update was answered %+v", suspended)
	}
	var carried workflows.ControlState
	decode(t, next.Input, &carried)
	if carried.Served != 1 || carried.Suspension.State != suspension.Suspended || carried.Suspension.Who != "alice" {
		t.Errorf("carried over %+v", carried)
	}
}

// TestMirrorControlHandsOn: what names a link is handed on to it, and changes nothing of
// everything.
func TestMirrorControlHandsOn(t *testing.T) {
	m := newMirror(t)
	m.env.OnActivity(steps.AskLink, mock.Anything, mock.Anything).Return(
		func(_ context.Context, r activities.LinkRequest) (suspension.Suspension, error) {
			m.note(fmt.Sprintf("suspend %s: %v, %s", r.Link, r.Suspend, r.Reason))
			return suspension.Suspension{Link: r.Link, State: suspension.Suspending, Epoch: 7}, nil
		})
	m.at(t, time.Minute, func() {
		m.env.SignalWorkflow(workflows.SignalSuspend, map[string]any{"link": "dr", "reason": "restore"})
	})
	m.at(t, 2*time.Minute, func() { m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Link: "dr"}) })
	var answered answer
	m.at(t, 3*time.Minute, func() { m.update(workflows.SignalSuspend, suspension.Request{Link: "dr"}, &answered) })
	m.run(t)
	if !slices.Equal(m.done(), []string{"go on", "suspend dr: true, restore", "suspend dr: false, ", "suspend dr: true, "}) {
		t.Errorf("did %q", m.done())
	}
	if answered.err != nil || answered.suspension.Link != "dr" || answered.suspension.Epoch != 7 || m.state(t).Suspended() {
		t.Errorf("answered %+v, and everything is %+v", answered, m.state(t))
	}
}

// TestLinkControl: a link is suspended by itself by a workflow of its own, which
// ends with the suspension. What is asked for is done to the link alone.
func TestLinkControl(t *testing.T) {
	m := newMirror(t)
	recorded, err := m.Suspend(t.Context(), suspension.Request{Link: "dr", Who: "alice", Reason: "restore"})
	if err != nil {
		t.Fatal(err)
	}
	m.at(t, 0, func() {
		m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Link: "dr", Who: "alice", Epoch: recorded.Epoch})
	})
	m.at(t, time.Minute, func() {
		if v := m.view(t); v.State != suspension.Suspended || v.Link != "dr" || v.Who != "alice" {
			t.Errorf("it shows %+v", v)
		}
		if own, _ := m.own(t.Context(), "dr"); own.State != suspension.Suspended {
			t.Errorf("the row is %+v", own)
		}
		if everything := m.state(t); everything.Still() {
			t.Errorf("everything is %+v", everything)
		}
		m.env.SignalWorkflow(workflows.SignalResume, "bare")
	})
	m.env.ExecuteWorkflow(workflows.LinkControl, workflows.ControlState{Link: "dr"})
	if !m.env.IsWorkflowCompleted() || m.env.GetWorkflowError() != nil {
		t.Fatalf("completed: %v, %v", m.env.IsWorkflowCompleted(), m.env.GetWorkflowError())
	}
	if own, _ := m.own(t.Context(), "dr"); own.State != suspension.Running {
		t.Errorf("after its end the link is %+v", own)
	}
	if done := m.done(); !slices.Equal(done, []string{"pause", "go on"}) {
		t.Errorf("did %v", done)
	}
}

// TestLinkControlAfterAStartOfTheDatabase: a link is resumed before the database is
// confirmed to lack no suspension, while its last write is waited for or after that. It
// stays resumed, and its schedules go on.
func TestLinkControlAfterAStartOfTheDatabase(t *testing.T) {
	for name, settle := range map[string]time.Duration{"suspending": time.Hour, "suspended": 0} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.settle, m.unproven = settle, true
			m.at(t, 0, func() {
				m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Link: "dr", Who: "alice"})
			})
			m.at(t, time.Minute, func() { m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Link: "dr", Who: "bob"}) })
			m.env.ExecuteWorkflow(workflows.LinkControl, workflows.ControlState{Link: "dr"})
			if !m.env.IsWorkflowCompleted() || m.env.GetWorkflowError() != nil {
				t.Fatalf("completed: %v, %v", m.env.IsWorkflowCompleted(), m.env.GetWorkflowError())
			}
			if own, _ := m.own(t.Context(), "dr"); own.State != suspension.Running || own.Who != "bob" {
				t.Errorf("after its end the link is %+v", own)
			}
			if done := m.done(); !slices.Contains(done, "go on") {
				t.Errorf("did %v", done)
			}
		})
	}
}
