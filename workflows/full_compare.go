package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/background"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// CompareState starts a FullCompare and is what it carries over when it
// continues as new. Of a fresh one only the first block is set.
type CompareState struct {
	Link    string `json:"link"`
	Trigger string `json:"trigger"`
	// PageSize is how many mailboxes one activity reviews, Window how many
	// pages are under way at a time.
	PageSize int `json:"page_size"`
	Window   int `json:"window"`

	// Begun is true once the compare is recorded. Mailboxes is how many there
	// were then.
	Begun     bool `json:"begun,omitempty"`
	Mailboxes int  `json:"mailboxes,omitempty"`
	// Planned holds pages that are not started yet, After is where to go on
	// planning, and Complete says that there are no more to plan.
	Planned  []activities.Page `json:"planned,omitempty"`
	After    mailbox.Number    `json:"after,omitempty"`
	Complete bool              `json:"complete,omitempty"`
	// Started and Ended count pages; Progress sums those that ended.
	Started  int                  `json:"started,omitempty"`
	Ended    int                  `json:"ended,omitempty"`
	Progress site.CompareProgress `json:"progress,omitzero"`
}

// planAhead is how many pages are planned by one look at the database.
const planAhead = 50

// CompareView answers QueryProgress of a FullCompare.
type CompareView struct {
	RunID     string `json:"run_id"`
	Link      string `json:"link"`
	Trigger   string `json:"trigger"`
	Mailboxes int    `json:"mailboxes"`
	// PagesRunning are being reviewed now; Progress sums the PagesEnded. The
	// compare's record in the database is fresher: it counts running pages too.
	PagesRunning int `json:"pages_running"`
	PagesEnded   int `json:"pages_ended"`
	site.CompareProgress
}

// ScheduledCompare is what the compare schedule of a link runs: it starts the
// link's FullCompare unless one is running.
//
// Temporal appends the time to the id of whatever a schedule starts. Were that
// the compare itself, a scheduled and an operator's compare of one link could
// run side by side. So the schedule starts this, which has done its work once
// the compare, under the link's one id, is on its way; and whoever wants to
// wait for a compare knows its id, whoever started it.
func ScheduledCompare(ctx workflow.Context, in CompareState) (started bool, err error) {
	return startDue(ctx, FullCompare, in, CompareID(in.Link), CompareSummary(in.Link))
}

// startDue starts a compare or a rebuild under its one id, unless it is running.
func startDue(ctx workflow.Context, due any, in CompareState, id, summary string) (started bool, err error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		TypedSearchAttributes: CompareAttributes(in.Link),
		StaticSummary:         summary,
	})
	err = workflow.ExecuteChildWorkflow(ctx, due, in).GetChildWorkflowExecution().Get(ctx, nil)
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		sayLeftOut(ctx, in.Link, id)
		return false, nil
	}
	return err == nil, err
}

// FullCompare reviews every participating mailbox of a link, page by page, a
// few pages at a time, and returns what it found and did. A page costs this
// workflow three events, a mailbox none.
func FullCompare(ctx workflow.Context, state CompareState) (site.CompareProgress, error) {
	var a *activities.Compare
	return (&compare{CompareState: state, self: FullCompare, page: a.ReviewPage}).whole(ctx)
}

// whole runs a compare from its begin, or from where the run before continued,
// to its end.
func (c *compare) whole(ctx workflow.Context) (site.CompareProgress, error) {
	c.runID = workflow.GetInfo(ctx).FirstRunID
	err := workflow.SetQueryHandler(ctx, QueryProgress, func() (CompareView, error) { return c.view(), nil })
	if err != nil {
		return site.CompareProgress{}, err
	}
	err = c.run(ctx)
	if workflow.IsContinueAsNewError(err) {
		return site.CompareProgress{}, err
	}
	// Cancelled or failed, the compare is not running any more, and its record
	// must not say that it is.
	after, _ := workflow.NewDisconnectedContext(ctx)
	if endErr := c.end(after, err); err == nil {
		err = endErr
	}
	p := c.Progress
	work := p.Messages.Add(p.Greetings)
	sayEnded(ctx, "compare finished", c.Link, c.runID, err, "kind", string(background.LoopOf(c.kind)), "mailboxes", c.Mailboxes, "reviewed", p.Reviewed, "unchanged", p.Unchanged,
		"synced", p.Synced, "differing", p.Differing, "failed", p.Failed, "busy", p.Busy, "copied", work.Appended, "bytes", work.Bytes, "expunged", work.Expunged)
	return p, err
}

// compare is one run of a FullCompare.
type compare struct {
	CompareState
	// self is the workflow, page the activity for a page of mailboxes.
	self, page any
	kind       site.RunKind
	// runID is that of the first run, which names the compare.
	runID   string
	running int
}

