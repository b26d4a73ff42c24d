package activitytest

import (
	"context"
	"maps"
	"slices"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

var _ activities.WatchRecords = (*World)(nil)

// Listened is what the world knows of listening.
type Listened struct {
	// Gone makes the link unknown to those who listen.
	Gone bool
	// Store is how the source is to be listened to.
	Store  site.Store
	Shards int
	Marks  []watch.Mark
	Health map[int]site.Health
}

// Listening returns a copy of what the world knows of listening.
func (w *World) Listening() Listened {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.listened
	l.Marks, l.Health = slices.Clone(l.Marks), maps.Clone(l.Health)
	return l
}

// Listen changes what there is to listen to, and tells.
func (w *World) Listen(change func(*Listened)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.listened)
	w.tell()
}

// tell wakes those who wait for changes of the roster. Called with mu held.
func (w *World) tell() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// WatchRoster implements activities.WatchRecords.
func (w *World) WatchRoster(ctx context.Context, link string) (site.Roster, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failing["WatchRoster"]; err != nil {
		return site.Roster{}, err
	}
	if w.listened.Gone {
		return site.Roster{}, fault.Newf(fault.NotFound, "there is no link %s", link)
	}
	l, err := w.Link(ctx, link)
	if err != nil {
		return site.Roster{}, err
	}
	r := site.Roster{Link: l, Source: w.listened.Store, Shards: w.listened.Shards}
	r.Numbers, err = w.Memory.NumbersPage(ctx, link, "", 0)
	return r, err
}

// RosterChanges implements activities.WatchRecords.
func (w *World) RosterChanges(ctx context.Context, _ string, changed func()) error {
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		news := w.changed
		w.mu.Unlock()
		changed()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// SetWatchShards implements activities.WatchRecords.
func (w *World) SetWatchShards(ctx context.Context, link string, shards int) error {
	if _, err := w.Link(ctx, link); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listened.Shards = shards
	w.tell()
	return nil
}

// KnownSources implements activities.WatchRecords; nothing is known.
func (w *World) KnownSources(context.Context, string, []mailbox.Number) (map[mailbox.Number]watch.Known, error) {
	return map[mailbox.Number]watch.Known{}, nil
}

// MarkEvents implements activities.WatchRecords.
func (w *World) MarkEvents(ctx context.Context, link string, marks []watch.Mark) ([]mailbox.Number, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.failing["MarkEvents"]; err != nil {
		return nil, err
	}
	w.listened.Marks = append(w.listened.Marks, marks...)
	var due []mailbox.Number
	for _, m := range marks {
		if _, err := w.MarkDirty(ctx, mailbox.Key{Link: link, Number: m.Number}); err == nil {
			due = append(due, m.Number)
		}
	}
	return due, nil
}

// SaveWatcher implements activities.WatchRecords.
func (w *World) SaveWatcher(_ context.Context, link string, shard int, worker string, h site.Health) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listened.Health == nil {
		w.listened.Health = map[int]site.Health{}
	}
	w.listened.Health[shard] = h
	w.PutWatchers(site.Watcher{Link: link, Shard: shard, Worker: worker, UpdatedAt: time.Now(), Health: h})
	return nil
}

// Ear is a store that can be listened to: by one connection of which the test
// is the far end.
type Ear struct {
	copier.Store // of which nothing is called

	// Heard gets a report function for every connection that is open.
	Heard chan func(watch.Report)
}

var _ watch.Source = (*Ear)(nil)

// Offer implements watch.Source.
func (*Ear) Offer(context.Context, mailbox.Number) (site.ListenMode, string, error) {
	return site.ListenNotify, "it is a test", nil
}

// Notify implements watch.Source.
func (e *Ear) Notify(_ context.Context, numbers []mailbox.Number) (watch.Conn, error) {
	return &earConn{ear: e, numbers: numbers}, nil
}

// Idle implements watch.Source.
func (e *Ear) Idle(_ context.Context, n mailbox.Number, _ time.Duration) (watch.Conn, error) {
	return &earConn{ear: e, numbers: []mailbox.Number{n}}, nil
}

// Poll implements watch.Source.
func (*Ear) Poll(_ context.Context, _, _ []mailbox.Number, _ func(watch.Report), _ func(mailbox.Number, error), _ func(int, time.Duration)) error {
	return nil
}

// PollEach implements watch.Source.
func (*Ear) PollEach(context.Context, []mailbox.Number, func(watch.Report), func(mailbox.Number, error), func(int, time.Duration)) error {
	return nil
}

type earConn struct {
	ear     *Ear
	numbers []mailbox.Number
}

func (c *earConn) Heard() []mailbox.Number { return c.numbers }

func (c *earConn) Listen(ctx context.Context, report func(watch.Report), alive func()) error {
	alive()
	if c.ear.Heard != nil {
		select {
		case c.ear.Heard <- report:
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (*earConn) Close() {}
