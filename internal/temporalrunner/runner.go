package temporalrunner

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"mailmirror/activities"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// Options are what the workflows and schedules are started with. Zero values
// take the defaults.
type Options struct {
	Namespace string // of the client; default "default"
	TaskQueue string // default workflows.TaskQueue
	// CompareEvery is the interval of the full compare, default 4 h, each
	// delayed by a random part of CompareJitter, default 5 min, so that the
	// compares of many links do not start at one moment.
	CompareEvery, CompareJitter time.Duration
	// SweepEvery is the interval of the sweep, default 60 s; SweepLimit how many
	// due mailboxes it looks at, default 500.
	SweepEvery time.Duration
	SweepLimit int
	// Debounce is how long a MailboxSync that goes on after its first sync waits
	// for a burst of changes to end, default 1 s.
	Debounce time.Duration
	// PageSize is how many mailboxes one activity of a compare reviews, default
	// 250; Pages how many of them are under way at a time, default 4.
	PageSize, Pages int
	// Changes is how many changes to a directory one activity carries out,
	// default 500.
	Changes int
	// Grace is how long a worker that stops waits for its activities to break
	// off in good order: the engine gives its leases back, pages write down what
	// they know. Default 15 s.
	Grace time.Duration
	// Book is where operators' decisions are kept; nil means that there are none.
	Book Book
}

// Book is what operators have decided.
type Book interface {
	// ScheduleSpecs returns when schedules run, by name, where that was set.
	ScheduleSpecs(ctx context.Context) (map[string]site.ScheduleSpec, error)
	suspension.Reader
	// HasDirectory reports whether both stores of a link have a directory; false
	// too for a link that there is not.
	HasDirectory(ctx context.Context, link string) (bool, error)
}

func (o Options) withDefaults() Options {
	setDefault(&o.Namespace, "default")
	setDefault(&o.TaskQueue, workflows.TaskQueue)
	setDefault(&o.CompareEvery, 4*time.Hour)
	setDefault(&o.CompareJitter, 5*time.Minute)
	setDefault(&o.SweepEvery, time.Minute)
	setDefault(&o.SweepLimit, 500)
	setDefault(&o.Debounce, time.Second)
	setDefault(&o.PageSize, 250)
	setDefault(&o.Pages, 4)
	setDefault(&o.Changes, 500)
	setDefault(&o.Grace, 15*time.Second)
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Runner implements the ports of control, activities and supervise over a Temporal
// client. It is safe for concurrent use; the client stays its caller's.
type Runner struct {
	client client.Client
	opts   Options
}

var (
	_ activities.Starter = (*Runner)(nil)

	_ activities.Schedules = (*Runner)(nil)
)

// New returns a runner over a connected, or lazy, client.
func New(c client.Client, opts Options) *Runner {
	return &Runner{client: c, opts: opts.withDefaults()}
}

// StartCompare starts the full compare of a link. The run id, which names the
// compare in the database too, is that of its first run: it stays while the
// workflow continues as new.
func (r *Runner) StartCompare(ctx context.Context, link string) (runID string, started bool, err error) {
	return r.startOver(ctx, workflows.TypeFullCompare, workflows.CompareID(link), workflows.CompareSummary(link),
		r.compareState(link, activities.TriggerCompare))
}

// StartRebuild does the same for a rebuild of the ledger of a link.
func (r *Runner) StartRebuild(ctx context.Context, link string) (runID string, started bool, err error) {
	return r.startOver(ctx, workflows.TypeLedgerRebuild, workflows.RebuildID(link), workflows.RebuildSummary(link),
		r.compareState(link, activities.TriggerRebuild))
}

// startOver starts a workflow over all mailboxes of a link, of which one runs at
// a time under one id.
func (r *Runner) startOver(ctx context.Context, kind, id, summary string, state workflows.CompareState) (runID string, started bool, err error) {
	runID, started, err = r.start(ctx, client.StartWorkflowOptions{ID: id, TypedSearchAttributes: workflows.CompareAttributes(state.Link), StaticSummary: summary},
		kind, state)
	if err != nil || started {
		return runID, started, classify("start "+id, err)
	}
	info, err := r.running(ctx, id, runID)
	return info.GetFirstRunId(), false, err
}

// start starts a workflow of which one runs at a time under its id, or returns the run
// id of the one that runs. Its error is Temporal's.
func (r *Runner) start(ctx context.Context, options client.StartWorkflowOptions, kind string, input any) (runID string, started bool, err error) {
	options.TaskQueue = r.opts.TaskQueue
	options.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	run, err := r.client.ExecuteWorkflow(ctx, options, kind, input)
	if err == nil {
		return run.GetRunID(), true, nil
	}
	if running, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); exists {
		return running.RunId, false, nil
	}
	return "", false, err
}

