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

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/verdict"
)

// Memory is all the records behind control.Ports but those of directories. Its maps
// may be filled before it is used.
type Memory struct {
	Now func() time.Time

	mu        sync.Mutex
	stores    map[string]site.Store
	links     map[string]site.Link
	mailboxes map[mailbox.Key]site.Mailbox
	history   []site.HistoryEntry
	archive   []site.HistoryEntry
	errors    []site.ErrorEntry
	runs      map[string]site.CompareRun
	lag       map[string]time.Duration
	guard     guarded
	watchers  []site.Watcher
	signs     []background.Sign
	loads     map[string]quota.Load
	checks    map[string]verdict.StoreRun
	verified  map[string]verdict.VerifyRun

	suspensions suspension.Scopes
	audit       []audit.Entry
	specs       map[string]site.ScheduleSpec
}

// NewMemory returns an empty repository whose clock is now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{
		Now: now, stores: map[string]site.Store{}, links: map[string]site.Link{},
		mailboxes: map[mailbox.Key]site.Mailbox{}, runs: map[string]site.CompareRun{}, lag: map[string]time.Duration{},
		suspensions: suspension.Scopes{{State: suspension.Running, Epoch: 1}}, specs: map[string]site.ScheduleSpec{}, loads: map[string]quota.Load{},
		checks: map[string]verdict.StoreRun{}, verified: map[string]verdict.VerifyRun{},
	}
}

// StoreLoad implements control.Stores: what SetLoad set.
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
func (m *Memory) PutMailbox(b site.Mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mailboxes[mailbox.Key{Link: b.Link, Number: b.Number}] = b
}

// PutRun sets a compare run.
func (m *Memory) PutRun(r site.CompareRun) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs[r.RunID] = r
}

// PutHistory adds to the history.
func (m *Memory) PutHistory(entries ...site.HistoryEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.history = append(m.history, entries...)
}

// PutArchive adds to the archive of the history.
func (m *Memory) PutArchive(entries ...site.HistoryEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.archive = append(m.archive, entries...)
}

// PutErrors adds to the errors.
func (m *Memory) PutErrors(entries ...site.ErrorEntry) {
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
func (m *Memory) PutWatchers(watchers ...site.Watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers = watchers
}

// PutSigns sets the signs of life of the background work beside that of a worker,
// which is always there.
func (m *Memory) PutSigns(signs ...background.Sign) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signs = signs
}

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

// EndLoop notes how a loop ended, as a worker does.
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

func unknown(what, name string) error {
	return fault.New(fault.NotFound, "there is no "+what+" "+name, nil, what+" list shows those that there are")
}

// AddStore implements control.Stores.
func (m *Memory) AddStore(ctx context.Context, s site.Store) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.stores[s.Name]; ok {
		return fault.Newf(fault.Conflict, "add store %s: a store of this name exists", s.Name)
	}
	s.CreatedAt, s.UpdatedAt = m.Now(), m.Now()
	m.stores[s.Name] = s
	m.record(ctx)
	return nil
}

// UpdateStore implements control.Stores.
func (m *Memory) UpdateStore(ctx context.Context, s site.Store) error {
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
	m.record(ctx)
	return nil
}

// Store implements control.Stores.
func (m *Memory) Store(_ context.Context, name string) (site.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.stores[name]
	if !ok {
		return s, unknown("store", name)
	}
	return s, nil
}

// Stores implements control.Stores.
func (m *Memory) Stores(context.Context) ([]site.Store, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.stores), func(a, b site.Store) int { return strings.Compare(a.Name, b.Name) }), nil
}

// RemoveStore implements control.Stores.
func (m *Memory) RemoveStore(ctx context.Context, name string) error {
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
	m.record(ctx)
	return nil
}

// AddLink implements control.Links.
func (m *Memory) AddLink(ctx context.Context, l site.Link) error {
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
	m.record(ctx)
	return nil
}

