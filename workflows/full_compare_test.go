package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/mock"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/workflows"
)

func decode(t *testing.T, payloads *commonpb.Payloads, into any) {
	t.Helper()
	if err := converter.GetDefaultDataConverter().FromPayloads(payloads, into); err != nil {
		t.Fatal(err)
	}
}

// link answers the activities of a compare over mailboxes 0001 to total.
type link struct {
	total   int
	mu      sync.Mutex
	indexes []int
	begun   int
	kind    site.RunKind
	rebuilt int
	ended   []activities.FinishInput
	// page answers ReviewPage; nil finds everything unchanged.
	page func(ctx context.Context, in activities.ReviewInput) (site.CompareProgress, error)
}

func number(i int) mailbox.Number { return mailbox.Number(fmt.Sprintf("%04d", i)) }

func (l *link) expect(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(steps.BeginCompare, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.BeginInput) (int, error) {
			l.begun++
			l.kind = in.Kind
			return l.total, nil
		}).Maybe()
	env.OnActivity(steps.PlanPages, mock.Anything, mock.Anything).Return(l.plan).Maybe()
	env.OnActivity(steps.ReviewPage, mock.Anything, mock.Anything).Return(l.review).Maybe()
	env.OnActivity(steps.RebuildPage, mock.Anything, mock.Anything).Return(l.rebuild).Maybe()
	env.OnActivity(steps.FinishCompare, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.FinishInput) error { l.ended = append(l.ended, in); return nil }).Maybe()
}

func (l *link) plan(_ context.Context, in activities.PlanInput) ([]activities.Page, error) {
	after := 0
	if in.After != "" {
		if _, err := fmt.Sscanf(string(in.After), "%d", &after); err != nil {
			return nil, err
		}
	}
	var pages []activities.Page
	for len(pages) < in.Pages && after < l.total {
		last := min(after+in.PageSize, l.total)
		pages = append(pages, activities.Page{After: number(after), Last: number(last)})
		after = last
	}
	return pages, nil
}

func (l *link) review(ctx context.Context, in activities.ReviewInput) (site.CompareProgress, error) {
	l.mu.Lock()
	l.indexes = append(l.indexes, in.Index)
	l.mu.Unlock()
	if l.page != nil {
		return l.page(ctx, in)
	}
	var first, last int
	if _, err := fmt.Sscanf(string(in.Page.After)+" "+string(in.Page.Last), "%d %d", &first, &last); err != nil {
		return site.CompareProgress{}, err
	}
	return site.CompareProgress{Reviewed: last - first, Unchanged: last - first}, nil
}

func TestFullCompareReviewsEveryPage(t *testing.T) {
	for _, total := range []int{0, 1, 9, 10, 11, 1234} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			env := environment(t)
			l := &link{total: total}
			l.expect(env)
			env.ExecuteWorkflow(workflows.FullCompare, workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 10, Window: 3})
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			var got site.CompareProgress
			if err := env.GetWorkflowResult(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(site.CompareProgress{Reviewed: total, Unchanged: total}, got); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
			seen := map[int]bool{}
			for _, i := range l.indexes {
				if seen[i] {
					t.Errorf("page %d was reviewed twice", i)
				}
				seen[i] = true
			}
			l.endedAs(t, activities.FinishInput{Link: "dr"})
		})
	}
}

func TestFullCompareKeepsToItsWindow(t *testing.T) {
	env := environment(t)
	l := &link{total: 60}
	l.expect(env)
	most := 0
	env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) {
		value, err := env.QueryWorkflow(workflows.QueryProgress)
		if err != nil {
			t.Fatal(err)
		}
		var view workflows.CompareView
		if err := value.Get(&view); err != nil {
			t.Fatal(err)
		}
		most = max(most, view.PagesRunning)
	})
	env.ExecuteWorkflow(workflows.FullCompare, workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 10, Window: 3})
	if err := env.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	if most != 3 {
		t.Errorf("%d pages under way at a time, want 3", most)
	}
}

