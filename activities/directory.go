package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// DirectoryPorts are the adapters behind the runs over directories.
type DirectoryPorts struct {
	Directories dirsync.Directories
	Runs        dirsync.RunRecords
	Changes     dirsync.ChangeRecords
	Members     dirsync.MemberRecords
	Settings    DirectorySettings
	Approvals   Approvals
	Leases      lease.Taker
}

// DirectorySettings is what operators set for the directories of links.
type DirectorySettings interface {
	DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error)
}

// Approvals is what operators let go.
type Approvals interface {
	// ApprovedDirectories lists the links of whose directory an operator let
	// changes go since the last run began.
	ApprovedDirectories(ctx context.Context) ([]string, error)
}

// DirectoryStarter starts runs over directories.
type DirectoryStarter interface {
	// AskDirectory sees to it that a run begins after now: one that is running is
	// followed by another.
	AskDirectory(ctx context.Context, link, trigger string) error
}

// Directory are the activities of the runs over the directories of links.
type Directory struct {
	*shared

	ports   DirectoryPorts
	starter Starter
	lease   lease.Times
}

// DirectoryInput names a run over the directory of a link.
type DirectoryInput struct {
	RunID   string `json:"run_id"`
	Link    string `json:"link"`
	Trigger string `json:"trigger"`
}

func (in DirectoryInput) dry() bool { return in.Trigger == dirsync.TriggerDryRun }

