package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// WatchRecords is what listening needs of the database.
type WatchRecords interface {
	// WatchRoster returns whom a link listens to; a NotFound fault where there
	// is no such link.
	WatchRoster(ctx context.Context, link string) (site.Roster, error)
	// RosterChanges calls changed when WatchRoster may have another answer, and
	// once at the beginning; it returns when it cannot tell any more.
	RosterChanges(ctx context.Context, link string, changed func()) error
	// SetWatchShards records into how many shards a link is cut; a NotFound fault where
	// there is no such link.
	SetWatchShards(ctx context.Context, link string, shards int) error
	// KnownSources returns the counters of the sources when they were last proven
	// mirrored; a mailbox without any is absent.
	KnownSources(ctx context.Context, link string, numbers []mailbox.Number) (map[mailbox.Number]watch.Known, error)
	// MarkEvents raises dirty generations and returns whose sync to wake, by number. A
	// mailbox that takes no part is passed over.
	MarkEvents(ctx context.Context, link string, marks []watch.Mark) ([]mailbox.Number, error)
	// SaveWatcher records how a shard does.
	SaveWatcher(ctx context.Context, link string, shard int, worker string, h site.Health) error
}

// Waker wakes the MailboxSync of a mailbox, starting it where none is running.
type Waker interface {
	// Sync returns once the wake-up cannot be lost.
	Sync(ctx context.Context, key mailbox.Key, trigger string) error
}

// Watch are the activities that listen.
type Watch struct {
	*shared

	records WatchRecords
	links   Links
	waker   Waker
	meter   Meter
	quiet   time.Duration
}

// WatchPlan is into how many shards a link is cut; none where the link does not
// exist any more.
type WatchPlan struct {
	Shards    int `json:"shards"`
	Mailboxes int `json:"mailboxes"`
}

// PlanWatch decides into how many shards the mailboxes of a link are cut, and
// records it for the shards that are listening, which give up by themselves
// what now belongs to others. Only a database that answers that there is no such
// link ends the listening; whatever else fails is tried again for ever.
func (a *Watch) PlanWatch(ctx context.Context, link string) (WatchPlan, error) {
	roster, err := a.records.WatchRoster(ctx, link)
	if fault.Is(err, fault.NotFound) {
		return WatchPlan{}, nil
	}
	if err != nil {
		return WatchPlan{}, patientError(err, listenAgain)
	}
	plan := WatchPlan{Shards: shardsOf(roster), Mailboxes: len(roster.Numbers)}
	if plan.Shards == roster.Shards {
		return plan, nil
	}
	err = a.records.SetWatchShards(ctx, link, plan.Shards)
	if fault.Is(err, fault.NotFound) {
		return WatchPlan{}, nil
	}
	if err != nil {
		return WatchPlan{}, patientError(err, listenAgain)
	}
	return plan, nil
}

// shardsOf is into how many shards a link should be cut. A few mailboxes more
// or less do not change it: the number of mailboxes has to leave what the
// present number of shards is for by a tenth.
func shardsOf(r site.Roster) int {
	mode := r.Source.Events
	if mode == site.ListenAuto && r.Chosen != "" {
		mode = r.Chosen
	}
	want := watch.Shards(mode, len(r.Numbers))
	if slack := len(r.Numbers) / 10; r.Shards > 0 &&
		watch.Shards(mode, len(r.Numbers)-slack) <= r.Shards && r.Shards <= watch.Shards(mode, len(r.Numbers)+slack) {
		return r.Shards
	}
	return want
}

// ListenInput names one shard of a link.
type ListenInput struct {
	Link  string `json:"link"`
	Shard int    `json:"shard"` // from 0
}

// ListenResult says why a shard's listening ended: watch.Gone or watch.Reshard.
type ListenResult struct {
	Outcome watch.Outcome `json:"outcome"`
}

