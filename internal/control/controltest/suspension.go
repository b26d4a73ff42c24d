package controltest

import (
	"context"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// PutSuspension sets how the mirror as a whole stands.
func (m *Memory) PutSuspension(s suspension.Suspension) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.suspension = s
}

// Suspension implements control.SuspensionRecords.
func (m *Memory) Suspension(context.Context) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.suspension, nil
}

// Suspend implements control.SuspensionRecords.
func (m *Memory) Suspend(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.suspension; s.State == suspension.Running && (r.Epoch == 0 || r.Epoch == s.Epoch) {
		m.suspension = suspension.Suspension{State: suspension.Suspending, Epoch: s.Epoch + 1, Reason: r.Reason, Who: r.Who, Since: m.Now()}
		m.events = append(m.events, suspension.Event{At: m.Now(), Event: "suspend", Who: r.Who, Reason: r.Reason})
	}
	return m.suspension, nil
}

// ConfirmSuspended implements control.SuspensionRecords.
func (m *Memory) ConfirmSuspended(_ context.Context, epoch int64) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := &m.suspension; s.State == suspension.Suspending && s.Epoch == epoch && s.Waiting == 0 {
		s.State, s.SuspendedAt = suspension.Suspended, m.Now()
		m.events = append(m.events, suspension.Event{At: m.Now(), Event: "suspended", Who: s.Who, Reason: s.Reason})
	}
	return m.suspension, nil
}

// Resume implements control.SuspensionRecords.
func (m *Memory) Resume(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.suspension; s.Still() && r.Epoch == s.Epoch {
		m.suspension = suspension.Suspension{State: suspension.Running, Epoch: s.Epoch + 1, Who: r.Who, Since: m.Now()}
		m.events = append(m.events, suspension.Event{At: m.Now(), Event: "resume", Who: r.Who})
	}
	return m.suspension, nil
}

// Events implements control.SuspensionRecords.
func (m *Memory) Events(_ context.Context, limit int) ([]suspension.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []suspension.Event
	for _, e := range slices.Backward(m.events) {
		if limit == 0 || len(found) < limit {
			found = append(found, e)
		}
	}
	return found, nil
}

// ScheduleSpecs implements control.ScheduleRecords.
func (m *Memory) ScheduleSpecs(context.Context) (map[string]site.ScheduleSpec, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.specs), nil
}

// SetScheduleSpec implements control.ScheduleRecords.
func (m *Memory) SetScheduleSpec(_ context.Context, name string, spec site.ScheduleSpec, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.specs[name] = spec
	return nil
}

// DropScheduleSpec implements control.ScheduleRecords.
func (m *Memory) DropScheduleSpec(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.specs, name)
	return nil
}

// NoteMisses implements control.ScheduleRecords: all were noticed now.
func (m *Memory) NoteMisses(context.Context, string, int) (time.Time, error) { return m.Now(), nil }

// RecordEvent implements control.ScheduleRecords.
func (m *Memory) RecordEvent(_ context.Context, e suspension.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.At = m.Now()
	m.events = append(m.events, e)
	return nil
}
