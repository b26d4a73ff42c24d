package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
	"mailmirror/internal/watch"
	"mailmirror/test/logged"
	"mailmirror/workflows"
)

// twice starts what a schedule starts two times at once.
func twice[In any](scheduled func(workflow.Context, In) (bool, error)) any {
	return func(ctx workflow.Context, in In) (err error) {
		wg := workflow.NewWaitGroup(ctx)
		for range 2 {
			wg.Add(1)
			workflow.Go(ctx, func(ctx workflow.Context) {
				defer wg.Done()
				_, one := scheduled(ctx, in)
				err = errors.Join(err, one)
			})
		}
		wg.Wait(ctx)
		return err
	}
}

// The end of a workflow is one line, unless there was nothing to do.
func TestEndsAreLogged(t *testing.T) {
	refused := temporal.NewNonRetryableApplicationError("bind: wrong password", "config", nil, "store edit")
	work := copier.Work{Appended: 2, Bytes: 10}
	compare := func(env *testsuite.TestWorkflowEnvironment) { (&link{total: 3}).expect(env) }
	swept := func(result activities.SweepResult) func(*testsuite.TestWorkflowEnvironment) {
		return func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(steps.StartDue, mock.Anything, mock.Anything).Return(result, nil)
		}
	}
	synced := func(answers ...activities.SyncResult) func(*testsuite.TestWorkflowEnvironment) {
		return func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(steps.SyncMailbox, mock.Anything, mock.Anything).Return((&syncs{answers: answers}).answer)
		}
	}
	running := func(child string, result any) func(*testsuite.TestWorkflowEnvironment) {
		return func(env *testsuite.TestWorkflowEnvironment) {
			env.OnWorkflow(child, mock.Anything, mock.Anything).Return(result, nil).After(time.Hour)
		}
	}
	state := workflows.CompareState{Link: "dr", Trigger: activities.TriggerCompare, PageSize: 2, Window: 1}
	run := workflows.DirectoryState{Link: "dr", Trigger: dirsync.TriggerSchedule, PageSize: 500}
	for name, c := range map[string]struct {
		prepare  func(*testsuite.TestWorkflowEnvironment)
		workflow any
		input    []any
		message  string
		times    int
		fails    bool
	}{
		"a sync": {synced(activities.SyncResult{State: activities.SyncEqual, Messages: work}), workflows.MailboxSync,
			[]any{workflows.MailboxSyncInput{Link: "dr", Number: "1001"}}, "mailbox sync finished", 1, false},
		"a sync that found nothing": {synced(activities.SyncResult{State: activities.SyncEqual}), workflows.MailboxSync,
			[]any{workflows.MailboxSyncInput{Link: "dr", Number: "1001"}}, "mailbox sync finished", 0, false},
		"a compare":                 {compare, workflows.FullCompare, []any{state}, "compare finished", 1, false},
		"a rebuild":                 {compare, workflows.LedgerRebuild, []any{state}, "compare finished", 1, false},
		"a compare that is running": {running(workflows.TypeFullCompare, site.CompareProgress{}), "compare twice", []any{state}, "left out, one is running", 1, false},
		"a directory run":           {(&directoryLink{plan: believed(), ends: dirsync.Done}).expect, workflows.DirectorySync, []any{run}, "directory run finished", 1, false},
		"a directory run that fails": {(&directoryLink{ends: dirsync.Failed, extract: func(dirsync.Side) error { return refused }}).expect,
			workflows.DirectorySync, []any{run}, "directory run finished", 1, false},
		"a directory run that is running": {running(workflows.TypeDirectorySync, dirsync.Done), "directory twice", []any{run}, "left out, one is running", 1, false},
		"a verification": {(&verified{total: 3}).expect, workflows.Verify,
			[]any{workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: "dr"}, PageSize: 2}}, "verification finished", 1, false},
		"a check": {func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(checks.CheckStore, mock.Anything, mock.Anything).Return(nil)
		}, workflows.CheckStore, []any{workflows.CheckStoreInput{Store: "production"}}, "store check finished", 1, false},
		"a check that fails": {func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(checks.CheckStore, mock.Anything, mock.Anything).Return(refused)
		}, workflows.CheckStore, []any{workflows.CheckStoreInput{Store: "production"}}, "store check finished", 1, true},
		"retention": {func(env *testsuite.TestWorkflowEnvironment) {
			env.OnActivity(steps.PurgeRecords, mock.Anything).Return(site.Retained{Archived: 2}, nil)
		}, workflows.Retention, nil, "retention finished", 1, false},
		"listening": {func(env *testsuite.TestWorkflowEnvironment) {
			e := &ears{plans: plans(1, 0)}
			e.expect(env)
			env.RegisterDelayedCallback(func() { e.end(0, watch.Gone) }, 100*time.Millisecond)
		}, workflows.WatchEvents, []any{workflows.WatchState{Link: "dr"}}, "listening finished", 1, false},
		"a sweep":                    {swept(activities.SweepResult{Due: 2, Started: 1}), workflows.Sweep, []any{activities.SweepInput{}}, "sweep finished", 1, false},
		"a sweep that found nothing": {swept(activities.SweepResult{}), workflows.Sweep, []any{activities.SweepInput{}}, "sweep finished", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			said := &logged.Log{}
			suite := &testsuite.WorkflowTestSuite{}
			suite.SetLogger(log.NewStructuredLogger(said.Logger()))
			env := environmentOf(t, suite, map[string]any{"compare twice": twice(workflows.ScheduledCompare), "directory twice": twice(workflows.ScheduledDirectory)})
			c.prepare(env)
			env.ExecuteWorkflow(c.workflow, c.input...)
			if err := env.GetWorkflowError(); (err != nil) != c.fails || !env.IsWorkflowCompleted() {
				t.Fatal(err)
			}
			said.Want(t, c.message, c.times)
		})
	}
}
