package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/audit"
	"mailmirror/internal/suspension"
)

// ControlState is what MirrorControl carries over when it continues as new. It
// starts with none.
type ControlState struct {
	// Link is the link that this workflow suspends and resumes; "" is everything.
	Link string `json:"link,omitempty"`
	// Suspension is how things stood when the database last said so with proof.
	Suspension suspension.Suspension `json:"suspension,omitzero"`
	// Served counts the requests that were carried out.
	Served int `json:"served,omitempty"`
}

// ControlView answers QuerySuspension.
type ControlView struct {
	suspension.Suspension
	Served int `json:"served"`
}

// MirrorControl suspends and resumes the mirror, one request after the other.
// It runs for ever, under one id. What is asked of it for a link by itself it hands on
// to the link's LinkControl.
//
// Whether the mirror writes is said by a row in the database, by which leases
// are given; this workflow changes it, sees the schedules and the end of the
// leases through whatever restarts, and tells. So nothing depends on its being
// there: started anew it reads the row and goes on from that. If the row is
// unconfirmed, since the database was restored or started again, the workflow keeps
// what it knows: internal/supervise asks for that and puts it into the row again.
//
// By an update a request is answered once it is carried out: a suspension when
// no write is in flight anywhere. By a signal, which may come without an
// argument, it is carried out all the same.
func MirrorControl(ctx workflow.Context, state ControlState) error {
	c := &mirrorControl{ControlState: state,
		suspend: workflow.GetSignalChannel(ctx, SignalSuspend), resume: workflow.GetSignalChannel(ctx, SignalResume)}
	if err := c.handle(ctx); err != nil {
		return err
	}
	if err := c.read(ctx); err != nil {
		return err
	}
	for {
		c.takeIn()
		switch {
		case len(c.asked) > 0:
			next := c.asked[0]
			c.asked = c.asked[1:]
			if err := c.serve(ctx, next); err != nil {
				return err
			}
		case c.settling != nil && c.settling.IsReady():
			if err := c.settled(ctx); err != nil {
				return err
			}
		case c.over(ctx):
			return nil
		case c.mayContinue(ctx):
			return workflow.NewContinueAsNewError(ctx, workflow.GetInfo(ctx).WorkflowType.Name, c.ControlState)
		default:
			err := workflow.Await(ctx, func() bool {
				return c.pending() || (c.settling != nil && c.settling.IsReady()) || c.over(ctx) || c.mayContinue(ctx)
			})
			if err != nil {
				return err
			}
		}
	}
}

// LinkControl is MirrorControl for a link by itself, from the link's suspension until its
// resumption. It is a type of its own, so that no worker of a release that knows of no
// such link runs it.
func LinkControl(ctx workflow.Context, state ControlState) error { return MirrorControl(ctx, state) }

// controlRequest is one request on its way.
type controlRequest struct {
	suspension.Request
	suspend bool
	done    bool
	answer  suspension.Suspension
}

type mirrorControl struct {
	ControlState
	suspend, resume workflow.ReceiveChannel
	// asked are requests that nothing was done about yet, waiting those that are
	// recorded and not complete.
	asked, waiting []*controlRequest
	// settling is the activity that completes a suspension or a resumption, stop
	// what ends it.
	settling workflow.Future
	stop     workflow.CancelFunc
}

func (c *mirrorControl) handle(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QuerySuspension, func() (ControlView, error) {
		return ControlView{c.Suspension, c.Served}, nil
	})
	if err != nil {
		return err
	}
	for _, u := range []struct {
		name    string
		suspend bool
	}{{SignalSuspend, true}, {SignalResume, false}} {
		err := workflow.SetUpdateHandlerWithOptions(ctx, u.name,
			func(ctx workflow.Context, r suspension.Request) (suspension.Suspension, error) {
				return c.update(ctx, &controlRequest{Request: r, suspend: u.suspend})
			},
			workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, r suspension.Request) error { return r.Validate() }})
		if err != nil {
			return err
		}
	}
	return nil
}

// update queues a request and waits until it is carried out, or, as to a
// suspension, called off by a resumption.
func (c *mirrorControl) update(ctx workflow.Context, r *controlRequest) (suspension.Suspension, error) {
	r.Who, r.Way = cmp.Or(r.Who, audit.Unknown), audit.Temporal
	c.asked = append(c.asked, r)
	err := workflow.Await(ctx, func() bool { return r.done })
	return r.answer, err
}

