//go:build integration

package pgstore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/watch"
)

// leaveClean leaves a mailbox clean.
func leaveClean(t testing.TB, s interface {
	Save(context.Context, lease.Lease, copier.Update) error
}, lease lease.Lease, generation int64) {
	t.Helper()
	r := report(lease.Key.Number, generation)
	must(t, s.Save(t.Context(), lease, copier.Update{Done: &r}))
}

func TestMarkEvents(t *testing.T) {
	s := seeded(t, "1", "2", "3")
	for _, n := range []mailbox.Number{"1", "2"} {
		lease, _ := begin(t, s, keyOf(n))
		leaveClean(t, s, lease, 1)
	}
	must(t, s.RecordFailure(t.Context(), failed("2"), time.Hour))
	before := box(t, s, "2")
	heard := time.Now().Add(-3 * time.Second)
	due, err := s.MarkEvents(t.Context(), link, []watch.Mark{
		{Number: "3", Kind: site.EventFlags, Count: 1, At: time.Now()},
		{Number: "1", Kind: site.EventMessageIn, Count: 5, At: heard},
		{Number: "2", Kind: site.EventGreeting, Count: 1, At: time.Now()},
		{Number: "404", Kind: site.EventFlags, Count: 1, At: time.Now()},
	})
	must(t, err)
	// The one that waits out a failure is not woken, and waits as long.
	equal(t, "to be woken", due, []mailbox.Number{"1", "3"})
	one := box(t, s, "1")
	if one.DirtyGeneration != 2 || one.CleanGeneration != 1 {
		t.Errorf("generations %d, %d", one.DirtyGeneration, one.CleanGeneration)
	}
	if off := one.DirtySince.Sub(heard).Abs(); off > 500*time.Millisecond {
		t.Errorf("dirty since %v, heard at %v", one.DirtySince, heard)
	}
	equal(t, "next attempt", box(t, s, "2").NextAttemptAt, before.NextAttemptAt)

	// What comes later does not make the first change younger.
	_, err = s.MarkEvents(t.Context(), link, []watch.Mark{{Number: "1", Kind: site.EventFlags, Count: 2, At: time.Now()}})
	must(t, err)
	again := box(t, s, "1")
	equal(t, "dirty since", again.DirtySince, one.DirtySince)
	equal(t, "generation", again.DirtyGeneration, 3)
	roster, err := s.WatchRoster(t.Context(), link)
	must(t, err)
	if last := roster.LastEvents["1"]; time.Since(last) > time.Minute {
		t.Errorf("last event %v", last)
	}
	lag, err := s.Status(t.Context(), link)
	must(t, err)
	if lag[0].Lag < 3*time.Second {
		t.Errorf("lag %v", lag[0].Lag)
	}
}