// BeginDirectory records a run. A link without directories is refused.
func (a *Directory) BeginDirectory(ctx context.Context, in DirectoryInput) error {
	if _, err := a.ports.Directories.Directories(ctx, in.Link); err != nil {
		return applicationError(err, 0)
	}
	if err := a.ports.Runs.BeginDirectoryRun(ctx, in.RunID, in.Link, in.Trigger); err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// ExtractInput asks for one side of a run.
type ExtractInput struct {
	DirectoryInput
	Side dirsync.Side `json:"side"`
}

// errExtractEnded ends the staging of an extract that failed.
var errExtractEnded = errors.New("the extract ended early")

// ExtractDirectory reads one directory completely into the database, or fails.
// Nothing of an extract that failed is kept. It holds counts and no content.
func (a *Directory) ExtractDirectory(ctx context.Context, in ExtractInput) (directory.Extracted, error) {
	var seen atomic.Int64
	stop := a.beat(ctx, func() any { return seen.Load() })
	defer stop()
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	found, err := a.extract(ctx, in, &seen)
	switch {
	case err != nil && ctx.Err() != nil:
		return directory.Extracted{}, ended(ctx)
	case err != nil:
		return directory.Extracted{}, applicationError(fault.Wrap(err, "extract the "+string(in.Side)+"'s directory"), 0)
	}
	return found, nil
}

func (a *Directory) extract(ctx context.Context, in ExtractInput, seen *atomic.Int64) (directory.Extracted, error) {
	both, err := a.ports.Directories.Directories(ctx, in.Link)
	if err != nil {
		return directory.Extracted{}, err
	}
	side := both.Source
	if in.Side == dirsync.TargetSide {
		side = both.Target
	}
	session, err := side.Open(ctx)
	if err != nil {
		return directory.Extracted{}, err
	}
	reading, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The adapter gives up a server that is silent sooner than this. What hangs all
	// the same must not keep the run from being tried again.
	watchdog := time.AfterFunc(extractSilence, func() { cancel(errExtractHangs) })
	defer watchdog.Stop()
	// A record may be large: none waits here.
	records, ended := make(chan directory.Record), make(chan struct{})
	var found directory.Extracted
	var readErr error // may be read once ended is closed
	go func() {
		defer func() { _ = session.Close() }()
		defer close(ended)
		found, readErr = session.Extract(reading, side.Digest, func(r directory.Record) error {
			seen.Add(1)
			watchdog.Reset(extractSilence)
			select {
			case records <- r:
				return nil
			case <-reading.Done():
				return context.Cause(reading)
			}
		})
	}()
	next := func() (directory.Record, error) {
		select {
		case r := <-records:
			return r, nil
		case <-ended:
		case <-reading.Done():
			return directory.Record{}, errExtractEnded
		}
		// It has ended, and what it left is still to be taken.
		select {
		case r := <-records:
			return r, nil
		default:
		}
		watchdog.Stop()
		if readErr != nil {
			return directory.Record{}, errExtractEnded
		}
		return directory.Record{}, io.EOF
	}
	err = a.ports.Runs.StageDirectory(ctx, in.RunID, in.Side, next)
	cancel(nil)
	select {
	case <-ended:
	case <-time.After(extractGrace):
		return directory.Extracted{}, errors.Join(err, errExtractHangs)
	}
	if err != nil && readErr != nil && (errors.Is(err, errExtractEnded) || !errors.Is(readErr, context.Canceled)) {
		err = readErr
	}
	return found, err
}

// extractSilence is after how long without an entry an extract is given up,
// extractGrace how long it then has to end.
const (
	extractSilence = 5 * time.Minute
	extractGrace   = 10 * time.Second
)

var errExtractHangs = fault.New(fault.Transient, "the directory's server stopped in the middle", nil, "is the server overloaded?")

// CompareDirectoryInput is what both extracts tell of themselves.
type CompareDirectoryInput struct {
	DirectoryInput
	Source directory.Extracted `json:"source"`
	Target directory.Extracted `json:"target"`
	// Readings is how often this run has read both sides; 0 from a workflow of a
	// release that does not read again.
	Readings int `json:"readings,omitempty"`
}

// maxReadings is how often a run reads both sides at most, where the database lost
// what was read.
const maxReadings = 3

// DirectoryPlan is what a compare came to.
type DirectoryPlan struct {
	// ReadAgain is true where both sides have to be read again first: the database
	// was restarted, and has lost what was read. Nothing else is told then.
	ReadAgain bool `json:"read_again,omitempty"`
	// Believed is false where an extract is not plausible: the run has ended, and
	// says why in its record.
	Believed bool `json:"believed"`
	// Kinds counts all changes; of those Due are to be carried out, and Held wait
	// for the operator.
	Kinds map[directory.ChangeKind]int `json:"kinds,omitempty"`
	Due   int                          `json:"due,omitempty"`
	Held  int                          `json:"held,omitempty"`
}

// CompareDirectory decides whether the extracts are to be believed, compares
// them, and holds what looks like an accident. A dry run holds nothing, and says
// what would be held.
func (a *Directory) CompareDirectory(ctx context.Context, in CompareDirectoryInput) (DirectoryPlan, error) {
	stop := a.beat(ctx, func() any { return nil })
	defer stop()
	plan, err := a.compareDirectory(ctx, in)
	if err != nil {
		return DirectoryPlan{}, applicationError(fault.Wrap(err, "compare directories"), 0)
	}
	return plan, nil
}

func (a *Directory) compareDirectory(ctx context.Context, in CompareDirectoryInput) (DirectoryPlan, error) {
	run, err := a.ports.Runs.DirectoryRun(ctx, in.RunID)
	if err != nil || !run.FinishedAt.IsZero() { // by an attempt before this one
		return DirectoryPlan{Believed: run.State == dirsync.Done}, err
	}
	if err := a.ports.Runs.SaveDirectoryPhase(ctx, in.RunID, "compare"); err != nil {
		return DirectoryPlan{}, err
	}
	settings, err := a.ports.Settings.DirectorySettings(ctx, in.Link)
	if err != nil {
		return DirectoryPlan{}, err
	}
	lastSource, lastTarget, known, err := a.ports.Runs.LastExtracts(ctx, in.Link)
	if err != nil {
		return DirectoryPlan{}, err
	}
	if doubts := directory.Believe(settings.Limits, in.Source, in.Target, lastSource, lastTarget, known); len(doubts) > 0 {
		return DirectoryPlan{}, a.ports.Runs.FinishDirectoryRun(ctx, in.RunID, dirsync.Failed, doubts,
			fmt.Sprintf("nothing was changed; is the source whole, and may the trusted server read everything? If it is meant: mailmirror guard set %s --directory-shrink-share 0, and a run", in.Link))
	}
	if err := a.ports.Runs.SaveExtracts(ctx, in.RunID, in.Source, in.Target); err != nil {
		return DirectoryPlan{}, err
	}
	tally, err := a.ports.Runs.CompareDirectory(ctx, in.RunID, settings)
	if errors.Is(err, dirsync.ErrStagedLost) && in.Readings > 0 && in.Readings < maxReadings {
		activity.GetLogger(ctx).Warn("both directories are read again", "link", in.Link, "error", err)
		return DirectoryPlan{ReadAgain: true}, nil
	}
	if err != nil {
		return DirectoryPlan{}, err
	}
	plan := DirectoryPlan{Believed: true, Kinds: tally.Kinds}
	for _, n := range tally.Planned {
		plan.Due += n
	}
	var kinds []directory.ChangeKind
	var reasons []string
	for _, v := range directory.Judge(settings.Limits, tally) {
		kinds, reasons = append(kinds, v.Kind), append(reasons, v.Reason)
	}
	if in.dry() {
		return plan, a.ports.Runs.FinishDirectoryRun(ctx, in.RunID, dirsync.Done, reasons, "")
	}
	plan.Held, err = a.ports.Runs.HoldDirectoryChanges(ctx, in.RunID, kinds, reasons)
	if plan.Held > 0 {
		activity.GetLogger(ctx).Info("directory changes held", "link", in.Link, "run_id", in.RunID, "changes", plan.Held)
	}
	plan.Due = max(plan.Due-plan.Held, 0)
	return plan, err
}

// DirectoryMembers counts mailboxes that joined and left a link by a run.
type DirectoryMembers struct {
	Joined int `json:"joined"`
	Left   int `json:"left"`
	// Refused could not join, mostly since another link mirrors them.
	Refused int `json:"refused,omitempty"`
}

const (
	// joinChunk is how many mailboxes join at a time.
	joinChunk = 500
	// wakeAtMost bounds the syncs that a run starts itself; the sweep starts the
	// others within its interval.
	wakeAtMost = 100
)

// JoinDirectory makes the mailboxes of a run's pairs join and leave the link, by
// the link's rule. Those that join are due at once.
func (a *Directory) JoinDirectory(ctx context.Context, in DirectoryInput) (DirectoryMembers, error) {
	var done DirectoryMembers // what an attempt before this one did
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &done)
		done.Refused = 0
	}
	var told atomic.Pointer[DirectoryMembers]
	tell := func() { told.Store(new(done)) }
	tell()
	stop := a.beat(ctx, func() any { return *told.Load() })
	err := a.joinDirectory(ctx, in, &done, tell)
	stop()
	activity.RecordHeartbeat(ctx, done)
	if err != nil {
		return done, applicationError(fault.Wrap(err, "let mailboxes join and leave"), 0)
	}
	return done, nil
}