func (c *compare) run(ctx workflow.Context) error {
	var a *activities.Compare
	if !c.Begun {
		input := activities.BeginInput{RunID: c.runID, Link: c.Link, Trigger: c.Trigger, Started: workflow.Now(ctx), Kind: c.kind}
		err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "record the compare"), a.BeginCompare, input).Get(ctx, &c.Mailboxes)
		if err != nil {
			return err
		}
		c.Begun = true
	}
	// One page that fails for good ends the others: what stops it, a link that
	// is gone or a store that cannot be configured, stops them as well.
	pages, cancelPages := workflow.WithCancel(ctx)
	defer cancelPages()
	selector := workflow.NewSelector(ctx)
	var failure error
	for {
		stopping := failure != nil || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
		for !stopping && c.running < c.Window {
			page, ok, err := c.nextPage(pages)
			if err != nil {
				failure, stopping = err, true
				cancelPages()
			}
			if !ok {
				break
			}
			selector.AddFuture(c.start(pages, page), func(f workflow.Future) {
				if err := c.ended(ctx, f); err != nil && failure == nil {
					failure = err
					cancelPages()
				}
			})
		}
		c.tell(ctx)
		switch {
		case c.running > 0:
			selector.Select(ctx)
		case failure != nil:
			return failure
		case c.Complete && len(c.Planned) == 0:
			return nil
		case stopping:
			return workflow.NewContinueAsNewError(ctx, c.self, c.CompareState)
		}
	}
}

// nextPage returns the next page to review, planning more where none is left.
func (c *compare) nextPage(ctx workflow.Context) (activities.Page, bool, error) {
	if len(c.Planned) == 0 && !c.Complete {
		var a *activities.Compare
		input := activities.PlanInput{Link: c.Link, After: c.After, PageSize: c.PageSize, Pages: planAhead, Kind: c.kind}
		err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "plan pages"), a.PlanPages, input).Get(ctx, &c.Planned)
		if err != nil {
			return activities.Page{}, false, err
		}
		c.Complete = len(c.Planned) < planAhead
		if n := len(c.Planned); n > 0 {
			c.After = c.Planned[n-1].Last
		}
	}
	if len(c.Planned) == 0 {
		return activities.Page{}, false, nil
	}
	page := c.Planned[0]
	c.Planned = c.Planned[1:]
	return page, true, nil
}

func (c *compare) start(ctx workflow.Context, page activities.Page) workflow.Future {
	input := activities.ReviewInput{RunID: c.runID, Link: c.Link, Trigger: c.Trigger, Index: c.Started, Page: page}
	c.Started++
	c.running++
	return workflow.ExecuteActivity(storeWork(ctx, "up to mailbox "+shown(page.Last)), c.page, input)
}

// ended takes in the answer of a page.
func (c *compare) ended(ctx workflow.Context, f workflow.Future) error {
	c.running--
	var progress site.CompareProgress
	if err := f.Get(ctx, &progress); err != nil {
		return err
	}
	c.Ended++
	c.Progress = c.Progress.Add(progress)
	return nil
}

// end leaves the last phase to be found by and closes the record. failure is why the
// compare broke off, nil if it did not. A compare that is not recorded as begun failed
// because its link is gone, or was cancelled before: there is nothing to close.
func (c *compare) end(ctx workflow.Context, failure error) error {
	c.tell(ctx)
	if err := workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(phaseOf(failure))); err != nil || !c.Begun {
		return err
	}
	input := activities.FinishInput{RunID: c.runID, Link: c.Link, Kind: c.kind}
	if failure != nil {
		input.Error, input.Hint = toldOf(failure)
		if app, ok := errors.AsType[*temporal.ApplicationError](failure); ok {
			input.ErrorKind = app.Type()
		}
	}
	var a *activities.Compare
	return workflow.ExecuteLocalActivity(bookkeeping(ctx, "close the record"), a.FinishCompare, input).Get(ctx, nil)
}

func (c *compare) view() CompareView {
	return CompareView{RunID: c.runID, Link: c.Link, Trigger: c.Trigger, Mailboxes: c.Mailboxes,
		PagesRunning: c.running, PagesEnded: c.Ended, CompareProgress: c.Progress}
}

// tell writes what is going on for the Web UI.
func (c *compare) tell(ctx workflow.Context) {
	p := c.Progress
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(
		"%d of %d mailboxes reviewed in %d pages, %d pages under way.\n\n"+
			"- %d unchanged, %d made equal (%d with lasting differences), %d failed, %d left to another sync\n"+
			"- messages: %s\n- greetings: %s",
		p.Reviewed, c.Mailboxes, c.Ended, c.running, p.Unchanged, p.Synced, p.Differing, p.Failed, p.Busy,
		workText(p.Messages), workText(p.Greetings)))
}
