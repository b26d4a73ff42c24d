package temporalrunner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
	"mailmirror/workflows"
)

// memoRequest is the memo by which a run tells what it was started for: a digest of
// the request.
const memoRequest = "request"

// StartCheck implements control.CheckRunner.
func (r *Runner) StartCheck(ctx context.Context, store string, number mailbox.Number) (verdict.Start, error) {
	input := workflows.CheckStoreInput{Store: store, Mailbox: number}
	return r.startCheck(ctx, workflows.TypeCheckStore, client.StartWorkflowOptions{ID: workflows.CheckID(store), StaticSummary: workflows.CheckSummary(store)}, input, input)
}

// StartVerify implements control.CheckRunner.
func (r *Runner) StartVerify(ctx context.Context, request verdict.VerifyRequest) (verdict.Start, error) {
	// A link may be verified before any worker ran on this namespace.
	if err := r.Prepare(ctx); err != nil {
		return verdict.Start{}, err
	}
	return r.startCheck(ctx, workflows.TypeVerify, client.StartWorkflowOptions{ID: workflows.VerifyID(request.Link),
		TypedSearchAttributes: workflows.VerifyAttributes(request.Link), StaticSummary: workflows.VerifySummary(request.Link)},
		request, workflows.VerifyState{VerifyRequest: request, PageSize: r.opts.PageSize})
}

// startCheck starts a workflow of which one runs at a time under its id, and says of one
// that runs already whether it was started for the same request.
func (r *Runner) startCheck(ctx context.Context, workflow string, options client.StartWorkflowOptions, request, input any) (verdict.Start, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return verdict.Start{}, fault.Wrap(err, "start "+options.ID)
	}
	sum := sha256.Sum256(text)
	digest := hex.EncodeToString(sum[:])
	options.Memo = map[string]any{memoRequest: digest}
	runID, started, err := r.start(ctx, options, workflow, input)
	if err != nil || started {
		return verdict.Start{RunID: runID, Started: started, Same: started}, classify("start "+options.ID, err)
	}
	info, err := r.running(ctx, options.ID, runID)
	if err != nil {
		return verdict.Start{}, err
	}
	var of string
	if p := info.GetMemo().GetFields()[memoRequest]; p != nil {
		_ = converter.GetDefaultDataConverter().FromPayload(p, &of) // unreadable, it is another's
	}
	return verdict.Start{RunID: info.GetFirstRunId(), Same: of == digest}, nil
}

// idOf is the id of the workflow that a run is.
func idOf(run site.Run) string {
	switch run.Kind {
	case site.RunCompare:
		return workflows.CompareID(run.Of)
	case site.RunRebuild:
		return workflows.RebuildID(run.Of)
	case site.RunDirectory:
		return workflows.DirectoryID(run.Of)
	case site.RunVerify:
		return workflows.VerifyID(run.Of)
	case site.RunCheck:
		return workflows.CheckID(run.Of)
	case site.RunSuspension:
		return workflows.ControlIDOf(run.Of)
	case site.RunSync:
	}
	return workflows.SyncID(mailbox.Key{Link: run.Of, Number: run.Number})
}

// WaitRun waits for the end of a run, of one over a directory for the end of those that
// follow it at once, too. A run that ended otherwise than well is an error; mailboxes that
// failed in it are none, they are in its record.
func (r *Runner) WaitRun(ctx context.Context, run site.Run) error {
	return classify(string(run.Kind)+" of "+run.Of, r.client.GetWorkflow(ctx, idOf(run), run.ID).Get(ctx, nil))
}

// StopVerify implements control.CheckRunner.
func (r *Runner) StopVerify(ctx context.Context, link string) error {
	id := workflows.VerifyID(link)
	d, err := r.client.DescribeWorkflowExecution(ctx, id, "")
	running := d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING
	if is[*serviceerror.NotFound](err) || err == nil && !running {
		return fault.New(fault.NotFound, "no verification of link "+link+" is running", nil, "")
	}
	if err == nil {
		err = r.client.CancelWorkflow(ctx, id, "")
	}
	return classify("cancel "+id, err)
}

// AwaitsWorker implements control.CheckRunner. Work that waits for its next try does not
// wait for a worker, nor does a workflow that waits for another thing.
func (r *Runner) AwaitsWorker(ctx context.Context, run site.Run) (time.Time, error) {
	// The last run of the id: a workflow may have continued as new.
	d, err := r.client.DescribeWorkflowExecution(ctx, idOf(run), "")
	switch {
	case is[*serviceerror.NotFound](err):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, classify("look whether a worker is at "+idOf(run), err)
	}
	switch t := d.GetPendingWorkflowTask(); {
	case t.GetAttempt() > 1:
		// A worker of an earlier release, which does not know the workflow, gives it back
		// again and again.
		return d.GetWorkflowExecutionInfo().GetStartTime().AsTime(), nil
	case t.GetState() == enums.PENDING_WORKFLOW_TASK_STATE_SCHEDULED:
		return t.GetScheduledTime().AsTime(), nil
	}
	var since time.Time
	for _, a := range d.GetPendingActivities() {
		if a.GetState() != enums.PENDING_ACTIVITY_STATE_SCHEDULED || a.GetNextAttemptScheduleTime() != nil {
			return time.Time{}, nil
		}
		if at := a.GetScheduledTime().AsTime(); since.IsZero() || at.Before(since) {
			since = at
		}
	}
	return since, nil
}
