package temporalrunner

import (
	"context"
	"errors"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"mailmirror/workflows"
)

// StartDirectory implements control.DirectoryRunner.
func (r *Runner) StartDirectory(ctx context.Context, link, trigger string) (runID string, started bool, err error) {
	options := r.directoryOptions(link)
	options.WorkflowIDConflictPolicy = enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL
	options.WorkflowExecutionErrorWhenAlreadyStarted = true
	run, err := r.client.ExecuteWorkflow(ctx, options, workflows.TypeDirectorySync, r.directoryState(link, trigger))
	if err == nil {
		return run.GetRunID(), true, nil
	}
	if running, exists := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); exists {
		return running.RunId, false, nil
	}
	return "", false, classify("start "+options.ID, err)
}

// AskDirectory implements control.DirectoryRunner: a run that is under way has
// read what it goes by, and another one follows it.
func (r *Runner) AskDirectory(ctx context.Context, link, trigger string) error {
	_, err := r.client.SignalWithStartWorkflow(ctx, workflows.DirectoryID(link), workflows.SignalWork,
		workflows.Work{Trigger: trigger}, r.directoryOptions(link), workflows.TypeDirectorySync, r.directoryState(link, trigger))
	return classify("start "+workflows.DirectoryID(link), err)
}

func (r *Runner) directoryOptions(link string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                    workflows.DirectoryID(link),
		TaskQueue:             r.opts.TaskQueue,
		TypedSearchAttributes: workflows.DirectoryAttributes(link),
		StaticSummary:         workflows.DirectorySummary(link),
	}
}

func (r *Runner) directoryState(link, trigger string) workflows.DirectoryState {
	return workflows.DirectoryState{Link: link, Trigger: trigger, PageSize: r.opts.Changes}
}