func TestFullCompareContinuesAsNew(t *testing.T) {
	env := environment(t)
	l := &link{total: 100}
	l.expect(env)
	env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) {
		env.SetContinueAsNewSuggested(true)
	})
	env.ExecuteWorkflow(workflows.FullCompare, workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 10, Window: 2})
	var next *workflow.ContinueAsNewError
	if !errors.As(env.GetWorkflowError(), &next) {
		t.Fatalf("got %v, want to continue as new", env.GetWorkflowError())
	}
	var carried workflows.CompareState
	decode(t, next.Input, &carried)
	if len(l.ended) != 0 {
		t.Error("the record was closed before the compare ended")
	}
	if carried.Started != carried.Ended {
		t.Errorf("continued with %d pages started and %d ended", carried.Started, carried.Ended)
	}

	// The next run reviews the rest, and only that.
	rest := environment(t)
	l.begun = 0
	l.expect(rest)
	rest.ExecuteWorkflow(workflows.FullCompare, carried)
	if err := rest.GetWorkflowError(); err != nil {
		t.Fatal(err)
	}
	var got site.CompareProgress
	if err := rest.GetWorkflowResult(&got); err != nil {
		t.Fatal(err)
	}
	if got.Reviewed != 100 || len(l.indexes) != 10 || l.begun != 0 {
		t.Errorf("reviewed %d mailboxes in %d pages, recorded anew %d times; want 100 in 10, 0", got.Reviewed, len(l.indexes), l.begun)
	}
}

func TestFullCompareEndsItsRecordWhenAPageFails(t *testing.T) {
	env := environment(t)
	l := &link{total: 100}
	l.expect(env)
	var begun sync.WaitGroup
	begun.Add(3)
	l.page = func(ctx context.Context, in activities.ReviewInput) (site.CompareProgress, error) {
		begun.Done()
		if in.Index == 0 {
			begun.Wait()
			return site.CompareProgress{}, temporal.NewNonRetryableApplicationError("the password does not open", "config", nil, "enter it again")
		}
		<-ctx.Done()
		return site.CompareProgress{}, ctx.Err()
	}
	env.ExecuteWorkflow(workflows.FullCompare, workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 10, Window: 3})
	var app *temporal.ApplicationError
	if err := env.GetWorkflowError(); !errors.As(err, &app) || app.Type() != "config" {
		t.Errorf("got %v, want the page's own error", err)
	}
	begun.Wait()
	l.endedAs(t, activities.FinishInput{Link: "dr", ErrorKind: "config", Error: "the password does not open", Hint: "enter it again"})
}

// endedAs expects the record to be closed once, and like that.
func (l *link) endedAs(t *testing.T, want activities.FinishInput) {
	t.Helper()
	if len(l.ended) != 1 {
		t.Fatalf("record closed %d times", len(l.ended))
	}
	if diff := cmp.Diff(want, l.ended[0]); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
}

func TestFullCompareCancelled(t *testing.T) {
	env := environment(t)
	l := &link{total: 100}
	l.expect(env)
	l.page = func(ctx context.Context, _ activities.ReviewInput) (site.CompareProgress, error) {
		<-ctx.Done()
		return site.CompareProgress{}, ctx.Err()
	}
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)
	env.ExecuteWorkflow(workflows.FullCompare, workflows.CompareState{Link: "dr", Trigger: "compare", PageSize: 10, Window: 3})
	if err := env.GetWorkflowError(); !temporal.IsCanceledError(err) {
		t.Errorf("got %v, want a cancellation", err)
	}
	l.endedAs(t, activities.FinishInput{Link: "dr", Error: "cancelled"})
}

func TestScheduledCompareLeavesARunningOneAlone(t *testing.T) {
	env := environment(t)
	env.OnWorkflow(workflows.TypeFullCompare, mock.Anything, mock.Anything).Return(site.CompareProgress{}, nil).Maybe()
	env.ExecuteWorkflow(workflows.ScheduledCompare, workflows.CompareState{Link: "dr", PageSize: 1, Window: 1})
	var started bool
	if err := env.GetWorkflowResult(&started); err != nil || !started {
		t.Errorf("started %v, error %v", started, err)
	}
}

func TestSweep(t *testing.T) {
	env := environment(t)
	want := activities.SweepResult{Due: 3, Started: 2, Running: 1}
	env.OnActivity(steps.StartDue, mock.Anything, activities.SweepInput{Limit: 5, Window: 2}).Return(want, nil)
	env.ExecuteWorkflow(workflows.Sweep, activities.SweepInput{Limit: 5, Window: 2})
	var got activities.SweepResult
	if err := env.GetWorkflowResult(&got); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}
