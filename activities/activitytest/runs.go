package activitytest

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// Runs are two directories of one link, and the record of the runs over them.
type Runs struct {
	Source, Target *Directory
	Settings       dirsync.Settings
	// Still is whether the mirror is suspended.
	Still func() bool

	mu      sync.Mutex
	run     dirsync.Run
	staged  map[dirsync.Side][]directory.Record
	pairs   map[string]bool // by number
	changes []dirsync.Change
	// failures are those in runs in a row, by number.
	failures map[string]int
	known    bool
	last     [2]directory.Extracted
	held     bool // the lease
	// Lost makes the next renewals of the lease fail.
	Lost bool
	// FailSaves makes so many records of changes fail.
	FailSaves int
	// Joined are the mailboxes of the link.
	Joined map[mailbox.Number]bool
	// Refuse keeps mailboxes from joining.
	Refuse map[mailbox.Number]bool
	// Rejected are those of the last SaveDirectoryMembers.
	Rejected []dirsync.Rejection
	// Approved are links of whose directory changes were approved.
	Approved []string
}

// NewRuns returns both directories without entries.
func NewRuns() *Runs {
	return &Runs{Source: NewDirectory("o=source"), Target: NewDirectory("o=target"), Settings: dirsync.DefaultSettings(),
		Still: func() bool { return false }, staged: map[dirsync.Side][]directory.Record{}, pairs: map[string]bool{}, failures: map[string]int{},
		Joined: map[mailbox.Number]bool{}, Refuse: map[mailbox.Number]bool{}}
}

// Ports returns the directories and the records as the ports of activities.
func (r *Runs) Ports() activities.DirectoryPorts {
	return activities.DirectoryPorts{Directories: r, Runs: r, Changes: r, Members: r, Settings: r, Approvals: r, Leases: r}
}

// Directories implements dirsync.Directories.
func (r *Runs) Directories(context.Context, string) (dirsync.LinkDirectories, error) {
	side := func(d *Directory) dirsync.Directory {
		return dirsync.Directory{Mapping: d.Mapping, Digest: func(_ directory.Column, v []byte) []byte { return v }, Open: d.open}
	}
	return dirsync.LinkDirectories{Source: side(r.Source), Target: side(r.Target)}, nil
}

// Run returns the last run, and Changes what it found and did.
func (r *Runs) Run() dirsync.Run {
	run, _ := r.DirectoryRun(context.Background(), "")
	return run
}

// Staged returns how many entries of a side are staged.
func (r *Runs) Staged(side dirsync.Side) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.staged[side])
}

// Changes returns the changes of the last run.
func (r *Runs) Changes() []dirsync.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.changes)
}

// DirectorySettings implements activities.DirectorySettings.
func (r *Runs) DirectorySettings(context.Context, string) (dirsync.Settings, error) {
	return r.Settings, nil
}

// ApprovedDirectories implements activities.Approvals.
func (r *Runs) ApprovedDirectories(context.Context) ([]string, error) { return r.Approved, nil }

// BeginDirectoryRun implements dirsync.RunRecords.
func (r *Runs) BeginDirectoryRun(_ context.Context, runID, link, trigger string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.run.RunID != runID {
		r.run = dirsync.Run{RunID: runID, Link: link, Trigger: trigger, State: dirsync.Running, StartedAt: time.Now()}
		r.changes = nil
	}
	return nil
}