// takeIn queues the signals that have arrived. In which order a suspension and
// a resumption were sent that arrive together cannot be told, unless they name
// what they are about; the suspension comes last then, and prevails.
func (c *mirrorControl) takeIn() {
	for _, s := range []struct {
		channel workflow.ReceiveChannel
		suspend bool
	}{{c.resume, false}, {c.suspend, true}} {
		for {
			var argument any
			if !s.channel.ReceiveAsync(&argument) {
				break
			}
			c.asked = append(c.asked, &controlRequest{Request: requestOf(argument), suspend: s.suspend})
		}
	}
}

func (c *mirrorControl) pending() bool {
	return len(c.asked) > 0 || c.suspend.Len() > 0 || c.resume.Len() > 0
}

// over reports whether a link's suspension is over and nothing is under way.
func (c *mirrorControl) over(ctx workflow.Context) bool {
	return c.Link != "" && !c.Suspension.Suspended() && c.settling == nil && !c.pending() && workflow.AllHandlersFinished(ctx)
}

// mayContinue reports whether the history is long and nothing is under way.
func (c *mirrorControl) mayContinue(ctx workflow.Context) bool {
	return workflow.GetInfo(ctx).GetContinueAsNewSuggested() && c.settling == nil && !c.pending() && workflow.AllHandlersFinished(ctx)
}

// read asks the database how things stand and makes all else fit that, as it
// may have changed while this workflow was not there.
func (c *mirrorControl) read(ctx workflow.Context) error {
	var a *activities.Suspension
	_, err := c.take(ctx, workflow.ExecuteLocalActivity(bookkeeping(ctx, "read whether the mirror is suspended"), a.ReadSuspension, c.Link))
	if err != nil {
		return err
	}
	return c.settle(ctx)
}

// take waits for how things stand, and returns what the row says. What is decoded goes
// into a fresh value: fields that are left out as empty would keep what they held. A row
// that is unconfirmed does not replace what is known: it may lack a suspension. That of a
// link does if its epoch is higher: it has what is known, and was changed since.
func (c *mirrorControl) take(ctx workflow.Context, f workflow.Future) (suspension.Suspension, error) {
	var s suspension.Suspension
	if err := f.Get(ctx, &s); err != nil {
		return s, err
	}
	if !s.Unconfirmed || c.Suspension.State == "" || c.Link != "" && s.Epoch > c.Suspension.Epoch {
		c.Suspension = s
	}
	return s, nil
}

// serve carries out one request as far as the row goes; its answer comes when
// all else fits that.
func (c *mirrorControl) serve(ctx workflow.Context, r *controlRequest) error {
	c.Served++
	if c.Link == "" && r.Link != "" {
		var a *activities.Suspension
		err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "hand the request on to the link"), a.AskLink,
			activities.LinkRequest{Request: r.Request, Suspend: r.suspend}).Get(ctx, &r.answer)
		r.done = true
		return err
	}
	before := c.Suspension
	if err := c.record(ctx, r); err != nil {
		return err
	}
	if c.Suspension.Epoch != before.Epoch || c.Suspension.Unconfirmed != before.Unconfirmed {
		c.callOff(ctx)
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
	if c.settling != nil {
		c.waiting = append(c.waiting, r)
		return nil
	}
	c.reply(r)
	return nil
}

// record changes the row. It names the epoch that is to be changed, so that an
// attempt which comes late, after all that followed, changes nothing; where the
// row turns out to be of another epoch, that one is meant.
func (c *mirrorControl) record(ctx workflow.Context, r *controlRequest) error {
	var a *activities.Suspension
	ctx = bookkeeping(ctx, "read how the mirror stands and change that")
	row, err := c.take(ctx, workflow.ExecuteLocalActivity(ctx, a.ReadSuspension, c.Link))
	for err == nil && (row.Unconfirmed && c.Link == "" || row.Suspended() != r.suspend) {
		// One that names its epoch is about that one only: a suspension was
		// recorded by who asks for it, and is over by now, unless the row does not
		// know of it, since the database went back to a time before it.
		if r.Epoch != 0 && (r.suspend && r.Epoch <= row.Epoch || !r.suspend && r.Epoch != row.Epoch) {
			return nil
		}
		request := r.Request
		request.Link, request.Epoch = c.Link, row.Epoch
		if r.suspend {
			row, err = c.take(ctx, workflow.ExecuteLocalActivity(ctx, a.RecordSuspend, request))
		} else {
			row, err = c.take(ctx, workflow.ExecuteLocalActivity(ctx, a.RecordResume, request))
		}
		if err == nil && row.Epoch == 0 {
			return nil // the link was removed
		}
	}
	return err
}

