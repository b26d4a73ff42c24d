package dirsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

// Ports are what the engine works on.
type Ports struct {
	Directories Directories
	Runs        RunRecords
	Changes     ChangeRecords
	Members     MemberRecords
	Settings    SettingsRecords
	Leases      lease.Taker
}

// Engine carries out runs over the directories of links. Its methods are the steps of a
// run, in their order. A step may be repeated at any time, by any process: what an attempt
// before it wrote or recorded is found again. It is safe for concurrent use.
type Engine struct {
	ports Ports
	clock lease.Clock
	times lease.Times
	log   *slog.Logger
}

// NewEngine returns an engine over its ports. The times of the lease have defaults; the
// logger may be nil.
func NewEngine(ports Ports, clock lease.Clock, times lease.Times, log *slog.Logger) *Engine {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Engine{ports, clock, times.WithDefaults(), log}
}

// Job names a run over the directory of a link.
type Job struct{ RunID, Link, Trigger string }

// Begin records a run. A link without directories is rejected, with the errors of
// Directories.
func (e *Engine) Begin(ctx context.Context, job Job) error {
	if _, err := e.ports.Directories.Directories(ctx, job.Link); err != nil {
		return err
	}
	return e.ports.Runs.BeginDirectoryRun(ctx, job.RunID, job.Link, job.Trigger)
}

// maxReadings is how often a run reads both sides at most, where the database lost
// what was read.
const maxReadings = 3

// Plan is what a compare came to. It holds counts and no content.
type Plan struct {
	// ReadAgain is true where both sides have to be read again first: the database
	// was restarted, and has lost what was read. Nothing else is set then.
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

// Compare decides whether the extracts are to be believed, compares them, and holds what
// looks like an accident. A dry run holds nothing, and records what would be held. Both
// sides were read that many times; 0 is for a caller that does not read again.
func (e *Engine) Compare(ctx context.Context, job Job, source, target directory.Extracted, readings int) (_ Plan, err error) {
	defer func() { err = fault.Wrap(err, "compare directories") }()
	runs := e.ports.Runs
	run, err := runs.DirectoryRun(ctx, job.RunID)
	if err != nil || !run.FinishedAt.IsZero() { // by an attempt before this one
		return Plan{Believed: run.State == Done}, err
	}
	if err := runs.SaveDirectoryPhase(ctx, job.RunID, "compare"); err != nil {
		return Plan{}, err
	}
	settings, err := e.ports.Settings.DirectorySettings(ctx, job.Link)
	if err != nil {
		return Plan{}, err
	}
	lastSource, lastTarget, known, err := runs.LastExtracts(ctx, job.Link)
	if err != nil {
		return Plan{}, err
	}
	if doubts := directory.Believe(settings.Limits, source, target, lastSource, lastTarget, known); len(doubts) > 0 {
		return Plan{}, runs.FinishDirectoryRun(ctx, job.RunID, Failed, doubts,
			fmt.Sprintf("nothing was changed; is the source whole, and may the trusted server read everything? If it is meant: mailmirror guard set %s --directory-shrink-share 0, and a run", job.Link))
	}
	if err := runs.SaveExtracts(ctx, job.RunID, source, target); err != nil {
		return Plan{}, err
	}
	tally, err := runs.CompareDirectory(ctx, job.RunID, settings)
	if errors.Is(err, ErrStagedLost) && readings > 0 && readings < maxReadings {
		e.log.WarnContext(ctx, "both directories are read again", "link", job.Link, "run_id", job.RunID, "readings", readings)
		return Plan{ReadAgain: true}, nil
	}
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Believed: true, Kinds: tally.Kinds}
	for _, n := range tally.Planned {
		plan.Due += n
	}
	if job.Trigger == TriggerDryRun {
		_, reasons := directory.Judge(settings.Limits, tally)
		return plan, runs.FinishDirectoryRun(ctx, job.RunID, Done, reasons, "")
	}
	if plan.Held = tally.Held; plan.Held > 0 {
		e.log.InfoContext(ctx, "directory changes held", "link", job.Link, "run_id", job.RunID, "changes", plan.Held)
	}
	plan.Due = max(plan.Due-plan.Held, 0)
	return plan, nil
}

// End is how the steps of a run ended.
type End struct {
	// Failure and Hint say why it broke off; "" where no step failed.
	Failure, Hint string
	// Refused is how many mailboxes could not join.
	Refused int
}

// namedCauses is how many causes of failed changes a run's record names. A cause
// that thousands have is one.
const namedCauses = 3

// Finish closes the record of a run, unless it is closed already, and returns how the run
// ended.
func (e *Engine) Finish(ctx context.Context, job Job, end End) (State, error) {
	run, err := e.ports.Runs.DirectoryRun(ctx, job.RunID)
	if err != nil || !run.FinishedAt.IsZero() {
		return run.State, err
	}
	state, reasons, hint := Done, run.Reasons, run.Hint
	if run.Held > 0 {
		state, hint = Held, "mailmirror guard list "+job.Link
	}
	refusals, err := e.ports.Runs.DirectoryRefusals(ctx, job.RunID, namedCauses)
	if err != nil {
		return "", err
	}
	for _, r := range refusals {
		reasons, hint = append(reasons, fmt.Sprintf("%d of the changes failed: %s", r.Changes, r.Error)), cmp.Or(hint, r.Hint)
	}
	if run.Unread > 0 {
		reasons = append(reasons, fmt.Sprintf("%d entries cannot be read, and nothing was done to them; to see which, run: mailmirror errors %s", run.Unread, job.Link))
	}
	if end.Refused > 0 {
		reasons = append(reasons, fmt.Sprintf("%d mailboxes cannot join the link; to see why, run: mailmirror errors %s", end.Refused, job.Link))
	}
	if end.Failure != "" {
		state, reasons, hint = Failed, append(reasons, end.Failure), end.Hint
	}
	return state, e.ports.Runs.FinishDirectoryRun(ctx, job.RunID, state, reasons, hint)
}
