package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
	"mailmirror/internal/verdict"
)

// CheckRecords is what workers recorded of checks and verifications. A run that is not
// recorded is a NotFound fault.
type CheckRecords interface {
	// StoreCheck returns a check of a store that has ended.
	StoreCheck(ctx context.Context, runID string) (verdict.StoreRun, error)
	// Verification returns what a verification has found so far, without Results.
	Verification(ctx context.Context, runID string) (verdict.VerifyRun, error)
	// VerifyResults returns the mailboxes of a verification that are not equal, by number;
	// none if it is not recorded.
	VerifyResults(ctx context.Context, runID string) ([]verdict.Mailbox, error)
}

// CheckRunner starts what workers do to check and verify. One check of a store and one
// verification of a link runs at a time.
type CheckRunner interface {
	// StartCheck and StartVerify return the run that they started, or the one that runs.
	StartCheck(ctx context.Context, store string, number mailbox.Number) (verdict.Start, error)
	StartVerify(ctx context.Context, r verdict.VerifyRequest) (verdict.Start, error)
	// StopVerify ends the verification of a link; a NotFound fault if none runs.
	StopVerify(ctx context.Context, link string) error
}

// Waiting is how somebody waits for the end of a run. Its functions may be nil; they are
// called from the caller's goroutine.
type Waiting[R any] struct {
	// Every is how often Progress is called, with what the record of the run says.
	Every    time.Duration
	Progress func(R)
	// NoWorker is called when no worker has taken up the run for that long. The waiting
	// goes on: the run begins, or continues, as soon as a worker takes it up.
	NoWorker func(time.Duration)
}

const (
	// workerLook is how often somebody who waits looks whether a worker is at the run,
	// and noWorkerAfter for how long there may be none before that is said.
	workerLook    = time.Second
	noWorkerAfter = 4 * time.Second
)

// awaitRun waits for the end of any run but of a mailbox's syncs, and returns its record.
func awaitRun[R any](ctx context.Context, c *Control, op string, run site.Run, w Waiting[R], record func(context.Context, string) (R, error)) (R, error) {
	return await(ctx, c, run, w, func() error { return fault.Wrap(c.ports.Runner.WaitRun(ctx, run), op) }, func() (R, error) { return record(ctx, run.ID) })
}

// await waits for the end of a run, by wait, and returns its record, by look.
func await[R any](ctx context.Context, c *Control, run site.Run, w Waiting[R], wait func() error, look func() (R, error)) (R, error) {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	progress, worker := time.NewTicker(max(w.Every, time.Millisecond)), time.NewTicker(workerLook)
	defer progress.Stop()
	defer worker.Stop()
	absence := absence{ports: c.ports, run: run, say: w.NoWorker}
	for {
		select {
		case err := <-ended:
			if err != nil {
				var none R
				return none, err
			}
			return look()
		case <-progress.C:
			// A look that fails is made good by the next: the run may not have
			// been recorded yet, and a database that is away for good ends the
			// run itself.
			if w.Progress == nil {
				continue
			}
			if r, err := look(); err == nil {
				w.Progress(r)
			}
		case now := <-worker.C:
			absence.look(ctx, now)
		}
	}
}

// absence says that no worker takes up a run.
type absence struct {
	ports Ports
	run   site.Run
	say   func(time.Duration) // may be nil
	// since is what AwaitsWorker said last, seen when it said so first: two clocks are
	// not compared.
	since, seen time.Time
	said        bool
}

// look asks whether a worker is at the run. It says once, for each time that it happens,
// that there is none.
func (a *absence) look(ctx context.Context, now time.Time) {
	waits, err := a.ports.Runner.AwaitsWorker(ctx, a.run)
	switch {
	case err != nil:
	case waits.IsZero() || !waits.Equal(a.since):
		a.since, a.seen, a.said = waits, now, false
	case !a.said && now.Sub(a.seen) >= noWorkerAfter && a.say != nil:
		a.said = true
		a.say(now.Sub(a.seen))
	}
}

