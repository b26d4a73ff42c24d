package activities

import (
	"context"
	"errors"
	"hash/fnv"
	"io"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
)

// ReviewInput names one page of a full compare.
type ReviewInput struct {
	// RunID names the compare, here, in its record and in the history of the
	// mailboxes that it syncs.
	RunID   string `json:"run_id"`
	Link    string `json:"link"`
	Trigger string `json:"trigger"`
	// Index counts the pages of the compare from 0.
	Index int  `json:"index"`
	Page  Page `json:"page"`
}

// ReviewPage reviews a page of mailboxes: those that the counters of both
// sides prove unchanged are recorded in batches, the others are made equal
// right here, a bounded number at a time. What fails is recorded against its
// mailbox alone; what another sync is at work on is come back to for a while,
// and then counted as busy and left to it.
//
// It may be repeated at any time. Its heartbeats say which mailboxes are done,
// so that the next attempt takes up where this one ended. While the mirror is
// suspended it fails, and is repeated until that is over.
func (a *Compare) ReviewPage(ctx context.Context, in ReviewInput) (site.CompareProgress, error) {
	return a.reviewPage(ctx, in, false)
}

func (a *Compare) reviewPage(ctx context.Context, in ReviewInput, rebuild bool) (site.CompareProgress, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	ctx, leave := a.lookout.under(ctx, in.Link)
	defer leave()
	if err := a.mustRun(ctx, in.Link); err != nil {
		return site.CompareProgress{}, pageError(ctx, err)
	}
	numbers, err := a.numbers(ctx, in.Link, in.Page)
	if err != nil {
		return site.CompareProgress{}, pageError(ctx, err)
	}
	p := &pageReview{Compare: a, in: in, rebuild: rebuild, tally: newTally(numbers)}
	p.tally.trace = inherited(ctx)
	if activity.HasHeartbeatDetails(ctx) {
		var c cursor
		if err := activity.GetHeartbeatDetails(ctx, &c); err == nil { // an unreadable one costs time only
			p.tally.restore(c)
		}
	}
	if err := p.run(ctx, beats); err != nil {
		return site.CompareProgress{}, pageError(ctx, err)
	}
	return p.tally.total(), nil
}

// pageError is the answer of a page that could not be finished.
func pageError(ctx context.Context, err error) error {
	if suspended(ctx, err) {
		return suspendedError()
	}
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return applicationError(err, 0)
}

// pageReview is one attempt at one page.
type pageReview struct {
	*Compare
	in     ReviewInput
	stores LinkStores
	tally  *tally
	// rebuild is true where the ledger is to be believed in nothing; see
	// RebuildPage. held are the mailboxes that another sync was at.
	rebuild bool
	held    heldList
}

// run reviews what is left of the page. The error is the database's or the
// context's: a mailbox's own trouble is no error here.
func (p *pageReview) run(parent, beats context.Context) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	stop := p.beat(beats, func() any {
		if err := p.write(ctx); err != nil {
			fail(err)
		}
		return p.tally.cursor()
	})
	p.tally.work()
	activity.RecordHeartbeat(beats, p.tally.cursor())
	err := p.review(ctx, fail)
	p.tally.rest()
	stop()
	if err == nil {
		err = context.Cause(ctx)
	}
	// Whatever ended it, what is known is written down: it saves the next
	// attempt, or the next compare, from finding it out again.
	final, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalWrite)
	defer cancel()
	if writeErr := p.write(final); err == nil {
		err = writeErr
	}
	activity.RecordHeartbeat(beats, p.tally.cursor())
	return err
}

// review goes through the page and waits for all that it started.
func (p *pageReview) review(ctx context.Context, fail context.CancelCauseFunc) error {
	numbers := p.tally.remaining()
	if len(numbers) == 0 {
		return nil
	}
	// The generations are read before the first look at the source: a change
	// that is seen later raises them, and the mailbox stays dirty.
	// The stores come after them: a change of log-ins raises generations, too.
	states, err := p.reviews.ReviewStates(ctx, p.in.Link, numbers)
	if err != nil {
		return err
	}
	if p.stores, err = p.links.Stores(ctx, p.in.Link); err != nil {
		return err
	}
	if p.tally.trace.suspect() {
		return p.pass(ctx, numbers)
	}
	if p.rebuild {
		if err := p.each(ctx, numbers, states, fail, unseen); err != nil {
			return err
		}
		return p.comeBack(ctx, states, fail)
	}
	look, err := p.overview(ctx, settled(numbers, states))
	if err != nil {
		return err
	}
	err = p.each(ctx, numbers, states, fail, func(job copier.Job, state site.ReviewState) (differs, done bool) {
		source, target, seen := look.folders(job.Key.Number)
		seen = seen && !p.ownTurn(job.Key.Number)
		if seen && p.engine.Unchanged(job, source, target, state.Folders) {
			p.tally.unchanged(p.engine.Summary(job, source, state.Folders))
			return false, true
		}
		return seen, false
	})
	if err != nil {
		return err
	}
	return p.comeBack(ctx, states, fail)
}

