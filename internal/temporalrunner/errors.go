package temporalrunner

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/fault"
)

// classify gives an error of Temporal its kind; nil stays nil. What a workflow
// failed with keeps the kind that its activities gave it. An error of the
// caller's own context is passed on as it is.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if failed, ok := errors.AsType[*temporal.WorkflowExecutionError](err); ok {
		return workflowFault(op, failed)
	}
	switch {
	case is[*serviceerror.Unavailable](err), is[*serviceerror.WorkflowNotReady](err):
		return fault.New(fault.Transient, op, err, "is Temporal running, and is its address right?")
	case is[*serviceerror.PermissionDenied](err):
		return fault.New(fault.Config, op, err, "check the API key or client certificate for Temporal")
	case is[*serviceerror.NamespaceNotFound](err):
		return fault.New(fault.Config, op, err, "check the name of the Temporal namespace")
	case is[*serviceerror.InvalidArgument](err), is[*serviceerror.Unimplemented](err),
		is[*serviceerror.ClientVersionNotSupported](err), is[*serviceerror.ServerVersionNotSupported](err):
		return fault.New(fault.Config, op, err, "does this release of Temporal fit, and are the search attributes there?")
	case is[*serviceerror.NotFound](err):
		return fault.New(fault.Permanent, op, err, "")
	case is[*serviceerror.DeadlineExceeded](err), is[*serviceerror.ResourceExhausted](err):
		return fault.New(fault.Transient, op, err, "")
	case is[*serviceerror.Canceled](err):
		// So the client calls the end of the caller's context.
		return fault.New(fault.Transient, op, context.Canceled, "")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, op)
	}
	return fault.New(fault.Transient, op, err, "")
}

// workflowFault tells why a workflow ended otherwise than well.
func workflowFault(op string, err *temporal.WorkflowExecutionError) error {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return applicationFault(op, app)
	}
	switch {
	case temporal.IsCanceledError(err):
		return fault.New(fault.Conflict, op, errors.New("cancelled"), "")
	case temporal.IsTerminatedError(err):
		return fault.New(fault.Conflict, op, errors.New("terminated"), "")
	}
	return fault.New(fault.Permanent, op, err.Unwrap(), "see the workflow's history in Temporal's Web UI")
}

// applicationFault gives back the fault that an activity turned into app.
func applicationFault(op string, app *temporal.ApplicationError) error {
	kind := fault.Kind(app.Type())
	switch kind {
	case fault.Transient, fault.Permanent, fault.Conflict, fault.Config, fault.NotFound:
	default:
		kind = fault.Permanent
	}
	var hint string
	if app.HasDetails() {
		_ = app.Details(&hint) // an error without a hint is still an error
	}
	return fault.New(kind, op, errors.New(app.Message()), hint)
}

func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}
