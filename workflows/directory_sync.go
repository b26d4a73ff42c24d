package workflows

import (
	"cmp"
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
)

// DirectoryState starts a DirectorySync, and is what it carries over when it
// continues as new. Of a fresh one only the first block is set.
type DirectoryState struct {
	Link string `json:"link"`
	// Trigger is one of control's; that of a dry run makes it one.
	Trigger string `json:"trigger"`
	// PageSize is how many changes one activity carries out.
	PageSize int `json:"page_size"`

	// RunID names the run in the database once it is recorded.
	RunID string `json:"run_id,omitempty"`
	// Plan is what the compare came to, Phase and After how far it is carried out.
	Plan   *dirsync.Plan `json:"plan,omitempty"`
	Phase  string        `json:"phase,omitempty"`
	After  int64         `json:"after,omitempty"`
	Done   int           `json:"done,omitempty"`
	Failed int           `json:"failed,omitempty"`
	Moot   int           `json:"moot,omitempty"`
	// Stopped and Hint are why the target lets nothing more be carried out.
	Stopped string `json:"stopped,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Again is the trigger of the run that has to follow; "" where none has.
	Again string `json:"again,omitempty"`
}

// DirectoryView answers QueryProgress of a DirectorySync.
type DirectoryView struct {
	DirectoryState
	Source directory.Extracted `json:"source"`
	Target directory.Extracted `json:"target"`
	State  dirsync.State       `json:"state"`
	Member dirsync.Members     `json:"members"`
}

// Phases of a DirectorySync besides the common ones; a closed one shows how it
// ended (dirsync.State).
const (
	PhaseExtracting = "extracting"
	PhaseComparing  = "comparing"
	PhaseApplying   = "applying"
	PhaseVerifying  = "verifying"
	PhaseJoining    = "joining"
)

// ScheduledDirectory is what the directory schedule of a link runs, for the reason
// that ScheduledCompare tells.
func ScheduledDirectory(ctx workflow.Context, in DirectoryState) (started bool, err error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            DirectoryID(in.Link),
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		TypedSearchAttributes: DirectoryAttributes(in.Link),
		StaticSummary:         DirectorySummary(in.Link),
	})
	err = workflow.ExecuteChildWorkflow(ctx, DirectorySync, in).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		sayLeftOut(ctx, in.Link, DirectoryID(in.Link))
		return false, nil
	}
	return err == nil, err
}

// DirectorySync makes the target's directory of a link follow the source's, and
// returns how that ended: both are extracted completely, compared, judged, and
// what differs is carried out entry by entry. A run that is not sure of what it
// read changes nothing. What is held waits in the database, not here: an approval
// starts a run, or is answered by one more after this.
func DirectorySync(ctx workflow.Context, state DirectoryState) (dirsync.State, error) {
	d := &directorySync{DirectoryState: state, again: workflow.GetSignalChannel(ctx, SignalWork)}
	if d.RunID == "" {
		d.RunID = workflow.GetInfo(ctx).WorkflowExecution.RunID
		d.takeIn() // this run serves whoever asked by now
		d.Again = ""
	}
	err := workflow.SetQueryHandler(ctx, QueryProgress, func() (DirectoryView, error) {
		return DirectoryView{DirectoryState: d.DirectoryState, Source: d.source, Target: d.target, State: d.ended, Member: d.members}, nil
	})
	if err != nil {
		return "", err
	}
	err = d.run(ctx)
	if workflow.IsContinueAsNewError(err) {
		return "", err
	}
	// Cancelled or failed, the run is not running any more, and its record must
	// not say that it is.
	after, _ := workflow.NewDisconnectedContext(ctx)
	if endErr := d.end(after, err); err == nil || !temporal.IsCanceledError(err) {
		err = endErr
	}
	if err != nil {
		return "", err
	}
	d.takeIn()
	if d.Again != "" {
		return "", workflow.NewContinueAsNewError(ctx, DirectorySync,
			DirectoryState{Link: d.Link, Trigger: d.Again, PageSize: d.PageSize})
	}
	return d.ended, nil
}

// directorySync is one run of a DirectorySync.
type directorySync struct {
	DirectoryState
	again          workflow.ReceiveChannel
	source, target directory.Extracted
	members        dirsync.Members
	ended          dirsync.State
	begun          bool
}

// takeIn takes in all signals that have arrived.
func (d *directorySync) takeIn() {
	var w Work
	for d.again.ReceiveAsync(&w) {
		d.Again = dirsync.TriggerApproval
		if w.Trigger != "" {
			d.Again = w.Trigger
		}
		w = Work{}
	}
}

func (d *directorySync) input() activities.DirectoryInput {
	return activities.DirectoryInput{RunID: d.RunID, Link: d.Link, Trigger: d.Trigger}
}

func (d *directorySync) run(ctx workflow.Context) error {
	var a *activities.Directory
	if d.Plan == nil {
		err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "record the run"), a.BeginDirectory, d.input()).Get(ctx, nil)
		if err != nil {
			return err
		}
		d.begun = true
		for readings := 1; d.Plan == nil || d.Plan.ReadAgain; readings++ {
			if err := d.extract(ctx); err != nil {
				return err
			}
			if err := d.compare(ctx, readings); err != nil {
				return err
			}
		}
	}
	d.begun = true
	if !d.Plan.Believed || d.Trigger == dirsync.TriggerDryRun {
		return nil
	}
	if err := d.carryOut(ctx); err != nil {
		return err
	}
	// Also where the target refused to go on: what was created before joins.
	if err := d.enter(ctx, PhaseJoining); err != nil {
		return err
	}
	return workflow.ExecuteActivity(storeWork(ctx, "mailboxes join and leave"), a.JoinDirectory, d.input()).Get(ctx, &d.members)
}

// extract reads both sides at a time. One that fails ends the run, with nothing
// changed.
func (d *directorySync) extract(ctx workflow.Context) error {
	if err := d.enter(ctx, PhaseExtracting); err != nil {
		return err
	}
	var a *activities.Directory
	reading, cancel := workflow.WithCancel(ctx)
	defer cancel()
	source := workflow.ExecuteActivity(extracting(reading, "source"), a.ExtractDirectory,
		activities.ExtractInput{DirectoryInput: d.input(), Side: dirsync.SourceSide})
	target := workflow.ExecuteActivity(extracting(reading, "target"), a.ExtractDirectory,
		activities.ExtractInput{DirectoryInput: d.input(), Side: dirsync.TargetSide})
	if err := source.Get(ctx, &d.source); err != nil {
		cancel()
		_ = target.Get(ctx, nil)
		return err
	}
	return target.Get(ctx, &d.target)
}

// compare sets the plan. Both sides were read that many times.
func (d *directorySync) compare(ctx workflow.Context, readings int) error {
	if err := d.enter(ctx, PhaseComparing); err != nil {
		return err
	}
	var a *activities.Directory
	var plan dirsync.Plan
	input := activities.CompareDirectoryInput{DirectoryInput: d.input(), Source: d.source, Target: d.target, Readings: readings}
	if err := workflow.ExecuteActivity(storeWork(ctx, "compare and judge"), a.CompareDirectory, input).Get(ctx, &plan); err != nil {
		return err
	}
	d.Plan = &plan
	return nil
}

// carryOut applies the changes page by page, and then looks at them again.
func (d *directorySync) carryOut(ctx workflow.Context) error {
	var a *activities.Directory
	if d.Phase != PhaseVerifying {
		if err := d.pages(ctx, PhaseApplying, a.ApplyDirectory); d.Stopped != "" || err != nil {
			return err
		}
		d.After = 0
	}
	return d.pages(ctx, PhaseVerifying, a.VerifyDirectory)
}

func (d *directorySync) pages(ctx workflow.Context, phase string, step any) error {
	if d.Phase != phase {
		if err := d.enter(ctx, phase); err != nil {
			return err
		}
	}
	for {
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			d.takeIn()
			return workflow.NewContinueAsNewError(ctx, DirectorySync, d.DirectoryState)
		}
		var a *activities.Suspension
		var page dirsync.Applied
		input := activities.ApplyDirectoryInput{DirectoryInput: d.input(), After: d.After, Limit: d.PageSize}
		if err := workflow.ExecuteActivity(applying(ctx, fmt.Sprintf("after change %d", d.After)), step, input).Get(ctx, &page); err != nil {
			return err
		}
		d.After = max(d.After, page.Last)
		if phase == PhaseApplying {
			d.Done, d.Failed, d.Moot = d.Done+page.Done, d.Failed+page.Failed, d.Moot+page.Moot
		}
		d.tell(ctx)
		switch {
		case page.Stopped != "":
			d.Stopped, d.Hint = page.Stopped, page.Hint
			return nil
		case page.Suspended:
			err := workflow.ExecuteActivity(settling(ctx, "wait until the mirror is resumed"), a.AwaitRunning, d.input().Link).Get(ctx, nil)
			if err != nil {
				return err
			}
		case !page.More:
			return nil
		}
	}
}

// end closes the record and leaves the last phase to be found by. What failed is
// in the record then, and the workflow has done its work.
func (d *directorySync) end(ctx workflow.Context, failure error) error {
	if !d.begun {
		if err := workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(phaseOf(failure))); err != nil {
			return err
		}
		return failure
	}
	var a *activities.Directory
	input := activities.FinishDirectoryInput{DirectoryInput: d.input(), Refused: d.members.Refused, Failure: d.Stopped, Hint: d.Hint}
	if failure != nil {
		input.Failure, input.Hint = toldOf(failure)
	}
	err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "close the record"), a.FinishDirectory, input).Get(ctx, &d.ended)
	if err != nil {
		return err
	}
	d.tell(ctx)
	plan := cmp.Or(d.Plan, &dirsync.Plan{})
	sayEnded(ctx, "directory run finished", d.Link, d.RunID, failure, "state", string(d.ended), "source_entries", d.source.Entries, "target_entries", d.target.Entries,
		"due", plan.Due, "held", plan.Held, "done", d.Done, "failed", d.Failed, "moot", d.Moot, "joined", d.members.Joined, "left", d.members.Left)
	phase := string(d.ended)
	if temporal.IsCanceledError(failure) {
		phase = PhaseCancelled
	}
	return workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(phase))
}

// enter begins a phase.
func (d *directorySync) enter(ctx workflow.Context, phase string) error {
	d.Phase = phase
	d.tell(ctx)
	return workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(phase))
}

// tell writes what is going on for the Web UI.
func (d *directorySync) tell(ctx workflow.Context) {
	now := d.Phase
	if d.ended != "" {
		now = string(d.ended)
	}
	text := fmt.Sprintf("%s. %d entries on the source, %d on the target.", now, d.source.Entries, d.target.Entries)
	if d.Plan != nil {
		text += fmt.Sprintf("\n\n- %d changes due, %d held; %d done, %d failed, %d needed nothing any more\n- %d mailboxes joined the link, %d left it",
			d.Plan.Due, d.Plan.Held, d.Done, d.Failed, d.Moot, d.members.Joined, d.members.Left)
	}
	workflow.SetCurrentDetails(ctx, text)
}

// toldOf is what the record says of a failure.
func toldOf(err error) (text, hint string) {
	app, failed := errors.AsType[*temporal.ApplicationError](err)
	switch {
	case temporal.IsCanceledError(err):
		return "cancelled", ""
	case failed:
		_ = app.Details(&hint) // without one it is still a failure
		return app.Message(), hint
	case temporal.IsTimeoutError(err):
		return "no worker carried it on in time", "is a worker running?"
	}
	return "broken off", "see the workflow's history in Temporal's Web UI"
}