// each works at mailboxes, a bounded number at a time, and waits for the end of
// all. first says of each whether it is known to differ, or done already.
func (p *pageReview) each(ctx context.Context, numbers []mailbox.Number, states map[mailbox.Number]site.ReviewState, fail context.CancelCauseFunc,
	first func(copier.Job, site.ReviewState) (differs, done bool),
) error {
	var group sync.WaitGroup
	defer group.Wait()
	for _, number := range numbers {
		state, participates := states[number]
		if !participates {
			p.tally.drop(number)
			continue
		}
		job := newJob(p.stores, mailbox.Key{Link: p.in.Link, Number: number}, state.Generation, p.in.Trigger, p.in.RunID)
		job.Progress = func(now copier.Progress) { p.tally.progress(number, now) }
		job.Force, job.Retry = p.rebuild, !p.rebuild
		differs, done := first(job, state)
		if done {
			continue
		}
		if err := p.enter(ctx); err != nil {
			return err
		}
		group.Go(func() {
			defer p.leave()
			if err := p.mailbox(ctx, job, state.Folders, differs); err != nil {
				fail(err)
			}
		})
	}
	return nil
}

// unseen is the first of each for mailboxes of which nothing is believed: they
// are synced.
func unseen(copier.Job, site.ReviewState) (differs, done bool) { return true, false }

const (
	// firstReturn is after how long a page comes back to mailboxes that another
	// sync held; each time after that it waits twice as long.
	firstReturn = 250 * time.Millisecond
	// longestHold bounds the wait for other syncs: one that is at a large copy
	// renews its lease for hours.
	longestHold = 20 * time.Second
)

// comeBack tries mailboxes again that another sync held, the lease first; what
// is held to the end is counted as busy.
func (p *pageReview) comeBack(ctx context.Context, states map[mailbox.Number]site.ReviewState, fail context.CancelCauseFunc) error {
	for waited, wait := time.Duration(0), firstReturn; ; waited, wait = waited+wait, 2*wait {
		numbers := p.held.take()
		if len(numbers) == 0 {
			return nil
		}
		if waited+wait > longestHold {
			for _, number := range numbers {
				p.tally.busy(number)
			}
			return nil
		}
		if !sleep.For(ctx, wait) {
			return context.Cause(ctx)
		}
		if err := p.each(ctx, numbers, states, fail, unseen); err != nil {
			return err
		}
	}
}

// heldList collects mailboxes that another sync held. It is safe for concurrent
// use.
type heldList struct {
	mu      sync.Mutex
	numbers []mailbox.Number
}

func (h *heldList) add(number mailbox.Number) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.numbers = append(h.numbers, number)
}

// take empties the list.
func (h *heldList) take() []mailbox.Number {
	h.mu.Lock()
	defer h.mu.Unlock()
	numbers := h.numbers
	h.numbers = nil
	return numbers
}

// pass leaves mailboxes to a MailboxSync each. One of them seems to be what
// kills workers; by itself it is found out and parked, and the others are not
// held up.
func (p *pageReview) pass(ctx context.Context, numbers []mailbox.Number) error {
	activity.GetLogger(ctx).Warn("workers died at this page, leaving its mailboxes to a sync each", "link", p.in.Link, "run_id", p.in.RunID, "mailboxes", len(numbers))
	for _, number := range numbers {
		_, err := p.reviews.MarkDirty(ctx, mailbox.Key{Link: p.in.Link, Number: number})
		switch {
		case fault.Is(err, fault.NotFound):
			p.tally.drop(number)
		case err != nil:
			return err
		default:
			p.tally.busy(number)
		}
	}
	return nil
}

// ownTurn reports whether a mailbox is asked by itself although an overview
// shows it: in about every sixth scheduled compare, once a day by default. An
// overview does not tell subscriptions, nor folders that the trusted account
// may not see.
func (p *pageReview) ownTurn(number mailbox.Number) bool {
	if p.in.Trigger != TriggerSchedule {
		return false
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, p.in.RunID+"/"+string(number))
	return h.Sum32()%6 == 0
}

