package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/control"
	"mailmirror/workflows"
)

// TestMirrorControlOutlivesItsDatabase: the database goes back to a time at which the
// mirror ran. What MirrorControl knows outlives that, whatever arrives meanwhile.
func TestMirrorControlOutlivesItsDatabase(t *testing.T) {
	for _, c := range []struct {
		name    string
		then    func(m *mirror)
		known   control.SuspensionState
		epoch   int64 // that MirrorControl knows
		written control.SuspensionState
	}{
		{"nothing arrives", func(*mirror) {}, control.Suspended, 2, control.Running},
		{"a resumption of another epoch", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, control.Request{Who: "bob", Epoch: 7})
		}, control.Suspended, 2, control.Running},
		{"a resumption of the lost suspension", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, control.Request{Who: "bob", Epoch: 2})
		}, control.Suspended, 2, control.Running},
		{"a suspension that the row knows", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalSuspend, control.Request{Who: "alice", Epoch: 1})
		}, control.Suspended, 2, control.Running},
		{"the lost suspension, late", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalSuspend, control.Request{Who: "alice", Epoch: 2})
		}, control.Suspended, 3, control.Suspending},
		{"a suspension", func(m *mirror) { m.env.SignalWorkflow(workflows.SignalSuspend, "again") }, control.Suspended, 3, control.Suspending},
		{"an operator resumes", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, control.Request{Who: "bob", Epoch: 1})
		}, control.Running, 3, control.Running},
		{"the supervision writes it again", func(m *mirror) {
			s, _ := m.Suspend(context.Background(), control.Request{Who: "alice", Reason: "storage"})
			m.env.SignalWorkflow(workflows.SignalSuspend, control.Request{Who: "alice", Epoch: s.Epoch})
		}, control.Suspended, 3, control.Suspending},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			m.at(t, time.Minute, func() {
				m.env.SignalWorkflow(workflows.SignalSuspend, control.Request{Who: "alice", Reason: "storage"})
			})
			m.at(t, 2*time.Minute, func() {
				m.Restore(control.Suspension{State: control.Running, Epoch: 1})
				c.then(m)
			})
			var view workflows.ControlView
			m.at(t, 30*time.Minute, func() { view = m.view(t) })
			m.run(t)
			if view.State != c.known || view.Unconfirmed || view.Epoch != c.epoch {
				t.Errorf("it knows %+v", view)
			}
			if got := m.state(t); got.Still() != (c.known == control.Suspended) {
				t.Errorf("the row is %+v", got)
			} else if got.State != c.written && got.State != control.Suspended {
				t.Errorf("the row is %+v, want %s", got, c.written)
			}
		})
	}
}

// TestMirrorControlStartsWithoutARow: it is started, or continues as new, while the row
// is unconfirmed. A suspension that it was started with is written again; if it was
// started with nothing, it changes nothing.
func TestMirrorControlStartsWithoutARow(t *testing.T) {
	restored := control.Suspension{State: control.Running, Epoch: 1}
	for name, c := range map[string]struct {
		with control.Suspension
		want control.SuspensionState
		done []string
	}{
		"nothing":    {done: nil, want: control.Running},
		"suspended":  {with: control.Suspension{State: control.Suspended, Who: "alice", Epoch: 4}, done: []string{"pause"}, want: control.Suspending},
		"suspending": {with: control.Suspension{State: control.Suspending, Who: "alice", Epoch: 4}, done: []string{"pause"}, want: control.Suspending},
		"running":    {with: control.Suspension{State: control.Running, Epoch: 3}, done: []string{"go on"}, want: control.Running},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.Restore(restored)
			m.at(t, time.Hour, m.env.CancelWorkflow)
			m.env.ExecuteWorkflow(workflows.MirrorControl, workflows.ControlState{Suspension: c.with})
			if !slices.Equal(m.done(), c.done) {
				t.Errorf("the schedules were changed by %v, want %v", m.done(), c.done)
			}
			if view := m.view(t); view.State != c.want && (view.State == control.Running || c.want == control.Running) ||
				view.Unconfirmed != (c.with.State == "") {
				t.Errorf("it knows %+v", view)
			}
		})
	}
}