// Link implements control.Links.
func (m *Memory) Link(_ context.Context, name string) (site.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.links[name]
	if !ok {
		return l, unknown("link", name)
	}
	return l, nil
}

// Links implements control.Links.
func (m *Memory) Links(context.Context) ([]site.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sortedLinks(), nil
}

func (m *Memory) sortedLinks() []site.Link {
	return slices.SortedFunc(maps.Values(m.links), func(a, b site.Link) int { return strings.Compare(a.Name, b.Name) })
}

// SetBandwidth implements control.Links.
func (m *Memory) SetBandwidth(ctx context.Context, l site.Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.links[l.Name]
	if !ok {
		return unknown("link", l.Name)
	}
	old.Bandwidth, old.BandwidthWindows, old.BandwidthTimezone = l.Bandwidth, l.BandwidthWindows, l.BandwidthTimezone
	m.links[l.Name] = old
	m.record(ctx)
	return nil
}

// RemoveLink implements control.Links.
func (m *Memory) RemoveLink(ctx context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[name]; !ok {
		return unknown("link", name)
	}
	delete(m.links, name)
	maps.DeleteFunc(m.mailboxes, func(k mailbox.Key, _ site.Mailbox) bool { return k.Link == name })
	m.record(ctx)
	return nil
}

// AddMailboxes implements control.Mailboxes.
func (m *Memory) AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
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
		m.mailboxes[key] = site.Mailbox{
			Link: link, Number: n, State: site.StateNew, DirtyGeneration: 1, DirtySince: m.Now(), CreatedAt: m.Now(),
		}
	}
	m.record(ctx)
	return added, nil
}

// ReverseMailboxes implements control.Mailboxes; nothing of before is remembered.
func (m *Memory) ReverseMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	return m.AddMailboxes(ctx, link, numbers)
}

// RemoveMailboxes implements control.Mailboxes.
func (m *Memory) RemoveMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.mailboxes)
	for _, n := range numbers {
		delete(m.mailboxes, mailbox.Key{Link: link, Number: n})
	}
	m.record(ctx)
	return before - len(m.mailboxes), nil
}

// Mailbox implements control.Mailboxes.
func (m *Memory) Mailbox(_ context.Context, key mailbox.Key) (site.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.mailboxes[key]
	if !ok {
		return b, fault.New(fault.NotFound, "mailbox "+string(key.Number)+" does not take part in link "+key.Link, nil, "")
	}
	return b, nil
}

// Mailboxes implements control.Mailboxes.
func (m *Memory) Mailboxes(_ context.Context, link string, after mailbox.Number, limit int) ([]site.Mailbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []site.Mailbox
	for key, b := range m.mailboxes {
		if key.Link == link && key.Number > after {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b site.Mailbox) int { return cmp.Compare(a.Number, b.Number) })
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, nil
}

// MarkDirty implements control.Mailboxes.
func (m *Memory) MarkDirty(ctx context.Context, key mailbox.Key) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.mailboxes[key]
	if !ok {
		return 0, fault.New(fault.NotFound, "mailbox "+string(key.Number)+" does not take part in link "+key.Link, nil, "")
	}
	b.DirtyGeneration++
	b.State = site.StateDirty
	m.mailboxes[key] = b
	m.record(ctx)
	return b.DirtyGeneration, nil
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
	return among(m.history, link, number, limit), nil
}

// HistoryWithArchive implements control.Records.
func (m *Memory) HistoryWithArchive(_ context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return among(slices.Concat(m.archive, m.history), link, number, limit), nil
}

func among(entries []site.HistoryEntry, link string, number mailbox.Number, limit int) []site.HistoryEntry {
	var found []site.HistoryEntry
	for _, h := range slices.Backward(entries) {
		if h.Key.Link == link && (number == "" || h.Key.Number == number) && len(found) < limit {
			found = append(found, h)
		}
	}
	return found
}

// Errors implements control.Records.
func (m *Memory) Errors(_ context.Context, link string) ([]site.ErrorEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
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
