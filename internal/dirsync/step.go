package dirsync

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/blame"
	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
)

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

// errLeaseEnded says that a write was broken off at the end of the lease under which it
// was sent. It is nobody's fault, and the write may have been carried out.
var errLeaseEnded = errors.New("the lease has ended")

// one carries a change out and returns what became of it. An error is one of
// everything: no connection can be made, the lease is lost, the database fails.
func (a *applying) one(ctx context.Context, c Change) (Change, error) {
	var last error
	writes, change := 0, c.Change
	for try := range entryTries {
		a.unopened = nil
		look, wrote, err := a.step(ctx, change, &writes)
		for err == nil && wrote {
			look, wrote, err = a.step(ctx, change, &writes)
		}
		switch {
		case err == nil && look.Moot != "" && writes > 0 && change.Target == (directory.Ref{}) && look.Target != (directory.Ref{}):
			// It is what was just created, and the server made other values of it.
			change.Target = look.Target
			continue
		case err == nil:
			return a.carriedOut(c, look), nil
		case ctx.Err() != nil:
			return c, context.Cause(ctx)
		case errors.Is(err, errLeaseEnded):
			return c, err
		case !a.clock.Now().Before(a.writing.At()):
			return c, fault.New(fault.Conflict, "the lease has ended", err, "")
		case a.barred != nil:
			return c, a.barred
		}
		last = err
		// A connection that still works stays: the server answered on it.
		if fault.Is(err, fault.Transient) && !busy(err) || fault.Is(err, fault.Config) {
			a.source.drop()
			a.target.drop()
		}
		switch {
		case a.unopened != nil:
		case fault.Lost(err), silent(err):
			return a.failed(c, err), nil
		case !fault.Is(err, fault.Transient) && !fault.Is(err, fault.Conflict):
			return a.failed(c, err), nil
		}
		if fault.Is(err, fault.Transient) && try+1 < entryTries {
			pause := busyPause << try
			if a.unsure && !busy(err) {
				pause = a.times.Fence // what was sent may be carried out yet
			}
			if a.clock.Sleep(ctx, pause) != nil {
				return c, context.Cause(ctx)
			}
		}
	}
	if a.unopened != nil {
		return c, last
	}
	return a.failed(c, last), nil
}

// silent reports that the server did not answer in time. It may still be working on
// the request, so that this is not sent again at once.
func silent(err error) bool { return fault.Silent(err) || errors.Is(err, context.DeadlineExceeded) }

// busy reports a server that answered that it cannot carry an operation out now.
// One entry that it has locked for good must not hold the others up.
func busy(err error) bool { return errors.Is(err, directory.ErrBusy) }

// step looks at both sides and sends one operation, where one is due.
func (a *applying) step(ctx context.Context, c directory.Change, writes *int) (look Look, wrote bool, err error) {
	source, err := a.source.open(ctx)
	if err != nil {
		return look, false, a.notOpen(err)
	}
	target, err := a.target.open(ctx)
	if err != nil {
		return look, false, a.notOpen(err)
	}
	sides := Sides{Source: source, Target: target, SourceMapping: a.source.Mapping, TargetMapping: a.target.Mapping, Takers: a.takers}
	look, err = sides.Look(ctx, c)
	if err != nil || look.Moot != "" || len(look.Operations) == 0 {
		return look, false, err
	}
	if *writes >= entryWrites {
		return look, false, fault.New(fault.Permanent, "the target keeps other values than those that were written", nil,
			"does a rule of the target's server alter them?")
	}
	// What is sent after the lease could land after a suspension was acknowledged.
	end := a.writing.At()
	writing, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	err = target.Write(writing, look.Operations[0])
	switch {
	case err == nil:
		*writes++
		a.accepted++
		clear(a.lostInRow)
	case !a.clock.Now().Before(end):
		// That it was renewed since, as after a pause of the process, changes nothing.
		a.unsure = true
		return look, false, fault.New(fault.Conflict, "write", errLeaseEnded, "")
	case fault.Is(err, fault.Transient) && !busy(err):
		a.unsure = true
	}
	return look, err == nil, err
}

// notOpen is for the error of a connection. If another try would be in vain, as after a
// rejected bind, it belongs to everything and not to one entry.
func (a *applying) notOpen(err error) error {
	a.unopened = err
	if !fault.Is(err, fault.Transient) {
		a.barred = err
	}
	return err
}

// carriedOut is a change of which nothing is to be done any more.
func (a *applying) carriedOut(c Change, look Look) Change {
	c.State, c.Error, c.Hint = ChangeDone, "", ""
	if look.Moot != "" {
		if a.state == ChangeDone {
			return c // it was carried out, and is another by now
		}
		c.State, c.Error = ChangeTold, look.Moot
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

func (a *applying) failed(c Change, err error) Change {
	a.kind, c.Error, c.Hint = fault.Describe(err)
	a.lost, a.silent = fault.Lost(err), silent(err)
	if a.lost {
		a.loses(c.Seq)
		c.Hint = lostHint
	}
	// A run tries again what may be the server's trouble. What ends the connection
	// is recorded only if it is the entry.
	c.State, c.OfServer = ChangeFailed, !a.lost && blame.OfServer(a.kind)
	return c
}

// connection opens a directory when it is needed, and again after it broke.
type connection struct {
	Directory
	session Session
}

func (c *connection) open(ctx context.Context) (Session, error) {
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
