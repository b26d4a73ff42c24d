package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
	"mailmirror/internal/suspension"
)

// Suspensions tells what is suspended.
func (c *Control) Suspensions(ctx context.Context) (suspension.Scopes, error) {
	return c.ports.Suspension.Suspensions(ctx)
}

// ownSuspension is that of one scope; a link must exist.
func (c *Control) ownSuspension(ctx context.Context, link string) (suspension.Suspension, error) {
	if link != "" {
		if _, err := c.ports.Links.Link(ctx, link); err != nil {
			return suspension.Suspension{}, err
		}
	}
	all, err := c.ports.Suspension.Suspensions(ctx)
	return all.Own(link), err
}

// Suspend stops all writing, or that of one link. When it returns without an error, or
// with an ErrNotPaused, no write lease is given any more; what is in flight ends within
// the lease's time, and WaitSuspended waits for that. changed is false if it was
// suspended before: that suspension stays, with its reason.
//
// The database comes first, since that is what leases are given by: the mirror
// stops writing even where Temporal is away, and no worker runs. Only the
// schedules are not paused then, which the error says.
func (c *Control) Suspend(ctx context.Context, link, reason string) (s suspension.Suspension, changed bool, err error) {
	const op = "suspend the mirror"
	r := c.request(link, reason)
	if err := c.allow(ctx, &audit.Entry{Command: "suspend", Link: link, Detail: reason}); err != nil {
		return suspension.Suspension{}, false, err
	}
	if err := malformed(op, []error{r.Validate()}); err != nil {
		return suspension.Suspension{}, false, err
	}
	before, err := c.ownSuspension(ctx, link)
	if err == nil {
		s, err = c.ports.Suspension.Suspend(ctx, r)
	}
	if c.options.Outdated != nil && errors.Is(err, fault.ErrDatabase) {
		err = fault.New(fault.KindOf(err), "", err, outdatedHint)
	}
	if err != nil {
		return suspension.Suspension{}, false, fault.Wrap(err, op)
	}
	r.Epoch, changed = s.Epoch, s.Epoch > before.Epoch
	if err := c.ports.Suspender.AskSuspend(ctx, r); err != nil {
		return s, changed, fault.New(fault.KindOf(err), "", fmt.Errorf("%w: %w", ErrNotPaused, err), "give the command again when Temporal answers")
	}
	return s, changed, nil
}

// ErrNotPaused is in the chain of the error of a suspension that the database has, and
// that Temporal does not know.
var ErrNotPaused = errors.New("nothing new is written, but the schedules are not paused")

// outdatedHint says how to suspend if the schema lacks what Suspend needs. MirrorControl
// belongs to the workers, which fit the schema.
const outdatedHint = "if workers run, this suspends all links: temporal workflow signal --workflow-id mirror-control --name suspend. " +
	"Otherwise use the programs of the release before, or run mailmirror migrate and suspend then"

// request is one of the actor's. Who carries it out writes its audit row.
func (c *Control) request(link, reason string) suspension.Request {
	return suspension.Request{Link: link, Reason: reason, Who: c.actor.Name, Way: c.actor.Way}
}

const (
	// lookEvery is how often the database is asked whether a request was
	// carried out.
	lookEvery = 100 * time.Millisecond
	// workerPatience is how long a worker has for what takes it a moment.
	workerPatience = 15 * time.Second
)

