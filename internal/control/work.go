package control

import (
	"context"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// triggerOperator is what history names as the cause of a sync that somebody
// asked for.
const triggerOperator = "operator"

// CompareStart is the answer to a request for a full compare.
type CompareStart struct {
	Link  string `json:"link"`
	RunID string `json:"run_id"`
	// Started is false where one was running already, which then serves.
	Started bool `json:"started"`
	// Kind says what was started; site.RunCompare where it is empty.
	Kind site.RunKind `json:"kind,omitempty"`
}

// Compare starts a full compare of a link.
func (c *Control) Compare(ctx context.Context, link string) (CompareStart, error) {
	op := "compare link " + link
	if _, err := c.repo.Link(ctx, link); err != nil {
		return CompareStart{}, err
	}
	if err := c.writing(ctx, op); err != nil {
		return CompareStart{}, err
	}
	runID, started, err := c.runner.StartCompare(ctx, link)
	return CompareStart{Link: link, RunID: runID, Started: started}, fault.Wrap(err, op)
}

// WaitCompare waits for the end of a compare and returns how it ended. Until
// then progress, which may be nil, is called with what was done so far, about
// once in every interval, from one goroutine. The end of ctx ends the waiting,
// not the compare.
func (c *Control) WaitCompare(ctx context.Context, start CompareStart, every time.Duration, progress func(site.CompareRun)) (site.CompareRun, error) {
	op, wait := "wait for compare of link "+start.Link, c.runner.WaitCompare
	if start.Kind == site.RunRebuild {
		op, wait = "wait for rebuild of link "+start.Link, c.runner.WaitRebuild
	}
	return awaitRun(every, func() error { return fault.Wrap(wait(ctx, start.Link, start.RunID), op) },
		func() (site.CompareRun, error) { return c.repo.CompareRun(ctx, start.RunID) }, progress)
}

// awaitRun waits for the end of a run and returns its record. Until then
// progress, which may be nil, gets what the record says in every interval, all
// from the caller's goroutine.
func awaitRun[R any](every time.Duration, wait func() error, look func() (R, error), progress func(R)) (R, error) {
	ended := make(chan error, 1)
	go func() { ended <- wait() }()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				var none R
				return none, err
			}
			return look()
		case <-ticker.C:
			// A look that fails is made good by the next: the run may not have
			// been recorded yet, and a database that is away for good ends the
			// run itself.
			if run, err := look(); err == nil && progress != nil {
				progress(run)
			}
		}
	}
}

// Sync marks a mailbox as due and wakes its sync; it returns the generation
// that the sync has to reach.
func (c *Control) Sync(ctx context.Context, key mailbox.Key) (int64, error) {
	op := "sync mailbox " + string(key.Number)
	if err := checkNumbers(op, []mailbox.Number{key.Number}); err != nil {
		return 0, err
	}
	if err := c.writing(ctx, op); err != nil {
		return 0, err
	}
	generation, err := c.repo.MarkDirty(ctx, key)
	if err != nil {
		return 0, err
	}
	return generation, fault.Wrap(c.runner.Sync(ctx, key, triggerOperator), op)
}

// WaitSync waits until no sync of the mailbox runs and returns its state.
func (c *Control) WaitSync(ctx context.Context, key mailbox.Key) (site.Mailbox, error) {
	op := "wait for sync of mailbox " + string(key.Number)
	if err := c.runner.WaitSync(ctx, key); err != nil {
		return site.Mailbox{}, fault.Wrap(err, op)
	}
	return c.repo.Mailbox(ctx, key)
}
