package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/workflows"
)

// The end of a workflow is one line, with the link, the run and counts, unless there was
// nothing to do.
func TestEndsAreLogged(t *testing.T) {
	work := copier.Work{Appended: 2, Bytes: 10}
	counts := "busy bytes copied differing expunged failed link mailboxes outcome reviewed run_id synced unchanged"
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
	state := workflows.CompareState{Link: "dr", Trigger: activities.TriggerCompare, PageSize: 2, Window: 1}
	for name, c := range map[string]struct {
		prepare  func(*testsuite.TestWorkflowEnvironment)
		workflow any
		input    any
		message  string
		times    int
		keys     string
	}{
		"a sync": {synced(activities.SyncResult{State: activities.SyncEqual, Messages: work}), workflows.MailboxSync, workflows.MailboxSyncInput{Link: "dr", Number: "1001"},
			"mailbox sync finished", 1, "bytes copied differences expunged flagged link mailbox_id outcome run_id state syncs"},
		"a sync that found nothing": {synced(activities.SyncResult{State: activities.SyncEqual}), workflows.MailboxSync, workflows.MailboxSyncInput{Link: "dr", Number: "1001"},
			"mailbox sync finished", 0, ""},
		"a compare": {compare, workflows.FullCompare, state, "compare finished", 1, counts},
		"a rebuild": {compare, workflows.LedgerRebuild, state, "ledger rebuild finished", 1, counts},
		"a sweep": {swept(activities.SweepResult{Due: 2, Started: 1}), workflows.Sweep, activities.SweepInput{},
			"sweep finished", 1, "directories due failed link outcome run_id running started"},
		"a sweep that found nothing": {swept(activities.SweepResult{}), workflows.Sweep, activities.SweepInput{}, "sweep finished", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			said := &activitytest.Log{}
			suite := &testsuite.WorkflowTestSuite{}
			suite.SetLogger(log.NewStructuredLogger(said.Logger()))
			env := environmentOf(t, suite)
			c.prepare(env)
			env.ExecuteWorkflow(c.workflow, c.input)
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			said.Want(t, c.message, c.times, c.keys)
		})
	}
}