func (a *Directory) joinDirectory(ctx context.Context, in DirectoryInput, done *DirectoryMembers, tell func()) error {
	if err := a.ports.Runs.SaveDirectoryPhase(ctx, in.RunID, "members"); err != nil {
		return err
	}
	settings, err := a.ports.Settings.DirectorySettings(ctx, in.Link)
	if err != nil {
		return err
	}
	join, leave, err := a.ports.Members.DirectoryMembers(ctx, in.RunID, settings)
	if err != nil {
		return err
	}
	left, err := a.ports.Members.LeaveLink(ctx, in.RunID, in.Link, leave)
	if err != nil {
		return err
	}
	done.Left += left
	tell()
	woken := 0
	var rejected []dirsync.Rejection
	for len(join) > 0 {
		chunk := join[:min(joinChunk, len(join))]
		join = join[len(chunk):]
		refused, err := a.join(ctx, in.Link, chunk)
		if err != nil {
			return err
		}
		for _, number := range chunk {
			if why, ok := refused[number]; ok {
				_, text, hint := describe(why)
				rejected = append(rejected, dirsync.Rejection{Number: number, Error: text, Hint: hint})
			}
		}
		done.Joined += len(chunk) - len(refused)
		done.Refused += len(refused)
		tell()
		for _, number := range chunk {
			if refused[number] != nil || woken >= wakeAtMost {
				continue
			}
			woken++
			// The sweep starts what could not be started here, and records what it
			// cannot start either.
			_, err := a.starter.StartSync(ctx, mailbox.Key{Link: in.Link, Number: number}, TriggerEvent)
			if fault.Is(err, fault.Transient) {
				woken = wakeAtMost // Temporal is away: the others would wait in vain, too
			}
		}
	}
	return a.ports.Members.SaveDirectoryMembers(ctx, in.RunID, done.Joined, done.Left, rejected)
}

