package copier

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// Options are the engine's settings; zero values take the defaults.
type Options struct {
	// Lease are the times of the write lease.
	Lease lease.Times
	// ConfirmEvery is after how many appended messages the ledger is told.
	// Default 500.
	ConfirmEvery int
	// InTurn does one after the other what is done on both stores at once by
	// default, so that a simulation can be repeated.
	InTurn bool
	// Reconnects is how often one sync opens its session on a store again after
	// the connection was lost. Default 100; a damaged message costs about three.
	Reconnects int
	// Looks is how often a folder is planned anew before a mailbox that keeps
	// changing is left to the next sync. Default 4.
	Looks int
}

func (o Options) withDefaults() Options {
	o.Lease = o.Lease.WithDefaults()
	if o.ConfirmEvery == 0 {
		o.ConfirmEvery = 500
	}
	if o.Reconnects == 0 {
		o.Reconnects = defaultReconnects
	}
	if o.Looks == 0 {
		o.Looks = 4
	}
	return o
}

// Engine syncs mailboxes. It is safe for concurrent use.
type Engine struct {
	ledger Ledger
	clock  lease.Clock
	opts   Options
	log    *slog.Logger
}

// NewEngine builds an engine over its ports.
func NewEngine(ledger Ledger, clock lease.Clock, opts Options, log *slog.Logger) *Engine {
	return &Engine{ledger: ledger, clock: clock, opts: opts.withDefaults(), log: log}
}

// Job is one mailbox to be made equal.
type Job struct {
	Key            mailbox.Key
	Source, Target Store
	// Greetings are the source's patterns for greeting folders.
	Greetings mailbox.Patterns
	// Exclude are the link's patterns for folders that are left alone.
	Exclude mailbox.Patterns
	// Limits say how much may go from the target without anybody being asked;
	// the zero value asks never.
	Limits mirror.Limits
	// Keep says whether what goes is kept on the target for a time.
	Keep Keep
	// Generation is the dirty generation read before the job began.
	Generation     int64
	Trigger, RunID string
	// Force looks at every message of every folder, whatever the ledger says,
	// and tries again whatever the target would not keep.
	Force bool
	// Retry tries again the messages and folders that the target refused.
	Retry bool
	// Admit, where not nil, waits until one connection to each store may be
	// opened, and returns what says that they are closed.
	Admit func(context.Context) (leave func(), err error)
	// Claim, where not nil, is called under the lease, before anything is written,
	// with the ids of the accounts that the job opened ("" where a store tells none).
	// An error, such as that another mailbox writes to the target's account, ends it.
	Claim func(ctx context.Context, source, target string) error
	// Pace, where not nil, waits until so many bytes more may be copied.
	Pace func(ctx context.Context, bytes int) error
	// Progress, where not nil, is called from the job's own goroutine with
	// the work done so far, often.
	Progress func(Progress)
}

// Progress is what a running job has planned and done so far.
type Progress struct {
	DueMessages         int
	DueBytes            int64
	Messages, Greetings Work
}

// Unchanged reports whether folder lists that need not be complete, such as
// those of an Overviewer, prove that a mailbox is as the ledger last knew it to
// be equal: a folder that the ledger knows and a list does not show proves
// nothing.
func (e *Engine) Unchanged(job Job, source, target []mailbox.Folder, known []FolderState) bool {
	job.Retry = true
	for _, k := range known {
		if k.SourceValidity != 0 && (!lists(source, k.Name) || !lists(target, k.Name)) {
			return false
		}
	}
	return e.provenUnchanged(job, source, target, known)
}

func (e *Engine) provenUnchanged(job Job, source, target []mailbox.Folder, known []FolderState) bool {
	return !job.Force && mirror.Unchanged(treeInput(job, e.clock.Now(), source, target, known)) &&
		!job.Keep.purges(target, known, e.clock.Now())
}

func lists(folders []mailbox.Folder, name mailbox.FolderName) bool {
	return slices.ContainsFunc(folders, func(f mailbox.Folder) bool { return f.Name == name })
}

// Summary is the report of a mailbox that Unchanged says is as it was.
func (e *Engine) Summary(job Job, source []mailbox.Folder, known []FolderState) Report {
	now := e.clock.Now()
	r := Report{Key: job.Key, Trigger: job.Trigger, RunID: job.RunID, Generation: job.Generation,
		Started: now, Finished: now, Outcome: Equal}
	countSource(&r, job, source)
	for _, k := range known {
		r.Differences += k.lasting()
	}
	if r.Differences > 0 {
		r.Outcome = Differing
	}
	return r
}

