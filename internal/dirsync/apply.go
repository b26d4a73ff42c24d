package dirsync

import (
	"context"
	"slices"
	"time"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

// Page says which of a run's changes are carried out: those after After, at most Limit.
type Page struct {
	After int64
	Limit int
}

// Applied is what became of a page. It holds counts and no content.
type Applied struct {
	// Last is the last change that was looked at, More whether there may be others.
	Last int64 `json:"last"`
	More bool  `json:"more,omitempty"`
	Done int   `json:"done"`
	// Failed were recorded, each for itself; Moot needed nothing any more.
	Failed int `json:"failed,omitempty"`
	Moot   int `json:"moot,omitempty"`
	// Stopped is why nothing more can be carried out: what the target answers to
	// everything. Hint is for the operator.
	Stopped string `json:"stopped,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Suspended: nothing may be written; go on when the mirror is resumed. The caller
	// sets it, who knows the error.
	Suspended bool `json:"suspended,omitempty"`
}

const (
	// saveEvery and saveWithin bound what a crash makes be looked at again.
	saveEvery  = 50
	saveWithin = time.Second
	// leasePatience is how long a page waits for the lease that a dead worker left,
	// beyond its own time, or for another page.
	leasePatience = time.Minute
	// lastSave bounds the last record of a page that was broken off.
	lastSave = 5 * time.Second
)

// Apply carries out a page of planned changes under the lease of the link's directory.
// Each is looked at anew on both sides before and after it is written. progress is called
// with the change that was looked at last.
//
// The result is what was recorded, also with an error: the run goes on after its Last. The
// error is a *lease.SuspendedError if nothing may be written; the failure of an entry is
// none.
func (e *Engine) Apply(ctx context.Context, job Job, page Page, progress func(seq int64)) (Applied, error) {
	return e.carryOut(ctx, job, page, "apply", ChangePlanned, progress)
}

// Verify looks once more at what a run has carried out, when all is written, and corrects
// what is not equal any more. It is called like Apply.
func (e *Engine) Verify(ctx context.Context, job Job, page Page, progress func(seq int64)) (Applied, error) {
	return e.carryOut(ctx, job, page, "verify", ChangeDone, progress)
}

func (e *Engine) carryOut(ctx context.Context, job Job, page Page, phase string, state ChangeState, progress func(seq int64)) (Applied, error) {
	begin := Applied{Last: page.After}
	a := &applying{Engine: e, job: job, page: page, state: state, progress: progress, result: begin, recorded: begin,
		losses: map[int64]*loss{}, lostInRow: map[int64]bool{}, own: map[string]bool{}, ahead: map[int64]bool{}}
	err := a.run(ctx, phase)
	return a.recorded, fault.Wrap(err, phase+" changes to the target's directory")
}

// applying is one page of changes that is being carried out.
type applying struct {
	*Engine
	job            Job
	page           Page
	state          ChangeState // of the changes that are carried out
	progress       func(seq int64)
	source, target connection
	lease          lease.Lease
	writing        lease.Deadline    // none is sent at or after it
	takers         map[string]string // see Takers
	// result is what became of the page so far, recorded how much of that is recorded.
	result, recorded Applied
	// unsure is true once the outcome of a write was not known.
	unsure bool
	// barred is why no connection can be made although trying again would be in
	// vain, unopened why none could be made the last time.
	barred, unopened error
	// unsaved are results that are not recorded yet.
	unsaved []Change
	saved   time.Time
	// row are the failures in a row that say the same, of the kind rowKind. kind is
	// that of the last; it was lost if the server ended the connection, and silent if
	// the server did not answer in time. rest is how many other changes of the run
	// were not tried yet, as far as the page knows.
	row           []Change
	kind, rowKind fault.Kind
	lost, silent  bool
	silences      int // changes that the server did not answer to, in this page
	rest          int
	// losses are the changes at which connections ended, lostInRow those of them since
	// the target last accepted a write, and aside those that are tried again when all
	// others are done.
	losses    map[int64]*loss
	lostInRow map[int64]bool
	aside     []Change
	// accepted counts the writes that the target accepted. own are the failures that
	// turned out to be the entries' own, by what they say, and ahead what was carried
	// out before its turn to find that out.
	accepted int
	own      map[string]bool
	ahead    map[int64]bool
}

// run carries the page out under the lease.
func (a *applying) run(ctx context.Context, phase string) error {
	if err := a.ports.Runs.SaveDirectoryPhase(ctx, a.job.RunID, phase); err != nil {
		return err
	}
	if some, err := a.list(ctx, 1); err != nil || len(some) == 0 {
		return err
	}
	both, err := a.ports.Directories.Directories(ctx, a.job.Link)
	if err != nil {
		return err
	}
	a.source, a.target = connection{Directory: both.Source}, connection{Directory: both.Target}
	defer a.source.drop()
	defer a.target.drop()
	keeper := lease.Keeper{Records: a.ports.Leases, Clock: a.clock, Log: a.log}
	a.lease, err = keeper.Await(ctx, a.times.TTL+a.times.Fence+leasePatience, func(ctx context.Context) (lease.Lease, error) {
		return a.ports.Leases.TakeLease(ctx, lease.OfDirectory(a.job.Link), a.times)
	})
	if err != nil {
		return err
	}
	return keeper.Hold(ctx, a.lease, a.times.TTL, &a.writing, func(holding context.Context) (lease.End, error) {
		err := a.each(holding)
		// Nothing is written any more; what was is recorded, under whatever context.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
		defer cancel()
		if saveErr := a.save(last); err == nil {
			err = saveErr
		}
		if a.unsure {
			return lease.Unclean, err
		}
		return lease.Clean, err
	})
}

// list returns changes of the page.
func (a *applying) list(ctx context.Context, limit int) ([]Change, error) {
	return a.ports.Changes.DirectoryChanges(ctx, a.job.RunID, a.page.After, limit, a.state)
}

// each carries the changes out that are left under this lease: whoever held it before may
// have recorded some since the page began.
func (a *applying) each(ctx context.Context) error {
	// Those of the page after it tell who takes a number that this one frees.
	changes, err := a.list(ctx, 2*a.page.Limit)
	if err != nil {
		return err
	}
	a.takers = Takers(changes)
	changes = changes[:min(a.page.Limit, len(changes))]
	for i, c := range changes {
		a.rest = len(changes) - i - 1
		if len(changes) == a.page.Limit {
			a.rest++ // there may be another page
		}
		switch {
		case c.Via != "" && a.state == ChangeDone:
			a.result.Last = c.Seq // it was on its way; its second change tells
			continue
		case a.ahead[c.Seq]:
			continue
		}
		if stop, err := a.try(ctx, c); err != nil || stop {
			return err
		}
		if len(a.lostInRow) >= blame.Doubt(true, "") {
			// Find out whether the entries are the reason before others are tried.
			if stop, err := a.tryAside(ctx); err != nil || stop {
				return err
			}
		}
	}
	if stop, err := a.tryAside(ctx); err != nil || stop {
		return err
	}
	a.result.More = len(changes) == a.page.Limit
	// The next page begins with what is not decided, unless it would be the same page.
	if !a.result.More || slices.ContainsFunc(a.row, func(c Change) bool { return c.Seq == changes[0].Seq }) {
		a.recordRow()
	}
	return nil
}

// try carries one change out and records what became of it.
func (a *applying) try(ctx context.Context, c Change) (stop bool, err error) {
	done, err := a.one(ctx, c)
	if err != nil {
		return false, err
	}
	if stop, err := a.weigh(ctx, done); err != nil || stop {
		return stop, err
	}
	a.progress(done.Seq)
	if len(a.unsaved) >= saveEvery || a.clock.Now().Sub(a.saved) > saveWithin {
		return false, a.save(ctx)
	}
	return false, nil
}

// tryAside tries the changes again at which the connection was lost, each alone and
// on new connections, until it is known what that belongs to.
func (a *applying) tryAside(ctx context.Context) (stop bool, err error) {
	for len(a.aside) > 0 {
		c := a.aside[0]
		// What was sent may be carried out yet.
		if a.unsure && a.clock.Sleep(ctx, a.times.Fence) != nil {
			return false, context.Cause(ctx)
		}
		a.aside = a.aside[1:]
		if stop, err := a.try(ctx, c); err != nil || stop {
			if err != nil {
				a.aside = append(a.aside, c) // it was not tried to the end
			}
			return stop, err
		}
	}
	return false, nil
}

// save records what became of changes.
func (a *applying) save(ctx context.Context) error {
	if len(a.unsaved) > 0 {
		if err := a.ports.Changes.SaveDirectoryChanges(ctx, a.lease, a.job.RunID, a.unsaved); err != nil {
			return err
		}
	}
	a.unsaved, a.saved, a.recorded = nil, a.clock.Now(), a.result
	// Those that are not decided yet come before Last, and have to be tried again.
	for _, c := range slices.Concat(a.row, a.aside) {
		a.recorded.Last = min(a.recorded.Last, c.Seq-1)
	}
	return nil
}
