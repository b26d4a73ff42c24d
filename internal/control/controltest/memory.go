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
	pages     map[string]map[int]site.CompareProgress // by run id
	results   map[string][]mailbox.Number             // of verifications, by run id
	written   map[mailbox.Key]bool                    // whom somebody may write to
	misses    map[string]missed

	suspensions suspension.Scopes
	audit       []audit.Entry
	specs       map[string]site.ScheduleSpec
	directory   *Directory // nil if no test made one
	lastEpoch   int64      // of all suspensions that there ever were
	leases      int        // beside written
}

// NewMemory returns an empty repository whose clock is now.
func NewMemory(now func() time.Time) *Memory {
	return &Memory{
		Now: now, stores: map[string]site.Store{}, links: map[string]site.Link{},
		mailboxes: map[mailbox.Key]site.Mailbox{}, runs: map[string]site.CompareRun{}, lag: map[string]time.Duration{},
		suspensions: suspension.Scopes{{State: suspension.Running, Epoch: 1}}, specs: map[string]site.ScheduleSpec{}, loads: map[string]quota.Load{},
		checks: map[string]verdict.StoreRun{}, verified: map[string]verdict.VerifyRun{}, pages: map[string]map[int]site.CompareProgress{},
		results: map[string][]mailbox.Number{}, written: map[mailbox.Key]bool{}, misses: map[string]missed{}, lastEpoch: 1,
	}
}

// Hold says that somebody has the write lease of a mailbox, until release is called.
func (m *Memory) Hold(key mailbox.Key) (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written[key] = true
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.written, key)
	}
}

// rejectWritten is a Conflict if somebody may write to a mailbox of those that are asked
// for.
func (m *Memory) rejectWritten(op string, asked func(mailbox.Key) bool) error {
	for key := range m.written {
		if asked(key) {
			return fault.New(fault.Conflict, op+": mailbox "+string(key.Number)+" may be written to", nil, "try again when its sync has ended")
		}
	}
	return nil
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

// PutLink adds a link without stores unless it is there.
func (m *Memory) PutLink(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[name]; !ok {
		m.links[name] = site.Link{Name: name}
	}
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

func noMember(key mailbox.Key) error {
	return fault.New(fault.NotFound, "link "+key.Link+" has no mailbox "+string(key.Number), nil, "mailbox list shows those that it has")
}

// requireLink is a NotFound fault if there is no such link.
func (m *Memory) requireLink(name string) error {
	if _, ok := m.links[name]; !ok {
		return unknown("link", name)
	}
	return nil
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
				return fault.New(fault.Conflict, "change store "+s.Name+": link "+l.Name, err, "")
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
	if l.Source == l.Target {
		return fault.Newf(fault.Config, "add link %s: source and target are the same store", l.Name)
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
	if err := m.wayBack("add link " + l.Name); err != nil {
		delete(m.links, l.Name)
		return err
	}
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
	if err := m.requireLink(name); err != nil {
		return err
	}
	if err := m.rejectWritten("remove link "+name, func(k mailbox.Key) bool { return k.Link == name }); err != nil {
		return err
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
			Link: link, Number: n, State: site.StateNew, DirtyGeneration: 1, DirtySince: m.Now(), NextAttemptAt: m.Now(), CreatedAt: m.Now(),
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
	if err := m.requireLink(link); err != nil {
		return 0, err
	}
	err := m.rejectWritten("remove mailboxes from link "+link, func(k mailbox.Key) bool { return k.Link == link && slices.Contains(numbers, k.Number) })
	if err != nil {
		return 0, err
	}
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
		return b, noMember(key)
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
	if len(all) == 0 {
		return nil, m.requireLink(link)
	}
	slices.SortFunc(all, func(a, b site.Mailbox) int { return cmp.Compare(a.Number, b.Number) })
	return all[:most(limit, len(all))], nil
}

// MarkDirty implements control.Mailboxes.
func (m *Memory) MarkDirty(ctx context.Context, key mailbox.Key) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.change(key, m.dirty)
	if err == nil {
		m.record(ctx)
	}
	return b.DirtyGeneration, err
}
