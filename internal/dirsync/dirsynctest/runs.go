package dirsynctest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/sleep"
)

// Runs are two directories of one link, and the record of the runs over them. It compares
// and records as the database does: see internal/pgstore/queries/directory_compare.sql.
type Runs struct {
	Source, Target *Directory
	Settings       dirsync.Settings
	// Still is whether the mirror is suspended.
	Still func() bool
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
	// Shuffle orders a sample of n changes; by chance if it is nil.
	Shuffle func(n int, swap func(i, j int))

	mu    sync.Mutex
	lease lease.Row
	runs  []*run
	pairs []pair
	// failures are of changes by key, held those that wait or that an operator decided on.
	failures map[string]failure
	held     map[string]*held
	departed map[string]bool
	left     map[string]map[mailbox.Number]bool // by run id
}

type run struct {
	dirsync.Run

	staged   map[dirsync.Side][]directory.Record
	extracts *[2]directory.Extracted
	changes  []*change // by Seq
}

type pair struct{ source, target, number string }

type failure struct {
	same  string
	times int
}

// NewRuns returns both directories without entries.
func NewRuns() *Runs {
	return &Runs{Source: NewDirectory("o=source"), Target: NewDirectory("o=target"), Settings: dirsync.DefaultSettings(),
		Still: func() bool { return false }, Joined: map[mailbox.Number]bool{}, Refuse: map[mailbox.Number]bool{},
		failures: map[string]failure{}, held: map[string]*held{}, departed: map[string]bool{}, left: map[string]map[mailbox.Number]bool{}}
}

// Ports returns the directories and the records as the ports of an engine.
func (r *Runs) Ports() dirsync.Ports {
	return dirsync.Ports{Directories: r, Runs: r, Changes: r, Members: r, Settings: r, Leases: r}
}

// Engine returns an engine over them, with the machine's clock.
func (r *Runs) Engine(times lease.Times) *dirsync.Engine {
	return dirsync.NewEngine(r.Ports(), sleep.Clock{}, times, slog.New(slog.DiscardHandler))
}

// Directories implements dirsync.Directories.
func (r *Runs) Directories(context.Context, string) (dirsync.LinkDirectories, error) {
	side := func(d *Directory) dirsync.Directory {
		return dirsync.Directory{Mapping: d.Mapping, Digest: func(_ directory.Column, v []byte) []byte { return v }, Open: d.Open}
	}
	return dirsync.LinkDirectories{Source: side(r.Source), Target: side(r.Target)}, nil
}

// last is the run that began last.
func (r *Runs) last() *run {
	if len(r.runs) == 0 {
		return &run{}
	}
	return r.runs[len(r.runs)-1]
}

// find returns a run. One that is to be written to has to be running.
func (r *Runs) find(runID string, running bool) (*run, error) {
	i := slices.IndexFunc(r.runs, func(x *run) bool { return x.RunID == runID })
	switch {
	case i < 0:
		return nil, fault.Newf(fault.NotFound, "there is no directory run %s", runID)
	case running && r.runs[i].State != dirsync.Running:
		return nil, fault.Newf(fault.Conflict, "directory run %s has ended", runID)
	}
	return r.runs[i], nil
}

// Run returns the last run, and Changes what it found and did.
func (r *Runs) Run() dirsync.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last().counted()
}

// All returns all runs.
func (r *Runs) All() (all []dirsync.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.runs {
		all = append(all, x.counted())
	}
	return all
}

// Staged returns how many entries of a side are staged.
func (r *Runs) Staged(side dirsync.Side) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.last().staged[side])
}

// Changes returns the changes of the last run.
func (r *Runs) Changes() []dirsync.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last().list()
}

// DirectorySettings implements dirsync.SettingsRecords.
func (r *Runs) DirectorySettings(context.Context, string) (dirsync.Settings, error) {
	return r.Settings, nil
}

// ApprovedDirectories implements activities.Approvals.
func (r *Runs) ApprovedDirectories(context.Context) ([]string, error) { return r.Approved, nil }