// TestChangesOfParkedMailbox: if a folder was the reason of the failure, a change
// makes a parked mailbox due early, at distances that grow, and a try that comes
// early puts nothing off. If a store was the reason, the mailbox waits.
func TestChangesOfParkedMailbox(t *testing.T) {
	s, dsn := seededDatabase(t, "1", "2", "3")
	mark := func(n mailbox.Number) bool {
		t.Helper()
		due, err := s.MarkEvents(t.Context(), link, []watch.Mark{{Number: n, Kind: site.EventMessageIn, Count: 1, At: time.Now()}})
		must(t, err)
		return len(due) == 1
	}
	isDue := func(n mailbox.Number) bool {
		t.Helper()
		keys, err := s.DueMailboxes(t.Context(), 0)
		must(t, err)
		return slices.Contains(keys, keyOf(n))
	}
	age := func(by string) { // lets time pass
		sql(t, dsn, `UPDATE mailboxes SET early_at = early_at - interval '`+by+`', parked_until = parked_until - interval '`+by+`',
			next_attempt_at = next_attempt_at - interval '`+by+`', failing_since = failing_since - interval '`+by+`'`)
	}
	fail := func(n mailbox.Number, inPart bool) {
		t.Helper()
		r := failed(n)
		r.InPart, r.Started, r.Finished = inPart, time.Now(), time.Now()
		r.Generation = box(t, s, n).DirtyGeneration
		must(t, s.RecordFailure(t.Context(), r, time.Hour))
	}
	fail("1", true)
	fail("2", false)
	age("1 minute")
	if mark("2") || isDue("2") {
		t.Error("a change wakes a mailbox whose store failed")
	}
	until := box(t, s, "1").NextAttemptAt
	if !mark("1") || !isDue("1") {
		t.Error("a change does not wake a mailbox of which a folder failed")
	}
	sql(t, dsn, `UPDATE mailboxes SET next_attempt_at = parked_until WHERE number = '1'`) // its sync began
	if mark("1") || isDue("1") {
		t.Error("the next change wakes it at once again")
	}
	fail("1", true)
	if b := box(t, s, "1"); b.Failures != 1 || !b.NextAttemptAt.Equal(until) {
		t.Errorf("the early try counts: %d failures, next try %v, before %v", b.Failures, b.NextAttemptAt, until)
	}
	age("20 minutes")
	if !mark("1") {
		t.Error("no second early try")
	}
	age("1 minute")
	mark("1")
	if !isDue("1") {
		t.Error("what is due is due no longer")
	}

	// What changed during the sync that failed is due before the next try.
	r := failed("3")
	r.InPart, r.Generation = true, 1
	mark("3")
	must(t, s.RecordFailure(t.Context(), r, time.Hour))
	if wait := time.Until(box(t, s, "3").NextAttemptAt); wait > 10*time.Minute {
		t.Errorf("what changed meanwhile waits %v", wait)
	}

	// A failure of the store ends it. It came early, and does not count.
	fail("1", false)
	age("1 minute")
	if b := box(t, s, "1"); b.Failures != 1 || mark("1") {
		t.Errorf("after the store failed: %d failures", b.Failures)
	}
}

func failed(n mailbox.Number) copier.Report {
	r := report(n, 1)
	r.Outcome, r.ErrKind, r.Err = copier.Failed, "permanent", "no"
	return r
}

func TestWatchRoster(t *testing.T) {
	s := seeded(t, "1", "2")
	r, err := s.WatchRoster(t.Context(), link)
	must(t, err)
	equal(t, "numbers", r.Numbers, []mailbox.Number{"1", "2"})
	equal(t, "shards", r.Shards, 0)
	equal(t, "events", r.Source.Events, site.ListenIdle)
	must(t, s.SetWatchShards(t.Context(), link, 2))
	since := time.Now().Add(-time.Minute)
	for shard := range 2 {
		must(t, s.SaveWatcher(t.Context(), link, shard, "worker", site.Health{Mode: site.ListenNotify, Why: "why", Connections: 1, Wanted: 1,
			ConnectedSince: since, Listened: 3, Polled: 2, Events: 9, PerMinute: 4, LastEvent: since, LastKind: site.EventFlags,
			Unannounced: 1, Trouble: "trouble\x00", Hint: "hint"}))
	}
	watchers, err := s.Watchers(t.Context(), "")
	must(t, err)
	if len(watchers) != 2 {
		t.Fatalf("%d watchers", len(watchers))
	}
	watchers[0].UpdatedAt = time.Time{}
	equal(t, "watcher", watchers[0], site.Watcher{Link: link, Worker: "worker", Shards: 2, Health: site.Health{
		Mode: site.ListenNotify, Why: "why", Connections: 1, Wanted: 1, ConnectedSince: since, Listened: 3, Polled: 2, Events: 9, PerMinute: 4,
		LastEvent: since, LastKind: site.EventFlags, Unannounced: 1, Trouble: "trouble", Hint: "hint"}})
	// A restart knows of no event; the database does.
	must(t, s.SaveWatcher(t.Context(), link, 0, "other", site.Health{Mode: site.ListenNotify}))
	watchers, err = s.Watchers(t.Context(), link)
	must(t, err)
	equal(t, "last event", watchers[0].LastEvent, since)
	must(t, s.SetWatchShards(t.Context(), link, 1))
	watchers, err = s.Watchers(t.Context(), link)
	must(t, err)
	if len(watchers) != 1 {
		t.Errorf("%d watchers of one shard", len(watchers))
	}
	must(t, s.RemoveLink(t.Context(), link))
	must(t, s.SaveWatcher(t.Context(), link, 0, "late", site.Health{})) // of a link that is gone
	_, err = s.WatchRoster(t.Context(), link)
	wantKind(t, err, fault.NotFound)
	wantKind(t, s.SetWatchShards(t.Context(), link, 1), fault.NotFound)
}

