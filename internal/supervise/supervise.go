// Package supervise looks after what has to run in the background: it starts what
// has ended, records what it finds, and leaves the workers' sign of life.
//
// Nothing here depends on the sweep, on a schedule or on a workflow: those are what
// it looks after. Each worker runs it, and one of them at a time does the work. The
// package must not know of SQL or Temporal.
package supervise

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// Records is what the supervision needs of the database beside the suspensions.
type Records interface {
	// ClaimSupervision reports whether this worker is to look after everything now:
	// the first one that asks after the interval is over.
	ClaimSupervision(ctx context.Context, worker string, every time.Duration) (bool, error)
	// BeginLoop records that a loop begins, EndLoop how it ended: badly if s has an error.
	// NoteRestart counts that one had ended and was started again.
	BeginLoop(ctx context.Context, s background.Sign) error
	EndLoop(ctx context.Context, s background.Sign) error
	NoteRestart(ctx context.Context, s background.Sign) error
	// NoteSchedule records when a schedule last started a run, and when the next one is
	// due; zero if none is.
	NoteSchedule(ctx context.Context, info site.ScheduleInfo, due time.Time) error
	// Links returns all links, by name.
	Links(ctx context.Context) ([]site.Link, error)
	// Record writes an entry of the audit log.
	Record(ctx context.Context, e *audit.Entry) error
}

// Suspensions are the rows of the suspensions, and the proof that none is lost.
type Suspensions interface {
	suspension.Reader
	// Suspend is that of suspension.Records.
	Suspend(ctx context.Context, r suspension.Request) (suspension.Suspension, error)
	// SuspensionProof tells whether the rows of the suspensions are the last ones.
	SuspensionProof(ctx context.Context) (suspension.Proof, error)
	// ConfirmSuspension gives the version of the row that proof names the proof, and
	// notes for how long a write may land under a lease. If the database was used, no
	// lease is given for that long.
	ConfirmSuspension(ctx context.Context, proof suspension.Proof, lease time.Duration) error
	// ConfirmLinks does the same for the suspensions of links.
	ConfirmLinks(ctx context.Context, proof suspension.Proof) error
}

// Runner is what it needs of Temporal.
type Runner interface {
	// ReviveControl starts MirrorControl, or the LinkControl of a link, unless it runs,
	// ReviveWatch the WatchEvents of a link; true if it did not run.
	ReviveControl(ctx context.Context, link string) (started bool, err error)
	ReviveWatch(ctx context.Context, link string) (started bool, err error)
	// ControlView is what MirrorControl knows of the suspension of everything or of a
	// link. Of a link that was never suspended it says running.
	ControlView(ctx context.Context, link string) (suspension.Suspension, error)
	suspension.Asker
	// Schedules lists the schedules that all links and the given ones have to have.
	Schedules(ctx context.Context, links []string) ([]site.ScheduleInfo, error)
	// ApplySchedule makes a schedule, or brings it to what is configured.
	ApplySchedule(ctx context.Context, name string, links []string) error
	// PauseReasoned reports whether a note on a paused schedule is Mailmirror's own.
	PauseReasoned(note string) bool
}

// Options are the times. Zero values take the defaults.
type Options struct {
	// Worker names this process.
	Worker string
	// Every is how often everything is looked at, by all workers together; default
	// and at most a minute.
	Every time.Duration
	// Lease is for how long a write may land under a lease of this worker: its time and
	// the fence after it.
	Lease time.Duration
	// Log gets a line for each thing that was started again or fails; nil discards.
	Log *slog.Logger
	// Own are the loops of this process.
	Own []Own
}

// Own is a loop that each worker has for itself. If it fails, that worker says so,
// whichever worker looks after the others.
type Own struct {
	Loop background.Loop
	// Failing returns since when it fails, zero if that is to be shown at once, and
	// the last error; zero values if it does not fail.
	Failing func() (since time.Time, err error)
}

// ownPatience is how long a loop of this process fails before that is recorded: a
// database that changes its leader is away for some seconds.
const ownPatience = 20 * time.Second

// Supervisor looks after the background work.
type Supervisor struct {
	records     Records
	suspensions Suspensions
	runner      Runner
	opts        Options
	// shown are the loops of this process that are recorded as failing.
	shown map[background.Loop]bool
}

// longest is how often everything is looked at, at the least: what has ended is
// shown, and started again, within two minutes.
const longest = time.Minute

