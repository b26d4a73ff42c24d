package watch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
)

// Options are a Watcher's times. Zero values take the defaults.
type Options struct {
	// Quiet is how long a mailbox has to be without a wake-up until an event
	// wakes it at once; what comes sooner waits until then. Default 2 s.
	Quiet time.Duration
	// Tick is how often the watcher looks after itself, default 1 s; Beat is
	// called every time, so that nothing is heard of a watcher that hangs.
	Tick time.Duration
	Beat func(site.Health)
	// Heard is told of every event, and whether it was found by reading although
	// a connection should have told of it.
	Heard func(kind site.EventKind, unannounced bool)
	// Refresh is how often the plan is read although nothing told that it
	// changed, default 5 min.
	Refresh time.Duration
	// Handover is how long a shard that reaches nothing goes on until it gives
	// its work back, for a worker that may be better placed; default 2 min.
	Handover time.Duration
	Logger   *slog.Logger
}

func (o Options) withDefaults() Options {
	setDefault(&o.Quiet, 2*time.Second)
	setDefault(&o.Tick, time.Second)
	setDefault(&o.Refresh, 5*time.Minute)
	setDefault(&o.Handover, 2*time.Minute)
	if o.Beat == nil {
		o.Beat = func(site.Health) {}
	}
	if o.Heard == nil {
		o.Heard = func(site.EventKind, bool) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault(field *time.Duration, value time.Duration) {
	if *field <= 0 {
		*field = value
	}
}

// Outcome is why a watcher ended well.
type Outcome string

// The outcomes.
const (
	Gone    Outcome = "gone"    // the link does not exist any more
	Reshard Outcome = "reshard" // the link should have another number of shards
)

// Watcher listens for one shard.
type Watcher struct {
	ports Ports
	opts  Options
	door  *door
	group sync.WaitGroup

	mu      sync.Mutex
	tracker *tracker
	queue   *queue
	state   state
	news    chan struct{} // the queue has something, capacity 1

	// Of the goroutine of Run alone.
	plan  Plan
	lines map[mailbox.Number]*line // connections of Idle
	trunk *line                    // the connection of Notify
	old   *line                    // the one before, until trunk listens
	ask   context.CancelFunc       // ends the asking for the store's offer
	poll  *poller
	told  chan message
	seen  time.Time // when something was last reached
	slow  string    // why mailboxes are read in turn until trunk is open; "" if they are not
	first first
	// awaits is true while no connection of NOTIFY is opened because of first.
	awaits  bool
	planned time.Time // when the plan was read
	// again is when mailboxes that trunk does not hear of are asked for once
	// more, misses how often that was in vain.
	again  time.Time
	misses int
	// retryAt is when the store is asked for NOTIFY again, trying whether it is now.
	retryAt time.Time
	trying  bool
	tried   chan trial

	waits waits
}

// message is what a helper goroutine tells Run.
type message struct {
	version string
	offer   site.ListenMode
	why     string
	none    error // Notify is not to be had
}

// New returns a watcher that has not begun.
func New(ports Ports, opts Options) *Watcher {
	opts = opts.withDefaults()
	return &Watcher{ports: ports, opts: opts, door: newDoor(), queue: newQueue(opts.Quiet),
		state: state{unheard: map[mailbox.Number]time.Time{}}, news: make(chan struct{}, 1), lines: map[mailbox.Number]*line{},
		told: make(chan message, 16), tried: make(chan trial)}
}

// Run listens until ctx ends, whose cause it then returns, or until there is an
// outcome. Other errors are those of the database, or of a store that was out
// of reach for long; another attempt may begin at once.
func (w *Watcher) Run(parent context.Context) (Outcome, error) {
	ctx, cancel := context.WithCancel(context.WithValue(parent, waitsKey{}, &w.waits))
	defer w.group.Wait()
	defer cancel()
	changed := make(chan struct{}, 1)
	// Told of changes first, read then: none is missed.
	w.group.Go(func() { w.awaitChanges(ctx, changed) })
	if outcome, err := w.replan(ctx); outcome != "" || err != nil {
		return outcome, err
	}
	w.group.Go(func() { w.flush(ctx) })
	tick := time.NewTicker(w.opts.Tick)
	defer tick.Stop()
	refresh := time.NewTicker(w.opts.Refresh)
	defer refresh.Stop()
	w.seen = time.Now()
	var unread time.Time // when to read a plan again that could not be read
	for {
		again := false
		select {
		case <-ctx.Done():
			return "", context.Cause(parent)
		case <-changed:
			again = true
		case <-refresh.C:
			again = true
		case m := <-w.told:
			w.hear(ctx, m)
		case t := <-w.tried:
			w.tookNotify(ctx, t)
		case <-tick.C:
			if err := w.look(ctx); err != nil {
				return "", err
			}
			again = !unread.IsZero() && time.Now().After(unread) || w.awaits && time.Since(w.planned) > firstAgain
		}
		if again {
			outcome, err := w.replan(ctx)
			unread = time.Time{}
			switch {
			case outcome != "":
				return outcome, nil
			case err != nil:
				// Whatever the error is, the open connections go on listening: a plan
				// that is not known is no reason to stop.
				w.trouble("list the mailboxes to listen to", err)
				unread = time.Now().Add(planAgain)
			}
		}
	}
}

// planAgain is how soon a plan that could not be read is read again.
const planAgain = 10 * time.Second

// awaitChanges tells Run of changes of the plan.
func (w *Watcher) awaitChanges(ctx context.Context, changed chan<- struct{}) {
	for failures := 1; ctx.Err() == nil; failures++ {
		err := w.ports.Roster.Changes(ctx, func() {
			failures = 0
			wake(changed)
		})
		if err != nil {
			w.opts.Logger.DebugContext(ctx, "not told of changes of whom to listen to", "error", err.Error())
		}
		sleep.For(ctx, wait(failures+1, 0.5))
	}
}

// replan reads the plan and makes the listening what it says.
func (w *Watcher) replan(ctx context.Context) (Outcome, error) {
	plan, err := w.ports.Roster.Plan(ctx)
	switch {
	case err != nil:
		return "", err
	case plan.Gone:
		return Gone, nil
	case plan.Reshard:
		return Reshard, nil
	}
	before := w.plan
	w.planned = time.Now()
	fresh := before.Source == nil || plan.Version != before.Version
	added, removed := difference(before.Numbers, plan.Numbers)
	mirrored := mirroredSince(before, plan)
	if len(added)+len(mirrored) > 0 {
		known, err := w.ports.Journal.Known(ctx, slices.Concat(added, mirrored))
		if err != nil {
			return "", err
		}
		w.begin(plan, added, known)
		w.settle(mirrored, known)
	}
	w.first.update(plan.LinkFirst, plan.LinkMailboxes, time.Now())
	w.mu.Lock()
	for _, n := range removed {
		w.tracker.forget(n)
		w.queue.forget(n)
		delete(w.state.unheard, n)
	}
	if w.tracker != nil { // patterns may have changed
		w.tracker.greetings, w.tracker.exclude = plan.Greetings, plan.Exclude
	}
	w.mu.Unlock()
	w.plan = plan
	switch {
	case fresh:
		w.restart(ctx)
	case len(added)+len(removed) > 0:
		w.follow(ctx)
	default:
		w.arrange(ctx)
	}
	return "", nil
}

func (w *Watcher) begin(plan Plan, added []mailbox.Number, known map[mailbox.Number]Known) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tracker == nil {
		w.tracker = newTracker(plan.Greetings, plan.Exclude)
	}
	w.tracker.beginAll(added, known)
}

// mirroredSince are the mailboxes that waited to be mirrored for the first time, and do
// not any more.
func mirroredSince(before, now Plan) []mailbox.Number {
	return slices.DeleteFunc(slices.Clone(now.Numbers), func(n mailbox.Number) bool { return !before.First[n] || now.First[n] })
}

// settle takes in at which counters mailboxes were mirrored for the first time. What
// was read of them before may be older, or newer: then it is an event.
func (w *Watcher) settle(mirrored []mailbox.Number, known map[mailbox.Number]Known) {
	now := time.Now()
	var events []site.EventKind
	w.mu.Lock()
	for _, n := range mirrored {
		for _, kind := range w.tracker.settle(n, known[n]) {
			w.queue.add(n, kind, now)
			w.state.event(kind, now)
			events = append(events, kind)
		}
	}
	w.mu.Unlock()
	for _, kind := range events {
		w.opts.Heard(kind, false)
	}
	if len(events) > 0 {
		wake(w.news)
	}
}

func difference(before, after []mailbox.Number) (added, removed []mailbox.Number) {
	had := make(map[mailbox.Number]bool, len(before))
	for _, n := range before {
		had[n] = true
	}
	for _, n := range after {
		if !had[n] {
			added = append(added, n)
		}
		delete(had, n)
	}
	for n := range had {
		removed = append(removed, n)
	}
	return added, removed
}

// report takes in what a connection heard.
func (w *Watcher) report(r Report) { w.heardOf(r, false) }

// heardOf takes in a report. Where it was read although a connection should
// have heard of it, every change in it counts as unannounced.
func (w *Watcher) heardOf(r Report, listenedTo bool) {
	now := time.Now()
	w.mu.Lock()
	if w.tracker == nil {
		w.mu.Unlock()
		return
	}
	kinds := w.tracker.take(r)
	for _, kind := range kinds {
		w.queue.add(r.Number, kind, now)
		w.state.event(kind, now)
	}
	unannounced := listenedTo && !r.Resumed
	switch {
	case !listenedTo:
		delete(w.state.unheard, r.Number)
	case unannounced && len(kinds) > 0:
		w.state.unheard[r.Number] = now
	}
	w.mu.Unlock()
	for _, kind := range kinds {
		w.opts.Heard(kind, unannounced)
	}
	if len(kinds) > 0 {
		wake(w.news)
	}
}

// wake wakes who reads from c, which has a capacity of 1.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// trouble notes what is wrong, for whoever asks how the shard does.
func (w *Watcher) trouble(op string, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.mu.Lock()
	fresh := w.state.fail(err)
	w.mu.Unlock()
	if fresh {
		w.opts.Logger.Warn("listening is disturbed", "operation", op, "error_kind", string(fault.KindOf(err)))
	}
}

// look is done on every tick: it ends connections of which nothing was heard,
// tells how the shard does, and gives up where nothing is reached for long.
func (w *Watcher) look(ctx context.Context) error {
	now := time.Now()
	open, wanted, listened := 0, 0, 0
	for _, l := range w.all() {
		wanted++
		if n, ok := l.listening(now); ok {
			open++
			listened += n
		}
	}
	polled := w.poll.count()
	if wait := w.waits.trouble(now); wait != nil {
		// The store is not out of reach, and another worker would wait as well.
		w.seen = now
		w.trouble("wait for a place", wait)
	}
	if open > 0 || w.poll.reached(now.Add(-w.opts.Tick)) || len(w.plan.Numbers) == 0 {
		w.seen = now
	}
	w.mu.Lock()
	missed := w.state.missed(now)
	w.state.connections(open, wanted, listened, polled, now)
	h := w.state.health(now)
	h.PollEvery = w.poll.interval()
	if w.slow != "" {
		h.Why = w.slow
	}
	if w.awaits {
		h.Why = w.first.String()
	}
	w.mu.Unlock()
	if missed {
		w.poll.reviewSoon()
	}
	w.opts.Beat(h)
	if w.state.saveDue(now, h) {
		if err := w.ports.Journal.Save(ctx, h); err != nil {
			w.opts.Logger.DebugContext(ctx, "health not saved", "error", err.Error())
		}
	}
	if w.awaits && !w.first.holds(now) {
		w.follow(ctx)
	}
	w.lookAfterTrunk(ctx, now)
	w.askAgain(ctx, now)
	w.tryNotify(ctx, now)
	if now.Sub(w.seen) > w.opts.Handover {
		return fault.New(fault.Transient, "listen for changes", errors.New("the store was out of reach for "+w.opts.Handover.String()), h.Hint)
	}
	return nil
}

func (w *Watcher) all() []*line {
	var list []*line
	if w.trunk != nil {
		list = append(list, w.trunk)
	}
	for _, l := range w.lines {
		list = append(list, l)
	}
	return list
}

// chosen is the way of listening that is in use; Auto while the store has not
// been asked yet.
func (w *Watcher) chosen() site.ListenMode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state.mode
}

func (w *Watcher) choose(mode site.ListenMode, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.mode, w.state.why = mode, why
}
