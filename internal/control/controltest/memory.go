// Package controltest holds the ports of internal/control in memory, for the
// tests of control and of what stands on it. The real ones are tested with
// their servers.
package controltest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
)

// Memory is a control.Repository. Its maps may be filled before it is used.
type Memory struct {
	Now func() time.Time

	mu        sync.Mutex
	stores    map[string]control.Store
	links     map[string]control.Link
	mailboxes map[mailbox.Key]control.Mailbox
	history   []control.HistoryEntry
	archive   []control.HistoryEntry
	errors    []control.ErrorEntry
	runs      map[string]control.CompareRun
	lag       map[string]time.Duration
	guard     guarded
	watchers  []control.Watcher
	signs     []control.Sign
	loads     map[string]quota.Load

	suspension control.Suspension
	events     []control.Event
	specs      map[string]control.ScheduleSpec
}

var _ control.Repository = (*Memory)(nil)

// NewMemory returns an empty repository whose clock is now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{
		Now: now, stores: map[string]control.Store{}, links: map[string]control.Link{},
		mailboxes: map[mailbox.Key]control.Mailbox{}, runs: map[string]control.CompareRun{}, lag: map[string]time.Duration{},
		suspension: control.Suspension{State: control.Running, Epoch: 1}, specs: map[string]control.ScheduleSpec{}, loads: map[string]quota.Load{},
	}
}

// StoreLoad implements control.Repository: what SetLoad set.
func (m *Memory) StoreLoad(_ context.Context, name string) (quota.Load, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loads[name], nil
}

// SetLoad sets what was learned of the load on a store.
func (m *Memory) SetLoad(store string, l quota.Load) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads[store] = l
}

// PutMailbox sets the state of a mailbox.
func (m *Memory) PutMailbox(b control.Mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mailboxes[mailbox.Key{Link: b.Link, Number: b.Number}] = b
}

// PutRun sets a compare run.
func (m *Memory) PutRun(r control.CompareRun) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[r.RunID] = r
}

// PutHistory adds to the history.
func (m *Memory) PutHistory(entries ...control.HistoryEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history = append(m.history, entries...)
}

// PutArchive adds to the archive of the history.
func (m *Memory) PutArchive(entries ...control.HistoryEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.archive = append(m.archive, entries...)
}

// PutErrors adds to the errors.
func (m *Memory) PutErrors(entries ...control.ErrorEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errors = append(m.errors, entries...)
}

// PutLag sets the lag of a link.
func (m *Memory) PutLag(link string, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lag[link] = lag
}

// PutWatchers sets how the listeners do.
func (m *Memory) PutWatchers(watchers ...control.Watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = watchers
}

// PutSigns sets the signs of life of the background work beside that of a worker,
// which is always there.
func (m *Memory) PutSigns(signs ...control.Sign) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signs = signs
}

// Background implements control.BackgroundRecords. A worker lives unless PutSigns
// says otherwise.
func (m *Memory) Background(context.Context) (control.Background, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := control.Background{Now: m.Now(), Signs: slices.Clone(m.signs)}
	if !slices.ContainsFunc(b.Signs, func(s control.Sign) bool { return s.Loop == control.LoopSupervision }) {
		b.Signs = append(b.Signs, control.Sign{Loop: control.LoopSupervision, Worker: "1@one", StartedAt: m.Now(), OKAt: m.Now()})
	}
	return b, nil
}

// BeginLoop implements control.BackgroundRecords.
func (m *Memory) BeginLoop(context.Context, control.Sign) error { return nil }

// EndLoop implements control.BackgroundRecords.
func (m *Memory) EndLoop(_ context.Context, s control.Sign) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signs = append(slices.DeleteFunc(m.signs, func(o control.Sign) bool { return o.Loop == s.Loop && o.Item == s.Item }), s)
	return nil
}

// Watchers implements control.Repository.
func (m *Memory) Watchers(_ context.Context, link string) ([]control.Watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.watchers), func(w control.Watcher) bool { return link != "" && w.Link != link }), nil
}

func unknown(what, name string) error {
	return fault.New(fault.NotFound, "there is no "+what+" "+name, nil, what+" list shows those that there are")
}

// AddStore implements control.Repository.
func (m *Memory) AddStore(_ context.Context, s control.Store) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.stores[s.Name]; ok {
		return fault.Newf(fault.Conflict, "add store %s: a store of this name exists", s.Name)
	}
	s.CreatedAt, s.UpdatedAt = m.Now(), m.Now()
	m.stores[s.Name] = s
	return nil
}

