package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// rosterChannel is where the schema's triggers tell that whom to listen to may
// have changed.
const rosterChannel = "mailmirror_roster"

// rosterPatience is how long RosterChanges is silent at most: a database behind a
// connection pooler may deliver no notifications.
const rosterPatience = time.Minute

// WatchRoster implements activities.WatchRecords.
func (s *Store) WatchRoster(ctx context.Context, link string) (site.Roster, error) {
	op := "read whom to listen to for link " + link
	var r site.Roster
	var err error
	if r.Link, err = s.Link(ctx, link); err != nil {
		return r, err
	}
	if r.Source, err = s.Store(ctx, r.Link.Source); err != nil {
		return r, err
	}
	if r.Load, err = s.StoreLoad(ctx, r.Link.Source); err != nil {
		return r, err
	}
	shards, err := s.q.WatchShards(ctx, link)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return r, classify(op, err)
	}
	r.Shards = int(shards)
	watchers, err := s.q.ListWatchers(ctx, link)
	if err != nil {
		return r, classify(op, err)
	}
	for _, w := range watchers {
		if w.Mode != "" && w.Mode != string(site.ListenAuto) {
			r.Chosen = site.ListenMode(w.Mode)
		}
	}
	if r.Numbers, err = s.NumbersPage(ctx, link, "", 0); err != nil {
		return r, err
	}
	first, err := s.q.FirstDue(ctx, link)
	if err != nil {
		return r, classify(op, err)
	}
	r.First = numbers(first)
	events, err := s.q.LastEvents(ctx, link)
	r.LastEvents = make(map[mailbox.Number]time.Time, len(events))
	for _, e := range events {
		r.LastEvents[mailbox.Number(e.Number)] = e.LastAt
	}
	return r, classify(op, err)
}

// RosterChanges implements activities.WatchRecords: it calls changed when the database
// tells, and every minute. The connection is its own.
func (s *Store) RosterChanges(ctx context.Context, link string, changed func()) error {
	op := "await changes of link " + link
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return classify(op, err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing) // whatever it says, it is gone
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+rosterChannel); err != nil {
		return classify(op, err)
	}
	changed()
	for {
		waiting, cancel := context.WithTimeout(ctx, rosterPatience)
		n, err := conn.WaitForNotification(waiting)
		outOfPatience := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		switch {
		case err == nil && n.Payload != "" && n.Payload != link:
		case err == nil, outOfPatience && !conn.IsClosed():
			changed()
		default:
			return classify(op, err)
		}
	}
}

// SetWatchShards implements activities.WatchRecords.
func (s *Store) SetWatchShards(ctx context.Context, link string, shards int) error {
	err := s.q.SetWatchShards(ctx, sqlcgen.SetWatchShardsParams{Link: link, Shards: int64(shards)})
	if violates(err, foreignKeyViolation, "") {
		return unknownLink(link)
	}
	return classify("record shards of link "+link, err)
}

// KnownSources implements activities.WatchRecords.
func (s *Store) KnownSources(ctx context.Context, link string, list []mailbox.Number) (map[mailbox.Number]watch.Known, error) {
	rows, err := s.q.KnownSources(ctx, sqlcgen.KnownSourcesParams{Link: link, Numbers: strs(list)})
	known := map[mailbox.Number]watch.Known{}
	for _, row := range rows {
		n := mailbox.Number(row.Number)
		if known[n] == nil {
			known[n] = watch.Known{}
		}
		known[n][mailbox.FolderName(row.Folder)] = counters(row.SourceAtValidity, row.SourceAtUidnext, row.SourceAtMessages, row.SourceAtModseq)
	}
	return known, classify("read what is mirrored of link "+link, err)
}

// MarkEvents implements activities.WatchRecords. A parked mailbox is woken from time to
// time if its last failure left the stores usable.
func (s *Store) MarkEvents(ctx context.Context, link string, marks []watch.Mark) ([]mailbox.Number, error) {
	if len(marks) == 0 {
		return nil, nil
	}
	p := sqlcgen.MarkEventsParams{Link: link}
	for _, m := range marks {
		p.Numbers = append(p.Numbers, string(m.Number))
		p.Kinds = append(p.Kinds, string(m.Kind))
		p.Counts = append(p.Counts, int64(m.Count))
		// An age, since this machine's clock may be another one than the database's.
		p.AgesMs = append(p.AgesMs, max(time.Since(m.At).Milliseconds(), 0))
	}
	due, err := s.q.MarkEvents(ctx, p)
	return numbers(due), classify("mark changed mailboxes of link "+link, err)
}

// SaveWatcher implements activities.WatchRecords.
func (s *Store) SaveWatcher(ctx context.Context, link string, shard int, worker string, h site.Health) error {
	return classify("record how the listeners of link "+link+" do", s.q.SaveWatcher(ctx, sqlcgen.SaveWatcherParams{
		Link: link, Shard: int64(shard), Worker: plain(worker), Mode: string(h.Mode), Why: plain(h.Why),
		Connections: int64(h.Connections), Wanted: int64(h.Wanted), ConnectedSince: orNull(h.ConnectedSince),
		Listened: int64(h.Listened), Polled: int64(h.Polled), Events: h.Events, PerMinute: int64(h.PerMinute),
		LastEventAt: orNull(h.LastEvent), LastKind: string(h.LastKind), Unannounced: h.Unannounced,
		Trouble: plain(h.Trouble), Hint: plain(h.Hint), PollEvery: h.PollEvery,
	}))
}

// Watchers implements control.Records.
func (s *Store) Watchers(ctx context.Context, link string) ([]site.Watcher, error) {
	rows, err := s.q.ListWatchers(ctx, link)
	return listOf(rows, func(row sqlcgen.ListWatchersRow) site.Watcher {
		return site.Watcher{
			Link: row.Link, Shard: int(row.Shard), Worker: row.Worker, UpdatedAt: row.UpdatedAt, Shards: int(row.Shards),
			Health: site.Health{
				Mode: site.ListenMode(row.Mode), Why: row.Why, Connections: int(row.Connections), Wanted: int(row.Wanted),
				ConnectedSince: orZero(row.ConnectedSince), Listened: int(row.Listened), Polled: int(row.Polled),
				Events: row.Events, PerMinute: int(row.PerMinute), LastEvent: orZero(row.LastEventAt),
				LastKind: site.EventKind(row.LastKind), Unannounced: row.Unannounced, Trouble: row.Trouble, Hint: row.Hint, PollEvery: row.PollEvery,
			},
		}
	}, "read how the listeners do", err)
}

// orNull is NULL for the zero time.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
