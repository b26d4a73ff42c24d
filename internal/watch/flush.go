package watch

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

const (
	// wakesAtOnce bounds the wake-ups under way.
	wakesAtOnce = 16
	// wakeLimit bounds one wake-up, and lastFlush what is written down when the
	// watcher ends.
	wakeLimit = 10 * time.Second
	lastFlush = 3 * time.Second
)

// flush writes marks down and wakes mailboxes until ctx ends, and then what is
// left, as far as that takes no time.
func (w *Watcher) flush(ctx context.Context) {
	var wakes sync.WaitGroup
	defer wakes.Wait()
	places := make(chan struct{}, wakesAtOnce)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for failures := 0; ; {
		failures = w.flushOnce(ctx, failures)
		w.wakeDue(ctx, &wakes, places)
		w.mu.Lock()
		next, waits := w.queue.next()
		w.mu.Unlock()
		rest := time.Hour
		if waits {
			rest = time.Until(next)
		}
		timer.Reset(max(rest, 0))
		select {
		case <-ctx.Done():
			w.flushLast(context.WithoutCancel(ctx), &wakes, places)
			return
		case <-w.news:
		case <-timer.C:
		}
	}
}

func (w *Watcher) flushLast(ctx context.Context, wakes *sync.WaitGroup, places chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, lastFlush)
	defer cancel()
	w.flushOnce(ctx, 0)
	w.wakeDue(ctx, wakes, places)
	wakes.Wait()
}

// flushOnce marks what is due and returns the failures in a row.
func (w *Watcher) flushOnce(ctx context.Context, failures int) int {
	w.mu.Lock()
	marks := w.queue.takeMarks(time.Now())
	w.mu.Unlock()
	if len(marks) == 0 {
		return failures
	}
	due, left, err := w.mark(ctx, marks)
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range due {
		w.queue.wake(n, now)
	}
	if err != nil {
		// They wait until the database accepts them; nothing is forgotten.
		failures++
		w.queue.putBack(left, now.Add(wait(failures, rand.Float64())))
		w.state.markFail(err)
		return failures
	}
	w.state.marked()
	return 0
}

// mark marks mailboxes and returns whose sync is to be woken, and the marks that
// failed with the error of one of them. If the database rejects the marks for what
// they contain, mark halves them, so that the mailbox that it rejects stops no other.
func (w *Watcher) mark(ctx context.Context, marks []Mark) (due []mailbox.Number, left []Mark, err error) {
	due, err = w.ports.Journal.Mark(ctx, marks)
	switch {
	case err == nil:
		return due, nil, nil
	case !ofData(err):
		return nil, marks, err
	case len(marks) == 1:
		return nil, marks, fault.Wrap(err, "mailbox "+string(marks[0].Number))
	}
	half := len(marks) / 2
	due, left, err = w.mark(ctx, marks[:half])
	if err != nil && !ofData(err) {
		return due, slices.Concat(left, marks[half:]), err
	}
	more, rest, second := w.mark(ctx, marks[half:])
	return slices.Concat(due, more), slices.Concat(left, rest), cmp.Or(err, second)
}

// ofData reports whether the database answered that it does not accept what it was
// given. Another error would meet every mark.
func ofData(err error) bool { return fault.Is(err, fault.Permanent) || fault.Is(err, fault.Conflict) }

// wakeDue wakes the mailboxes whose turn it is. One that cannot be woken for now is
// tried again; the sweep would find it, too.
func (w *Watcher) wakeDue(ctx context.Context, group *sync.WaitGroup, places chan struct{}) {
	w.mu.Lock()
	numbers := w.queue.takeWakes(time.Now())
	w.mu.Unlock()
	for i, n := range numbers {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			w.later(numbers[i:], time.Second)
			return
		}
		group.Go(func() {
			defer func() { <-places }()
			waking, cancel := context.WithTimeout(ctx, wakeLimit)
			defer cancel()
			err := w.ports.Waker.Wake(waking, n)
			switch {
			case err == nil || ctx.Err() != nil:
			case fault.Is(err, fault.Permanent):
				// It is this mailbox's own, and no sign that listening is disturbed. The
				// mailbox is marked as due: the sweep records why it cannot be started.
				w.opts.Logger.WarnContext(ctx, "the sync of a mailbox cannot be started", "mailbox_id", string(n), "error_kind", string(fault.KindOf(err)))
			default:
				w.trouble("wake the sync of a mailbox", err)
				w.later([]mailbox.Number{n}, 2*time.Second)
			}
		})
	}
}

func (w *Watcher) later(numbers []mailbox.Number, after time.Duration) {
	at := time.Now().Add(after)
	w.mu.Lock()
	for _, n := range numbers {
		w.queue.wakeAgain(n, at)
	}
	w.mu.Unlock()
	wake(w.news)
}

// recovered notes that the store is reached.
func (w *Watcher) recovered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.reach()
}