// UpdateStore implements control.Repository.
func (m *Memory) UpdateStore(_ context.Context, s control.Store) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.stores[s.Name]
	if !ok {
		return unknown("store", s.Name)
	}
	for _, l := range m.links {
		if other := map[string]string{l.Source: l.Target, l.Target: l.Source}[s.Name]; other != "" {
			if err := sameServer(s, m.stores[other]); err != nil {
				return fault.Wrap(err, "link "+l.Name)
			}
		}
	}
	s.CreatedAt, s.UpdatedAt = old.CreatedAt, m.Now()
	m.stores[s.Name] = s
	return nil
}

// Store implements control.Repository.
func (m *Memory) Store(_ context.Context, name string) (control.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.stores[name]
	if !ok {
		return s, unknown("store", name)
	}
	return s, nil
}

// Stores implements control.Repository.
func (m *Memory) Stores(context.Context) ([]control.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.stores), func(a, b control.Store) int { return strings.Compare(a.Name, b.Name) }), nil
}

// RemoveStore implements control.Repository.
func (m *Memory) RemoveStore(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.stores[name]; !ok {
		return unknown("store", name)
	}
	for _, l := range m.links {
		if l.Source == name || l.Target == name {
			return fault.New(fault.Conflict, "remove store "+name+": in use by link "+l.Name, nil, "remove the link first")
		}
	}
	delete(m.stores, name)
	return nil
}

// AddLink implements control.Repository.
func (m *Memory) AddLink(_ context.Context, l control.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[l.Name]; ok {
		return fault.Newf(fault.Conflict, "add link %s: a link of this name exists", l.Name)
	}
	if err := sameServer(m.stores[l.Source], m.stores[l.Target]); err != nil {
		return err
	}
	for _, name := range []string{l.Source, l.Target} {
		if _, ok := m.stores[name]; !ok {
			return unknown("store", name)
		}
	}
	l.CreatedAt = m.Now()
	m.links[l.Name] = l
	return nil
}

// Link implements control.Repository.
func (m *Memory) Link(_ context.Context, name string) (control.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[name]
	if !ok {
		return l, unknown("link", name)
	}
	return l, nil
}

// Links implements control.Repository.
func (m *Memory) Links(context.Context) ([]control.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sortedLinks(), nil
}

func (m *Memory) sortedLinks() []control.Link {
	return slices.SortedFunc(maps.Values(m.links), func(a, b control.Link) int { return strings.Compare(a.Name, b.Name) })
}

// SetBandwidth implements control.Repository.
func (m *Memory) SetBandwidth(_ context.Context, l control.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.links[l.Name]
	if !ok {
		return unknown("link", l.Name)
	}
	old.Bandwidth, old.BandwidthWindows, old.BandwidthTimezone = l.Bandwidth, l.BandwidthWindows, l.BandwidthTimezone
	m.links[l.Name] = old
	return nil
}

// SetLinkDirectory implements control.Repository. What the database rejects is not
// rejected here.
func (m *Memory) SetLinkDirectory(_ context.Context, link string, d control.LinkDirectory) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[link]
	if !ok {
		return unknown("link", link)
	}
	l.Directory = d
	m.links[link] = l
	return nil
}

// RemoveLink implements control.Repository.
func (m *Memory) RemoveLink(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[name]; !ok {
		return unknown("link", name)
	}
	delete(m.links, name)
	maps.DeleteFunc(m.mailboxes, func(k mailbox.Key, _ control.Mailbox) bool { return k.Link == name })
	return nil
}

// AddMailboxes implements control.Repository.
func (m *Memory) AddMailboxes(_ context.Context, link string, numbers []mailbox.Number) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[link]
	if !ok {
		return 0, unknown("link", link)
	}
	member := func(key mailbox.Key) bool { _, ok := m.mailboxes[key]; return ok }
	if err := checkWriters(l, numbers, rivalsOf(l, m.sortedLinks()), member); err != nil {
		return 0, err
	}
	added := 0
	for _, n := range numbers {
		key := mailbox.Key{Link: link, Number: n}
		if _, ok := m.mailboxes[key]; ok {
			continue
		}
		added++
		m.mailboxes[key] = control.Mailbox{
			Link: link, Number: n, State: control.StateNew, DirtyGeneration: 1, DirtySince: m.Now(), CreatedAt: m.Now(),
		}
	}
	return added, nil
}

