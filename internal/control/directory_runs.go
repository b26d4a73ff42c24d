package control

import (
	"cmp"
	"context"
	"errors"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
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
func (c *Control) SyncDirectory(ctx context.Context, link string, dryRun bool) (_ DirectoryStart, err error) {
	op := "mirror directory of link " + link
	entry := audit.Entry{Command: "directory sync", Link: link}
	if dryRun {
		entry.Detail = "dry run"
	}
	ctx, end, err := c.begin(ctx, entry)
	if err != nil {
		return DirectoryStart{}, err
	}
	defer end(&err)
	l, err := c.ports.Links.Link(ctx, link)
	if err != nil {
		return DirectoryStart{}, err
	}
	if err := c.requireDirectories(ctx, op, l); err != nil {
		return DirectoryStart{}, err
	}
	if err := c.ports.DirectoryConfig.DirectoryRefusal(ctx, link); err != nil {
		return DirectoryStart{}, fault.Wrap(err, op)
	}
	trigger := dirsync.TriggerDryRun
	if !dryRun {
		trigger = dirsync.TriggerOperator
		if err := c.writing(ctx, op, link); err != nil {
			return DirectoryStart{}, err
		}
	}
	if err := c.ask(ctx); err != nil {
		return DirectoryStart{}, err
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
		if dryRun || running.Trigger == dirsync.TriggerDryRun {
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
		runID, started, err = c.ports.DirectoryRunner.StartDirectory(ctx, link, trigger)
		if err != nil || started {
			return runID, started, err
		}
		run, err := c.ports.DirectoryRuns.DirectoryRun(ctx, runID)
		if err != nil || run.State == dirsync.Running {
			return runID, false, nil //nolint:nilerr // it is not recorded yet, or under another id
		}
		if err := c.ports.Runner.WaitRun(ctx, site.Run{Kind: site.RunDirectory, Of: link, ID: runID}); err != nil && ctx.Err() != nil {
			return "", false, err
		}
	}
}

// runningDirectory is the record of the run that is under way; zero where none is
// recorded yet.
func (c *Control) runningDirectory(ctx context.Context, link string) (dirsync.Run, error) {
	runs, err := c.ports.DirectoryRuns.DirectoryRunsOf(ctx, link, 1)
	if err != nil || len(runs) == 0 || runs[0].State != dirsync.Running {
		return dirsync.Run{}, err
	}
	return runs[0], nil
}

// requireDirectories refuses a link of which a store has no directory.
func (c *Control) requireDirectories(ctx context.Context, op string, l site.Link) error {
	for _, store := range []string{l.Source, l.Target} {
		_, has, err := c.ports.DirectoryConfig.DirectoryStore(ctx, store)
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
func (c *Control) hasDirectory(ctx context.Context, l site.Link) (bool, error) {
	if l.Directory == site.LinkDirectoryOff {
		return false, nil
	}
	for _, store := range []string{l.Source, l.Target} {
		if _, has, err := c.ports.DirectoryConfig.DirectoryStore(ctx, store); err != nil || !has {
			return false, err
		}
	}
	return true, nil
}

// WaitDirectory waits for the end of a run and returns how it ended. The end of ctx
// ends the waiting, not the run.
func (c *Control) WaitDirectory(ctx context.Context, start DirectoryStart, w Waiting[dirsync.Run]) (dirsync.Run, error) {
	run := site.Run{Kind: site.RunDirectory, Of: start.Link, ID: start.RunID}
	return awaitRun(ctx, c, "wait for the directory of link "+start.Link, run, w, c.ports.DirectoryRuns.DirectoryRun)
}

// changesPage is how many changes are read at a time.
const changesPage = 1000

// DirectoryRunChanges lists the changes of a run, in the order of carrying them
// out; no states means all.
func (c *Control) DirectoryRunChanges(ctx context.Context, runID string, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	return allPages(func(after int64) ([]dirsync.Change, error) {
		return c.ports.DirectoryRuns.DirectoryChanges(ctx, runID, after, changesPage, states...)
	})
}

// DirectoryHoldChanges lists what a hold keeps, at most limit (0 means all).
func (c *Control) DirectoryHoldChanges(ctx context.Context, id int64, limit int) ([]dirsync.Change, error) {
	if limit > 0 {
		return c.ports.DirectoryHolds.DirectoryHoldChanges(ctx, id, 0, limit)
	}
	return allPages(func(after int64) ([]dirsync.Change, error) {
		return c.ports.DirectoryHolds.DirectoryHoldChanges(ctx, id, after, changesPage)
	})
}

func allPages(read func(after int64) ([]dirsync.Change, error)) ([]dirsync.Change, error) {
	var all []dirsync.Change
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
func (c *Control) PlanDirectory(ctx context.Context, link, runID string, each func(dirsync.Change, dirsync.Look) error) error {
	op := "plan changes of link " + link
	changes, err := c.DirectoryRunChanges(ctx, runID, dirsync.ChangePlanned)
	if err != nil || len(changes) == 0 {
		return fault.Wrap(err, op)
	}
	sides, done, err := c.openDirectories(ctx, link)
	if err != nil {
		return fault.Wrap(err, op)
	}
	defer done()
	sides.Takers, sides.Planning = dirsync.Takers(changes), true
	onTheWay := map[string]string{}
	for _, change := range changes {
		look, err := sides.Look(ctx, change.Change)
		if fault.Is(err, fault.Permanent) {
			look, err = dirsync.Look{Moot: err.Error()}, nil
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
	both, err := c.ports.Directories.Directories(ctx, link)
	return both.Target.Mapping, err
}

// RetryDirectory lets what was given up be tried again by the next run, "" all of
// it, and returns how many mailboxes that are.
func (c *Control) RetryDirectory(ctx context.Context, link string, number mailbox.Number) (_ int, err error) {
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "directory retry", Link: link, Subject: string(number)})
	if err != nil {
		return 0, err
	}
	defer end(&err)
	if number != "" {
		if err := checkedNumber("retry mailbox "+string(number), number); err != nil {
			return 0, err
		}
	}
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return 0, err
	}
	return c.ports.DirectoryRuns.ForgetDirectoryFailures(ctx, link, string(number))
}

// openDirectories connects to both directories of a link.
func (c *Control) openDirectories(ctx context.Context, link string) (dirsync.Sides, func(), error) {
	both, err := c.ports.Directories.Directories(ctx, link)
	if err != nil {
		return dirsync.Sides{}, nil, err
	}
	source, err := both.Source.Open(ctx)
	if err != nil {
		return dirsync.Sides{}, nil, err
	}
	target, err := both.Target.Open(ctx)
	if err != nil {
		return dirsync.Sides{}, nil, errors.Join(err, source.Close())
	}
	sides := dirsync.Sides{Source: source, Target: target, SourceMapping: both.Source.Mapping, TargetMapping: both.Target.Mapping}
	// What was read is read; a connection that does not close well changes nothing.
	return sides, func() { _, _ = source.Close(), target.Close() }, nil
}

// DirectoryHistory lists the runs over a link's directory, newest first.
func (c *Control) DirectoryHistory(ctx context.Context, link string, limit int) ([]dirsync.Run, error) {
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return nil, err
	}
	return c.ports.DirectoryRuns.DirectoryRunsOf(ctx, link, limit)
}

// EditDirectorySettings changes what is set for the directory of a link. change
// gets the settings in force.
func (c *Control) EditDirectorySettings(ctx context.Context, link string, change func(*dirsync.Settings)) (_ dirsync.Settings, err error) {
	op := "set directory of link " + link
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "link edit", Link: link})
	if err != nil {
		return dirsync.Settings{}, err
	}
	defer end(&err)
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return dirsync.Settings{}, err
	}
	s, err := c.ports.DirectoryConfig.DirectorySettings(ctx, link)
	if err != nil {
		return s, err
	}
	before := s
	change(&s)
	detail(ctx, changes(before, s))
	if err := malformed(op, s.Faults()); err != nil {
		return s, err
	}
	if err := c.ports.DirectoryConfig.SetDirectorySettings(ctx, link, s); err != nil {
		return s, fault.Wrap(err, op)
	}
	return c.ports.DirectoryConfig.DirectorySettings(ctx, link)
}

