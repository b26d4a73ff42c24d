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

// Restore puts another row in place, as a database does that goes back to a dump: it is
// unconfirmed if it says running.
func (m *Memory) Restore(s suspension.Suspension) {
	s.Unconfirmed = s.State == suspension.Running
	m.PutSuspension(s)
}

// HoldLeases says how many mailboxes somebody may write to, beside those of Hold.
func (m *Memory) HoldLeases(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leases = n
}

// waiting is how many mailboxes of a link, "" for all, somebody may write to.
func (m *Memory) waiting(link string) int {
	n := m.leases
	for key := range m.written {
		if link == "" || key.Link == link {
			n++
		}
	}
	return n
}

// Suspensions implements suspension.Records.
func (m *Memory) Suspensions(context.Context) (suspension.Scopes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := suspension.Scopes{m.suspensions.Own("")}
	for _, name := range slices.Sorted(maps.Keys(m.links)) {
		all = append(all, m.scope(name))
	}
	return all, nil
}

// scope is the suspension of a scope. A link that there is has an epoch.
func (m *Memory) scope(link string) suspension.Suspension {
	s := m.suspensions.Own(link)
	if _, known := m.links[link]; known {
		s.Epoch = max(s.Epoch, 1)
	}
	return s
}

// set replaces the suspension of a scope.
func (m *Memory) set(s suspension.Suspension) {
	m.suspensions = append(slices.DeleteFunc(m.suspensions, func(o suspension.Suspension) bool { return o.Link == s.Link }), s)
	m.lastEpoch = max(m.lastEpoch, s.Epoch)
}

// Suspend implements suspension.Records.
func (m *Memory) Suspend(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, known := m.links[r.Link]
	if s := m.scope(r.Link); s.State == suspension.Running && (r.Epoch == 0 || r.Epoch == s.Epoch) && (known || r.Link == "") {
		m.set(suspension.Suspension{Link: r.Link, State: suspension.Suspending, Epoch: m.lastEpoch + 1, Reason: r.Reason, Who: r.Who,
			Since: m.Now(), Waiting: m.waiting(r.Link)})
		m.write(&audit.Entry{Command: "suspend", Link: r.Link, Actor: r.Who, Way: r.Way, Detail: r.Reason})
	}
	return m.scope(r.Link), nil
}

// ConfirmSuspended implements suspension.Records.
func (m *Memory) ConfirmSuspended(_ context.Context, link string, epoch int64) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.scope(link); s.State == suspension.Suspending && s.Epoch == epoch {
		if s.Waiting = m.waiting(link); s.Waiting == 0 {
			s.State, s.SuspendedAt = suspension.Suspended, m.Now()
			m.write(&audit.Entry{Command: "suspended", Link: link, Actor: s.Who, Way: audit.Itself, Detail: s.Reason})
		}
		m.set(s)
	}
	return m.scope(link), nil
}

// Resume implements activities.SuspensionRecords.
func (m *Memory) Resume(_ context.Context, r suspension.Request) (suspension.Suspension, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.scope(r.Link); s.Still() && r.Epoch == s.Epoch {
		m.set(suspension.Suspension{Link: r.Link, State: suspension.Running, Epoch: m.lastEpoch + 1, Who: r.Who, Since: m.Now()})
		m.write(&audit.Entry{Command: "resume", Link: r.Link, Actor: r.Who, Way: r.Way})
	}
	return m.scope(r.Link), nil
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
	e.ID, e.At = int64(len(m.audit)+1), m.Now()
	row := *e
	row.Outcome = cmp.Or(e.Outcome, audit.Done)
	m.audit = append(m.audit, row)
}

// SetOutcome implements control.AuditLog.
func (m *Memory) SetOutcome(_ context.Context, id int64, o audit.Outcome) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.audit {
		if m.audit[i].ID == id {
			m.audit[i].Outcome = o
		}
	}
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

// missed is how many runs a schedule missed, and since when that is known.
type missed struct {
	runs int
	seen time.Time
}

// NoteMisses implements control.ScheduleRecords.
func (m *Memory) NoteMisses(_ context.Context, name string, runs int) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.misses[name]
	if known.seen.IsZero() || runs > known.runs {
		known.seen = m.Now()
	}
	m.misses[name] = missed{runs, known.seen}
	return known.seen, nil
}
