package controltest

import (
	"context"
	"slices"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Directory are the DirectoryRecords: what operators set, and runs, changes and holds
// that a test puts there.
type Directory struct {
	of       *Memory // of the stores and links
	stores   map[string]site.Directory
	settings map[string]dirsync.Settings
	// Runs are newest first; Changes are by run id, or by "hold N".
	Runs    []dirsync.Run
	Changes map[string][]dirsync.Change
	// Rejected are the mailboxes that could not join, by run id.
	Rejected map[string][]dirsync.Rejection
	Holds    []guard.DirectoryHold
	// LoginsOf are those of stores; of another one they are the numbers.
	LoginsOf map[string]*directory.Logins
	// LeaseRefused is why no lease is given; Leased is the link whose one is held,
	// LeasedFor the times of the last one, and EndedUnclean the links of those whose
	// holder did not know what may be on its way still.
	LeaseRefused error
	LeasedFor    lease.Times
	// RunRefused is why no run may begin.
	RunRefused   error
	Leased       string
	EndedUnclean []string
}

// NewDirectory returns one without anything, for the stores and links of m.
func NewDirectory(m *Memory) *Directory {
	m.directory = &Directory{of: m, stores: map[string]site.Directory{}, settings: map[string]dirsync.Settings{},
		Changes: map[string][]dirsync.Change{}}
	return m.directory
}

// DirectoryRejections implements control.DirectoryRuns.
func (d *Directory) DirectoryRejections(_ context.Context, runID string) ([]dirsync.Rejection, error) {
	return d.Rejected[runID], nil
}

// DirectoryRefusal implements control.DirectoryConfig.
func (d *Directory) DirectoryRefusal(ctx context.Context, link string) error {
	l, err := d.of.Link(ctx, link)
	if err == nil && l.Directory == site.LinkDirectoryOff {
		return fault.New(fault.Config, "write to the directory of link "+link+": it is switched off", nil, "")
	}
	return d.RunRefused
}

// wayBack is a Conflict if a link mirrors a directory back to where it comes from. It goes
// by the names of stores. The caller holds the lock.
func (m *Memory) wayBack(op string) error {
	if m.directory == nil {
		return nil
	}
	var links []site.Link
	for _, l := range m.sortedLinks() {
		_, source := m.directory.stores[l.Source]
		_, target := m.directory.stores[l.Target]
		if source && target && l.Directory != site.LinkDirectoryOff {
			links = append(links, l)
		}
	}
	for _, l := range links {
		if reaches(l.Target, l.Source, links) {
			return fault.New(fault.Conflict, op+": the directory of store "+l.Source+" would be mirrored back to where it comes from", nil, "")
		}
	}
	return nil
}

// TakeLease implements lease.Taker.
func (d *Directory) TakeLease(_ context.Context, r lease.Resource, t lease.Times) (lease.Lease, error) {
	if d.LeaseRefused != nil {
		return lease.Lease{}, d.LeaseRefused
	}
	d.Leased, d.LeasedFor = r.Link, t
	return lease.Lease{Resource: r, Deadline: time.Now().Add(t.TTL)}, nil
}

// Release implements lease.Records.
func (d *Directory) Release(_ context.Context, l lease.Lease, clean bool) error {
	d.Leased = ""
	if !clean {
		d.EndedUnclean = append(d.EndedUnclean, l.Link)
	}
	return nil
}

// DirectoryStore implements control.DirectoryConfig.
func (d *Directory) DirectoryStore(_ context.Context, store string) (site.Directory, bool, error) {
	s, ok := d.stores[store]
	return s, ok, nil
}

// PutDirectoryStore implements control.DirectoryConfig.
func (d *Directory) PutDirectoryStore(ctx context.Context, s site.Directory) error {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	if _, ok := d.of.stores[s.Store]; !ok {
		return unknown("store", s.Store)
	}
	before, had := d.stores[s.Store]
	s.UpdatedAt = d.of.Now()
	d.stores[s.Store] = s
	if err := d.of.wayBack("set directory of store " + s.Store); err != nil {
		if delete(d.stores, s.Store); had {
			d.stores[s.Store] = before
		}
		return err
	}
	d.of.record(ctx)
	return nil
}

// RemoveDirectoryStore implements control.DirectoryConfig.
func (d *Directory) RemoveDirectoryStore(ctx context.Context, store string) error {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	delete(d.stores, store)
	d.of.record(ctx)
	return nil
}

// Logins implements control.DirectoryConfig.
func (d *Directory) Logins(ctx context.Context, store string) (*directory.Logins, int64, error) {
	if _, err := d.of.Store(ctx, store); err != nil {
		return nil, 0, err
	}
	if l := d.LoginsOf[store]; l != nil {
		return l, 0, nil
	}
	return directory.NumberLogins(), 0, nil
}

// DirectorySettings implements control.DirectoryConfig.
func (d *Directory) DirectorySettings(_ context.Context, link string) (dirsync.Settings, error) {
	if s, ok := d.settings[link]; ok {
		return s, nil
	}
	return dirsync.DefaultSettings(), nil
}

// SetDirectorySettings implements control.DirectoryConfig.
func (d *Directory) SetDirectorySettings(ctx context.Context, link string, s dirsync.Settings) error {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	if err := d.of.requireLink(link); err != nil {
		return err
	}
	d.settings[link] = s
	d.of.record(ctx)
	return nil
}

// DirectoryRun implements control.DirectoryRuns.
func (d *Directory) DirectoryRun(_ context.Context, runID string) (dirsync.Run, error) {
	for _, r := range d.Runs {
		if r.RunID == runID {
			return r, nil
		}
	}
	return dirsync.Run{}, fault.Newf(fault.NotFound, "there is no run %s", runID)
}

// DirectoryRunsOf implements control.DirectoryRuns.
func (d *Directory) DirectoryRunsOf(_ context.Context, link string, limit int) ([]dirsync.Run, error) {
	var found []dirsync.Run
	for _, r := range d.Runs {
		if link == "" || r.Link == link {
			found = append(found, r)
		}
	}
	return found[:most(limit, len(found))], nil
}

// DirectoryChanges implements control.DirectoryRuns.
func (d *Directory) DirectoryChanges(_ context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	var found []dirsync.Change
	for _, c := range d.Changes[runID] {
		if c.Seq > after && (len(states) == 0 || slices.Contains(states, c.State)) {
			found = append(found, c)
		}
	}
	return found[:most(limit, len(found))], nil
}

// ForgetDirectoryFailures implements control.DirectoryRuns.
func (d *Directory) ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error) {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	if err := d.of.requireLink(link); err != nil {
		return 0, err
	}
	n := 0
	for _, r := range d.Runs {
		changes := d.Changes[r.RunID]
		for i, c := range changes {
			if r.Link == link && c.State == dirsync.ChangeGivenUp && (number == "" || c.Number == number) {
				changes[i].State, changes[i].Failures = dirsync.ChangeFailed, 0
				n++
			}
		}
	}
	d.of.record(ctx)
	return n, nil
}