// DirectorySettings returns what is set for the directory of a link.
func (c *Control) DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error) {
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return dirsync.Settings{}, err
	}
	return c.ports.DirectoryConfig.DirectorySettings(ctx, link)
}

// DirectoryOverview is how the directory of a link stands.
type DirectoryOverview struct {
	// LastRun is the last that was no dry run; nil where there was none.
	LastRun *dirsync.Run `json:"last_run,omitempty"`
	// LastEqual is when a run last ended well, or with nothing but what is held.
	LastEqual time.Time             `json:"last_equal,omitzero"`
	Holds     []guard.DirectoryHold `json:"holds"`
	Settings  dirsync.Settings      `json:"settings"`
}

// directoryOverview is nil where the link has no directory.
func (c *Control) directoryOverview(ctx context.Context, l site.Link) (*DirectoryOverview, error) {
	if c.ports.DirectoryConfig == nil {
		return nil, nil
	}
	has, err := c.hasDirectory(ctx, l)
	if err != nil || !has {
		return nil, err
	}
	o := &DirectoryOverview{Holds: []guard.DirectoryHold{}}
	if o.Settings, err = c.ports.DirectoryConfig.DirectorySettings(ctx, l.Name); err != nil {
		return nil, err
	}
	runs, err := c.ports.DirectoryRuns.DirectoryRunsOf(ctx, l.Name, lookBack)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		if run.Trigger == dirsync.TriggerDryRun {
			continue
		}
		if o.LastRun == nil {
			o.LastRun = &run
		}
		if run.State == dirsync.Done || run.State == dirsync.Held {
			o.LastEqual = run.FinishedAt
			break
		}
	}
	holds, err := c.ports.DirectoryHolds.DirectoryHolds(ctx, l.Name)
	o.Holds = append(o.Holds, holds...)
	return o, err
}

// lookBack is how many runs are looked through for one that ended well.
const lookBack = 200

// checkedNumber refuses what is no number of a mailbox.
func checkedNumber(op string, number mailbox.Number) error {
	return checkNumbers(op, []mailbox.Number{number})
}