// overviews are the folder lists of both sides, by mailbox.
type overviews struct {
	source, target map[mailbox.Number][]mailbox.Folder
}

// folders returns both lists of a mailbox; false where either is unknown.
func (o overviews) folders(number mailbox.Number) (source, target []mailbox.Folder, ok bool) {
	source, onSource := o.source[number]
	target, onTarget := o.target[number]
	return source, target, onSource && onTarget
}

// settled are the mailboxes that an overview may prove unchanged: those of which
// the ledger knows something. The others are synced anyway.
func settled(numbers []mailbox.Number, states map[mailbox.Number]site.ReviewState) []mailbox.Number {
	return slices.DeleteFunc(slices.Clone(numbers), func(n mailbox.Number) bool { return len(states[n].Folders) == 0 })
}

// overview asks both stores for all mailboxes by one command each, which is
// many times cheaper than logging in to every one. A store that cannot, or
// fails, gives none: then each mailbox is asked by itself, and trouble that
// lasts is recorded against it.
func (p *pageReview) overview(ctx context.Context, numbers []mailbox.Number) (overviews, error) {
	source, sourceCan := p.stores.Source.(copier.Overviewer)
	target, targetCan := p.stores.Target.(copier.Overviewer)
	if !sourceCan || !targetCan || len(numbers) == 0 {
		return overviews{}, nil
	}
	if err := p.enter(ctx); err != nil {
		return overviews{}, err
	}
	defer p.leave()
	var look overviews
	var sourceErr, targetErr error
	var group sync.WaitGroup
	group.Go(func() {
		sourceErr = fault.Guard(func() (err error) { look.source, err = source.Overview(ctx, numbers); return err })
	})
	group.Go(func() {
		targetErr = fault.Guard(func() (err error) { look.target, err = target.Overview(ctx, numbers); return err })
	})
	group.Wait()
	if err := errors.Join(sourceErr, targetErr); err != nil {
		if ctx.Err() == nil && !errors.Is(err, errors.ErrUnsupported) {
			activity.GetLogger(ctx).Warn("no overview, asking each mailbox", "link", p.in.Link, "run_id", p.in.RunID, "error_kind", string(fault.KindOf(err)))
		}
		return overviews{}, context.Cause(ctx)
	}
	return look, nil
}

// mailbox reviews one mailbox and syncs it where it differs. Where an overview
// shows already that it differs, it is synced without another look.
func (p *pageReview) mailbox(ctx context.Context, job copier.Job, known []copier.FolderState, differs bool) error {
	report, unchanged := blankReport(job), false
	err := fault.Guard(func() (err error) {
		if differs {
			report, err = p.engine.Sync(ctx, job)
		} else {
			report, unchanged, err = p.engine.Review(ctx, job, known)
		}
		return err
	})
	_, held := errors.AsType[*lease.HeldError](err)
	switch {
	case err != nil && suspended(ctx, err):
		return errSuspended // the page's end, no failure of the mailbox
	case ctx.Err() != nil && err != nil:
		return nil //nolint:nilerr // not the mailbox's failure; the page ends anyway
	case err == nil && unchanged:
		p.tally.unchanged(report)
	case err == nil:
		p.tally.synced(report)
	case held:
		p.held.add(job.Key.Number)
	default:
		return p.failed(ctx, report, err)
	}
	return nil
}

func (p *pageReview) failed(ctx context.Context, report copier.Report, err error) error {
	box, boxErr := p.mailboxes.Mailbox(ctx, report.Key)
	if fault.Is(boxErr, fault.NotFound) {
		p.tally.drop(report.Key.Number)
		return nil
	} else if boxErr != nil {
		return boxErr
	}
	if _, _, err := p.recordFailure(ctx, box, report, err); err != nil {
		return err
	}
	p.tally.failed(report)
	return nil
}

// write records the mailboxes found unchanged since the last call, and the
// page's progress where it moved.
func (p *pageReview) write(ctx context.Context) error {
	if batch := p.tally.unrecorded(); len(batch) > 0 {
		if err := p.reviews.RecordReviewed(ctx, p.in.Link, batch); err != nil {
			return err
		}
		p.tally.recorded(batch)
	}
	progress, moved := p.tally.moved()
	if !moved {
		return nil
	}
	if err := p.compares.AddCompareProgress(ctx, p.in.RunID, p.in.Index, progress); err != nil {
		return err
	}
	p.tally.written(progress)
	return nil
}
