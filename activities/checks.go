package activities

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/verdict"
)

// Checks are the activities that look at stores and change nothing on them: checks of a
// store and verifications of a link. They run while the mirror is suspended, too. It is
// safe for concurrent use.
type Checks struct {
	*shared

	links   Links
	members Members
	records CheckRecords
	store   StoreChecker
	verify  Verify
}

// Members counts the mailboxes of a link; see CompareRecords.
type Members interface {
	// CountMailboxes counts the mailboxes of a link; 0 if there is no such link.
	CountMailboxes(ctx context.Context, link string) (int, error)
}

// CheckRecords is where checks and verifications are recorded. Every method may be
// repeated with the same arguments without another effect.
type CheckRecords interface {
	// RecordStoreCheck records a check that has ended. A NotFound fault if the store is
	// gone.
	RecordStoreCheck(ctx context.Context, run verdict.StoreRun) error
	// BeginVerify records a verification that begins. A NotFound fault if the link is
	// gone.
	BeginVerify(ctx context.Context, run verdict.VerifyRun) error
	// RecordVerified records what was found in one mailbox. The first result of a
	// mailbox counts, and none counts after EndVerify.
	RecordVerified(ctx context.Context, runID string, m verdict.Mailbox) error
	// Verified returns which of some mailboxes have a result.
	Verified(ctx context.Context, runID string, numbers []mailbox.Number) ([]mailbox.Number, error)
	// Unverified returns mailboxes of the run's link that have no result: those after
	// after, by ascending number, at most limit. There are none if the run has ended, or
	// is not recorded.
	Unverified(ctx context.Context, runID string, after mailbox.Number, limit int) ([]mailbox.Number, error)
	// EndVerify records the end of a verification; the first end counts. A NotFound fault
	// if it is not recorded.
	EndVerify(ctx context.Context, runID string, failure verdict.Failure) error
}

// StoreChecker looks at a store as it is now; see storecheck.Checker.
type StoreChecker interface {
	// Check acts for a mailbox if one is named. Its error says what is wrong with the store
	// or its settings; a NotFound fault if there is no such store.
	Check(ctx context.Context, store string, number mailbox.Number) (verdict.Store, error)
}

// Verify compares one mailbox on two stores; see copier.Verify.
type Verify func(ctx context.Context, job copier.Job, deep bool) ([]copier.FolderVerdict, error)

// CheckInput asks for a check of a store, acting for a mailbox if one is named.
type CheckInput struct {
	RunID   string         `json:"run_id"`
	Store   string         `json:"store"`
	Mailbox mailbox.Number `json:"mailbox,omitempty"`
	Started time.Time      `json:"started"`
}

// CheckStore looks at a store and records what it found. What is wrong with the store is
// part of the record, and no error.
func (c *Checks) CheckStore(ctx context.Context, in CheckInput) error {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	stop := c.beat(beats, func() any { return nil })
	defer stop()
	run := verdict.StoreRun{RunID: in.RunID, Store: in.Store, Mailbox: in.Mailbox, StartedAt: in.Started}
	err := fault.Guard(func() (err error) {
		run.Report, err = c.store.Check(ctx, in.Store, in.Mailbox)
		return err
	})
	if ctx.Err() != nil || errors.Is(err, fault.ErrDatabase) {
		// What the store said beside it stays out of Temporal's history.
		return pageError(ctx, fault.New(fault.Transient, "check store", fault.ErrDatabase, ""))
	}
	run.Failure = failureOf(err)
	if err := c.records.RecordStoreCheck(ctx, run); err != nil {
		return pageError(ctx, err)
	}
	return nil
}

// failureOf is what may be recorded of an error.
func failureOf(err error) verdict.Failure {
	if err == nil {
		return verdict.Failure{}
	}
	kind, text, hint := fault.Describe(err)
	return verdict.Failure{ErrorKind: string(kind), Error: text, Hint: hint}
}

// BeginVerifyInput opens the record of a verification.
type BeginVerifyInput struct {
	RunID string `json:"run_id"`
	Link  string `json:"link"`
	Deep  bool   `json:"deep,omitempty"`
	// Mailboxes is how many are named; 0 means all of the link.
	Mailboxes int       `json:"mailboxes,omitempty"`
	Started   time.Time `json:"started"`
}

// BeginVerify records a verification that begins.
func (c *Checks) BeginVerify(ctx context.Context, in BeginVerifyInput) error {
	run := verdict.VerifyRun{RunID: in.RunID, Planned: in.Mailboxes, StartedAt: in.Started,
		Verification: verdict.Verification{Link: in.Link, Deep: in.Deep}}
	var err error
	if run.Planned == 0 {
		run.Planned, err = c.members.CountMailboxes(ctx, in.Link)
	}
	if err == nil {
		err = c.records.BeginVerify(ctx, run)
	}
	if err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// EndVerifyInput says how a verification ended.
type EndVerifyInput struct {
	RunID string `json:"run_id"`
	verdict.Failure
}

// EndVerify closes the record of a verification.
func (c *Checks) EndVerify(ctx context.Context, in EndVerifyInput) error {
	if err := c.records.EndVerify(ctx, in.RunID, in.Failure); err != nil {
		return applicationError(err, 0)
	}
	return nil
}

// VerifyPageInput names the next mailboxes to compare.
type VerifyPageInput struct {
	RunID string `json:"run_id"`
	Link  string `json:"link"`
	Deep  bool   `json:"deep,omitempty"`
	// Numbers are the mailboxes; if none are named, those of the link after After that
	// have no result, at most Limit. If none is left there, it begins again with the
	// first.
	Numbers []mailbox.Number `json:"numbers,omitempty"`
	After   mailbox.Number   `json:"after,omitempty"`
	Limit   int              `json:"limit,omitempty"`
}

// VerifyPage compares a page of mailboxes, some at a time, and records each as soon as
// it is compared. It returns the last mailbox of the page, "" if there is none. It may
// be repeated at any time: what has a result is not compared again. That a mailbox could
// not be read is its result.
func (c *Checks) VerifyPage(ctx context.Context, in VerifyPageInput) (last mailbox.Number, err error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	p := &verifyPage{Checks: c, in: in, trace: inherited(ctx)}
	stop := c.beat(beats, p.cursor)
	defer stop()
	if last, err = p.run(ctx, beats); err != nil {
		return "", pageError(ctx, err)
	}
	return last, nil
}

// verifyPage is one attempt at one page.
type verifyPage struct {
	*Checks
	in     VerifyPageInput
	stores LinkStores

	mu    sync.Mutex
	trace trace
}

// cursor is what the heartbeats carry: whether workers die at this page.
func (p *verifyPage) cursor() any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.trace
}

