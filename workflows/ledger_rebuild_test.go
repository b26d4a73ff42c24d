package workflows_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/site"
	"mailmirror/workflows"
)

func (l *link) rebuild(ctx context.Context, in activities.ReviewInput) (site.CompareProgress, error) {
	l.mu.Lock()
	l.rebuilt++
	l.mu.Unlock()
	return l.review(ctx, in)
}

// TestLedgerRebuild goes through every page, continuing as new on its way, by
// pages of its own.
func TestLedgerRebuild(t *testing.T) {
	env := environment(t)
	l := &link{total: 95}
	l.expect(env)
	env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { env.SetContinueAsNewSuggested(true) })
	env.ExecuteWorkflow(workflows.LedgerRebuild, workflows.CompareState{Link: "dr", Trigger: activities.TriggerRebuild, PageSize: 10, Window: 2})
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) || next.WorkflowType.Name != workflows.TypeLedgerRebuild {
		t.Fatalf("got %v, want to continue as a rebuild", env.GetWorkflowError())
	}
	var carried workflows.CompareState
	decode(t, next.Input, &carried)
	rest := environment(t)
	l.expect(rest)
	rest.ExecuteWorkflow(workflows.LedgerRebuild, carried)
	var got site.CompareProgress
	if err := rest.GetWorkflowResult(&got); err != nil {
		t.Fatal(err)
	}
	if got.Reviewed != 95 || l.rebuilt != 10 || l.begun != 1 || l.kind != site.RunRebuild {
		t.Errorf("%+v, %d pages rebuilt, begun %d times as %q", got, l.rebuilt, l.begun, l.kind)
	}
	l.endedAs(t, activities.FinishInput{Link: "dr", Kind: site.RunRebuild})
}

func TestScheduledRebuildStartsOne(t *testing.T) {
	env := environment(t)
	env.OnWorkflow(workflows.LedgerRebuild, mock.Anything, mock.Anything).Return(site.CompareProgress{}, nil)
	env.ExecuteWorkflow(workflows.ScheduledRebuild, workflows.CompareState{Link: "dr"})
	var started bool
	if err := env.GetWorkflowResult(&started); err != nil || !started {
		t.Errorf("started %v, %v", started, err)
	}
}

func TestRetention(t *testing.T) {
	env := environment(t)
	want := site.Retained{Made: 1, Archived: 2, Dropped: 3, Compares: 4}
	env.OnActivity(steps.PurgeRecords, mock.Anything).Return(want, nil).Once()
	env.ExecuteWorkflow(workflows.Retention)
	var got site.Retained
	if err := env.GetWorkflowResult(&got); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
