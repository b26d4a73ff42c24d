package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// DirectoryStart is the answer to a request for a run over a directory.
type DirectoryStart struct {
	Link  string `json:"link"`
	RunID string `json:"run_id"`
	// Started is false where one was running already, which then serves.
	Started bool `json:"started"`
	DryRun  bool `json:"dry_run,omitempty"`
}

// SyncDirectory starts a run over the directory of a link. A dry run changes
// nothing: its changes are those that a run would make. It is refused where a run
// is under way, since that one is no dry run.
func (c *Control) SyncDirectory(ctx context.Context, link string, dryRun bool) (DirectoryStart, error) {
	op := "mirror directory of link " + link
	l, err := c.repo.Link(ctx, link)
	if err != nil {
		return DirectoryStart{}, err
	}
	if err := c.requireDirectories(ctx, op, l); err != nil {
		return DirectoryStart{}, err
	}
	if err := c.records.DirectoryRefusal(ctx, link); err != nil {
		return DirectoryStart{}, fault.Wrap(err, op)
	}
	trigger := DirectoryDryRun
	if !dryRun {
		trigger = DirectoryOperator
		if err := c.writing(ctx, op); err != nil {
			return DirectoryStart{}, err
		}
	}
	runID, started, err := c.startDirectory(ctx, link, trigger)
	if err != nil {
		return DirectoryStart{}, fault.Wrap(err, op)
	}
	if !started {
		running, err := c.runningDirectory(ctx, link)
		if err != nil {
			return DirectoryStart{}, fault.Wrap(err, op)
		}
		if dryRun || running.Trigger == DirectoryDryRun {
			return DirectoryStart{}, fault.New(fault.Conflict, op+": a run over it is under way", nil,
				"wait for its end; look at it with: mailmirror directory history "+link)
		}
		// A long run has begun under another id than it goes on.
		runID = cmp.Or(running.RunID, runID)
	}
	return DirectoryStart{Link: link, RunID: runID, Started: started, DryRun: dryRun}, nil
}

// startDirectory starts a run unless one is under way. One that is recorded as
// ended and only closes serves nobody any more: it is waited for.
func (c *Control) startDirectory(ctx context.Context, link, trigger string) (runID string, started bool, err error) {
	for {
		runID, started, err = c.runner.StartDirectory(ctx, link, trigger)
		if err != nil || started {
			return runID, started, err
		}
		run, err := c.records.DirectoryRun(ctx, runID)
		if err != nil || run.State == DirectoryRunning {
			return runID, false, nil //nolint:nilerr // it is not recorded yet, or under another id
		}
		if err := c.runner.WaitDirectory(ctx, link, runID); err != nil && ctx.Err() != nil {
			return "", false, err
		}
	}
}

// runningDirectory is the record of the run that is under way; zero where none is
// recorded yet.
func (c *Control) runningDirectory(ctx context.Context, link string) (DirectoryRun, error) {
	runs, err := c.records.DirectoryRunsOf(ctx, link, 1)
	if err != nil || len(runs) == 0 || runs[0].State != DirectoryRunning {
		return DirectoryRun{}, err
	}
	return runs[0], nil
}

// requireDirectories refuses a link of which a store has no directory.
func (c *Control) requireDirectories(ctx context.Context, op string, l Link) error {
	for _, store := range []string{l.Source, l.Target} {
		_, has, err := c.records.DirectoryStore(ctx, store)
		switch {
		case err != nil:
			return fault.Wrap(err, op)
		case !has:
			return fault.New(fault.Config, op+": store "+store+" has no directory", nil,
				"give it one with: mailmirror store edit "+store+" --ldap HOST:PORT ...")
		}
	}
	return nil
}