// DirectoryHolds implements control.DirectoryHolds.
func (d *Directory) DirectoryHolds(_ context.Context, link string) ([]guard.DirectoryHold, error) {
	var found []guard.DirectoryHold
	for _, h := range d.Holds {
		if link == "" || h.Link == link {
			found = append(found, h)
		}
	}
	return found, nil
}

// DirectoryHoldChanges implements control.DirectoryHolds.
func (d *Directory) DirectoryHoldChanges(ctx context.Context, id, after int64, limit int) ([]dirsync.Change, error) {
	for _, h := range d.Holds {
		if h.ID == id {
			changes, err := d.DirectoryChanges(ctx, h.RunID, after, limit, dirsync.ChangeHeld)
			return slices.DeleteFunc(changes, func(c dirsync.Change) bool { return c.Kind != h.Kind }), err
		}
	}
	return nil, nil
}

// DecideDirectoryHolds implements control.DirectoryHolds.
func (d *Directory) DecideDirectoryHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.DirectoryHold, error) {
	d.of.mu.Lock()
	defer d.of.mu.Unlock()
	for _, id := range ids {
		if !slices.ContainsFunc(d.Holds, func(h guard.DirectoryHold) bool { return h.ID == id }) {
			return nil, guard.NoHold(id)
		}
	}
	var decided []guard.DirectoryHold
	for i := range d.Holds {
		h := &d.Holds[i]
		if !slices.Contains(ids, h.ID) {
			continue
		}
		if h.State == decision {
			decided = append(decided, *h)
			continue
		}
		h.State, h.DecidedBy, h.DecidedAt = decision, who, d.of.Now()
		decided = append(decided, *h)
		d.of.decided(guard.Decision{Who: who, Decision: decision, Link: h.Link, Folder: mailbox.FolderName("directory: " + h.Kind), HoldID: h.ID, Messages: h.Changes})
		h.ID = d.of.nextHold(h.ID)
	}
	d.of.record(ctx)
	return decided, nil
}

