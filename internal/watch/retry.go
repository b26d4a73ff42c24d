package watch

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// offerAgain is how often a store is asked for NOTIFY again that did not offer it, or
// refused it, spread by half to either side.
const offerAgain = time.Hour

// trial is what became of asking for NOTIFY again.
type trial struct {
	version string
	numbers []mailbox.Number
	conn    Conn // nil if it is not to be had
	why     string
}

// tryNotify asks a store for NOTIFY again from time to time, if Mailmirror is to choose
// the way of listening and chose another. What is open stays open until then.
func (w *Watcher) tryNotify(ctx context.Context, now time.Time) {
	mode := w.chosen()
	if w.plan.Mode != site.ListenAuto || mode != site.ListenIdle && mode != site.ListenPoll || len(w.plan.Numbers) == 0 || w.trying {
		w.retryAt = time.Time{}
		return
	}
	if w.retryAt.IsZero() {
		w.retryAt = now.Add(offerAgain/2 + rand.N(offerAgain))
	}
	if now.Before(w.retryAt) || w.first.holds(now) {
		return
	}
	w.trying, w.retryAt = true, time.Time{}
	plan, door := w.plan, w.door
	w.group.Go(func() {
		t := trial{version: plan.Version, numbers: plan.Numbers}
		_, err := door.through(ctx, func() (err error) {
			offer, why, err := plan.Source.Offer(ctx, plan.Numbers[rand.IntN(len(plan.Numbers))])
			if err != nil || offer != site.ListenNotify {
				return err
			}
			t.why = why
			t.conn, err = plan.Source.Notify(ctx, plan.Numbers)
			return err
		})
		if err != nil {
			w.opts.Logger.DebugContext(ctx, "notify is not to be had", "error_kind", string(fault.KindOf(err)))
		}
		select {
		case w.tried <- t:
		case <-ctx.Done():
			if t.conn != nil {
				t.conn.Close()
			}
		}
	})
}

// tookNotify goes over to the connection of a trial.
func (w *Watcher) tookNotify(ctx context.Context, t trial) {
	w.trying = false
	switch {
	case t.conn == nil:
	case t.version != w.plan.Version || !slices.Equal(t.numbers, w.plan.Numbers) || w.chosen() == site.ListenNotify:
		t.conn.Close() // the plan is another one by now
	default:
		w.choose(site.ListenNotify, t.why)
		w.trunk = w.startTrunk(ctx, t.conn)
		w.arrange(ctx)
	}
}