// New returns a supervisor that has not begun.
func New(records Records, suspensions Suspensions, runner Runner, opts Options) *Supervisor {
	if opts.Every <= 0 || opts.Every > longest {
		opts.Every = longest
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{records: records, suspensions: suspensions, runner: runner, opts: opts, shown: map[background.Loop]bool{}}
}

// Run looks after everything until ctx ends.
func (s *Supervisor) Run(ctx context.Context) {
	// Other workers ask as well: one that dies is replaced after a third of the
	// interval.
	tick := time.NewTicker(s.opts.Every / 3)
	defer tick.Stop()
	failing := false
	for {
		err := errors.Join(s.LookAtOwn(ctx), s.LookAtSuspension(ctx), s.Look(ctx))
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			s.opts.Log.WarnContext(ctx, "the background work cannot be looked after", "error", err.Error())
		}
		failing = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// LookAtOwn records which loops of this process fail. It repeats that every time, so
// that what a worker recorded that was killed since is not believed for long.
func (s *Supervisor) LookAtOwn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	var all error
	for _, own := range s.opts.Own {
		since, trouble := own.Failing()
		sign := background.Sign{Loop: own.Loop, Item: s.opts.Worker, Worker: s.opts.Worker}
		switch {
		case trouble == nil && s.shown[own.Loop]:
			err := s.end(ctx, sign, nil)
			s.shown[own.Loop] = err != nil
			all = errors.Join(all, err)
		case trouble != nil && time.Since(since) >= ownPatience:
			s.shown[own.Loop] = true
			all = errors.Join(all, s.records.BeginLoop(ctx, sign), s.end(ctx, sign, trouble))
		}
	}
	return all
}

// Look does one round, unless another worker did within the interval. What fails for
// one link or schedule keeps no other from its turn; only where Temporal cannot be
// asked at all the round ends, and says so.
func (s *Supervisor) Look(ctx context.Context) error {
	claimed, err := s.records.ClaimSupervision(ctx, s.opts.Worker, s.opts.Every-s.opts.Every/10)
	if err != nil || !claimed {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Every)
	defer cancel()
	lookErr := s.round(ctx)
	// The end is written down although the round's time is over.
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	return errors.Join(lookErr, s.end(ending, background.Sign{Loop: background.LoopSupervision}, lookErr))
}

func (s *Supervisor) round(ctx context.Context) error {
	links, err := s.records.Links(ctx)
	if err != nil {
		return err
	}
	if err := s.reviveControl(ctx, ""); err != nil {
		return err
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
		err := s.revive(ctx, background.Sign{Loop: background.LoopListening, Item: l.Name, Link: l.Name},
			func() (bool, error) { return s.runner.ReviveWatch(ctx, l.Name) })
		if err != nil {
			return err
		}
	}
	return s.schedules(ctx, names)
}

// revive starts a loop that does not run and records that. The error is one after
// which there is no use in going on: Temporal, or the database, is away.
func (s *Supervisor) revive(ctx context.Context, sign background.Sign, start func() (bool, error)) error {
	started, err := start()
	if fault.Is(err, fault.Transient) {
		return err
	}
	if started {
		err = s.restarted(ctx, sign)
	}
	return errors.Join(s.end(ctx, sign, err), databaseOnly(err))
}

func (s *Supervisor) reviveControl(ctx context.Context, link string) error {
	return s.revive(ctx, background.Sign{Loop: background.LoopControl, Item: link, Link: link},
		func() (bool, error) { return s.runner.ReviveControl(ctx, link) })
}

// restarted records that something had ended and was started again.
func (s *Supervisor) restarted(ctx context.Context, sign background.Sign) error {
	subject := string(sign.Loop)
	if sign.Item != "" {
		subject += " " + sign.Item
	}
	s.opts.Log.InfoContext(ctx, "started what did not run", "link", sign.Link, "loop", string(sign.Loop), "item", sign.Item)
	return errors.Join(s.records.NoteRestart(ctx, sign), s.records.Record(ctx,
		&audit.Entry{Command: "restarted", Link: sign.Link, Subject: subject, Actor: s.opts.Worker, Way: audit.Itself, Detail: "it did not run"}))
}

func (s *Supervisor) schedules(ctx context.Context, links []string) error {
	all, err := s.runner.Schedules(ctx, links)
	if err != nil {
		return err
	}
	suspensions, err := s.suspensions.Suspensions(ctx)
	if err != nil {
		return err
	}
	for _, info := range all {
		sign := background.Sign{Loop: background.LoopSchedule, Item: info.Name, Link: info.Link}
		var trouble error
		// One that a suspension paused, and that nobody let go on after it, is brought
		// to what the mirror does now.
		if forgotten := info.Suspended && !suspensions.Of(info.Link).Still(); !info.Exists || forgotten {
			if trouble = s.runner.ApplySchedule(ctx, info.Name, links); fault.Is(trouble, fault.Transient) {
				return trouble
			}
			if trouble == nil && !forgotten {
				trouble = s.restarted(ctx, sign)
			}
		}
		if trouble == nil && info.Paused && !info.Suspended && (info.Name == sweep || !s.runner.PauseReasoned(info.Note)) {
			trouble = fault.New(fault.Config, "it is paused", reason(info.Note), "mailmirror schedule resume "+info.Name+" lets it run again")
		}
		due := time.Time{}
		if len(info.Next) > 0 && !info.Running {
			due = slices.MinFunc(info.Next, time.Time.Compare)
		}
		if err := errors.Join(s.records.NoteSchedule(ctx, info, due), s.end(ctx, sign, trouble)); err != nil {
			return err
		}
	}
	return nil
}

// sweep is the schedule without which nothing that is due is started.
const sweep = "sweep"

func reason(note string) error {
	if note == "" {
		return nil
	}
	return errors.New(note)
}

// end records how a loop does, and returns what the database says to that.
func (s *Supervisor) end(ctx context.Context, sign background.Sign, trouble error) error {
	sign.Worker = s.opts.Worker
	if trouble != nil {
		sign.ErrorKind, sign.Error, sign.Hint = string(fault.KindOf(trouble)), trouble.Error(), fault.HintOf(trouble)
	}
	return s.records.EndLoop(ctx, sign)
}

// databaseOnly is err where the database caused it, and nil otherwise.
func databaseOnly(err error) error {
	if errors.Is(err, fault.ErrDatabase) {
		return err
	}
	return nil
}