// StartDirectory implements control.DirectoryRunner.
func (r *Runner) StartDirectory(_ context.Context, link, trigger string) (string, bool, error) {
	if r.OnDirectory == nil {
		return "directory-of-" + link, true, nil
	}
	return r.OnDirectory(link, trigger)
}

// AskDirectory implements control.DirectoryRunner.
func (r *Runner) AskDirectory(_ context.Context, link, trigger string) error {
	if r.OnAskDirectory == nil {
		return nil
	}
	return r.OnAskDirectory(link, trigger)
}

// Sides are the directories of one link, in memory: entries by their DN. Reading
// works, and nothing else.
type Sides struct {
	Source, Target map[string]directory.Entry
}

// Directories implements dirsync.Directories.
func (s *Sides) Directories(context.Context, string) (dirsync.LinkDirectories, error) {
	side := func(entries map[string]directory.Entry) dirsync.Directory {
		return dirsync.Directory{Mapping: directory.DefaultMapping(),
			Digest: func(_ directory.Column, value []byte) []byte { return value },
			Open: func(context.Context) (dirsync.Session, error) {
				return &session{entries: entries}, nil
			}}
	}
	return dirsync.LinkDirectories{Source: side(s.Source), Target: side(s.Target)}, nil
}

type session struct{ entries map[string]directory.Entry }

func (s *session) Extract(_ context.Context, _ func(directory.Column, []byte) []byte, _ func(directory.Record) error) (directory.Extracted, error) {
	return directory.Extracted{}, fault.Newf(fault.Config, "nothing is extracted from memory")
}

func (s *session) Read(_ context.Context, ref directory.Ref) (directory.Entry, error) {
	for dn, e := range s.entries {
		if e.ID == ref.ID && ref.ID != "" || dn == ref.DN {
			return e, nil
		}
	}
	return directory.Entry{}, fault.New(fault.Conflict, "read entry", directory.ErrNoEntry, "")
}

func (s *session) Find(_ context.Context, number string) ([]directory.Entry, error) {
	var found []directory.Entry
	for _, e := range s.entries {
		if e.Number == number {
			found = append(found, e)
		}
	}
	return found, nil
}

func (s *session) Write(context.Context, directory.Operation) error {
	return fault.Newf(fault.Config, "nothing is written to memory")
}

func (s *session) Close() error { return nil }

// Numbered is a mailbox's entry with its number and one value of each column given.
func Numbered(number mailbox.Number, dn string, values map[directory.Column]string) directory.Entry {
	e := directory.Entry{Ref: directory.Ref{ID: "id of " + dn, DN: dn}, Number: string(number), Login: string(number),
		Values: map[directory.Column][][]byte{directory.MailboxNumber: {[]byte(number)}}}
	for c, v := range values {
		e.Values[c] = [][]byte{[]byte(v)}
	}
	return e
}
