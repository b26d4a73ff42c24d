package activities

import (
	"context"
	"errors"
	"os"
	"time"

	"mailmirror/internal/blame"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/sleep"
)

// ApplyDirectoryInput asks for a page of a run's changes.
type ApplyDirectoryInput struct {
	DirectoryInput
	// After is the last change of the page before, Limit how many to carry out.
	After int64 `json:"after,omitempty"`
	Limit int   `json:"limit"`
}

// ApplyDirectoryResult is what became of a page. It holds counts and no content.
type ApplyDirectoryResult struct {
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
	// Suspended: nothing may be written; go on when the mirror is resumed.
	Suspended bool `json:"suspended,omitempty"`
}

const (
	// saveEvery and saveWithin bound what a crash makes be looked at again.
	saveEvery  = 50
	saveWithin = time.Second
)

// ApplyDirectory carries out a page of planned changes under the lease of the
// link's directory. Each is looked at anew on both sides before and after it is
// written, so that it may be repeated at any time, by whoever.
func (a *Directory) ApplyDirectory(ctx context.Context, in ApplyDirectoryInput) (ApplyDirectoryResult, error) {
	return a.changeDirectory(ctx, in, "apply", dirsync.ChangePlanned)
}

// VerifyDirectory looks once more at what a run has carried out, when all is
// written, and mends what is not equal any more.
func (a *Directory) VerifyDirectory(ctx context.Context, in ApplyDirectoryInput) (ApplyDirectoryResult, error) {
	return a.changeDirectory(ctx, in, "verify", dirsync.ChangeDone)
}

func (a *Directory) changeDirectory(ctx context.Context, in ApplyDirectoryInput, phase string, state dirsync.ChangeState) (ApplyDirectoryResult, error) {
	p := &directoryPage{a: a, in: in, state: state, result: ApplyDirectoryResult{Last: in.After}}
	stop := a.beat(ctx, func() any { return p.looked.Load() })
	defer stop()
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	ctx, leave := a.lookout.under(ctx)
	defer leave()
	err := p.run(ctx, phase)
	switch {
	case err == nil:
		return p.result, nil
	case suspended(ctx, err):
		p.result.Suspended = true
		// The run goes on after Last. What was put aside comes before it.
		for _, c := range p.aside {
			p.result.Last = min(p.result.Last, c.Seq-1)
		}
		return p.result, nil
	case ctx.Err() != nil:
		return p.result, ended(ctx)
	}
	return p.result, applicationError(fault.Wrap(err, phase+" changes to the target's directory"), 0)
}

// run carries the page out under the lease.
func (p *directoryPage) run(ctx context.Context, phase string) error {
	if err := p.a.ports.Runs.SaveDirectoryPhase(ctx, p.in.RunID, phase); err != nil {
		return err
	}
	// Those of the page after it tell who takes a number that this one frees.
	changes, err := p.a.ports.Changes.DirectoryChanges(ctx, p.in.RunID, p.in.After, 2*p.in.Limit, p.state)
	if err != nil || len(changes) == 0 {
		return err
	}
	p.takers = dirsync.Takers(changes)
	changes = changes[:min(p.in.Limit, len(changes))]
	both, err := p.a.ports.Directories.Directories(ctx, p.in.Link)
	if err != nil {
		return err
	}
	p.source, p.target = connection{Directory: both.Source}, connection{Directory: both.Target}
	defer p.source.drop()
	defer p.target.drop()
	times := p.a.lease
	keeper := lease.Keeper{Records: p.a.ports.Leases, Clock: sleep.Clock{}, Log: p.a.log}
	held, err := keeper.Await(ctx, times.TTL+times.Fence+leasePatience, func(ctx context.Context) (lease.Lease, error) {
		return p.a.ports.Leases.TakeLease(ctx, lease.OfDirectory(p.in.Link), times)
	})
	if err != nil {
		return err
	}
	err = keeper.Hold(ctx, held, times.TTL, &p.writing, func(holding context.Context) (lease.End, error) {
		err := p.each(holding, changes)
		if err == nil && p.result.Stopped == "" {
			p.settleRow()
		}
		// Nothing is written any more; what was is recorded, under whatever context.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalWrite)
		defer cancel()
		if saveErr := p.save(last); err == nil {
			err = saveErr
		}
		if p.unsure {
			return lease.Unclean, err
		}
		return lease.Clean, err
	})
	p.result.More = err == nil && p.result.Stopped == "" && len(changes) == p.in.Limit
	return err
}