// Review looks at a mailbox by its counters and syncs it only where they do
// not prove it unchanged. known is what the ledger tells without the lease.
// unchanged is true where nothing was done and nothing recorded.
func (e *Engine) Review(ctx context.Context, job Job, known []FolderState) (report Report, unchanged bool, err error) {
	job.Retry = true
	r := newRun(e, job)
	defer r.close()
	if len(known) == 0 {
		// Nothing can be proven; the lease comes before the first look, then.
		report, err = r.sync(ctx)
		return report, false, err
	}
	if err := r.admit(ctx); err != nil {
		return r.failed(err), false, err
	}
	if err := r.open(ctx); err != nil {
		return r.failed(err), false, err
	}
	if err := r.list(ctx); err != nil {
		return r.failed(err), false, err
	}
	if e.provenUnchanged(job, r.sourceList, r.targetList, known) {
		return e.Summary(job, r.sourceList, known), true, nil
	}
	report, err = r.sync(ctx)
	return report, false, err
}

// Sync makes a mailbox equal and records it: by Update.Done where it
// succeeds; the caller records a failure. While another sync holds the
// mailbox's lease the error is a *lease.HeldError; while the mirror or the link is
// suspended, before the sync or since, it is a *lease.SuspendedError.
func (e *Engine) Sync(ctx context.Context, job Job) (Report, error) {
	r := newRun(e, job)
	defer r.close()
	return r.sync(ctx)
}

// run is one sync of one mailbox.
type run struct {
	*Engine
	job    Job
	source readAgain
	target *steady
	// lost are the messages at which a connection was lost, by folder.
	breaks map[mailbox.FolderName]*breaks

	sourceList, targetList []mailbox.Folder

	lease   lease.Lease
	states  map[mailbox.FolderName]*FolderState
	pending Update
	report  Report
	// due counts what was planned to be copied.
	due struct {
		messages int
		bytes    int64
	}
	// unknown is true while the outcome of a write is not known.
	unknown bool
	// leave says that the connections are closed; nil where nobody asked.
	leave func()
	// left is what the guard said of folders in which something stays that is
	// due to go.
	left map[mailbox.FolderName]mirror.Decision
	// made are the folders for deleted messages that are known to be there.
	made map[mailbox.FolderName]bool
	// subscriptions are those that were changed, and as the source has them;
	// deletions is true once folders of the target were deleted.
	subscriptions map[mailbox.FolderName]bool
	deletions     bool
	// short are the folders for whose messages the target had no room.
	short map[mailbox.FolderName]bool
	// along are the folders to which the target moved messages.
	along map[mailbox.FolderName]bool
	// room is true once something was removed from the target.
	room bool
	// freshUnread is true once a message of the source was found unreadable that no
	// earlier sync recorded.
	freshUnread bool
	// hidden is true if the source has messages in folders that cannot be named.
	hidden bool
	// writing is how long the target may be written to.
	writing lease.Deadline
}

func newRun(e *Engine, job Job) *run {
	r := &run{Engine: e, job: job, left: map[mailbox.FolderName]mirror.Decision{}, made: map[mailbox.FolderName]bool{},
		breaks: map[mailbox.FolderName]*breaks{},
		short:  map[mailbox.FolderName]bool{}, along: map[mailbox.FolderName]bool{},
		subscriptions: map[mailbox.FolderName]bool{},
		report: Report{
			Key: job.Key, Trigger: job.Trigger, RunID: job.RunID, Generation: job.Generation, Started: e.clock.Now(),
		}}
	r.source = newSteady(e, job.Source, job.Key.Number, nil)
	r.target = newSteady(e, job.Target, job.Key.Number, func(s Session) { r.writing.Bind(s) })
	return r
}

// open logs in to both sides where that is not done yet.
func (r *run) open(ctx context.Context) error {
	return r.both(func() error { return r.source.open(ctx) }, func() error { return r.target.open(ctx) })
}

// close ends the sessions; the target's first, since it is the one that writes.
func (r *run) close() {
	_ = r.target.Close()
	_ = r.source.Close()
	if r.leave != nil {
		r.leave()
		r.leave = nil
	}
}

// list reads both folder lists.
func (r *run) list(ctx context.Context) error {
	return r.both(
		func() (err error) {
			r.sourceList, err = r.source.List(ctx)
			return fault.Wrap(err, "list source folders")
		},
		func() (err error) {
			r.targetList, err = r.target.List(ctx)
			return fault.Wrap(err, "list target folders")
		})
}

// sync runs the protocol under the lease.
func (r *run) sync(ctx context.Context) (Report, error) {
	if err := r.admit(ctx); err != nil {
		return r.failed(err), err
	}
	taken, states, err := r.ledger.Begin(ctx, r.job.Key, r.opts.Lease.TTL, r.opts.Lease.Fence)
	if err != nil {
		return r.failed(err), err
	}
	r.lease = taken
	r.states = make(map[mailbox.FolderName]*FolderState, len(states))
	for i := range states {
		r.states[states[i].Name] = &states[i]
	}
	// The lease is renewed from its first moment: what comes before the first
	// write may take longer than the lease lasts.
	keeper := lease.Keeper{Records: r.ledger, Clock: r.clock, Log: r.log}
	err = keeper.Hold(ctx, taken, r.opts.Lease.TTL, &r.writing, func(context.Context) (lease.End, error) {
		// The target's connection ends with the lease, and not this context: what is
		// known by then is saved.
		err := r.underLease(ctx)
		if err == nil {
			return lease.Released, nil
		}
		// The sockets go first: what is released must not write any more.
		r.close()
		if r.unknown {
			return lease.Unclean, err
		}
		return lease.Clean, err
	})
	if err != nil {
		return r.failed(err), err
	}
	return r.report, nil
}