// Listen holds the listening connections of one shard until the link is gone,
// is to be cut into another number of shards, or the activity is cancelled. It
// may be repeated at any time, and two attempts that overlap only mark twice:
// it begins with a look at what changed while nobody listened.
//
// Its heartbeats come from the loop that looks after the connections, so that
// none come from one that hangs; they carry how the shard does. A worker that
// dies is missed within the heartbeat's timeout, and another takes over.
func (a *Watch) Listen(ctx context.Context, in ListenInput) (ListenResult, error) {
	beats := ctx
	ctx, cancel := withWorkerStop(ctx)
	defer cancel()
	shard := &shardPorts{Watch: a, in: in, worker: a.identity}
	// The first sign of life is that of the attempt, before a store is asked.
	activity.RecordHeartbeat(beats, site.Health{})
	logger := slog.New(slog.DiscardHandler)
	if a.log != nil {
		logger = a.log.With("link", in.Link, "shard", in.Shard)
	}
	w := watch.New(watch.Ports{Roster: shard, Journal: shard, Waker: shard}, watch.Options{
		Quiet: a.quiet, Logger: logger,
		Beat: func(h site.Health) {
			activity.RecordHeartbeat(beats, told(h))
		},
		Heard: func(kind site.EventKind, unannounced bool) { a.meter.Event(in.Link, kind, unannounced) },
	})
	say := func(what, reason string) {
		activity.GetLogger(beats).Info(what, "link", in.Link, "run_id", activity.GetInfo(beats).WorkflowExecution.RunID, "shard", in.Shard,
			"worker", a.identity, "reason", reason)
	}
	say("shard adopted", "")
	outcome, err := w.Run(ctx)
	reason := string(outcome)
	if err != nil {
		kind, _, _ := fault.Describe(err)
		reason = string(kind)
	}
	if ctx.Err() != nil {
		reason = context.Cause(ctx).Error()
	}
	say("shard lost", reason)
	switch {
	case err != nil && ctx.Err() != nil:
		return ListenResult{}, ended(ctx)
	case err != nil:
		return ListenResult{}, patientError(err, listenAgain)
	}
	return ListenResult{Outcome: outcome}, nil
}

// listenAgain is when listening is tried again that waits for an operator to
// correct something.
const listenAgain = 30 * time.Second

// told is what a history may hold of a shard's health: no text of a server.
func told(h site.Health) site.Health {
	h.Trouble, h.Hint = cut(h.Trouble), ""
	return h
}

func cut(text string) string {
	if text == "" {
		return ""
	}
	return "see mailmirror status"
}

// shardPorts are the ports of a Watcher for one shard.
type shardPorts struct {
	*Watch
	in     ListenInput
	worker string
}

