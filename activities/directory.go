package activities

import (
	"context"
	"sync/atomic"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
)

// Approvals is what operators let go.
type Approvals interface {
	// ApprovedDirectories lists the links of whose directory an operator let
	// changes go since the last run began.
	ApprovedDirectories(ctx context.Context) ([]string, error)
}

// DirectoryStarter starts runs over directories.
type DirectoryStarter interface {
	// AskDirectory sees to it that a run begins after now: one that is running is
	// followed by another.
	AskDirectory(ctx context.Context, link, trigger string) error
}

// Directory are the activities of the runs over the directories of links: each is a step
// of the engine.
type Directory struct {
	*shared

	engine  *dirsync.Engine
	starter Starter
}

// DirectoryInput names a run over the directory of a link.
type DirectoryInput struct {
	RunID   string `json:"run_id"`
	Link    string `json:"link"`
	Trigger string `json:"trigger"`
}

func (in DirectoryInput) job() dirsync.Job { return dirsync.Job(in) }

// step has the engine do a step of a run, with heartbeats, until the worker stops. The
// error is Temporal's.
func (a *Directory) step(ctx context.Context, details func() any, work func(context.Context) error) error {
	stop := a.beat(ctx, details)
	defer stop()
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	if err := work(ctx); err != nil {
		return pageError(ctx, err)
	}
	return nil
}

// BeginDirectory records a run. A link without directories is rejected.
func (a *Directory) BeginDirectory(ctx context.Context, in DirectoryInput) error {
	if err := a.engine.Begin(ctx, in.job()); err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// ExtractInput asks for one side of a run.
type ExtractInput struct {
	DirectoryInput
	Side dirsync.Side `json:"side"`
}

// ExtractDirectory reads one directory completely into the database, or fails. It returns
// counts and no content.
func (a *Directory) ExtractDirectory(ctx context.Context, in ExtractInput) (found directory.Extracted, err error) {
	var seen atomic.Int64
	err = a.step(ctx, func() any { return seen.Load() }, func(ctx context.Context) (err error) {
		found, err = a.engine.Extract(ctx, in.job(), in.Side, seen.Store)
		return err
	})
	return found, err
}

// CompareDirectoryInput is what both extracts tell of themselves.
type CompareDirectoryInput struct {
	DirectoryInput
	Source directory.Extracted `json:"source"`
	Target directory.Extracted `json:"target"`
	// Readings is how often this run has read both sides; 0 from a workflow of a
	// release that does not read again.
	Readings int `json:"readings,omitempty"`
}

// CompareDirectory decides whether the extracts are to be believed, compares them, and
// holds what looks like an accident.
func (a *Directory) CompareDirectory(ctx context.Context, in CompareDirectoryInput) (plan dirsync.Plan, err error) {
	err = a.step(ctx, func() any { return nil }, func(ctx context.Context) (err error) {
		plan, err = a.engine.Compare(ctx, in.job(), in.Source, in.Target, in.Readings)
		return err
	})
	return plan, err
}

// ApplyDirectoryInput asks for a page of a run's changes.
type ApplyDirectoryInput struct {
	DirectoryInput
	// After is the last change of the page before, Limit how many to carry out.
	After int64 `json:"after,omitempty"`
	Limit int   `json:"limit"`
}

// ApplyDirectory carries out a page of planned changes.
func (a *Directory) ApplyDirectory(ctx context.Context, in ApplyDirectoryInput) (dirsync.Applied, error) {
	return a.page(ctx, in, a.engine.Apply)
}

// VerifyDirectory looks once more at what a run has carried out, when all is written.
func (a *Directory) VerifyDirectory(ctx context.Context, in ApplyDirectoryInput) (dirsync.Applied, error) {
	return a.page(ctx, in, a.engine.Verify)
}

// page has the engine carry out a page until the link is suspended. The run goes on
// after the resumption.
func (a *Directory) page(ctx context.Context, in ApplyDirectoryInput,
	carryOut func(context.Context, dirsync.Job, dirsync.Page, func(int64)) (dirsync.Applied, error),
) (result dirsync.Applied, err error) {
	var at atomic.Int64
	err = a.step(ctx, func() any { return at.Load() }, func(ctx context.Context) (err error) {
		ctx, leave := a.lookout.under(ctx, in.Link)
		defer leave()
		result, err = carryOut(ctx, in.job(), dirsync.Page{After: in.After, Limit: in.Limit}, at.Store)
		if err != nil && suspended(ctx, err) {
			result.Suspended, err = true, nil
		}
		return err
	})
	return result, err
}

// JoinDirectory makes the mailboxes of a run's pairs join and leave the link, by
// the link's rule.
func (a *Directory) JoinDirectory(ctx context.Context, in DirectoryInput) (dirsync.Members, error) {
	var done dirsync.Members // what an attempt before this one did
	if activity.HasHeartbeatDetails(ctx) {
		_ = activity.GetHeartbeatDetails(ctx, &done)
	}
	var now atomic.Pointer[dirsync.Members]
	progress := func(m dirsync.Members) { now.Store(&m) }
	progress(done)
	err := a.step(ctx, func() any { return *now.Load() }, func(ctx context.Context) (err error) {
		done, err = a.engine.Join(ctx, in.job(), done, a.wake, progress)
		return err
	})
	activity.RecordHeartbeat(ctx, done)
	return done, err
}

// wake implements dirsync.Wake. The sweep records what it cannot start either.
func (a *Directory) wake(ctx context.Context, key mailbox.Key) error {
	_, err := a.starter.StartSync(ctx, key, TriggerEvent)
	return err
}

// FinishDirectoryInput closes the record of a run.
type FinishDirectoryInput struct {
	DirectoryInput
	// Failure and Hint say why it broke off, in the words of the activity that
	// failed; "" where none did.
	Failure string `json:"failure,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Refused is how many mailboxes could not join.
	Refused int `json:"refused,omitempty"`
}

// FinishDirectory closes the record of a run, unless it is closed already, and
// returns how it ended.
func (a *Directory) FinishDirectory(ctx context.Context, in FinishDirectoryInput) (dirsync.State, error) {
	state, err := a.engine.Finish(ctx, in.job(), dirsync.End{Failure: in.Failure, Hint: in.Hint, Refused: in.Refused})
	if err != nil {
		return "", applicationError(err, 0)
	}
	return state, nil
}
