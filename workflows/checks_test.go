package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/mock"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/verdict"
	"mailmirror/workflows"
)

var checks *activities.Checks

// verified answers the activities of a verification over mailboxes 0001 to total.
type verified struct {
	total int
	begun []activities.BeginVerifyInput
	seen  []mailbox.Number
	ended []verdict.Failure
	page  func(ctx context.Context) error // nil succeeds
}

func (v *verified) expect(env *testsuite.TestWorkflowEnvironment) {
	env.OnActivity(checks.BeginVerify, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.BeginVerifyInput) error {
			v.begun = append(v.begun, in)
			return nil
		}).Maybe()
	env.OnActivity(checks.VerifyPage, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.VerifyPageInput) (mailbox.Number, error) {
			if v.page != nil {
				if err := v.page(ctx); err != nil {
					return "", err
				}
			}
			numbers := in.Numbers
			if len(numbers) == 0 {
				for i := 1; i <= v.total && len(numbers) < in.Limit; i++ {
					if number(i) > in.After {
						numbers = append(numbers, number(i))
					}
				}
			}
			if len(numbers) == 0 {
				return "", nil
			}
			v.seen = append(v.seen, numbers...)
			return numbers[len(numbers)-1], nil
		}).Maybe()
	env.OnActivity(checks.EndVerify, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.EndVerifyInput) error {
			v.ended = append(v.ended, in.Failure)
			return nil
		}).Maybe()
}

func first(n int) []mailbox.Number {
	var numbers []mailbox.Number
	for i := range n {
		numbers = append(numbers, number(i+1))
	}
	return numbers
}

func TestVerifyGoesThroughAllPages(t *testing.T) {
	for name, named := range map[string][]mailbox.Number{"all": nil, "named": {"0007", "0002", "0004"}} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			v := &verified{total: 10}
			v.expect(env)
			env.ExecuteWorkflow(workflows.Verify, workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: "dr", Numbers: named}, PageSize: 2})
			if err := env.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			want := named
			if named == nil {
				want = first(10)
			}
			if diff := cmp.Diff(want, v.seen); diff != "" {
				t.Errorf("compared (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]verdict.Failure{{}}, v.ended); diff != "" || len(v.begun) != 1 || v.begun[0].Mailboxes != len(named) {
				t.Errorf("begun %+v, ended (-want +got):\n%s", v.begun, diff)
			}
		})
	}
}

func TestVerifyContinuesAsNew(t *testing.T) {
	for name, named := range map[string][]mailbox.Number{"all": nil, "named": first(5)} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			v := &verified{total: 5}
			v.expect(env)
			env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { env.SetContinueAsNewSuggested(true) })
			env.ExecuteWorkflow(workflows.Verify, workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: "dr", Numbers: named}, PageSize: 2})
			var next *workflow.ContinueAsNewError
			if !errors.As(env.GetWorkflowError(), &next) {
				t.Fatalf("got %v, want to continue as new", env.GetWorkflowError())
			}
			if len(v.ended) != 0 {
				t.Error("the record was closed before the end")
			}
			var carried workflows.VerifyState
			decode(t, next.Input, &carried)
			rest := environment(t)
			v.expect(rest)
			rest.ExecuteWorkflow(workflows.Verify, carried)
			if err := rest.GetWorkflowError(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(first(5), v.seen); diff != "" || len(v.begun) != 1 || len(v.ended) != 1 {
				t.Errorf("begun %d times, ended %d times, compared (-want +got):\n%s", len(v.begun), len(v.ended), diff)
			}
		})
	}
}

func TestVerifyEndsItsRecord(t *testing.T) {
	for name, test := range map[string]struct {
		fail bool
		want verdict.Failure
	}{
		"failed":    {true, verdict.Failure{ErrorKind: "config", Error: "the password does not open", Hint: "enter it again"}},
		"cancelled": {false, verdict.Failure{Error: "cancelled"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := environment(t)
			v := &verified{total: 5, page: func(ctx context.Context) error {
				if test.fail {
					return temporal.NewNonRetryableApplicationError(test.want.Error, test.want.ErrorKind, nil, test.want.Hint)
				}
				<-ctx.Done()
				return ctx.Err()
			}}
			v.expect(env)
			if !test.fail {
				env.RegisterDelayedCallback(env.CancelWorkflow, time.Second)
			}
			env.ExecuteWorkflow(workflows.Verify, workflows.VerifyState{VerifyRequest: verdict.VerifyRequest{Link: "dr"}, PageSize: 2})
			if env.GetWorkflowError() == nil {
				t.Error("the workflow succeeds")
			}
			if diff := cmp.Diff([]verdict.Failure{test.want}, v.ended); diff != "" {
				t.Errorf("ended (-want +got):\n%s", diff)
			}
		})
	}
}
