package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/fault"
)

// TypeStopping is the type of the error by which an activity hands its work
// back because its worker stops. All other types are fault kinds.
const TypeStopping = "worker_stopping"

// applicationError is the one place where an error becomes Temporal's. Its
// type is the fault kind, its detail the hint. The kinds that time does not
// correct are not retried, unless the database caused them; wait, where above 0,
// replaces the interval of the retry policy. The cause is left behind: its text
// is in the message already.
func applicationError(err error, wait time.Duration) error {
	kind, _, _ := fault.Describe(err)
	options := temporal.ApplicationErrorOptions{
		NonRetryable:   lasting(kind) && !errors.Is(err, fault.ErrDatabase),
		NextRetryDelay: wait,
	}
	if kind == fault.Conflict {
		// To find another at work is no trouble and needs no line in the log.
		options.Category = temporal.ApplicationErrorCategoryBenign
	}
	return withOptions(err, options)
}

func withOptions(err error, options temporal.ApplicationErrorOptions) error {
	kind, text, hint := fault.Describe(err)
	if hint != "" {
		options.Details = []any{hint}
	}
	return temporal.NewApplicationErrorWithOptions(text, string(kind), options)
}

// lasting reports a kind of error that trying again does not correct.
func lasting(kind fault.Kind) bool {
	return kind == fault.Permanent || kind == fault.Config || kind == fault.NotFound
}

// patientError is applicationError for work that has to go on whatever is wrong:
// it is tried again after wait also where only an operator can correct it.
func patientError(err error, wait time.Duration) error {
	options := temporal.ApplicationErrorOptions{}
	if kind, _, _ := fault.Describe(err); lasting(kind) {
		options.NextRetryDelay = wait
	}
	return withOptions(err, options)
}

// recordedError is applicationError for trouble that was written down against
// its mailbox. Its own text stays there: it may name folders, and a history is
// read by others than the mailbox's operator.
func recordedError(err error, link string, wait time.Duration) error {
	kind, _, _ := fault.Describe(err)
	return applicationError(fault.Newf(kind, "mailbox sync failed (%s): see mailmirror errors %s", kind, link), wait)
}

// ended returns what an activity answers whose context is over: a worker that
// stops hands the work on at once, a suspension puts it off, all else is
// Temporal's own cancellation.
func ended(ctx context.Context) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSuspended):
		return suspendedError()
	case !errors.Is(cause, errWorkerStopping):
		return ctx.Err()
	}
	return temporal.NewApplicationErrorWithOptions(errWorkerStopping.Error(), TypeStopping, temporal.ApplicationErrorOptions{
		NextRetryDelay: time.Millisecond,
		Category:       temporal.ApplicationErrorCategoryBenign,
	})
}