// running tells of a workflow that start found running.
func (r *Runner) running(ctx context.Context, id, runID string) (*workflow.WorkflowExecutionInfo, error) {
	described, err := r.client.DescribeWorkflowExecution(ctx, id, runID)
	return described.GetWorkflowExecutionInfo(), classify("find the running "+id, err)
}

func (r *Runner) compareState(link, trigger string) workflows.CompareState {
	return workflows.CompareState{Link: link, Trigger: trigger, PageSize: r.opts.PageSize, Window: r.opts.Pages}
}

// Sync wakes the MailboxSync of a mailbox, starting it where none is running.
// The work itself is what the database says is due, so it is marked there
// before; only activities.TriggerOperator is a reason of its own.
func (r *Runner) Sync(ctx context.Context, key mailbox.Key, trigger string) error {
	_, err := r.client.SignalWithStartWorkflow(ctx, workflows.SyncID(key), workflows.SignalWork,
		workflows.Work{Trigger: trigger}, r.syncOptions(key), workflows.TypeMailboxSync, r.syncInput(key, ""))
	return classifyStart(key, err)
}

// classifyStart is classify for the start of a mailbox's sync. What Temporal
// finds invalid in such a request is the mailbox's name: the rest is the same
// for all.
func classifyStart(key mailbox.Key, err error) error {
	op := "start sync of mailbox " + string(key.Number)
	if is[*serviceerror.InvalidArgument](err) {
		return fault.New(fault.Permanent, op, err, "Temporal does not accept this mailbox number; remove the mailbox from the link, and report this as a defect")
	}
	return classify(op, err)
}

// StartSync starts the MailboxSync of a mailbox unless one is running. That one
// is not signalled: it finds by itself whether more is due, and a signal in
// every sweep would fill its history.
func (r *Runner) StartSync(ctx context.Context, key mailbox.Key, trigger string) (bool, error) {
	_, started, err := r.start(ctx, r.syncOptions(key), workflows.TypeMailboxSync, r.syncInput(key, trigger))
	return started, classifyStart(key, err)
}

func (r *Runner) syncOptions(key mailbox.Key) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                    workflows.SyncID(key),
		TaskQueue:             r.opts.TaskQueue,
		TypedSearchAttributes: workflows.SyncAttributes(key),
		StaticSummary:         workflows.SyncSummary(key),
	}
}

func (r *Runner) syncInput(key mailbox.Key, trigger string) workflows.MailboxSyncInput {
	return workflows.MailboxSyncInput{Link: key.Link, Number: key.Number, Trigger: trigger, Debounce: r.opts.Debounce, AtOnce: true}
}

// WaitSync waits until no MailboxSync of the mailbox runs. How the mailbox
// fared is in the database; an error says that the workflow itself was broken
// off, or that Temporal cannot be asked.
func (r *Runner) WaitSync(ctx context.Context, key mailbox.Key) error {
	op := "await sync of mailbox " + string(key.Number)
	for {
		described, err := r.client.DescribeWorkflowExecution(ctx, workflows.SyncID(key), "")
		if is[*serviceerror.NotFound](err) {
			return nil
		}
		if err != nil {
			return classify(op, err)
		}
		info := described.GetWorkflowExecutionInfo()
		if info.GetStatus() != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
			return nil
		}
		if err := r.client.GetWorkflow(ctx, workflows.SyncID(key), info.GetExecution().GetRunId()).Get(ctx, nil); err != nil {
			return classify(op, err)
		}
	}
}