// ReverseMailboxes implements control.Repository; nothing of before is remembered.
func (m *Memory) ReverseMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	return m.AddMailboxes(ctx, link, numbers)
}

// RemoveMailboxes implements control.Repository.
func (m *Memory) RemoveMailboxes(_ context.Context, link string, numbers []mailbox.Number) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.mailboxes)
	for _, n := range numbers {
		delete(m.mailboxes, mailbox.Key{Link: link, Number: n})
	}
	return before - len(m.mailboxes), nil
}

// Mailbox implements control.Repository.
func (m *Memory) Mailbox(_ context.Context, key mailbox.Key) (control.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.mailboxes[key]
	if !ok {
		return b, fault.New(fault.NotFound, "mailbox "+string(key.Number)+" does not take part in link "+key.Link, nil, "")
	}
	return b, nil
}

// Mailboxes implements control.Repository.
func (m *Memory) Mailboxes(_ context.Context, link string, after mailbox.Number, limit int) ([]control.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []control.Mailbox
	for key, b := range m.mailboxes {
		if key.Link == link && key.Number > after {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b control.Mailbox) int { return cmp.Compare(a.Number, b.Number) })
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, nil
}

// MarkDirty implements control.Repository.
func (m *Memory) MarkDirty(_ context.Context, key mailbox.Key) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.mailboxes[key]
	if !ok {
		return 0, fault.New(fault.NotFound, "mailbox "+string(key.Number)+" does not take part in link "+key.Link, nil, "")
	}
	b.DirtyGeneration++
	b.State = control.StateDirty
	m.mailboxes[key] = b
	return b.DirtyGeneration, nil
}

// Status implements control.Repository.
func (m *Memory) Status(_ context.Context, link string) ([]control.LinkStatus, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []control.LinkStatus
	for _, l := range m.sortedLinks() {
		if link != "" && l.Name != link {
			continue
		}
		all = append(all, m.status(l))
	}
	return all, nil
}

func (m *Memory) status(l control.Link) control.LinkStatus {
	s := control.LinkStatus{Link: l, Lag: m.lag[l.Name]}
	for key, b := range m.mailboxes {
		if key.Link != l.Name {
			continue
		}
		s.Mailboxes++
		s.Messages += int64(b.Messages)
		s.Greetings += int64(b.Greetings)
		switch b.State {
		case control.StateNew:
			s.States.New++
		case control.StateEqual:
			s.States.Equal++
		case control.StateDiffering:
			s.States.Differing++
		case control.StateDirty:
			s.States.Dirty++
		case control.StateHeld:
			s.States.Held++
		case control.StateParked:
			s.States.Parked++
		}
	}
	for _, r := range m.runs {
		last := &s.LastCompare
		if r.Kind == control.RunRebuild {
			last = &s.LastRebuild
		}
		if r.Link == l.Name && (*last == nil || r.StartedAt.After((*last).StartedAt)) {
			*last = &r
		}
	}
	return s
}

// History implements control.Repository.
func (m *Memory) History(_ context.Context, link string, number mailbox.Number, limit int) ([]control.HistoryEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return among(m.history, link, number, limit), nil
}

// HistoryWithArchive implements control.Repository.
func (m *Memory) HistoryWithArchive(_ context.Context, link string, number mailbox.Number, limit int) ([]control.HistoryEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return among(slices.Concat(m.archive, m.history), link, number, limit), nil
}

func among(entries []control.HistoryEntry, link string, number mailbox.Number, limit int) []control.HistoryEntry {
	var found []control.HistoryEntry
	for _, h := range slices.Backward(entries) {
		if h.Key.Link == link && (number == "" || h.Key.Number == number) && len(found) < limit {
			found = append(found, h)
		}
	}
	return found
}

// Errors implements control.Repository.
func (m *Memory) Errors(_ context.Context, link string) ([]control.ErrorEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []control.ErrorEntry
	for _, e := range m.errors {
		if link == "" || e.Link == link {
			found = append(found, e)
		}
	}
	return found, nil
}

// CompareRun implements control.Repository.
func (m *Memory) CompareRun(_ context.Context, runID string) (control.CompareRun, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.runs[runID]
	if !ok {
		return r, unknown("compare", runID)
	}
	return r, nil
}