func (p *verifyPage) run(parent, beats context.Context) (last mailbox.Number, err error) {
	numbers, rest, err := p.due(parent)
	if err != nil || len(numbers) == 0 {
		return "", err
	}
	if p.stores, err = p.links.Stores(parent, p.in.Link); err != nil {
		return "", err
	}
	if rest, err = p.skip(parent, rest); err != nil {
		return "", err
	}
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	p.working(true)
	activity.RecordHeartbeat(beats, p.cursor())
	var group sync.WaitGroup
	for _, number := range rest {
		if err := p.enter(ctx); err != nil {
			break // and the cause of it is returned below
		}
		group.Go(func() {
			defer p.leave()
			if err := p.mailbox(ctx, number); err != nil {
				fail(err)
			}
		})
	}
	group.Wait()
	p.working(false)
	activity.RecordHeartbeat(beats, p.cursor()) // it has ended in good order, whatever the error
	return numbers[len(numbers)-1], context.Cause(ctx)
}

// due returns the mailboxes of the page, and those of them that have no result.
func (p *verifyPage) due(ctx context.Context) (numbers, rest []mailbox.Number, err error) {
	if numbers = p.in.Numbers; len(numbers) > 0 {
		done, err := p.records.Verified(ctx, p.in.RunID, numbers)
		return numbers, slices.DeleteFunc(slices.Clone(numbers), func(n mailbox.Number) bool { return slices.Contains(done, n) }), err
	}
	numbers, err = p.records.Unverified(ctx, p.in.RunID, p.in.After, p.in.Limit)
	if err == nil && len(numbers) == 0 && p.in.After != "" {
		// Mailboxes may have joined behind After, and a database that was restored, or a
		// standby that took over, may lack results.
		numbers, err = p.records.Unverified(ctx, p.in.RunID, "", p.in.Limit)
	}
	return numbers, numbers, err
}

func (p *verifyPage) working(now bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace.Working = now
}

// skip gives up the mailboxes at which several workers seem to have died, and returns
// the others. They are among the first without a result: so many are compared at a time.
func (p *verifyPage) skip(ctx context.Context, rest []mailbox.Number) ([]mailbox.Number, error) {
	if !p.trace.suspect() {
		return rest, nil
	}
	n := min(cap(p.gate), len(rest))
	for _, number := range rest[:n] {
		deadly := fault.New(fault.Permanent, "verify mailbox: the worker died several times at this mailbox or at one beside it", nil,
			"verify each of these mailboxes by itself: mailmirror verify "+p.in.Link+" NUMBER; look into the worker's log for what ended it")
		if err := p.record(ctx, verdict.OfMailbox(number, nil, 0, failureOf(deadly))); err != nil {
			return nil, err
		}
	}
	return rest[n:], nil
}

// mailbox compares one mailbox. The error is the database's or the context's: the
// mailbox's own trouble is recorded.
func (p *verifyPage) mailbox(ctx context.Context, number mailbox.Number) error {
	if p.stores.Admit != nil {
		leave, err := p.stores.Admit(ctx)
		if err != nil {
			return err
		}
		defer leave()
	}
	s := p.stores
	job := copier.Job{Key: mailbox.Key{Link: p.in.Link, Number: number}, Source: s.Source, Target: s.Target,
		Exclude: s.Exclude, Greetings: s.Greetings, Keep: s.Keep}
	var found []copier.FolderVerdict
	err := fault.Guard(func() (err error) { found, err = p.verify(ctx, job, p.in.Deep); return err })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	folders := make([]verdict.Folder, len(found))
	var bytes int64
	for i, f := range found {
		bytes += f.Bytes
		folders[i] = verdict.Folder{Folder: f.Folder, Role: f.Role, Trouble: folderTrouble(f),
			Counts: verdict.Counts{Compared: f.Source, Missing: f.Missing, Extra: f.Extra, Flags: f.Flags, Dates: f.Date,
				Content: f.Content, Unreadable: f.Unreadable}}
	}
	return p.record(ctx, verdict.OfMailbox(number, folders, bytes, failureOf(err)))
}

func (p *verifyPage) record(ctx context.Context, m verdict.Mailbox) error {
	if err := p.records.RecordVerified(ctx, p.in.RunID, m); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trace.Advanced = true
	return nil
}

func folderTrouble(f copier.FolderVerdict) string {
	switch {
	case f.MissingFolder:
		return "missing"
	case f.ExtraFolder:
		return "extra"
	case f.Subscription:
		return "subscription"
	default:
		return ""
	}
}
