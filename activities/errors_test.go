package activities

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

func TestApplicationError(t *testing.T) {
	secret := errors.New("Subject: salary")
	tests := []struct {
		name      string
		err       error
		kind      string
		text      string
		retryable bool
		hint      string
		benign    bool
	}{
		{name: "transient", err: fault.New(fault.Transient, "open mailbox", errors.New("connection refused"), "is it up?"),
			kind: "transient", text: "open mailbox: connection refused", retryable: true, hint: "is it up?"},
		{name: "wrapped", err: fmt.Errorf("sync: %w", fault.Newf(fault.Config, "log in: refused")),
			kind: "config", text: "sync: log in: refused"},
		{name: "gone", err: fault.Newf(fault.NotFound, "there is no link dr"), kind: "not_found", text: "there is no link dr"},
		{name: "rejected by the database", err: fault.New(fault.Config, "read link", fmt.Errorf("28P01: %w", fault.ErrDatabase), "check the password"),
			kind: "config", text: "read link: 28P01: the database failed", hint: "check the password", retryable: true},
		{name: "permanent", err: fault.Newf(fault.Permanent, "no such mailbox"), kind: "permanent", text: "no such mailbox"},
		{name: "busy", err: fault.New(fault.Conflict, "", &lease.HeldError{}, ""), kind: "conflict",
			text: (&lease.HeldError{}).Error(), retryable: true, benign: true},
		{name: "unclassified", err: fmt.Errorf("wrapped: %w", secret), kind: "transient",
			text: "unexpected error of type *errors.errorString", retryable: true},
		{name: "timeout", err: context.DeadlineExceeded, kind: "transient", text: "timed out", retryable: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var app *temporal.ApplicationError
			if !errors.As(applicationError(test.err, time.Minute), &app) {
				t.Fatal("not an application error")
			}
			var hint string
			if app.HasDetails() {
				if err := app.Details(&hint); err != nil {
					t.Fatal(err)
				}
			}
			if app.Type() != test.kind || app.Message() != test.text || app.NonRetryable() == test.retryable || hint != test.hint {
				t.Errorf("got type %q, text %q, non-retryable %v, hint %q", app.Type(), app.Message(), app.NonRetryable(), hint)
			}
			if benign := app.Category() == temporal.ApplicationErrorCategoryBenign; benign != test.benign {
				t.Errorf("benign %v", benign)
			}
			if app.NextRetryDelay() != time.Minute {
				t.Errorf("retried after %v", app.NextRetryDelay())
			}
			if app.Unwrap() != nil {
				t.Error("the cause goes into the history too")
			}
		})
	}
}
