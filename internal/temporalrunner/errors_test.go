package temporalrunner

import (
	"context"
	"errors"
	"testing"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/fault"
)

func TestClassify(t *testing.T) {
	tests := []struct {
		name string
		err  error
		kind fault.Kind
		hint bool
	}{
		{"away", serviceerror.NewUnavailable("connection refused"), fault.Transient, true},
		{"slow", serviceerror.NewDeadlineExceeded("too late"), fault.Transient, false},
		{"no such namespace", serviceerror.NewNamespaceNotFound("mirror"), fault.Config, true},
		{"not allowed", serviceerror.NewPermissionDenied("no", ""), fault.Config, true},
		{"attributes are missing", serviceerror.NewInvalidArgument("no mapping defined for search attribute"), fault.Config, true},
		{"no such workflow", serviceerror.NewNotFound("workflow not found"), fault.Permanent, false},
		{"anything else", errors.New("surprise"), fault.Transient, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := classify("start compare", test.err)
			if fault.KindOf(err) != test.kind || (fault.HintOf(err) != "") != test.hint {
				t.Errorf("got kind %s, hint %q", fault.KindOf(err), fault.HintOf(err))
			}
			if want := "start compare: " + test.err.Error(); err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		})
	}
	if classify("start compare", nil) != nil {
		t.Error("no error became one")
	}
	for _, ended := range []error{context.Canceled, serviceerror.NewCanceled("context canceled")} {
		if err := classify("start compare", ended); !errors.Is(err, context.Canceled) {
			t.Errorf("the caller's own end got lost: %v", err)
		}
	}
}

func TestWorkflowFaultKeepsTheKindOfTheActivity(t *testing.T) {
	for _, kind := range []fault.Kind{fault.Transient, fault.Permanent, fault.Conflict, fault.Config} {
		app := temporal.NewApplicationErrorWithOptions("log in: refused", string(kind), temporal.ApplicationErrorOptions{
			Details: []any{"check the password"}})
		err := applicationFault("compare", asApplicationError(t, app))
		if fault.KindOf(err) != kind || fault.HintOf(err) != "check the password" || err.Error() != "compare: log in: refused" {
			t.Errorf("got %v of kind %s, hint %q", err, fault.KindOf(err), fault.HintOf(err))
		}
	}
	foreign := temporal.NewApplicationError("terminated by hand", "SomethingElse")
	if err := applicationFault("compare", asApplicationError(t, foreign)); !fault.Is(err, fault.Permanent) {
		t.Errorf("got kind %s", fault.KindOf(err))
	}
}

func asApplicationError(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	if !ok {
		t.Fatalf("%v is no error of an application", err)
	}
	return app
}