// BeginDirectoryRun implements dirsync.RunRecords.
func (r *Runs) BeginDirectoryRun(_ context.Context, runID, link, trigger string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.find(runID, false); err == nil {
		return nil
	}
	for _, x := range r.runs {
		x.finish(dirsync.Failed, []string{"it was broken off"}, "")
	}
	r.runs = append(r.runs, &run{Run: dirsync.Run{RunID: runID, Link: link, Trigger: trigger, State: dirsync.Running, StartedAt: time.Now()},
		staged: map[dirsync.Side][]directory.Record{}})
	return nil
}

// StageDirectory implements dirsync.RunRecords.
func (r *Runs) StageDirectory(_ context.Context, runID string, side dirsync.Side, next func() (directory.Record, error)) error {
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
	x, err := r.find(runID, true)
	if err == nil {
		x.staged[side] = all
	}
	return err
}

// LastExtracts implements dirsync.RunRecords.
func (r *Runs) LastExtracts(context.Context, string) (source, target directory.Extracted, known bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range slices.Backward(r.runs) {
		if x.State != dirsync.Running && x.Trigger != dirsync.TriggerDryRun && x.extracts != nil {
			return x.extracts[0], x.extracts[1], true, nil
		}
	}
	return source, target, false, nil
}

// SaveExtracts implements dirsync.RunRecords.
func (r *Runs) SaveExtracts(_ context.Context, runID string, source, target directory.Extracted) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err == nil {
		x.extracts, x.Source, x.Target = &[2]directory.Extracted{source, target}, source.Entries, target.Entries
	}
	return err
}

// SaveDirectoryPhase implements dirsync.RunRecords.
func (r *Runs) SaveDirectoryPhase(_ context.Context, runID, phase string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, true)
	if err == nil {
		x.Phase = phase
	}
	return err
}

// FinishDirectoryRun implements dirsync.RunRecords.
func (r *Runs) FinishDirectoryRun(_ context.Context, runID string, state dirsync.State, reasons []string, hint string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err == nil {
		x.finish(state, reasons, hint)
	}
	return err
}

// finish ends a run that runs, and leaves one that has ended as it is.
func (x *run) finish(state dirsync.State, reasons []string, hint string) {
	if x.State != dirsync.Running {
		return
	}
	x.Run = x.counted()
	x.State, x.Reasons, x.Hint, x.FinishedAt, x.staged = state, reasons, hint, time.Now(), nil
}

// DirectoryRun implements dirsync.RunRecords.
func (r *Runs) DirectoryRun(_ context.Context, runID string) (dirsync.Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err != nil {
		return dirsync.Run{}, err
	}
	return x.counted(), nil
}

// counted is a run with the counts of its changes.
func (x *run) counted() dirsync.Run {
	if !x.FinishedAt.IsZero() {
		return x.Run
	}
	all := x.Run
	for _, c := range x.changes {
		if c.Via != "" {
			continue
		}
		switch c.State {
		case dirsync.ChangeHeld:
			all.Held++
		case dirsync.ChangeRefused:
			all.Refused++
		case dirsync.ChangeGivenUp:
			all.GivenUp++
		case dirsync.ChangeFailed:
			all.Failed++
		case dirsync.ChangeDone:
			switch c.Kind {
			case directory.Create:
				all.Created++
			case directory.Alter:
				all.Altered++
			case directory.Renumber:
				all.Renumbers++
			case directory.Remove, directory.Unknown:
				all.Removed++
			case directory.Duplicate, directory.Protected, directory.Unreadable:
			}
		case dirsync.ChangePlanned, dirsync.ChangeTold:
		}
		if c.Kind == directory.Unreadable {
			all.Unread++
		}
	}
	return all
}

