package controltest

import (
	"context"
	"slices"

	"mailmirror/internal/background"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Background implements control.Records. A worker lives unless PutSigns
// says otherwise.
func (m *Memory) Background(context.Context) (background.State, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := background.State{Now: m.Now(), Signs: slices.Clone(m.signs)}
	if !slices.ContainsFunc(b.Signs, func(s background.Sign) bool { return s.Loop == background.LoopSupervision }) {
		b.Signs = append(b.Signs, background.Sign{Loop: background.LoopSupervision, Worker: "1@one", StartedAt: m.Now(), OKAt: m.Now()})
	}
	return b, nil
}

// BeginLoop implements activities.Signs. Only the end of a loop is kept.
func (m *Memory) BeginLoop(context.Context, background.Sign) error { return nil }

// EndLoop implements activities.Signs.
func (m *Memory) EndLoop(_ context.Context, s background.Sign) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signs = append(slices.DeleteFunc(m.signs, func(o background.Sign) bool { return o.Loop == s.Loop && o.Item == s.Item }), s)
	return nil
}

// Watchers implements control.Records.
func (m *Memory) Watchers(_ context.Context, link string) ([]site.Watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.watchers), func(w site.Watcher) bool { return link != "" && w.Link != link }), nil
}

// Status implements control.Records.
func (m *Memory) Status(_ context.Context, link string) ([]site.LinkStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []site.LinkStatus
	for _, l := range m.sortedLinks() {
		if link != "" && l.Name != link {
			continue
		}
		all = append(all, m.status(l))
	}
	if len(all) == 0 && link != "" {
		return nil, unknown("link", link)
	}
	return all, nil
}

func (m *Memory) status(l site.Link) site.LinkStatus {
	s := site.LinkStatus{Link: l, Lag: m.lag[l.Name]}
	for key, b := range m.mailboxes {
		if key.Link != l.Name {
			continue
		}
		s.Mailboxes++
		s.Messages += int64(b.Messages)
		s.Greetings += int64(b.Greetings)
		switch b.State {
		case site.StateNew:
			s.States.New++
		case site.StateEqual:
			s.States.Equal++
		case site.StateDiffering:
			s.States.Differing++
		case site.StateDirty:
			s.States.Dirty++
		case site.StateHeld:
			s.States.Held++
		case site.StateParked:
			s.States.Parked++
		}
	}
	for _, r := range m.runs {
		last := &s.LastCompare
		if r.Kind == site.RunRebuild {
			last = &s.LastRebuild
		}
		if r.Link == l.Name && (*last == nil || r.StartedAt.After((*last).StartedAt)) {
			*last = &r
		}
	}
	return s
}

// History implements control.Records.
func (m *Memory) History(_ context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.among(m.history, link, number, limit)
}

// HistoryWithArchive implements control.Records.
func (m *Memory) HistoryWithArchive(_ context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.among(slices.Concat(m.archive, m.history), link, number, limit)
}

// among is a NotFound fault if nothing is known of the link or the mailbox.
func (m *Memory) among(entries []site.HistoryEntry, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	var found []site.HistoryEntry
	for _, h := range slices.Backward(entries) {
		if h.Key.Link == link && (number == "" || h.Key.Number == number) {
			found = append(found, h)
		}
	}
	switch _, member := m.mailboxes[mailbox.Key{Link: link, Number: number}]; {
	case len(found) > 0, member:
		return found[:most(limit, len(found))], nil
	case number == "":
		return nil, m.requireLink(link)
	}
	return nil, noMember(mailbox.Key{Link: link, Number: number})
}

// Errors implements control.Records.
func (m *Memory) Errors(_ context.Context, link string) ([]site.ErrorEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if link != "" {
		if err := m.requireLink(link); err != nil {
			return nil, err
		}
	}
	var found []site.ErrorEntry
	for _, e := range m.errors {
		if link == "" || e.Link == link {
			found = append(found, e)
		}
	}
	return found, nil
}

// CompareRun implements control.Records.
func (m *Memory) CompareRun(_ context.Context, runID string) (site.CompareRun, error) {
	return recorded(m, m.runs, "compare", runID)
}

// recorded returns the record of a run; a NotFound fault if there is none.
func recorded[R any](m *Memory, runs map[string]R, what, runID string) (R, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := runs[runID]
	if !ok {
		return r, unknown(what, runID)
	}
	return r, nil
}
