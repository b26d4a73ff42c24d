package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// SuspensionState says whether the mirror may write to its targets.
type SuspensionState string

// The states of the mirror as a whole.
const (
	Running SuspensionState = "running"
	// Suspending: no write lease begins or goes on, and those that were held
	// are not all over.
	Suspending SuspensionState = "suspending"
	// Suspended: no write is in flight anywhere.
	Suspended SuspensionState = "suspended"
)

// Suspension is how the mirror as a whole stands. The database's row is the
// truth of it.
type Suspension struct {
	State SuspensionState `json:"state"`
	// Epoch grows with every suspension and every resumption.
	Epoch int64 `json:"epoch"`
	// Reason and Who are of the suspension; of a running mirror Who resumed it.
	Reason string `json:"reason,omitempty"`
	Who    string `json:"who,omitempty"`
	// Since is when the mirror was suspended or resumed; SuspendedAt when the
	// last write had ended.
	Since       time.Time `json:"since,omitzero"`
	SuspendedAt time.Time `json:"suspended_at,omitzero"`
	// Waiting is how many mailboxes somebody may still write to.
	Waiting int `json:"waiting,omitempty"`
	// Remaining is for how long at most somebody may still write. A running mirror has
	// one after the database was started again or restored: for that long writes may
	// land under leases of before, and no lease is given.
	Remaining time.Duration `json:"remaining_ns,omitempty"`
	// Unconfirmed is true if the row says running and does not prove that it is the
	// last one: the database was started again or restored, or it is a standby that took
	// over. It may lack a suspension, so nothing is written before the supervision has
	// asked Temporal, or an operator resumes the mirror.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// Suspended reports whether the row says that the mirror is suspended, or about to be.
func (s Suspension) Suspended() bool { return s.State != Running }

// Still reports whether the mirror must not write.
func (s Suspension) Still() bool { return s.Suspended() || s.Unconfirmed }

// SuspensionProof tells whether the row of the suspension is the last one that was
// written.
type SuspensionProof struct {
	Suspension Suspension
	// Confirmed is the proof. Mark names the version of the row in this database.
	Confirmed bool
	Mark      string
	// LeaseTime is for how long a write may land under a lease, as the row has it.
	LeaseTime time.Duration
	// Used is true if this database ever mirrored anything, or was ever suspended.
	Used bool
}

// Request asks for a suspension or a resumption.
type Request struct {
	// Reason and Who are shown and kept. They are the operator's own words.
	Reason string `json:"reason,omitempty"`
	Who    string `json:"who,omitempty"`
	// Epoch is the suspension that the request is about: for a suspension, the
	// one that was recorded already; for a resumption, the one that it ends. 0
	// means whatever there is.
	Epoch int64 `json:"epoch,omitempty"`
}

const (
	maxReason = 500
	maxWho    = 100
)

// Validate reports what is wrong with a request.
func (r Request) Validate() error {
	var faults []error
	for _, text := range []struct {
		what, value string
		most        int
	}{{"reason", r.Reason, maxReason}, {"who", r.Who, maxWho}} {
		if !utf8.ValidString(text.value) {
			faults = append(faults, fmt.Errorf("%s: not UTF-8", text.what))
		}
		if len(text.value) > text.most {
			faults = append(faults, fmt.Errorf("%s: %d bytes are more than %d", text.what, len(text.value), text.most))
		}
	}
	return errors.Join(faults...)
}

// Shortened cuts what is too long, for requests that nobody is there to mend.
func (r Request) Shortened() Request {
	cut := func(text string, most int) string {
		return strings.ToValidUTF8(text[:min(len(text), most)], "")
	}
	r.Reason, r.Who = cut(r.Reason, maxReason), cut(r.Who, maxWho)
	return r
}

// Event is one thing that an operator did to the mirror as a whole, or that
// came of it.
type Event struct {
	At    time.Time `json:"at"`
	Event string    `json:"event"` // suspend, suspended, resume, schedule set, …
	// Subject is the schedule; "" where the mirror is meant.
	Subject string `json:"subject,omitempty"`
	Who     string `json:"who"`
	Reason  string `json:"reason,omitempty"`
}

// SuspensionRecords is what suspending needs of the database.
type SuspensionRecords interface {
	Suspension(ctx context.Context) (Suspension, error)
	// Suspend records that no write lease is given or renewed any more. It
	// returns once no transaction that could give one is under way. A mirror
	// that is not running, or is of another epoch than the request's, is left
	// as it is.
	Suspend(ctx context.Context, r Request) (Suspension, error)
	// ConfirmSuspended records that the suspension of an epoch is complete where
	// no lease may be written under any more, and returns how things stand.
	ConfirmSuspended(ctx context.Context, epoch int64) (Suspension, error)
	// Resume ends the suspension of r.Epoch. Another one is left as it is.
	Resume(ctx context.Context, r Request) (Suspension, error)
	// Events lists newest first, at most limit (0 means all).
	Events(ctx context.Context, limit int) ([]Event, error)
}

// SuspensionRunner is what suspending needs of Temporal. Both return once the
// request cannot be lost, and start MirrorControl where it does not run.
type SuspensionRunner interface {
	AskSuspend(ctx context.Context, r Request) error
	AskResume(ctx context.Context, r Request) error
}

// Suspension tells how the mirror as a whole stands.
func (c *Control) Suspension(ctx context.Context) (Suspension, error) {
	return c.repo.Suspension(ctx)
}

// Events lists what operators did to the mirror as a whole, newest first.
func (c *Control) Events(ctx context.Context, limit int) ([]Event, error) {
	return c.repo.Events(ctx, limit)
}

// Suspend stops all writing. When it returns without an error, or with one
// beside a Suspension that is Still, no write lease is given any more; what is
// in flight ends within the lease's time, and WaitSuspended waits for that.
//
// The database comes first, since that is what leases are given by: the mirror
// stops writing even where Temporal is away, and no worker runs. Only the
// schedules are not paused then, which the error says.
func (c *Control) Suspend(ctx context.Context, r Request) (Suspension, error) {
	const op = "suspend the mirror"
	if err := malformed(op, []error{r.Validate()}); err != nil {
		return Suspension{}, err
	}
	s, err := c.repo.Suspend(ctx, r)
	if err != nil {
		return Suspension{}, fault.Wrap(err, op)
	}
	r.Epoch = s.Epoch
	if err := c.runner.AskSuspend(ctx, r); err != nil {
		return s, fault.New(fault.KindOf(err), "nothing new is written, but the schedules are not paused", err,
			"give the command again when Temporal answers")
	}
	return s, nil
}

const (
	// lookEvery is how often the database is asked whether a request was
	// carried out.
	lookEvery = 100 * time.Millisecond
	// workerPatience is how long a worker has for what takes it a moment.
	workerPatience = 15 * time.Second
)

// WaitSuspended waits until no write is in flight anywhere. progress, which may
// be nil, is called about once in every interval. Where no worker acknowledges
// in time, the database itself tells that everything is still, and is believed.
func (c *Control) WaitSuspended(ctx context.Context, epoch int64, every time.Duration, progress func(Suspension)) (Suspension, error) {
	const op = "wait for the mirror to be still"
	var stillSince, told time.Time
	for {
		s, err := c.repo.Suspension(ctx)
		switch now := c.options.Now(); {
		case err != nil:
			return Suspension{}, fault.Wrap(err, op)
		case s.State == Suspended:
			return s, nil
		case s.State == Running && s.Epoch > epoch:
			return s, fault.New(fault.Conflict, op+": it was resumed meanwhile by "+s.Who, nil, "")
		case s.Waiting > 0:
			stillSince = time.Time{}
		case stillSince.IsZero():
			stillSince = now
		case now.Sub(stillSince) > workerPatience:
			if s, err = c.repo.ConfirmSuspended(ctx, s.Epoch); err != nil {
				return Suspension{}, fault.Wrap(err, op)
			}
			if s.State == Suspended {
				return s, nil
			}
		}
		if now := c.options.Now(); progress != nil && now.Sub(told) >= every {
			told = now
			progress(s)
		}
		if !sleep.For(ctx, lookEvery) {
			return s, fault.Wrap(ctx.Err(), op)
		}
	}
}

// Resume lets the mirror write again and returns when it does: changed is
// false where it was not suspended.
func (c *Control) Resume(ctx context.Context, r Request) (s Suspension, changed bool, err error) {
	const op = "resume the mirror"
	if err := malformed(op, []error{r.Validate()}); err != nil {
		return Suspension{}, false, err
	}
	s, err = c.repo.Suspension(ctx)
	if err != nil || !s.Still() {
		return s, false, fault.Wrap(err, op)
	}
	r.Epoch = s.Epoch
	if err := c.runner.AskResume(ctx, r); err != nil {
		return s, false, fault.Wrap(err, op)
	}
	for begin := c.options.Now(); ; {
		s, err := c.repo.Suspension(ctx)
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

// writing refuses what would write while the mirror is suspended.
func (c *Control) writing(ctx context.Context, op string) error {
	s, err := c.repo.Suspension(ctx)
	// What waits while the state is unconfirmed goes on by itself.
	if err != nil || !s.Suspended() {
		return fault.Wrap(err, op)
	}
	text := op + ": the mirror is suspended since " + s.Since.In(c.options.Now().Location()).Format("2006-01-02 15:04:05")
	if s.Who != "" {
		text += " by " + s.Who
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return fault.New(fault.Conflict, text, nil, "mailmirror resume")
}