// DirectoryRefusals implements dirsync.RunRecords, in any order.
func (r *Runs) DirectoryRefusals(_ context.Context, runID string, limit int) ([]dirsync.Refusal, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err != nil {
		return nil, err
	}
	var found []dirsync.Refusal
	for _, c := range x.changes {
		if c.State != dirsync.ChangeFailed || c.Via != "" {
			continue
		}
		i := slices.IndexFunc(found, func(f dirsync.Refusal) bool { return f.Error == c.Error && f.Hint == c.Hint })
		if i < 0 {
			i, found = len(found), append(found, dirsync.Refusal{Error: c.Error, Hint: c.Hint})
		}
		found[i].Changes++
	}
	slices.SortStableFunc(found, func(a, b dirsync.Refusal) int { return b.Changes - a.Changes })
	return found[:min(limit, len(found))], nil
}

// DirectoryMembers implements dirsync.MemberRecords.
func (r *Runs) DirectoryMembers(_ context.Context, _ string, s dirsync.Settings) (join, leave []mailbox.Number, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	paired := map[string]bool{}
	for _, p := range r.pairs {
		paired[p.number] = true
		if n := mailbox.Number(p.number); !r.Joined[n] && s.Participate != dirsync.ParticipateManual {
			join = append(join, n)
		}
	}
	for number := range r.departed {
		if n := mailbox.Number(number); r.Joined[n] && !paired[number] {
			leave = append(leave, n)
		}
	}
	slices.Sort(join)
	slices.Sort(leave)
	return join, leave, nil
}

// LeaveLink implements dirsync.MemberRecords.
func (r *Runs) LeaveLink(_ context.Context, runID, _ string, numbers []mailbox.Number) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left[runID] == nil {
		r.left[runID] = map[mailbox.Number]bool{}
	}
	n := 0
	for _, number := range numbers {
		if r.Joined[number] || r.left[runID][number] {
			n++
			r.left[runID][number] = true
		}
		delete(r.Joined, number)
		delete(r.departed, string(number))
	}
	return n, nil
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
func (r *Runs) SaveDirectoryMembers(_ context.Context, runID string, joined, left int, rejected []dirsync.Rejection) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err == nil {
		x.Joined, x.Left, r.Rejected = joined, left, rejected
	}
	return err
}

// TakeLease implements lease.Taker.
func (r *Runs) TakeLease(_ context.Context, of lease.Resource, times lease.Times) (lease.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := (lease.Scopes{Everything: r.Still()}).Permit(of); err != nil {
		return lease.Lease{}, fault.New(fault.Conflict, "take lease", err, "mailmirror resume")
	}
	now := time.Now()
	if wait := r.lease.Take(now, times); wait > 0 {
		return lease.Lease{}, fault.New(fault.Conflict, "", &lease.HeldError{Resource: of, Wait: wait}, "")
	}
	return lease.Lease{Resource: of, Epoch: r.lease.Epoch, Deadline: now.Add(times.TTL)}, nil
}

// Renew implements lease.Records.
func (r *Runs) Renew(_ context.Context, l lease.Lease, ttl time.Duration) (lease.Lease, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := (lease.Scopes{Everything: r.Still()}).Permit(l.Resource); err != nil {
		return l, fault.New(fault.Conflict, "renew lease", err, "")
	}
	now := time.Now()
	if r.Lost || !r.lease.Renew(now, l.Epoch, ttl) {
		return l, fault.Newf(fault.Conflict, "renew lease: it was lost")
	}
	l.Deadline = now.Add(ttl)
	return l, nil
}

// Release implements lease.Records.
func (r *Runs) Release(_ context.Context, l lease.Lease, clean bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.lease.End(time.Now(), l.Epoch, clean) {
		return fault.Newf(fault.Conflict, "release lease: it was lost")
	}
	return nil
}

// Held reports whether somebody holds the lease.
func (r *Runs) Held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.lease.Clean && r.lease.Expires.After(time.Now())
}

// Lease returns what is recorded of the lease.
func (r *Runs) Lease() lease.Row {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease
}

func (r *Runs) shuffle(n int, swap func(i, j int)) {
	if r.Shuffle != nil {
		r.Shuffle(n, swap)
		return
	}
	rand.Shuffle(n, swap)
}