// StageDirectory implements dirsync.RunRecords.
func (r *Runs) StageDirectory(_ context.Context, _ string, side dirsync.Side, next func() (directory.Record, error)) error {
	var all []directory.Record
	for {
		record, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		all = append(all, record)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.staged[side] = all
	return nil
}

// LastExtracts implements dirsync.RunRecords.
func (r *Runs) LastExtracts(context.Context, string) (source, target directory.Extracted, known bool, err error) {
	return r.last[0], r.last[1], r.known, nil
}

// SaveExtracts implements dirsync.RunRecords.
func (r *Runs) SaveExtracts(_ context.Context, _ string, source, target directory.Extracted) error {
	r.last, r.known = [2]directory.Extracted{source, target}, true
	r.run.Source, r.run.Target = source.Entries, target.Entries
	return nil
}

// CompareDirectory implements dirsync.RunRecords, by number: an entry of the
// target that was never made equal is unknown.
func (r *Runs) CompareDirectory(_ context.Context, _ string, s dirsync.Settings) (directory.Tally, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	byNumber := map[string][2]*directory.Record{}
	for i, side := range []dirsync.Side{dirsync.SourceSide, dirsync.TargetSide} {
		for _, record := range r.staged[side] {
			both := byNumber[record.Number]
			both[i] = &record
			byNumber[record.Number] = both
		}
	}
	t := directory.Tally{Source: len(r.staged[dirsync.SourceSide]), Target: len(r.staged[dirsync.TargetSide]),
		Kinds: map[directory.ChangeKind]int{}, Planned: map[directory.ChangeKind]int{}, Approved: map[directory.ChangeKind]int{}}
	r.changes = nil
	for _, number := range slices.Sorted(maps.Keys(byNumber)) {
		c, differs := r.change(number, byNumber[number][0], byNumber[number][1], s)
		if !differs {
			r.pairs[number] = true
			continue
		}
		c.Seq = int64(len(r.changes) + 1)
		r.changes = append(r.changes, c)
		t.Kinds[c.Kind]++
		if c.State == dirsync.ChangePlanned {
			t.Planned[c.Kind]++
		}
	}
	return t, nil
}

func (r *Runs) change(number string, source, target *directory.Record, s dirsync.Settings) (dirsync.Change, bool) {
	c := dirsync.Change{State: dirsync.ChangePlanned, Failures: r.failures[number], Change: directory.Change{Number: number}}
	switch {
	case source != nil && source.Unread, target != nil && target.Unread:
		c.Kind, c.State = directory.Unreadable, dirsync.ChangeTold
		for i, x := range r.last {
			for _, u := range x.Unread {
				if at := []*directory.Record{source, target}[i]; u.Number == number && at != nil && at.Unread {
					c.Error, c.Hint = u.Text, u.Hint
				}
			}
		}
	case source == nil && (r.last[0].Partial || r.last[1].Partial):
		return c, false
	case target == nil:
		c.Kind, c.Source = directory.Create, source.Ref
	case source == nil:
		c.Kind, c.Target = directory.Remove, target.Ref
		if !r.pairs[number] {
			c.Kind = directory.Unknown
			if !s.RemoveUnknown {
				c.State = dirsync.ChangeTold
			}
		}
	default:
		c.Kind, c.Source, c.Target = directory.Alter, source.Ref, target.Ref
		for _, a := range directory.Attributes() {
			if !slices.Equal(source.Texts[a.Column], target.Texts[a.Column]) || !slices.Equal(source.Digests[a.Column], target.Digests[a.Column]) ||
				!slices.Equal(source.Tags[a.Column], target.Tags[a.Column]) {
				c.Columns = append(c.Columns, a.Column)
				if len(source.Texts[a.Column]) == 0 && len(source.Digests[a.Column]) == 0 && len(source.Tags[a.Column]) == 0 {
					c.Blank = append(c.Blank, a.Column)
				}
			}
		}
		return c, len(c.Columns) > 0
	}
	return c, true
}

// HoldDirectoryChanges implements dirsync.RunRecords.
func (r *Runs) HoldDirectoryChanges(_ context.Context, _ string, kinds []directory.ChangeKind, reasons []string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := 0
	for i, c := range r.changes {
		if c.State == dirsync.ChangePlanned && slices.Contains(kinds, c.Kind) {
			r.changes[i].State = dirsync.ChangeHeld
			held++
		}
	}
	r.run.Reasons = reasons
	return held, nil
}

// DirectoryChanges implements dirsync.ChangeRecords.
func (r *Runs) DirectoryChanges(_ context.Context, _ string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []dirsync.Change
	for _, c := range r.changes {
		if c.Seq > after && len(found) < limit && (len(states) == 0 || slices.Contains(states, c.State)) {
			found = append(found, c)
		}
	}
	return found, nil
}

// SampleDirectoryChanges implements dirsync.ChangeRecords, of all sorts alike.
func (r *Runs) SampleDirectoryChanges(_ context.Context, _ string, after int64, limit int, state dirsync.ChangeState) ([]dirsync.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := slices.DeleteFunc(slices.Clone(r.changes), func(c dirsync.Change) bool { return c.Seq <= after || c.State != state })
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found[:min(limit, len(found))], nil
}

// SaveDirectoryChanges implements dirsync.ChangeRecords.
func (r *Runs) SaveDirectoryChanges(_ context.Context, _ string, changes []dirsync.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.FailSaves > 0 {
		r.FailSaves--
		return fault.Newf(fault.Transient, "record changes: the database is away")
	}
	for _, c := range changes {
		switch c.State {
		case dirsync.ChangeFailed:
			switch {
			case r.changes[c.Seq-1].State == dirsync.ChangeFailed:
			case c.OfServer:
				r.failures[c.Number] = max(r.failures[c.Number], 1)
			default:
				r.failures[c.Number]++
			}
			c.Failures = r.failures[c.Number]
		case dirsync.ChangeDone:
			delete(r.failures, c.Number)
		case dirsync.ChangePlanned, dirsync.ChangeHeld, dirsync.ChangeRefused, dirsync.ChangeGivenUp, dirsync.ChangeTold:
		}
		r.changes[c.Seq-1] = c
		if c.State == dirsync.ChangeDone {
			r.pairs[c.Number] = c.Kind != directory.Remove && c.Kind != directory.Unknown
		}
	}
	return nil
}

// DirectoryRefusals implements dirsync.RunRecords, in any order.
func (r *Runs) DirectoryRefusals(context.Context, string, int) ([]dirsync.Refusal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[dirsync.Refusal]int{}
	for _, c := range r.changes {
		if c.State == dirsync.ChangeFailed {
			counts[dirsync.Refusal{Error: c.Error, Hint: c.Hint}]++
		}
	}
	var found []dirsync.Refusal
	for refusal, n := range counts {
		refusal.Changes = n
		found = append(found, refusal)
	}
	return found, nil
}

// SaveDirectoryPhase implements dirsync.RunRecords.
func (r *Runs) SaveDirectoryPhase(_ context.Context, _, phase string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run.Phase = phase
	return nil
}

// FinishDirectoryRun implements dirsync.RunRecords.
func (r *Runs) FinishDirectoryRun(_ context.Context, _ string, state dirsync.State, reasons []string, hint string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run.State, r.run.Reasons, r.run.Hint, r.run.FinishedAt = state, reasons, hint, time.Now()
	return nil
}

// DirectoryRun implements dirsync.RunRecords.
func (r *Runs) DirectoryRun(context.Context, string) (dirsync.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.run
	for _, c := range r.changes {
		if c.Kind == directory.Unreadable {
			run.Unread++
		}
		switch c.State {
		case dirsync.ChangeHeld:
			run.Held++
		case dirsync.ChangeFailed:
			run.Failed++
		case dirsync.ChangeDone:
			switch c.Kind {
			case directory.Create:
				run.Created++
			case directory.Alter:
				run.Altered++
			case directory.Renumber:
				run.Renumbers++
			case directory.Remove, directory.Unknown:
				run.Removed++
			case directory.Duplicate, directory.Protected, directory.Unreadable:
			}
		case dirsync.ChangePlanned, dirsync.ChangeRefused, dirsync.ChangeGivenUp, dirsync.ChangeTold:
		}
	}
	return run, nil
}

// DirectoryMembers implements dirsync.MemberRecords.
func (r *Runs) DirectoryMembers(context.Context, string, dirsync.Settings) (join, leave []mailbox.Number, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for number, paired := range r.pairs {
		n := mailbox.Number(number)
		switch {
		case paired && !r.Joined[n]:
			join = append(join, n)
		case !paired && r.Joined[n]:
			leave = append(leave, n)
		}
	}
	slices.Sort(join)
	return join, leave, nil
}

// LeaveLink implements dirsync.MemberRecords.
func (r *Runs) LeaveLink(_ context.Context, _, _ string, numbers []mailbox.Number) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range numbers {
		delete(r.Joined, n)
	}
	return len(numbers), nil
}

