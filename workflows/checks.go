package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/verdict"
)

// CheckStoreInput says which store to check.
type CheckStoreInput struct {
	Store string `json:"store"`
	// Mailbox is the mailbox to act for; "" for none.
	Mailbox mailbox.Number `json:"mailbox,omitempty"`
}

// CheckStore looks at a store. What it found is in the database; it fails only if no
// worker could look, or the database could not record it.
func CheckStore(ctx workflow.Context, in CheckStoreInput) error {
	var a *activities.Checks
	input := activities.CheckInput{RunID: workflow.GetInfo(ctx).FirstRunID, Store: in.Store, Mailbox: in.Mailbox, Started: workflow.Now(ctx)}
	err := workflow.ExecuteActivity(checking(ctx), a.CheckStore, input).Get(ctx, nil)
	sayEnded(ctx, "store check finished", "", input.RunID, err, "store", in.Store)
	return err
}

// VerifyState starts a Verify and is what it carries over when it continues as new. Of a
// fresh one only the request and PageSize are set.
type VerifyState struct {
	// Numbers are the mailboxes that are still to be compared, if some were named.
	verdict.VerifyRequest
	// PageSize is how many mailboxes one activity compares.
	PageSize int `json:"page_size"`

	// Begun is true once the verification is recorded, After is the last mailbox that was
	// compared.
	Begun bool           `json:"begun,omitempty"`
	After mailbox.Number `json:"after,omitempty"`
}

// Verify compares the mailboxes of a link on both stores, page by page. What it found is
// in the database.
func Verify(ctx workflow.Context, state VerifyState) error {
	var a *activities.Checks
	runID := workflow.GetInfo(ctx).FirstRunID
	if !state.Begun {
		input := activities.BeginVerifyInput{RunID: runID, Link: state.Link, Deep: state.Deep, Mailboxes: len(state.Numbers), Started: workflow.Now(ctx)}
		if err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "record the verification"), a.BeginVerify, input).Get(ctx, nil); err != nil {
			return err
		}
		state.Begun = true
	}
	err := verifyPages(ctx, state, runID)
	if workflow.IsContinueAsNewError(err) {
		return err
	}
	// Cancelled or failed, the verification is not running any more, and its record must
	// not say that it is.
	after, _ := workflow.NewDisconnectedContext(ctx)
	if phaseErr := workflow.UpsertTypedSearchAttributes(after, PhaseAttribute.ValueSet(phaseOf(err))); err == nil {
		err = phaseErr
	}
	end := activities.EndVerifyInput{RunID: runID}
	if err != nil {
		end.Error, end.Hint = toldOf(err)
		if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
			end.ErrorKind = app.Type()
		}
	}
	if endErr := workflow.ExecuteLocalActivity(bookkeeping(after, "close the record"), a.EndVerify, end).Get(after, nil); err == nil {
		err = endErr
	}
	sayEnded(ctx, "verification finished", state.Link, runID, err, "deep", state.Deep)
	return err
}

// verifyPages compares what is left, a page at a time.
func verifyPages(ctx workflow.Context, state VerifyState, runID string) error {
	var a *activities.Checks
	named := len(state.Numbers) > 0
	for {
		input := activities.VerifyPageInput{RunID: runID, Link: state.Link, Deep: state.Deep}
		if named {
			n := min(state.PageSize, len(state.Numbers))
			input.Numbers, state.Numbers = state.Numbers[:n], state.Numbers[n:]
		} else {
			input.After, input.Limit = state.After, state.PageSize
		}
		err := workflow.ExecuteActivity(storeWork(ctx, ""), a.VerifyPage, input).Get(ctx, &state.After)
		switch {
		case err != nil:
			return err
		case state.After == "", named && len(state.Numbers) == 0:
			return nil
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return workflow.NewContinueAsNewError(ctx, Verify, state)
		}
	}
}

// checking is for the one activity of a CheckStore. Somebody waits for it: one that does
// not succeed in a few tries, dead workers included, fails.
func checking(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: time.Hour,
		HeartbeatTimeout:    heartbeatTimeout,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Second, MaximumAttempts: 5},
		WaitForCancellation: true,
	})
}
