//go:build integration

package pgstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// The benchmarks give the cost of what a sync and a review ask of the
// database. With MAILMIRROR_TEST_FSYNC=1 the server waits for the disk, as it
// does in production:
//
//	MAILMIRROR_TEST_FSYNC=1 go test -tags integration -run '^$' -bench . ./internal/pgstore

// folderNames are those of a usual mailbox.
var folderNames = []mailbox.FolderName{mailbox.Inbox, "Greetings", "Old", "Saved", "Trash"}

// populate adds n mailboxes that were copied once.
func populate(t testing.TB, s *pgstore.Store, n int) []mailbox.Number {
	t.Helper()
	list := make([]mailbox.Number, n)
	for i := range list {
		list[i] = mailbox.Number(fmt.Sprintf("%05d", i))
	}
	if _, err := s.AddMailboxes(t.Context(), link, list); err != nil {
		t.Fatal(err)
	}
	for _, number := range list {
		lease, _ := begin(t, s, keyOf(number))
		must(t, s.Save(t.Context(), lease, finalUpdate(number)))
	}
	return list
}

// openingUpdate opens an intent in each folder, as an initial copy does.
func openingUpdate() copier.Update {
	var update copier.Update
	for _, name := range folderNames {
		update.Folders = append(update.Folders, copier.FolderUpdate{Name: name, SourceValidity: 1, TargetValidity: 2,
			OpenIntent: &copier.Intent{TargetUIDNext: 1, Sources: mailbox.UIDSet{{First: 1, Last: 6}}}})
	}
	return update
}

// finalUpdate confirms what openingUpdate intended, and ends the sync.
func finalUpdate(number mailbox.Number) copier.Update {
	done := report(number, 1)
	update := updateDone(done)
	for _, name := range folderNames {
		update.Folders = append(update.Folders, copier.FolderUpdate{Name: name, SourceValidity: 1, TargetValidity: 2,
			SourceAt: at(1), TargetAt: at(2), CloseIntent: true, AddPairs: []mailbox.Run{{Source: 1, Target: 1, Length: 6}}})
	}
	return update
}

// BenchmarkSync is one whole sync of a mailbox with five folders; its metrics
// are the parts, in milliseconds each.
func BenchmarkSync(b *testing.B) {
	s := seeded(b)
	numbers := populate(b, s, 1000)
	var parts [3]time.Duration
	timed := func(part int, fn func() error) {
		start := time.Now()
		if err := fn(); err != nil {
			b.Fatal(err)
		}
		parts[part] += time.Since(start)
	}
	for i := 0; b.Loop(); i++ {
		number := numbers[i%len(numbers)]
		var lease lease.Lease
		timed(0, func() (err error) {
			lease, _, err = s.Begin(b.Context(), keyOf(number), ttl, fence)
			return err
		})
		timed(1, func() error { return s.Save(b.Context(), lease, openingUpdate()) })
		timed(2, func() error { return s.Save(b.Context(), lease, finalUpdate(number)) })
	}
	for i, name := range []string{"ms/begin", "ms/open-intents", "ms/final"} {
		b.ReportMetric(float64(parts[i].Microseconds())/1000/float64(b.N), name)
	}
}

// BenchmarkSyncParallel is the same by eight workers: syncs per second.
func BenchmarkSyncParallel(b *testing.B) {
	s := seeded(b)
	numbers := populate(b, s, 1000)
	b.SetParallelism(4)
	b.ResetTimer()
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			number := numbers[int(next.Add(1))%len(numbers)]
			lease, _, err := s.Begin(b.Context(), keyOf(number), ttl, fence)
			if err == nil {
				err = s.Save(b.Context(), lease, openingUpdate())
			}
			if err == nil {
				err = s.Save(b.Context(), lease, finalUpdate(number))
			}
			if err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
}

// BenchmarkReview is what a page of 500 unchanged mailboxes with five folders
// each costs in a compare.
func BenchmarkReview(b *testing.B) {
	s := seeded(b)
	page := populate(b, s, 5000)[2000:2500]
	var parts [2]time.Duration
	for b.Loop() {
		start := time.Now()
		states, err := s.ReviewStates(b.Context(), link, page)
		if err != nil || len(states) != len(page) || len(states[page[0]].Folders) != len(folderNames) {
			b.Fatalf("%d states, %v", len(states), err)
		}
		middle := time.Now()
		reviewed := make([]site.Reviewed, len(page))
		for i, number := range page {
			reviewed[i] = site.Reviewed{Number: number, Generation: states[number].Generation, Messages: 5}
		}
		if err := s.RecordReviewed(b.Context(), link, reviewed); err != nil {
			b.Fatal(err)
		}
		parts[0] += middle.Sub(start)
		parts[1] += time.Since(middle)
	}
	b.ReportMetric(float64(parts[0].Microseconds())/1000/float64(b.N), "ms/states")
	b.ReportMetric(float64(parts[1].Microseconds())/1000/float64(b.N), "ms/record")
}

// TestReviewSpeed holds a page of 500 to a tenth of a millisecond each on an
// idle machine, with room for a busy one.
func TestReviewSpeed(t *testing.T) {
	t.Parallel()
	s := seeded(t)
	page := populate(t, s, 600)[50:550]
	best := time.Hour
	for range 5 {
		start := time.Now()
		states, err := s.ReviewStates(t.Context(), link, page)
		if err != nil || len(states) != len(page) {
			t.Fatalf("%d states, %v", len(states), err)
		}
		best = min(best, time.Since(start))
	}
	if t.Logf("500 mailboxes in %v", best); best > 250*time.Millisecond {
		t.Errorf("a page of 500 takes %v", best)
	}
}

// TestLargeLedger: 50,000 pairs, no two of which make a run.
func TestLargeLedger(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	ctx := t.Context()
	const pairs = 50_000
	runs := make([]mailbox.Run, pairs)
	for i := range runs {
		// Ascending sources, descending targets: the worst order to believe.
		runs[i] = mailbox.Run{Source: mailbox.UID(2*i + 1), Target: mailbox.UID(2 * (pairs - i)), Length: 1}
	}
	update := copier.Update{Folders: []copier.FolderUpdate{{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 1, AddPairs: runs}}}
	clock := time.Now()
	lap := func(what string) {
		t.Logf("%s: %v", what, time.Since(clock))
		clock = time.Now()
	}
	lease, _ := begin(t, s, keyOf("1"))
	must(t, s.Save(ctx, lease, update))
	lap("save")
	must(t, s.Release(ctx, lease, true))
	clock = time.Now()
	lease, states := begin(t, s, keyOf("1"))
	lap("begin")
	equal(t, "pairs", states[0].Pairs, runs)
	clock = time.Now()

	// All of them go and come back otherwise.
	other := make([]mailbox.Run, 0, pairs)
	for i := range pairs {
		other = append(other, mailbox.Run{Source: mailbox.UID(2*i + 2), Target: mailbox.UID(2*i + 1), Length: 1})
	}
	update.Folders[0].RemovePairs, update.Folders[0].AddPairs = runs, other
	must(t, s.Save(ctx, lease, update))
	lap("replace")
	must(t, s.Release(ctx, lease, true))
	clock = time.Now()
	equal(t, "pairs", known(t, s, keyOf("1"))[0].Pairs, other)
	lap("begin")
	if n, err := s.RemoveMailboxes(ctx, link, []mailbox.Number{"1"}); err != nil || n != 1 {
		t.Errorf("RemoveMailboxes = %d, %v", n, err)
	}
	lap("remove the mailbox")
}