func (r *run) underLease(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	if err := r.claim(ctx); err != nil {
		return err
	}
	if err := r.list(ctx); err != nil {
		return err
	}
	err := r.mailbox(ctx)
	if err != nil {
		r.report.InPart = staysInFolder(err)
		// What is known by now saves the next sync from finding it out again.
		if !fault.Is(err, fault.Conflict) && ctx.Err() == nil {
			_ = r.save(ctx)
		}
		return err
	}
	r.standing()
	r.report.Outcome = Equal
	r.report.Differences = r.countDifferences()
	switch {
	case r.report.Held > 0:
		r.report.Outcome = Held
	case r.report.Differences > 0:
		r.report.Outcome = Differing
	}
	r.report.Finished = r.clock.Now()
	countSource(&r.report, r.job, r.sourceList)
	r.pending.Done = &r.report
	return r.save(ctx)
}

// claim has it checked that the target's account is this mailbox's alone, and not the
// source's own.
func (r *run) claim(ctx context.Context) error {
	if r.job.Claim == nil {
		return nil
	}
	var source, target string
	err := r.both(
		func() (err error) {
			source, err = accountOf(ctx, r.source)
			return fault.Wrap(err, "identify the source's account")
		},
		func() (err error) {
			target, err = accountOf(ctx, r.target)
			return fault.Wrap(err, "identify the target's account")
		})
	if err != nil {
		return err
	}
	return r.job.Claim(ctx, source, target)
}

func accountOf(ctx context.Context, r Reader) (string, error) {
	if i, ok := r.(Identified); ok {
		return i.Account(ctx)
	}
	return "", nil
}

// save writes the pending update.
func (r *run) save(ctx context.Context) error {
	if err := r.ledger.Save(ctx, r.lease, r.pending); err != nil {
		return fault.Wrap(err, "save ledger")
	}
	r.pending = Update{}
	return nil
}

func (r *run) failed(err error) Report {
	r.report.Outcome = Failed
	r.report.Finished = r.clock.Now()
	r.report.ErrKind, r.report.Err, r.report.Hint = string(fault.KindOf(err)), err.Error(), fault.HintOf(err)
	return r.report
}

func (r *run) progress() {
	if r.job.Progress != nil {
		r.job.Progress(Progress{DueMessages: r.due.messages, DueBytes: r.due.bytes,
			Messages: r.report.Messages, Greetings: r.report.Greetings})
	}
}

// work returns the counter that a folder's messages belong to.
func (r *run) work(name mailbox.FolderName) *Work {
	if r.job.Greetings.Role(name) == mailbox.RoleGreetings {
		return &r.report.Greetings
	}
	return &r.report.Messages
}

func (r *run) countDifferences() int {
	n := 0
	for _, s := range r.states {
		n += s.lasting()
	}
	for _, d := range r.left {
		if len(d.Keep) > 0 {
			n++ // as one for the folder
		}
	}
	return n
}

func countSource(report *Report, job Job, source []mailbox.Folder) {
	report.SourceMessages, report.SourceGreetings = 0, 0
	for _, f := range source {
		switch {
		case f.Name != mailbox.Inbox && job.excluded().Match(f.Name):
		case job.Greetings.Role(f.Name) == mailbox.RoleGreetings:
			report.SourceGreetings += int(f.Counters.Messages)
		default:
			report.SourceMessages += int(f.Counters.Messages)
		}
	}
}

func treeInput(job Job, now time.Time, source, target []mailbox.Folder, known []FolderState) mirror.TreeInput {
	in := mirror.TreeInput{Source: source, Target: target, Exclude: job.excluded(), Force: job.Force || job.Retry, Resubscribe: job.asked()}
	for _, s := range known {
		k := mirror.Known{Name: s.Name, SourceValidity: s.SourceValidity, TargetValidity: s.TargetValidity,
			SourceAt: s.SourceAt, TargetAt: s.TargetAt, Open: s.Intent != nil}
		for _, d := range s.Differences {
			k.Refused = k.Refused || d.Kind == FolderRefused
			k.Kept = k.Kept || (d.Kind == FolderKept && !job.asked() && !(in.Force && s.undone().due(now)))
			k.Unsubscribable = k.Unsubscribable || d.Kind == SubscriptionKept
			if d.Kind == OnlyCopy || d.Kind == NotKept || job.Retry && (d.Kind == Refused || d.Kind == Postponed || d.Kind == Unreadable || d.Kind == TargetUnreadable) {
				k.SourceAt, k.TargetAt = mailbox.Counters{}, mailbox.Counters{}
			}
		}
		if s.lossesDue(now) {
			k.SourceAt, k.TargetAt = mailbox.Counters{}, mailbox.Counters{}
		}
		in.Known = append(in.Known, k)
	}
	return in
}