// join adds mailboxes and returns those that may not join, with the reason. One of
// them must not keep the others out.
func (a *Directory) join(ctx context.Context, link string, numbers []mailbox.Number) (refused map[mailbox.Number]error, err error) {
	_, err = a.ports.Members.AddMailboxes(ctx, link, numbers)
	if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.Permanent) {
		return nil, err
	}
	refused = map[mailbox.Number]error{}
	for _, n := range numbers {
		_, err := a.ports.Members.AddMailboxes(ctx, link, []mailbox.Number{n})
		switch {
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.Permanent):
			refused[n] = err
			activity.GetLogger(ctx).Warn("mailbox cannot join the link", "link", link, "mailbox_id", string(n), "error", err.Error())
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}

// FinishDirectoryInput closes the record of a run.
type FinishDirectoryInput struct {
	DirectoryInput
	// Failure and Hint say why it broke off, in the words of the activity that
	// failed; "" where none did.
	Failure string `json:"failure,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Refused is how many mailboxes could not join.
	Refused int `json:"refused,omitempty"`
}

// toldRefusals is how many causes of failed changes a run's record names. A cause
// that thousands have is one.
const toldRefusals = 3

// FinishDirectory closes the record of a run, unless it is closed already, and
// returns how it ended.
func (a *Directory) FinishDirectory(ctx context.Context, in FinishDirectoryInput) (dirsync.State, error) {
	run, err := a.ports.Runs.DirectoryRun(ctx, in.RunID)
	if err != nil {
		return "", applicationError(err, 0)
	}
	if !run.FinishedAt.IsZero() {
		return run.State, nil
	}
	state, reasons, hint := dirsync.Done, run.Reasons, run.Hint
	if run.Held > 0 {
		state, hint = dirsync.Held, "mailmirror guard list "+in.Link
	}
	refusals, err := a.ports.Runs.DirectoryRefusals(ctx, in.RunID, toldRefusals)
	if err != nil {
		return "", applicationError(err, 0)
	}
	for _, r := range refusals {
		reasons, hint = append(reasons, fmt.Sprintf("%d of the changes failed: %s", r.Changes, r.Error)), cmp.Or(hint, r.Hint)
	}
	if run.Unread > 0 {
		reasons = append(reasons, fmt.Sprintf("%d entries cannot be read, and nothing was done to them; to see which, run: mailmirror errors %s", run.Unread, in.Link))
	}
	if in.Refused > 0 {
		reasons = append(reasons, fmt.Sprintf("%d mailboxes cannot join the link; to see why, run: mailmirror errors %s", in.Refused, in.Link))
	}
	if in.Failure != "" {
		state, reasons, hint = dirsync.Failed, append(reasons, in.Failure), in.Hint
	}
	if err := a.ports.Runs.FinishDirectoryRun(ctx, in.RunID, state, reasons, hint); err != nil {
		return "", applicationError(err, 0)
	}
	return state, nil
}