// WaitSuspended waits until no write is in flight in the scope. If no worker acknowledges
// in time, the database itself says that everything is still, and is believed.
func (c *Control) WaitSuspended(ctx context.Context, link string, epoch int64, w Waiting[suspension.Suspension]) (suspension.Suspension, error) {
	const op = "wait for the mirror to be still"
	var stillSince, shown, looked time.Time
	absence := absence{ports: c.ports, run: site.Run{Kind: site.RunSuspension, Of: link}, say: w.NoWorker}
	for {
		s, err := c.ownSuspension(ctx, link)
		switch now := c.options.Now(); {
		case err != nil:
			return suspension.Suspension{}, fault.Wrap(err, op)
		case s.State == suspension.Suspended:
			return s, nil
		case s.State == suspension.Running && s.Epoch > epoch:
			return s, fault.New(fault.Conflict, op+": it was resumed meanwhile by "+s.Who, nil, "")
		case s.Waiting > 0:
			stillSince = time.Time{}
		case stillSince.IsZero():
			stillSince = now
		case now.Sub(stillSince) > workerPatience:
			if s, err = c.ports.Suspension.ConfirmSuspended(ctx, link, s.Epoch); err != nil {
				return suspension.Suspension{}, fault.Wrap(err, op)
			}
			if s.State == suspension.Suspended {
				return s, nil
			}
		}
		now := c.options.Now()
		if w.Progress != nil && now.Sub(shown) >= w.Every {
			shown = now
			w.Progress(s)
		}
		if now.Sub(looked) >= workerLook {
			looked = now
			absence.look(ctx, now)
		}
		if !sleep.For(ctx, lookEvery) {
			return s, fault.Wrap(ctx.Err(), op)
		}
	}
}

// Resume lets the mirror write again and returns when it does: changed is
// false where it was not suspended. If the database may lack the suspension of a link,
// the error says so. An unconfirmed suspension of everything ends like one that is known.
func (c *Control) Resume(ctx context.Context, link string) (s suspension.Suspension, changed bool, err error) {
	const op = "resume the mirror"
	r := c.request(link, "")
	if err := c.allow(ctx, &audit.Entry{Command: "resume", Link: link}); err != nil {
		return suspension.Suspension{}, false, err
	}
	if err := malformed(op, []error{r.Validate()}); err != nil {
		return suspension.Suspension{}, false, err
	}
	s, err = c.ownSuspension(ctx, r.Link)
	switch {
	case err != nil || !s.Still():
		return s, false, fault.Wrap(err, op)
	case link != "" && s.Unconfirmed:
		return s, false, fault.New(fault.Transient, "it is not known yet whether link "+link+" is suspended: "+
			"the database was started again or restored, or a standby took over, and it may lack a suspension", nil,
			"a worker of this release asks Temporal within a minute: give the command again then. If no worker runs, start one")
	}
	r.Epoch = s.Epoch
	if err := c.ports.Suspender.AskResume(ctx, r); err != nil {
		return s, false, fault.Wrap(err, op)
	}
	for begin := c.options.Now(); ; {
		s, err := c.ownSuspension(ctx, r.Link)
		switch {
		case err != nil:
			return s, false, fault.Wrap(err, op)
		case s.Epoch > r.Epoch:
			return s, true, nil
		case c.options.Now().Sub(begin) > workerPatience:
			return s, false, fault.New(fault.Transient, op+": no worker has done so yet", nil,
				"is a worker running? The mirror is resumed as soon as one starts")
		}
		if !sleep.For(ctx, lookEvery) {
			return s, false, fault.Wrap(ctx.Err(), op)
		}
	}
}

// writing rejects what would write while the mirror, or the link, is suspended.
func (c *Control) writing(ctx context.Context, op, link string) error {
	all, err := c.ports.Suspension.Suspensions(ctx)
	s := all.Of(link)
	// What waits while the state is unconfirmed goes on by itself.
	if err != nil || !s.Suspended() {
		return fault.Wrap(err, op)
	}
	return c.rejected(op, s, s.ResumeCommand())
}

// rejected is the error of a command that a suspension forbids.
func (c *Control) rejected(op string, s suspension.Suspension, hint string) error {
	text := op + ": " + s.Scope() + " is suspended since " + s.Since.In(c.options.Now().Location()).Format("2006-01-02 15:04:05")
	if s.Who != "" {
		text += " by " + s.Who
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return fault.New(fault.Conflict, text, nil, hint)
}
