package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"mailmirror/activities"
	"mailmirror/internal/watch"
)

// WatchState starts a WatchEvents and is what it carries over.
type WatchState struct {
	Link string `json:"link"`
	// Since is when the first run began.
	Since time.Time `json:"since,omitzero"`
}

// WatchView answers QueryProgress of a WatchEvents. How each shard does stands
// in the heartbeats of its activity and in the database.
type WatchView struct {
	Link      string    `json:"link"`
	Shards    int       `json:"shards"`
	Mailboxes int       `json:"mailboxes"` // when the shards were last cut
	Since     time.Time `json:"since"`
}

// WatchEvents listens for changes on the source of a link for as long as there
// is the link. One activity holds the connections of each shard; a worker that
// dies loses its shards to others. What is heard goes into the database and to
// the mailboxes' own workflows: this one sees none of it, and so its history
// grows only with shards that come, end or move.
func WatchEvents(ctx workflow.Context, state WatchState) error {
	w := &watchEvents{WatchState: state, running: map[int]workflow.CancelFunc{}}
	if w.Since.IsZero() {
		w.Since = workflow.Now(ctx)
	}
	err := workflow.SetQueryHandler(ctx, QueryProgress, func() (WatchView, error) {
		return WatchView{Link: w.Link, Shards: w.shards, Mailboxes: w.mailboxes, Since: w.Since}, nil
	})
	if err != nil {
		return err
	}
	err = w.run(ctx)
	if workflow.IsContinueAsNewError(err) {
		return err
	}
	after, _ := workflow.NewDisconnectedContext(ctx)
	if attrErr := workflow.UpsertTypedSearchAttributes(after, PhaseAttribute.ValueSet(phaseOf(err))); err == nil {
		err = attrErr
	}
	sayEnded(ctx, "listening finished", w.Link, workflow.GetInfo(ctx).WorkflowExecution.RunID, err, "mailboxes", w.mailboxes)
	return err
}

type watchEvents struct {
	WatchState
	shards       int
	mailboxes    int
	running      map[int]workflow.CancelFunc // by shard
	gone, replan bool
}

// run plans whenever there is a reason to, until there is nothing left to
// listen to, the workflow is cancelled, or its history is long enough.
func (w *watchEvents) run(ctx workflow.Context) error {
	roster := workflow.GetSignalChannel(ctx, SignalRoster)
	workflow.Go(ctx, func(ctx workflow.Context) {
		for roster.Receive(ctx, nil) {
			w.replan = true
		}
	})
	for again := false; ; again = true {
		all, cancel := workflow.WithCancel(ctx)
		err := w.follow(ctx, all, again)
		cancel()
		w.shards = 0 // none is wanted any more
		after, _ := workflow.NewDisconnectedContext(ctx)
		if err := workflow.Await(after, func() bool { return len(w.running) == 0 }); err != nil {
			return err
		}
		// A link that is removed and added again finds this workflow still
		// there, and must not be left without: one more look tells.
		if err != nil || again && w.gone {
			return err
		}
	}
}

// follow plans and starts shards until there is no link any more (nil) or the
// workflow has to end or to continue as new. once looks one time only.
func (w *watchEvents) follow(ctx, all workflow.Context, once bool) error {
	for {
		if err := w.plan(ctx, all); err != nil {
			return err
		}
		if w.gone && once {
			return nil
		}
		w.tell(ctx)
		err := workflow.Await(ctx, func() bool { return w.replan || w.gone })
		switch {
		case err != nil:
			return err
		case w.gone:
			return workflow.Sleep(ctx, time.Second)
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			// The next run plans first, so that no signal is lost here.
			return workflow.NewContinueAsNewError(ctx, WatchEvents, w.WatchState)
		}
		// A reason that does not go away must not fill the history.
		if err := workflow.Sleep(ctx, time.Second); err != nil {
			return err
		}
		once = false
	}
}

// plan asks into how many shards the link is cut, starts those that are missing
// and ends those that are too many.
func (w *watchEvents) plan(ctx, all workflow.Context) error {
	w.replan = false
	var a *activities.Watch
	var plan activities.WatchPlan
	err := workflow.ExecuteLocalActivity(bookkeeping(ctx, "cut the link into shards"), a.PlanWatch, w.Link).Get(ctx, &plan)
	if err != nil {
		return err
	}
	w.shards, w.mailboxes, w.gone = plan.Shards, plan.Mailboxes, plan.Shards == 0
	for shard := range plan.Shards {
		if _, running := w.running[shard]; !running {
			w.start(all, shard)
		}
	}
	for _, shard := range workflow.DeterministicKeys(w.running) {
		if shard >= plan.Shards {
			w.running[shard]()
		}
	}
	return nil
}

// start listens for one shard, until it ends and is noted.
func (w *watchEvents) start(ctx workflow.Context, shard int) {
	ctx, w.running[shard] = workflow.WithCancel(ctx)
	workflow.Go(ctx, func(ctx workflow.Context) {
		var a *activities.Watch
		var result activities.ListenResult
		input := activities.ListenInput{Link: w.Link, Shard: shard}
		err := workflow.ExecuteActivity(listening(ctx, fmt.Sprintf("shard %d", shard)), a.Listen, input).Get(ctx, &result)
		delete(w.running, shard)
		switch {
		case err == nil && result.Outcome == watch.Gone:
			w.gone = true
		case shard < w.shards: // it is still wanted, or more of them are
			w.replan = true
		}
	})
}

// tell writes what is going on for the Web UI.
func (w *watchEvents) tell(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf(
		"Listening since %s: %d mailboxes in %d shards. How each does, and its events, stand in the heartbeat "+
			"of its pending activity, and in `mailmirror status %s`.",
		w.Since.UTC().Format(time.RFC3339), w.mailboxes, w.shards, w.Link))
}
