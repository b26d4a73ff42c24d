package controltest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// PutSuspension sets how the mirror as a whole stands.
func (m *Memory) PutSuspension(s suspension.Suspension) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.set(s)
}

// Suspensions implements control.SuspensionRecords.
func (m *Memory) Suspensions(context.Context) (suspension.Scopes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := suspension.Scopes{m.suspensions.Own("")}
	for _, name := range slices.Sorted(maps.Keys(m.links)) {
		all = append(all, m.suspensions.Own(name))
	}
	return all, nil
}

// set replaces the suspension of a scope.
func (m *Memory) set(s suspension.Suspension) {
	m.suspensions = append(slices.DeleteFunc(m.suspensions, func(o suspension.Suspension) bool { return o.Link == s.Link }), s)
}

// Suspend implements control.SuspensionRecords.
func (m *Memory) Suspend(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.suspensions.Own(r.Link); s.State == suspension.Running && (r.Epoch == 0 || r.Epoch == s.Epoch) {
		m.set(suspension.Suspension{Link: r.Link, State: suspension.Suspending, Epoch: s.Epoch + 1, Reason: r.Reason, Who: r.Who, Since: m.Now()})
		m.write(&audit.Entry{Command: "suspend", Link: r.Link, Actor: r.Who, Way: r.Way, Detail: r.Reason})
	}
	return m.suspensions.Own(r.Link), nil
}

// ConfirmSuspended implements control.SuspensionRecords.
func (m *Memory) ConfirmSuspended(_ context.Context, link string, epoch int64) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.suspensions.Own(link); s.State == suspension.Suspending && s.Epoch == epoch && s.Waiting == 0 {
		s.State, s.SuspendedAt = suspension.Suspended, m.Now()
		m.set(s)
		m.write(&audit.Entry{Command: "suspended", Link: link, Actor: s.Who, Way: audit.Itself, Detail: s.Reason})
	}
	return m.suspensions.Own(link), nil
}

// Resume ends the suspension of r.Epoch, as a worker does.
func (m *Memory) Resume(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.suspensions.Own(r.Link); s.Still() && r.Epoch == s.Epoch {
		m.set(suspension.Suspension{Link: r.Link, State: suspension.Running, Epoch: s.Epoch + 1, Who: r.Who, Since: m.Now()})
		m.write(&audit.Entry{Command: "resume", Link: r.Link, Actor: r.Who, Way: r.Way})
	}
	return m.suspensions.Own(r.Link), nil
}

// Record implements control.AuditLog.
func (m *Memory) Record(_ context.Context, e *audit.Entry) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.write(e)
	return nil
}

// record writes the entry of the command that ctx belongs to, once.
func (m *Memory) record(ctx context.Context) {
	if e := audit.From(ctx); e != nil && e.ID == 0 {
		m.write(e)
	}
}

func (m *Memory) write(e *audit.Entry) {
	e.ID, e.At, e.Outcome = int64(len(m.audit)+1), m.Now(), cmp.Or(e.Outcome, audit.Done)
	m.audit = append(m.audit, *e)
}

// SetOutcome implements control.AuditLog.
func (m *Memory) SetOutcome(_ context.Context, id int64, o audit.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.audit[id-1].Outcome = o
	return nil
}

// Audit implements control.AuditLog.
func (m *Memory) Audit(_ context.Context, link string, limit int) ([]audit.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []audit.Entry
	for _, e := range slices.Backward(m.audit) {
		l := m.links[link]
		other := link != "" && (e.Link != "" && e.Link != link || e.Store != "" && e.Store != l.Source && e.Store != l.Target)
		if !other && (limit == 0 || len(found) < limit) {
			found = append(found, e)
		}
	}
	return found, nil
}

// ScheduleSpecs returns what operators set, as a worker reads it.
func (m *Memory) ScheduleSpecs(context.Context) (map[string]site.ScheduleSpec, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.specs), nil
}

// SetScheduleSpec implements control.ScheduleRecords.
func (m *Memory) SetScheduleSpec(ctx context.Context, name string, spec site.ScheduleSpec, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.specs[name] = spec
	m.record(ctx)
	return nil
}

// DropScheduleSpec implements control.ScheduleRecords.
func (m *Memory) DropScheduleSpec(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.specs, name)
	m.record(ctx)
	return nil
}

// NoteMisses implements control.ScheduleRecords: all were noticed now.
func (m *Memory) NoteMisses(context.Context, string, int) (time.Time, error) { return m.Now(), nil }
