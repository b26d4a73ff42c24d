package activities

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Meter counts what is done, for whoever watches over the installation.
type Meter interface {
	// Event counts a change that was heard of; unannounced ones are those that
	// were found by reading while a connection should have told of them.
	Event(link string, kind site.EventKind, unannounced bool)
	// Synced counts the end of a sync. kind is that of the error of a failed
	// one.
	Synced(link, outcome, kind string, took time.Duration)
	// Copied counts what a sync did, successful or not.
	Copied(link string, role mailbox.Role, work copier.Work)
}

// Outcomes of a sync, to a Meter, beside those of the engine.
const (
	OutcomeBusy        = "busy"        // another sync holds the mailbox
	OutcomeSuspended   = "suspended"   // nothing may be written
	OutcomeInterrupted = "interrupted" // the worker stops, or the activity was cancelled
)

// metered is an engine whose syncs are counted.
type metered struct {
	Engine

	meter Meter
}

// Sync implements Engine.
func (e metered) Sync(ctx context.Context, job copier.Job) (copier.Report, error) {
	began := time.Now()
	report, err := e.Engine.Sync(ctx, job)
	e.count(ctx, job, report, err, time.Since(began))
	return report, err
}

// Review implements Engine. What was found unchanged is no sync.
func (e metered) Review(ctx context.Context, job copier.Job, known []copier.FolderState) (copier.Report, bool, error) {
	began := time.Now()
	report, unchanged, err := e.Engine.Review(ctx, job, known)
	if err != nil || !unchanged {
		e.count(ctx, job, report, err, time.Since(began))
	}
	return report, unchanged, err
}

func (e metered) count(ctx context.Context, job copier.Job, report copier.Report, err error, took time.Duration) {
	outcome, failure := string(report.Outcome), ""
	_, busy := errors.AsType[*lease.HeldError](err)
	switch {
	case err == nil:
	case suspended(ctx, err):
		outcome = OutcomeSuspended
	case ctx.Err() != nil:
		outcome = OutcomeInterrupted
	case busy:
		outcome = OutcomeBusy
	default:
		kind, _, _ := fault.Describe(err)
		outcome, failure = string(copier.Failed), string(kind)
	}
	e.meter.Synced(job.Key.Link, outcome, failure, took)
	e.meter.Copied(job.Key.Link, mailbox.RoleMessages, report.Messages)
	e.meter.Copied(job.Key.Link, mailbox.RoleGreetings, report.Greetings)
}

// noMeter counts nothing.
type noMeter struct{}

func (noMeter) Event(string, site.EventKind, bool)           {}
func (noMeter) Synced(string, string, string, time.Duration) {}
func (noMeter) Copied(string, mailbox.Role, copier.Work)     {}