// Plan implements watch.Roster.
func (s *shardPorts) Plan(ctx context.Context) (watch.Plan, error) {
	roster, err := s.records.WatchRoster(ctx, s.in.Link)
	if fault.Is(err, fault.NotFound) {
		return watch.Plan{Gone: true}, nil
	}
	if err != nil {
		return watch.Plan{}, err
	}
	// One shard asks for another number of them; the others go on.
	if s.in.Shard == 0 && roster.Shards > 0 && shardsOf(roster) != roster.Shards || s.in.Shard >= max(roster.Shards, 1) {
		return watch.Plan{Reshard: true}, nil
	}
	stores, err := s.links.Stores(ctx, s.in.Link)
	if err != nil {
		return watch.Plan{}, err
	}
	source, ok := stores.Source.(watch.Source)
	if !ok {
		return watch.Plan{}, fault.New(fault.Config, "listen to store "+roster.Source.Name, errors.ErrUnsupported, "")
	}
	shards := max(roster.Shards, 1)
	plan := watch.Plan{
		Mode: roster.Source.Events, PollEvery: roster.Source.PollEvery,
		Source:    watch.Admitted(source, stores.AdmitListener, stores.AdmitTrunk),
		Shards:    shards,
		IdleLimit: idleLimit(roster, shards),
		Greetings: stores.Greetings, Exclude: stores.Exclude, LastEvents: roster.LastEvents,
		Version: fmt.Sprint(roster.Source.Name, " ", roster.Source.UpdatedAt.UnixNano()),
	}
	total := roster.Load.Total(roster.Source.Bounds(true))
	switch {
	case total == 0:
	case total/2 < shards:
		// A connection that stays open would leave too few to the syncs. One that
		// reads in turn is closed again.
		plan.Mode, plan.Why = site.ListenPoll, "the store allows too few connections to keep some open: "+fewConnections(roster)
	case roster.Load.Capacity > 0:
		plan.Why = fewConnections(roster)
	}
	if why := roster.Load.MailboxFull(); why != "" {
		plan.IdleLimit = 0
		if plan.Mode == site.ListenIdle || plan.Mode == site.ListenAuto && plan.Why == "" {
			plan.Why = why
		}
		if plan.Mode == site.ListenIdle {
			plan.Mode = site.ListenPoll
		}
		plan.Version += " full"
	}
	plan.Version += " " + string(plan.Mode)
	first := make(map[mailbox.Number]bool, len(roster.First))
	for _, n := range roster.First {
		first[n] = true
	}
	plan.First, plan.LinkFirst, plan.LinkMailboxes = map[mailbox.Number]bool{}, len(first), len(roster.Numbers)
	named, byName := source.(namer)
	for _, n := range roster.Numbers {
		// One of which the store's directory tells no log-in is listened to when it
		// does: that is a change of the plan. Its syncs say what is wrong.
		if watch.ShardOf(n, shards) == s.in.Shard && (!byName || named.Knows(n)) {
			plan.Numbers = append(plan.Numbers, n)
			if first[n] {
				plan.First[n] = true
			}
		}
	}
	return plan, nil
}

// namer is a source that may not know by what name to log in for a mailbox.
type namer interface {
	Knows(n mailbox.Number) bool
}

// fewConnections says what bounds the connections to a source.
func fewConnections(r site.Roster) string {
	if r.Load.Capacity == 0 {
		return fmt.Sprintf("%d in all", r.Source.MaxConnections)
	}
	return fmt.Sprintf("the server refused a connection while %d of Mailmirror's were open, so that Mailmirror uses %d at most",
		r.Load.Refused, r.Load.Capacity)
}

// idleLimit is how many connections a shard may hold to hear of one mailbox
// each. Half of what the store allows in all is left to the syncs.
func idleLimit(r site.Roster, shards int) int {
	limit := r.Source.IdleLimit
	if total := r.Load.Total(r.Source.Bounds(true)); total > 0 {
		return min(limit, total/2) / shards
	}
	return (limit + shards - 1) / shards
}

// Changes implements watch.Roster.
func (s *shardPorts) Changes(ctx context.Context, changed func()) error {
	return s.records.RosterChanges(ctx, s.in.Link, changed)
}

// Known implements watch.Journal.
func (s *shardPorts) Known(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number]watch.Known, error) {
	return s.records.KnownSources(ctx, s.in.Link, numbers)
}

// Mark implements watch.Journal.
func (s *shardPorts) Mark(ctx context.Context, marks []watch.Mark) ([]mailbox.Number, error) {
	return s.records.MarkEvents(ctx, s.in.Link, marks)
}

// Save implements watch.Journal.
func (s *shardPorts) Save(ctx context.Context, h site.Health) error {
	saving, cancel := context.WithTimeout(ctx, saveLimit)
	defer cancel()
	return s.records.SaveWatcher(saving, s.in.Link, s.in.Shard, s.worker, h)
}

// saveLimit bounds writing the health down, which the heartbeats wait for.
const saveLimit = 3 * time.Second

// Wake implements watch.Waker.
func (s *shardPorts) Wake(ctx context.Context, n mailbox.Number) error {
	return s.waker.Sync(ctx, mailbox.Key{Link: s.in.Link, Number: n}, TriggerEvent)
}