// hasDirectory reports whether a link mirrors directories: both stores have one, and it
// is not switched off.
func (c *Control) hasDirectory(ctx context.Context, l Link) (bool, error) {
	if l.Directory == LinkDirectoryOff {
		return false, nil
	}
	for _, store := range []string{l.Source, l.Target} {
		if _, has, err := c.records.DirectoryStore(ctx, store); err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// WaitDirectory waits for the end of a run and returns how it ended. Until then
// progress, which may be nil, is called with what was done so far, about once in
// every interval. The end of ctx ends the waiting, not the run.
func (c *Control) WaitDirectory(ctx context.Context, start DirectoryStart, every time.Duration, progress func(DirectoryRun)) (DirectoryRun, error) {
	op := "wait for the directory of link " + start.Link
	return awaitRun(every, func() error { return fault.Wrap(c.runner.WaitDirectory(ctx, start.Link, start.RunID), op) },
		func() (DirectoryRun, error) { return c.records.DirectoryRun(ctx, start.RunID) }, progress)
}

// changesPage is how many changes are read at a time.
const changesPage = 1000

// DirectoryRunChanges lists the changes of a run, in the order of carrying them
// out; no states means all.
func (c *Control) DirectoryRunChanges(ctx context.Context, runID string, states ...ChangeState) ([]DirectoryChange, error) {
	return allPages(func(after int64) ([]DirectoryChange, error) {
		return c.records.DirectoryChanges(ctx, runID, after, changesPage, states...)
	})
}

// DirectoryHoldChanges lists what a hold keeps, at most limit (0 means all).
func (c *Control) DirectoryHoldChanges(ctx context.Context, id int64, limit int) ([]DirectoryChange, error) {
	if limit > 0 {
		return c.records.DirectoryHoldChanges(ctx, id, 0, limit)
	}
	return allPages(func(after int64) ([]DirectoryChange, error) {
		return c.records.DirectoryHoldChanges(ctx, id, after, changesPage)
	})
}

func allPages(read func(after int64) ([]DirectoryChange, error)) ([]DirectoryChange, error) {
	var all []DirectoryChange
	for after := int64(0); ; {
		page, err := read(after)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < changesPage {
			return all, nil
		}
		after = page[len(page)-1].Seq
	}
}

// PlanDirectory calls each with every planned change of a dry run and with the
// operations that would carry it out now, by both directories; of one that cannot
// be carried out Moot says why. The operations hold values, passwords among them.
func (c *Control) PlanDirectory(ctx context.Context, link, runID string, each func(DirectoryChange, DirectoryLook) error) error {
	op := "plan changes of link " + link
	changes, err := c.DirectoryRunChanges(ctx, runID, ChangePlanned)
	if err != nil || len(changes) == 0 {
		return fault.Wrap(err, op)
	}
	sides, done, err := c.openDirectories(ctx, link)
	if err != nil {
		return fault.Wrap(err, op)
	}
	defer done()
	sides.Takers, sides.Planning = Takers(changes), true
	onTheWay := map[string]string{}
	for _, change := range changes {
		look, err := sides.Look(ctx, change.Change)
		if fault.Is(err, fault.Permanent) {
			look, err = DirectoryLook{Moot: err.Error()}, nil
		}
		if err != nil {
			return fault.Wrap(err, op+": mailbox "+change.Number)
		}
		carryName(look.Operations, onTheWay)
		if err := each(change, look); err != nil {
			return err
		}
	}
	return nil
}

// carryName gives an operation the name that the entry has by then, where an
// operation before it renamed it: an entry in a circle of numbers is renamed twice.
// renamed are the names by those at first.
func carryName(operations []directory.Operation, renamed map[string]string) {
	for _, o := range operations {
		if o.Rename == nil {
			continue
		}
		first := o.Rename.DN
		if now, again := renamed[first]; again {
			o.Rename.DN = now
		}
		if _, parent, err := directory.ParseRDN(first); err == nil {
			renamed[first] = o.Rename.NewRDN + "," + parent
		}
	}
}

// TargetMapping is that of the target's directory of a link.
func (c *Control) TargetMapping(ctx context.Context, link string) (directory.Mapping, error) {
	both, err := c.directories.Directories(ctx, link)
	return both.Target.Mapping, err
}

// RetryDirectory lets what was given up be tried again by the next run, "" all of
// it, and returns how many mailboxes that are.
func (c *Control) RetryDirectory(ctx context.Context, link string, number mailbox.Number) (int, error) {
	if number != "" {
		if err := checkedNumber("retry mailbox "+string(number), number); err != nil {
			return 0, err
		}
	}
	if _, err := c.repo.Link(ctx, link); err != nil {
		return 0, err
	}
	return c.records.ForgetDirectoryFailures(ctx, link, string(number))
}

// openDirectories connects to both directories of a link.
func (c *Control) openDirectories(ctx context.Context, link string) (DirectorySides, func(), error) {
	both, err := c.directories.Directories(ctx, link)
	if err != nil {
		return DirectorySides{}, nil, err
	}
	source, err := both.Source.Open(ctx)
	if err != nil {
		return DirectorySides{}, nil, err
	}
	target, err := both.Target.Open(ctx)
	if err != nil {
		return DirectorySides{}, nil, errors.Join(err, source.Close())
	}
	sides := DirectorySides{Source: source, Target: target, SourceMapping: both.Source.Mapping, TargetMapping: both.Target.Mapping}
	// What was read is read; a connection that does not close well changes nothing.
	return sides, func() { _, _ = source.Close(), target.Close() }, nil
}

// DirectoryHistory lists the runs over a link's directory, newest first.
func (c *Control) DirectoryHistory(ctx context.Context, link string, limit int) ([]DirectoryRun, error) {
	if _, err := c.repo.Link(ctx, link); err != nil {
		return nil, err
	}
	return c.records.DirectoryRunsOf(ctx, link, limit)
}

// EditDirectorySettings changes what is set for the directory of a link. change
// gets the settings in force.
func (c *Control) EditDirectorySettings(ctx context.Context, link string, change func(*DirectorySettings)) (DirectorySettings, error) {
	op := "set directory of link " + link
	if _, err := c.repo.Link(ctx, link); err != nil {
		return DirectorySettings{}, err
	}
	s, err := c.records.DirectorySettings(ctx, link)
	if err != nil {
		return s, err
	}
	change(&s)
	if err := malformed(op, s.faults()); err != nil {
		return s, err
	}
	if err := c.records.SetDirectorySettings(ctx, link, s); err != nil {
		return s, fault.Wrap(err, op)
	}
	return c.records.DirectorySettings(ctx, link)
}

// DirectorySettings returns what is set for the directory of a link.
func (c *Control) DirectorySettings(ctx context.Context, link string) (DirectorySettings, error) {
	if _, err := c.repo.Link(ctx, link); err != nil {
		return DirectorySettings{}, err
	}
	return c.records.DirectorySettings(ctx, link)
}

// faults lists what cannot be right about settings.
func (s DirectorySettings) faults() []error {
	var faults []error
	for _, share := range []struct {
		name  string
		value int
	}{{"directory remove share", s.RemoveShare}, {"directory change share", s.ChangeShare}, {"directory shrink share", s.ShrinkShare}} {
		if share.value < 0 || share.value > 100 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 to 100 percent", share.name, share.value))
		}
	}
	for _, count := range []struct {
		name  string
		value int
	}{{"directory remove count", s.RemoveCount}, {"directory change count", s.ChangeCount}, {"directory share minimum", s.ShareMinimum}, {"directory give up", s.GiveUp}} {
		if count.value < 0 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 or more", count.name, count.value))
		}
	}
	switch s.Participate {
	case ParticipateAll, ParticipateManual:
		if len(s.Numbers) > 0 {
			faults = append(faults, fmt.Errorf("participate numbers: have no meaning with participate %s", s.Participate))
		}
	case ParticipateFilter:
		if len(s.Numbers) == 0 {
			faults = append(faults, errors.New("participate filter: name the numbers by patterns, such as 20*"))
		}
		if err := s.Numbers.Validate(); err != nil {
			faults = append(faults, err)
		}
	default:
		faults = append(faults, fmt.Errorf("participate %q: want all, filter or manual", s.Participate))
	}
	return faults
}