func (p *directoryPage) each(ctx context.Context, changes []dirsync.Change) error {
	for i, c := range changes {
		p.rest = len(changes) - i - 1
		if len(changes) == p.in.Limit {
			p.rest++ // there may be another page
		}
		switch {
		case c.Via != "" && p.state == dirsync.ChangeDone:
			p.result.Last = c.Seq // it was on its way; its second change tells
			continue
		case p.ahead[c.Seq]:
			continue
		}
		if stop, err := p.try(ctx, c); err != nil || stop {
			return err
		}
		if len(p.lostInRow) >= blame.Doubt(true, "") {
			// Find out whether the entries are the reason before others are tried.
			if stop, err := p.tryAside(ctx); err != nil || stop {
				return err
			}
		}
	}
	_, err := p.tryAside(ctx)
	return err
}

// try carries one change out and records what became of it.
func (p *directoryPage) try(ctx context.Context, c dirsync.Change) (stop bool, err error) {
	done, err := p.one(ctx, c)
	if err != nil {
		return false, err
	}
	if stop, err := p.note(ctx, done); err != nil || stop {
		return stop, err
	}
	p.looked.Store(done.Seq)
	if len(p.unsaved) >= saveEvery || time.Since(p.saved) > saveWithin {
		return false, p.save(ctx)
	}
	return false, nil
}

// tryAside tries the changes again at which the connection was lost, each alone and
// on new connections, until it is known what that belongs to.
func (p *directoryPage) tryAside(ctx context.Context) (stop bool, err error) {
	for len(p.aside) > 0 {
		c := p.aside[0]
		p.aside = p.aside[1:]
		if p.unsure {
			// What was sent may be carried out yet.
			if !sleep.For(ctx, p.a.lease.Fence) {
				return false, context.Cause(ctx)
			}
		}
		if stop, err := p.try(ctx, c); err != nil || stop {
			if err != nil {
				p.aside = append(p.aside, c) // it was not tried to the end
			}
			return stop, err
		}
	}
	return false, nil
}

func (p *directoryPage) save(ctx context.Context) error {
	if len(p.unsaved) > 0 {
		if err := p.a.ports.Changes.SaveDirectoryChanges(ctx, p.in.RunID, p.unsaved); err != nil {
			return err
		}
	}
	p.unsaved, p.saved = nil, time.Now()
	return nil
}

const (
	// entryTries is how often a change is planned anew because something was not as
	// it was read, no connection could be made, or the server was busy.
	entryTries = 5
	// busyPause is how long to wait for a busy server the first time; each time
	// after that it is twice as long.
	busyPause = 50 * time.Millisecond
	// entryWrites is how many operations one change takes at the most: a new name,
	// and its values, twice. A target that then still differs keeps other values
	// than those that it was given.
	entryWrites = 4
)

// one carries a change out and returns what became of it. An error is one of
// everything: no connection can be made, the lease is lost, the database fails.
func (p *directoryPage) one(ctx context.Context, c dirsync.Change) (dirsync.Change, error) {
	var last error
	writes, change := 0, c.Change
	for try := range entryTries {
		p.unopened = nil
		look, wrote, err := p.step(ctx, change, &writes)
		for err == nil && wrote {
			look, wrote, err = p.step(ctx, change, &writes)
		}
		switch {
		case err == nil && look.Moot != "" && writes > 0 && change.Target == (directory.Ref{}) && look.Target != (directory.Ref{}):
			// It is what was just created, and the server made other values of it.
			change.Target = look.Target
			continue
		case err == nil:
			return p.settled(c, look), nil
		case ctx.Err() != nil:
			return c, context.Cause(ctx)
		case p.barred != nil:
			return c, p.barred
		}
		last = err
		// A connection that still works stays: the server answered on it.
		if fault.Is(err, fault.Transient) && !busy(err) || fault.Is(err, fault.Config) {
			p.source.drop()
			p.target.drop()
		}
		switch {
		case p.unopened != nil:
		case fault.Lost(err), silent(err):
			return p.failed(c, err), nil
		case !fault.Is(err, fault.Transient) && !fault.Is(err, fault.Conflict):
			return p.failed(c, err), nil
		}
		if fault.Is(err, fault.Transient) && try+1 < entryTries {
			pause := busyPause << try
			if p.unsure && !busy(err) {
				pause = p.a.lease.Fence // what was sent may be carried out yet
			}
			if !sleep.For(ctx, pause) {
				return c, context.Cause(ctx)
			}
		}
	}
	if p.unopened != nil {
		return c, last
	}
	return p.failed(c, last), nil
}