// AddMailboxes implements dirsync.MemberRecords.
func (r *Runs) AddMailboxes(_ context.Context, _ string, numbers []mailbox.Number) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range numbers {
		if r.Refuse[n] {
			return 0, fault.Newf(fault.Conflict, "mailbox %s is mirrored by another link", n)
		}
	}
	for _, n := range numbers {
		r.Joined[n] = true
	}
	return len(numbers), nil
}

// SaveDirectoryMembers implements dirsync.MemberRecords.
func (r *Runs) SaveDirectoryMembers(_ context.Context, _ string, joined, left int, rejected []dirsync.Rejection) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.run.Joined, r.run.Left, r.Rejected = joined, left, rejected
	return nil
}

// DirectoryRejections implements control.DirectoryRuns.
func (r *Runs) DirectoryRejections(context.Context, string) ([]dirsync.Rejection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Rejected, nil
}

// TakeLease implements lease.Taker.
func (r *Runs) TakeLease(_ context.Context, of lease.Resource, times lease.Times) (lease.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.Still() {
		return lease.Lease{}, fault.New(fault.Conflict, "take lease", &lease.SuspendedError{}, "mailmirror resume")
	}
	r.held = true
	return lease.Lease{Resource: of, Epoch: 1, Deadline: time.Now().Add(times.TTL)}, nil
}

// Renew implements lease.Records.
func (r *Runs) Renew(_ context.Context, l lease.Lease, ttl time.Duration) (lease.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.Still():
		return l, fault.New(fault.Conflict, "renew lease", &lease.SuspendedError{}, "")
	case r.Lost:
		return l, fault.Newf(fault.Conflict, "renew lease: it was lost")
	}
	l.Deadline = time.Now().Add(ttl)
	return l, nil
}

// Release implements lease.Records.
func (r *Runs) Release(context.Context, lease.Lease, bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	return nil
}

// Held reports whether somebody holds the lease.
func (r *Runs) Held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}