// DirectoryOverview is how the directory of a link stands.
type DirectoryOverview struct {
	// LastRun is the last that was no dry run; nil where there was none.
	LastRun *DirectoryRun `json:"last_run,omitempty"`
	// LastEqual is when a run last ended well, or with nothing but what is held.
	LastEqual time.Time         `json:"last_equal,omitzero"`
	Holds     []DirectoryHold   `json:"holds"`
	Settings  DirectorySettings `json:"settings"`
}

// directoryOverview is nil where the link has no directory.
func (c *Control) directoryOverview(ctx context.Context, l Link) (*DirectoryOverview, error) {
	if c.records == nil {
		return nil, nil
	}
	has, err := c.hasDirectory(ctx, l)
	if err != nil || !has {
		return nil, err
	}
	o := &DirectoryOverview{Holds: []DirectoryHold{}}
	if o.Settings, err = c.records.DirectorySettings(ctx, l.Name); err != nil {
		return nil, err
	}
	runs, err := c.records.DirectoryRunsOf(ctx, l.Name, lookBack)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		if run.Trigger == DirectoryDryRun {
			continue
		}
		if o.LastRun == nil {
			o.LastRun = &run
		}
		if run.State == DirectoryDone || run.State == DirectoryHeld {
			o.LastEqual = run.FinishedAt
			break
		}
	}
	holds, err := c.records.DirectoryHolds(ctx, l.Name)
	o.Holds = append(o.Holds, holds...)
	return o, err
}

// lookBack is how many runs are looked through for one that ended well.
const lookBack = 200

// checkedNumber refuses what is no number of a mailbox.
func checkedNumber(op string, number mailbox.Number) error {
	return checkNumbers(op, []mailbox.Number{number})
}