// silent reports that the server did not answer in time. It may still be working on
// the request, so that this is not sent again at once.
func silent(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// busy reports a server that answered that it cannot carry an operation out now.
// One entry that it has locked for good must not hold the others up.
func busy(err error) bool { return errors.Is(err, directory.ErrBusy) }

// step looks at both sides and sends one operation, where one is due.
func (p *directoryPage) step(ctx context.Context, c directory.Change, writes *int) (look dirsync.Look, wrote bool, err error) {
	source, err := p.source.open(ctx)
	if err != nil {
		return look, false, p.notOpen(err)
	}
	target, err := p.target.open(ctx)
	if err != nil {
		return look, false, p.notOpen(err)
	}
	sides := dirsync.Sides{Source: source, Target: target, SourceMapping: p.source.Mapping, TargetMapping: p.target.Mapping,
		Takers: p.takers}
	look, err = sides.Look(ctx, c)
	if err != nil || look.Moot != "" || len(look.Operations) == 0 {
		return look, false, err
	}
	if *writes >= entryWrites {
		return look, false, fault.New(fault.Permanent, "the target keeps other values than those that were written", nil,
			"does a rule of the target's server alter them?")
	}
	// What is sent after the lease could land after a suspension was acknowledged.
	writing, cancel := context.WithDeadline(ctx, p.writing.At())
	defer cancel()
	err = target.Write(writing, look.Operations[0])
	switch {
	case err == nil:
		*writes++
		p.accepted++
		p.lostInRow = nil
	case fault.Is(err, fault.Transient) && !busy(err):
		p.unsure = true
	}
	return look, err == nil, err
}

// notOpen is for the error of a connection. One that another try cannot mend, a
// refused bind for instance, is of everything and no entry's own.
func (p *directoryPage) notOpen(err error) error {
	p.unopened = err
	if !fault.Is(err, fault.Transient) {
		p.barred = err
	}
	return err
}

// settled is a change of which nothing is to be done any more.
func (p *directoryPage) settled(c dirsync.Change, look dirsync.Look) dirsync.Change {
	c.State, c.Error, c.Hint = dirsync.ChangeDone, "", ""
	if look.Moot != "" {
		if p.state == dirsync.ChangeDone {
			return c // it was carried out, and is another by now
		}
		c.State, c.Error = dirsync.ChangeTold, look.Moot
		return c
	}
	if look.Source != (directory.Ref{}) {
		c.Source = look.Source
	}
	if look.Target != (directory.Ref{}) {
		c.Target, c.TargetLogin, c.TargetRule = look.Target, look.TargetLogin, look.TargetRule
	}
	return c
}

func (p *directoryPage) failed(c dirsync.Change, err error) dirsync.Change {
	p.kind, c.Error, c.Hint = describe(err)
	p.lost, p.silent = fault.Lost(err), silent(err)
	if p.lost {
		p.loses(c.Seq)
		c.Hint = lostHint
	}
	// A run tries again what may be the server's trouble. What ends the connection
	// is recorded only if it is the entry.
	c.State, c.OfServer = dirsync.ChangeFailed, !p.lost && blame.OfServer(p.kind)
	return c
}

// connection opens a directory when it is needed, and again after it broke.
type connection struct {
	dirsync.Directory
	session dirsync.Session
}

func (c *connection) open(ctx context.Context) (dirsync.Session, error) {
	if c.session != nil {
		return c.session, nil
	}
	session, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	c.session = session
	return session, nil
}

func (c *connection) drop() {
	if c.session != nil {
		_ = c.session.Close()
		c.session = nil
	}
}