// TestFirstDue: only those mailboxes wait to be mirrored for the first time that were
// not mirrored, not looked at and not parked.
func TestFirstDue(t *testing.T) {
	s := seeded(t, "1", "2", "3", "4")
	wants := func(want ...mailbox.Number) {
		t.Helper()
		r, err := s.WatchRoster(t.Context(), link)
		must(t, err)
		equal(t, "mailboxes that wait", r.First, want)
	}
	wants("1", "2", "3", "4")
	lease, _ := begin(t, s, keyOf("1"))
	leaveClean(t, s, lease, 1)
	must(t, s.RecordReviewed(t.Context(), link, []site.Reviewed{{Number: "2", Generation: 1}}))
	must(t, s.RecordFailure(t.Context(), failed("3"), time.Hour)) // parked
	wants("4")
	r := failed("4")
	r.ErrKind = "transient"
	must(t, s.RecordFailure(t.Context(), r, time.Hour)) // it is tried again soon
	wants("4")
	_, err := s.MarkEvents(t.Context(), link, []watch.Mark{{Number: "1", Kind: site.EventFlags, Count: 1, At: time.Now()}})
	must(t, err)
	wants("4")
}

func TestRosterChanges(t *testing.T) {
	s := seeded(t, "1")
	must(t, s.AddLink(t.Context(), site.Link{Name: "other", Source: "dr", Target: "prod"}))
	ctx, cancel := context.WithCancel(t.Context())
	changes, ended := make(chan struct{}, 10), make(chan error, 1)
	go func() { ended <- s.RosterChanges(ctx, link, func() { changes <- struct{}{} }) }()
	next := func(what string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(time.Minute):
			t.Fatalf("not told of %s", what)
		}
	}
	next("the beginning")
	_, err := s.AddMailboxes(t.Context(), "other", []mailbox.Number{"9"})
	must(t, err) // another link's affair
	_, err = s.AddMailboxes(t.Context(), link, []mailbox.Number{"2", "3"})
	must(t, err)
	next("mailboxes that join")
	_, err = s.RemoveMailboxes(t.Context(), link, []mailbox.Number{"2"})
	must(t, err)
	next("one that leaves")
	store, err := s.Store(t.Context(), "prod")
	must(t, err)
	must(t, s.UpdateStore(t.Context(), store))
	next("a store that changes")
	must(t, s.SetWatchShards(t.Context(), link, 3))
	next("another number of shards")
	if len(changes) > 0 {
		t.Errorf("told %d times more", len(changes))
	}
	must(t, s.RemoveLink(t.Context(), link))
	next("the end of the link")
	cancel()
	if err := <-ended; err == nil {
		t.Error("it ended without a reason")
	}
}

func TestKnownSources(t *testing.T) {
	s := seeded(t, "1", "2")
	at := mailbox.Counters{UIDValidity: 1 << 31, UIDNext: 7, Messages: 3, HighestModSeq: 1 << 62}
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(t.Context(), lease, copier.Update{Folders: []copier.FolderUpdate{{Name: "INBOX", SourceValidity: at.UIDValidity,
		TargetValidity: 1, SourceAt: at, TargetAt: at}}}))
	got, err := s.KnownSources(t.Context(), link, []mailbox.Number{"1", "2"})
	must(t, err)
	equal(t, "known", got, map[mailbox.Number]watch.Known{"1": {"INBOX": at}})
}
