package controltest

import (
	"context"
	"slices"

	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
)

// guarded is what Memory knows of the deletion guard.
type guarded struct {
	settings  map[string]guard.Settings
	holds     []guard.Hold
	decisions []guard.Decision
	lastHold  int64
	figures   guard.Counts
}

// PutHolds adds holds.
func (m *Memory) PutHolds(holds ...guard.Hold) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guard.holds = append(m.guard.holds, holds...)
}

// PutFigures sets what the rules over the whole link count.
func (m *Memory) PutFigures(f guard.Counts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.guard.figures = f
}

// GuardSettings implements control.Guard.
func (m *Memory) GuardSettings(_ context.Context, link string) (guard.Settings, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.guard.settings[link]; ok {
		return s, nil
	}
	return guard.DefaultSettings(), nil
}

// SetGuardSettings implements control.Guard.
func (m *Memory) SetGuardSettings(ctx context.Context, link string, s guard.Settings) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.requireLink(link); err != nil {
		return err
	}
	if m.guard.settings == nil {
		m.guard.settings = map[string]guard.Settings{}
	}
	s.SetAt = m.Now()
	m.guard.settings[link] = s
	m.record(ctx)
	return nil
}

// Holds implements control.Guard.
func (m *Memory) Holds(_ context.Context, link string) ([]guard.Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []guard.Hold
	for _, h := range m.guard.holds {
		if link == "" || h.Link == link {
			found = append(found, h)
		}
	}
	return found, nil
}

// DecideHolds implements control.Guard.
func (m *Memory) DecideHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.Hold, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if !slices.ContainsFunc(m.guard.holds, func(h guard.Hold) bool { return h.ID == id }) {
			return nil, guard.NoHold(id)
		}
	}
	var decided []guard.Hold
	for i := range m.guard.holds {
		h := &m.guard.holds[i]
		if !slices.Contains(ids, h.ID) {
			continue
		}
		changed := h.State != decision
		h.State, h.DecidedBy, h.DecidedAt = decision, who, m.Now()
		decided = append(decided, *h)
		if changed {
			m.decided(guard.Decision{Who: who, Decision: decision, Link: h.Link, Number: h.Number, Folder: h.Folder, HoldID: h.ID, Messages: h.Messages})
			h.ID = m.nextHold(h.ID)
		}
		// A hold may be of a mailbox that a test did not add.
		_, _ = m.change(mailbox.Key{Link: h.Link, Number: h.Number}, m.dirty)
	}
	m.record(ctx)
	return decided, nil
}

// decided adds to the log of the guard.
func (m *Memory) decided(d guard.Decision) {
	d.At = m.Now()
	m.guard.decisions = slices.Insert(m.guard.decisions, 0, d)
}

// nextHold is the id of a hold that was decided on: what is shown of it is something else
// than before.
func (m *Memory) nextHold(id int64) int64 {
	m.guard.lastHold = max(m.guard.lastHold, id, 90) + 1
	return m.guard.lastHold
}

// GuardFigures implements control.Guard.
func (m *Memory) GuardFigures(context.Context, string) (guard.Counts, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.guard.figures, nil
}

// GuardDecisions implements control.Guard.
func (m *Memory) GuardDecisions(_ context.Context, link string, limit int) ([]guard.Decision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []guard.Decision
	for _, d := range m.guard.decisions {
		if d.Link == link {
			found = append(found, d)
		}
	}
	return found[:most(limit, len(found))], nil
}