// CheckStore has a worker look at a store as it is now, acting for number if that is not
// empty, and at its directory if it has one. It waits for the end. A check that runs
// already serves if it is the same; otherwise another one follows it.
func (c *Control) CheckStore(ctx context.Context, name string, number mailbox.Number, w Waiting[verdict.StoreRun]) (verdict.Store, error) {
	op := "check store " + name
	if number != "" {
		if err := number.Validate(); err != nil {
			return verdict.Store{}, malformed(op, []error{err})
		}
	}
	if _, err := c.ports.Stores.Store(ctx, name); cmp.Or(err, c.options.Outdated) != nil {
		return verdict.Store{}, cmp.Or(err, c.options.Outdated)
	}
	for {
		start, err := c.ports.CheckRunner.StartCheck(ctx, name, number)
		if err != nil {
			return verdict.Store{}, fault.Wrap(err, op)
		}
		run := site.Run{Kind: site.RunCheck, Of: name, ID: start.RunID}
		found, err := awaitRun(ctx, c, op, run, w, c.ports.Checks.StoreCheck)
		switch {
		case !start.Same && ctx.Err() == nil:
			if err != nil {
				sleep.For(ctx, workerLook) // Temporal may be away
			}
			continue
		case err != nil:
			return verdict.Store{}, err
		}
		return found.Report, found.Err()
	}
}

// maxNumbers is how many mailboxes a verification may name: the list is part of the
// request to Temporal, which bounds it to 2 MB.
const maxNumbers = 5000

// StartVerify has workers compare the mailboxes of a link on both stores; without
// numbers all that take part. A verification that runs already serves if it is the same,
// and is a Conflict fault otherwise.
func (c *Control) StartVerify(ctx context.Context, r verdict.VerifyRequest) (verdict.Start, error) {
	op := "verify link " + r.Link
	if err := checkNumbers(op, r.Numbers); err != nil {
		return verdict.Start{}, err
	}
	if len(r.Numbers) > maxNumbers {
		return verdict.Start{}, malformed(op, []error{fmt.Errorf("%d mailboxes are given: give at most %d, or none for all of the link", len(r.Numbers), maxNumbers)})
	}
	if _, err := c.ports.Links.Link(ctx, r.Link); cmp.Or(err, c.options.Outdated) != nil {
		return verdict.Start{}, cmp.Or(err, c.options.Outdated)
	}
	for _, n := range r.Numbers {
		if _, err := c.ports.Mailboxes.Mailbox(ctx, mailbox.Key{Link: r.Link, Number: n}); err != nil {
			return verdict.Start{}, err
		}
	}
	start, err := c.ports.CheckRunner.StartVerify(ctx, r)
	if err == nil && !start.Same {
		err = fault.New(fault.Conflict, "a verification of other mailboxes, or of another depth, is running", nil,
			"wait for its end, or end it with: mailmirror verify "+r.Link+" --stop")
	}
	return start, fault.Wrap(err, op)
}

// WaitVerify waits for the end of a verification and returns what it found. The end of
// ctx ends the waiting, not the verification.
func (c *Control) WaitVerify(ctx context.Context, r verdict.VerifyRequest, start verdict.Start, w Waiting[verdict.VerifyRun]) (verdict.Verification, error) {
	op := "verify link " + r.Link
	run := site.Run{Kind: site.RunVerify, Of: r.Link, ID: start.RunID}
	found, err := awaitRun(ctx, c, op, run, w, c.ports.Checks.Verification)
	if err != nil {
		return verdict.Verification{}, err
	}
	v := found.Verification
	if v.Results, err = c.ports.Checks.VerifyResults(ctx, run.ID); err != nil {
		return v, err
	}
	// A mailbox that was forgotten must not count as one that is equal. A database that
	// was restored, or a standby that took over, may lack the end, and results with it.
	n := len(r.Numbers)
	if found.FinishedAt.IsZero() || found.Error != "" || n > 0 && v.Mailboxes != n || len(v.Results) != v.Differing+v.Failed {
		return v, fmt.Errorf("%s: %w", op, errors.New("the record does not hold the result of every mailbox"))
	}
	return v, nil
}

// StopVerify ends the verification of a link that runs.
func (c *Control) StopVerify(ctx context.Context, link string) (err error) {
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "verify stop", Link: link})
	if err != nil {
		return err
	}
	defer end(&err)
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return err
	}
	if err := c.ask(ctx); err != nil {
		return err
	}
	return fault.Wrap(c.ports.CheckRunner.StopVerify(ctx, link), "stop the verification of link "+link)
}