// settle begins to make schedules, and what is shown, fit to how things stand.
func (c *mirrorControl) settle(ctx workflow.Context) error {
	if err := c.show(ctx); err != nil {
		return err
	}
	if c.Suspension.Unconfirmed && c.Link == "" {
		return nil // nothing is known yet, and nothing is written meanwhile
	}
	var a *activities.Suspension
	ctx, c.stop = workflow.WithCancel(ctx)
	if c.Suspension.Suspended() {
		// Also where it is complete: that costs a look.
		c.settling = workflow.ExecuteActivity(settling(ctx, "pause the schedules, wait for the last write"), a.SettleSuspension, c.Suspension)
	} else {
		c.settling = workflow.ExecuteActivity(settling(ctx, "let the schedules go on, start what is due"), a.SettleRunning, c.Suspension)
	}
	return nil
}

// callOff ends the settling of what is not so any more. Once this returns it
// touches no schedule.
func (c *mirrorControl) callOff(ctx workflow.Context) {
	if c.settling != nil {
		c.stop()
		_ = c.settling.Get(ctx, nil) // whatever it ended with
	}
	c.finish()
}

// settled takes in that all fits.
func (c *mirrorControl) settled(ctx workflow.Context) error {
	before := c.Suspension
	if _, err := c.take(ctx, c.settling); err != nil {
		return err
	}
	c.finish()
	switch now := c.Suspension; {
	case now.Epoch != before.Epoch: // changed by another than this workflow
		return c.settle(ctx)
	case now.State != before.State:
		return c.show(ctx)
	}
	return nil
}

// finish answers those who wait for the settling.
func (c *mirrorControl) finish() {
	c.settling = nil
	for _, r := range c.waiting {
		c.reply(r)
	}
	c.waiting = nil
}

func (c *mirrorControl) reply(r *controlRequest) { r.answer, r.done = c.Suspension, true }

// show writes how things stand for the Web UI, and to be found by.
func (c *mirrorControl) show(ctx workflow.Context) error {
	s := c.Suspension
	scope := s.Scope()
	text := strings.ToUpper(scope[:1]) + scope[1:] + " is **" + string(s.State) + "** since " + s.Since.UTC().Format(time.RFC3339)
	if s.Unconfirmed {
		text = "Whether the mirror is suspended is not known, so that nothing is written; the database says that it runs since " +
			s.Since.UTC().Format(time.RFC3339)
	}
	if s.Who != "" {
		text += ", by " + s.Who
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s.\n\n%d requests carried out. Suspend and resume it by `%s` and "+
		"`%s`, or by this workflow's signals and updates of these names.", text, c.Served,
		strings.Replace(s.ResumeCommand(), "resume", "suspend", 1), s.ResumeCommand()))
	return workflow.UpsertTypedSearchAttributes(ctx, PhaseAttribute.ValueSet(string(s.State)))
}

// requestOf reads the argument of a signal: none, a request, or a word or two
// that somebody gave as the reason. Whatever it is, the signal counts.
func requestOf(argument any) suspension.Request {
	r := suspension.Request{Who: audit.Unknown, Way: audit.Temporal}
	switch v := argument.(type) {
	case string:
		r.Reason = v
	case map[string]any:
		if reason, ok := v["reason"].(string); ok {
			r.Reason = reason
		}
		if who, ok := v["who"].(string); ok && who != "" {
			r.Who = who
		}
		if way, ok := v["way"].(string); ok && (audit.Way(way) == audit.CLI || audit.Way(way) == audit.Page) {
			r.Way = audit.Way(way)
		}
		if epoch, ok := v["epoch"].(float64); ok {
			r.Epoch = int64(epoch)
		}
		r.Link, _ = v["link"].(string)
	}
	return r.Shortened()
}
