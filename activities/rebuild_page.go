package activities

import (
	"context"
	"sync"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// TriggerRebuild is that of a rebuild of the ledger, daily or asked for.
const TriggerRebuild = "rebuild"

// RebuildPage is ReviewPage without any belief in the ledger: of each mailbox of
// the page everything is looked at on both stores, under its lease, and its
// ledger is made what they say. What another sync is at work on is waited for
// once. It has a name of its own so that a worker of a release that knows no
// rebuild does not take it for a review.
func (a *Activities) RebuildPage(ctx context.Context, in ReviewInput) (control.CompareProgress, error) {
	return a.reviewPage(ctx, in, true)
}

// rebuildAll rebuilds mailboxes, and then once more those that were held by
// another sync; what is held even then is counted as busy.
func (p *pageReview) rebuildAll(ctx context.Context, numbers []mailbox.Number, states map[mailbox.Number]control.ReviewState, fail context.CancelCauseFunc) error {
	p.held.open()
	if err := p.rebuildEach(ctx, numbers, states, fail); err != nil {
		return err
	}
	again, wait := p.held.close()
	if len(again) == 0 {
		return nil
	}
	if err := pauseFor(ctx, min(wait, longestHold)); err != nil {
		return err
	}
	return p.rebuildEach(ctx, again, states, fail)
}

// longestHold bounds the wait for other syncs: one that is at a large copy
// renews its lease for hours.
const longestHold = 20 * time.Second

func (p *pageReview) rebuildEach(ctx context.Context, numbers []mailbox.Number, states map[mailbox.Number]control.ReviewState, fail context.CancelCauseFunc) error {
	var group sync.WaitGroup
	defer group.Wait()
	for _, number := range numbers {
		state, participates := states[number]
		if !participates {
			p.tally.drop(number)
			continue
		}
		job := newJob(p.stores, mailbox.Key{Link: p.in.Link, Number: number}, state.Generation, p.in.Trigger, p.in.RunID)
		job.Progress = func(now copier.Progress) { p.tally.progress(number, now) }
		job.Force = true
		if err := p.enter(ctx); err != nil {
			return err
		}
		group.Go(func() {
			defer p.leave()
			if err := p.mailbox(ctx, job, nil, true); err != nil {
				fail(err)
			}
		})
	}
	return nil
}

// heldList collects mailboxes that are to be tried again, while it is open. It
// is safe for concurrent use.
type heldList struct {
	mu      sync.Mutex
	isOpen  bool
	numbers []mailbox.Number
	wait    time.Duration
}

func (h *heldList) open() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isOpen = true
}

// add reports false where the list is not open.
func (h *heldList) add(number mailbox.Number, wait time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isOpen {
		h.numbers, h.wait = append(h.numbers, number), max(h.wait, wait)
	}
	return h.isOpen
}

// close returns what was added, and the longest wait of it.
func (h *heldList) close() ([]mailbox.Number, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isOpen = false
	return h.numbers, h.wait
}
