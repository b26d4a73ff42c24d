package workflows_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// TestMirrorControlOutlivesItsDatabase: the database goes back to a time at which the
// mirror ran. What MirrorControl knows outlives that, whatever arrives meanwhile.
func TestMirrorControlOutlivesItsDatabase(t *testing.T) {
	for _, c := range []struct {
		name    string
		then    func(m *mirror)
		known   suspension.State
		epoch   int64 // that MirrorControl knows
		written suspension.State
	}{
		{"nothing arrives", func(*mirror) {}, suspension.Suspended, 2, suspension.Running},
		{"a resumption of another epoch", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Who: "bob", Epoch: 7})
		}, suspension.Suspended, 2, suspension.Running},
		{"a resumption of the lost suspension", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Who: "bob", Epoch: 2})
		}, suspension.Suspended, 2, suspension.Running},
		{"a suspension that the row knows", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: 1})
		}, suspension.Suspended, 2, suspension.Running},
		{"the lost suspension, late", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: 2})
		}, suspension.Suspended, 3, suspension.Suspending},
		{"a suspension", func(m *mirror) { m.env.SignalWorkflow(workflows.SignalSuspend, "again") }, suspension.Suspended, 3, suspension.Suspending},
		{"an operator resumes", func(m *mirror) {
			m.env.SignalWorkflow(workflows.SignalResume, suspension.Request{Who: "bob", Epoch: 1})
		}, suspension.Running, 3, suspension.Running},
		{"the supervision writes it again", func(m *mirror) {
			s, _ := m.Suspend(context.Background(), suspension.Request{Who: "alice", Reason: "storage"})
			m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Who: "alice", Epoch: s.Epoch})
		}, suspension.Suspended, 3, suspension.Suspending},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t)
			m.at(t, time.Minute, func() {
				m.env.SignalWorkflow(workflows.SignalSuspend, suspension.Request{Who: "alice", Reason: "storage"})
			})
			m.at(t, 2*time.Minute, func() {
				m.Restore(suspension.Suspension{State: suspension.Running, Epoch: 1})
				c.then(m)
			})
			var view workflows.ControlView
			m.at(t, 30*time.Minute, func() { view = m.view(t) })
			m.run(t)
			if view.State != c.known || view.Unconfirmed || view.Epoch != c.epoch {
				t.Errorf("it knows %+v", view)
			}
			if got := m.state(t); got.Still() != (c.known == suspension.Suspended) {
				t.Errorf("the row is %+v", got)
			} else if got.State != c.written && got.State != suspension.Suspended {
				t.Errorf("the row is %+v, want %s", got, c.written)
			}
		})
	}
}

// TestMirrorControlStartsWithoutARow: it is started, or continues as new, while the row
// is unconfirmed. A suspension that it was started with is written again; if it was
// started with nothing, it changes nothing.
func TestMirrorControlStartsWithoutARow(t *testing.T) {
	restored := suspension.Suspension{State: suspension.Running, Epoch: 1}
	for name, c := range map[string]struct {
		with suspension.Suspension
		want suspension.State
		done []string
	}{
		"nothing":    {done: nil, want: suspension.Running},
		"suspended":  {with: suspension.Suspension{State: suspension.Suspended, Who: "alice", Epoch: 4}, done: []string{"pause"}, want: suspension.Suspending},
		"suspending": {with: suspension.Suspension{State: suspension.Suspending, Who: "alice", Epoch: 4}, done: []string{"pause"}, want: suspension.Suspending},
		"running":    {with: suspension.Suspension{State: suspension.Running, Epoch: 3}, done: []string{"go on"}, want: suspension.Running},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t)
			m.Restore(restored)
			m.at(t, time.Hour, m.env.CancelWorkflow)
			m.env.ExecuteWorkflow(workflows.MirrorControl, workflows.ControlState{Suspension: c.with})
			if !slices.Equal(m.done(), c.done) {
				t.Errorf("the schedules were changed by %v, want %v", m.done(), c.done)
			}
			if view := m.view(t); view.State != c.want && (view.State == suspension.Running || c.want == suspension.Running) ||
				view.Unconfirmed != (c.with.State == "") {
				t.Errorf("it knows %+v", view)
			}
		})
	}
}
