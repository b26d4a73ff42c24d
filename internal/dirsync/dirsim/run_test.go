package dirsim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// outcome is what an attempt at a step came to.
type outcome[T any] struct {
	result T
	err    error
}

// attempt has a worker of its own do a step, until it ends or its heartbeats are missed:
// the worker may then be dead, or go on.
func attempt[T any](w *world, job dirsync.Job, step string, n int, do func(context.Context, *dirsync.Engine) (T, error)) (T, error) {
	ctx, cancel := context.WithCancel(context.Background())
	w.mu.Lock()
	k := &worker{w: w, name: fmt.Sprintf("%s %s/%d", job.RunID, step, n), step: step, cancel: cancel, now: w.now}
	patience := time.Hour
	if w.trouble("duplicate", "duplicate", 40) {
		patience = time.Duration(w.rng.Int64N(int64(2 * time.Second))) // heartbeats are lost
	}
	w.mu.Unlock()
	ended := make(chan outcome[T], 1)
	start := w.delay(time.Millisecond) // drawn here: two goroutines at one instant are chance
	go func() {
		time.Sleep(start)
		result, err := do(ctx, k.engine())
		cancel()
		ended <- outcome[T]{result, err}
	}()
	for begin := time.Now(); ; {
		select {
		case o := <-ended:
			if !k.dead() {
				return o.result, o.err
			}
		case <-time.After(time.Second + w.delay(time.Millisecond)):
		}
		if !k.alive() || time.Since(begin) > patience {
			time.Sleep(5*time.Second + w.delay(time.Second))
			select {
			case o := <-ended:
				if !k.dead() {
					return o.result, o.err
				}
			default:
			}
			var none T
			return none, fault.Newf(fault.Transient, "no heartbeat")
		}
	}
}

// perform repeats a step as the workflow does: what time does not correct, and what
// failed that often, ends the run.
func perform[T any](w *world, job dirsync.Job, step string, tries int, do func(context.Context, *dirsync.Engine) (T, error)) (T, error) {
	for n := 1; ; n++ {
		result, err := attempt(w, job, step, n, do)
		kind := fault.KindOf(err)
		if err == nil || n == tries || kind != fault.Transient && kind != fault.Conflict {
			return result, err
		}
		if _, suspended := errors.AsType[*lease.SuspendedError](err); suspended {
			return result, err
		}
		w.mu.Lock()
		w.tell("%s %s: %v", job.RunID, step, err)
		w.mu.Unlock()
		time.Sleep(time.Second + w.delay(time.Second))
	}
}

const (
	extractTries = 4
	applyTries   = 20
	otherTries   = 1000
)

// run goes through a whole run, as the workflow does, and returns what it came to.
func (w *world) run(trigger string) (dirsync.State, dirsync.Applied, error) {
	w.mu.Lock()
	w.now = newAccount(fmt.Sprint("run ", len(w.runs.All())+1))
	job := dirsync.Job{RunID: w.now.run, Link: "dr", Trigger: trigger}
	w.tell("%s begins", job.RunID)
	w.mu.Unlock()
	var total dirsync.Applied
	var members dirsync.Members
	failure := w.carryOut(job, &total, &members)
	end := dirsync.End{Failure: total.Stopped, Hint: total.Hint, Refused: members.Refused}
	if failure != nil {
		end.Failure = failure.Error()
	}
	state, err := perform(w, job, "finish", otherTries, func(ctx context.Context, e *dirsync.Engine) (dirsync.State, error) {
		return e.Finish(ctx, job, end)
	})
	w.mu.Lock()
	w.tell("%s: %s %+v %+v %v", job.RunID, state, total, members, failure)
	w.mu.Unlock()
	return state, total, errors.Join(failure, err)
}

func (w *world) carryOut(job dirsync.Job, total *dirsync.Applied, members *dirsync.Members) error {
	_, err := perform(w, job, "begin", otherTries, func(ctx context.Context, e *dirsync.Engine) (bool, error) {
		return true, e.Begin(ctx, job)
	})
	if err != nil {
		return err
	}
	var found [2]directory.Extracted
	for i, side := range []dirsync.Side{dirsync.SourceSide, dirsync.TargetSide} {
		found[i], err = perform(w, job, "extract", extractTries, func(ctx context.Context, e *dirsync.Engine) (directory.Extracted, error) {
			return e.Extract(ctx, job, side, func(int64) {})
		})
		if err != nil {
			return err
		}
	}
	plan, err := perform(w, job, "compare", otherTries, func(ctx context.Context, e *dirsync.Engine) (dirsync.Plan, error) {
		return e.Compare(ctx, job, found[0], found[1], 1)
	})
	if err != nil || !plan.Believed {
		return err
	}
	if err := w.pages(job, "apply", total, (*dirsync.Engine).Apply); total.Stopped != "" || err != nil {
		return err
	}
	var verified dirsync.Applied
	if err := w.pages(job, "verify", &verified, (*dirsync.Engine).Verify); err != nil {
		return err
	}
	total.Stopped, total.Hint = verified.Stopped, verified.Hint
	*members, err = perform(w, job, "join", otherTries, func(ctx context.Context, e *dirsync.Engine) (dirsync.Members, error) {
		return e.Join(ctx, job, dirsync.Members{}, func(context.Context, mailbox.Key) error { return nil }, func(dirsync.Members) {})
	})
	return err
}

func (w *world) pages(job dirsync.Job, step string, total *dirsync.Applied,
	do func(*dirsync.Engine, context.Context, dirsync.Job, dirsync.Page, func(int64)) (dirsync.Applied, error),
) error {
	for after := int64(0); ; {
		page, err := perform(w, job, step, applyTries, func(ctx context.Context, e *dirsync.Engine) (dirsync.Applied, error) {
			return do(e, ctx, job, dirsync.Page{After: after, Limit: w.page}, func(int64) {})
		})
		_, suspended := errors.AsType[*lease.SuspendedError](err)
		if err != nil && !suspended {
			return err
		}
		after = max(after, page.Last)
		total.Done, total.Failed, total.Moot = total.Done+page.Done, total.Failed+page.Failed, total.Moot+page.Moot
		total.Last, total.Stopped, total.Hint = after, page.Stopped, page.Hint
		switch {
		case page.Stopped != "":
			return nil
		case suspended:
			w.await()
		case !page.More:
			return nil
		}
	}
}

// await waits until the mirror is not suspended.
func (w *world) await() {
	for {
		time.Sleep(time.Second + w.delay(time.Second))
		w.mu.Lock()
		still := w.suspended
		w.mu.Unlock()
		if !still {
			return
		}
	}
}
