//go:build integration

package pgstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

func numbersOf(list ...mailbox.Number) []mailbox.Number { return list }

// failedAt records a failed sync that began at a moment.
func failedAt(t *testing.T, s *pgstore.Store, at time.Time) {
	t.Helper()
	r := report("1", 1)
	r.Started, r.Finished, r.Outcome, r.ErrKind, r.Err = at, at.Add(time.Second), "failed", "transient", "x"
	r.RunID = at.Format(time.RFC3339Nano)
	must(t, s.RecordFailure(t.Context(), r, time.Minute))
}

func tables(t *testing.T, dsn string) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relname ~ '^history_(archive_)?[0-9]{6}$' AND relkind = 'r' ORDER BY 1`)
	must(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, err)
	return names
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
}

// TestRetention lets two years go by, month by month, with something recorded on
// every day of a few, and holds what is live and what is archived to the two
// periods; every purge is done twice.
func TestRetention(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	keep := site.Retention{History: 60 * 24 * time.Hour, Archive: 365 * 24 * time.Hour}
	var recorded []time.Time
	for month := range 25 {
		now := day(2030, time.January, 10).AddDate(0, month, 0)
		for range 2 {
			at := now.Add(-time.Duration(len(recorded)%5) * 24 * time.Hour)
			recorded = append(recorded, at)
			failedAt(t, s, at)
		}
		for range 2 {
			if _, err := s.Retain(t.Context(), now, keep); err != nil {
				t.Fatal(err)
			}
		}
		again, err := s.Retain(t.Context(), now, keep)
		if err != nil || again != (site.Retained{}) {
			t.Errorf("a purge that was done already did %+v, %v", again, err)
		}
		live, err := s.History(t.Context(), link, "1", 0)
		must(t, err)
		all, err := s.HistoryWithArchive(t.Context(), link, "1", 0)
		must(t, err)
		check := func(what string, entries []site.HistoryEntry, keep time.Duration) {
			t.Helper()
			seen := map[time.Time]bool{}
			for i, e := range entries {
				seen[e.Started.UTC()] = true
				if i > 0 && e.Started.After(entries[i-1].Started) {
					t.Errorf("%s: not the newest first", what)
				}
				// A month goes as a whole, so that what is up to a month older is there.
				if now.Sub(e.Started) > keep+32*24*time.Hour {
					t.Errorf("on %s %s still holds what began on %s", now, what, e.Started)
				}
			}
			for _, at := range recorded {
				if now.Sub(at) <= keep && !seen[at] {
					t.Errorf("on %s %s holds no more what began on %s", now, what, at)
				}
			}
			if len(seen) != len(entries) {
				t.Errorf("%s holds %d entries of %d moments", what, len(entries), len(seen))
			}
		}
		check("the live history", live, keep.History)
		check("history with archive", all, keep.Archive)
		if len(all) < len(live) || (month > 12 && len(all) <= len(live)) {
			t.Errorf("%d entries with the archive, %d without", len(all), len(live))
		}
		if limited, err := s.HistoryWithArchive(t.Context(), link, "", 3); err != nil || len(limited) != min(3, len(all)) {
			t.Errorf("%d entries, %v, want 3", len(limited), err)
		}
	}
	// Ahead of the last month there is room for three more.
	names := tables(t, dsn)
	for _, want := range []string{"history_203201", "history_203204", "history_archive_203110"} {
		if !slices.Contains(names, want) {
			t.Errorf("there is no %s among %v", want, names)
		}
	}
}

// TestRetentionOfLateRows: what is recorded of a month that has no partition, as
// when nobody made one ahead or the month is archived already, is kept, moves to
// where it belongs, and is told once.
func TestRetentionOfLateRows(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	keep := site.Retention{History: 40 * 24 * time.Hour, Archive: 3650 * 24 * time.Hour}
	failedAt(t, s, day(2031, time.March, 3))
	failedAt(t, s, day(2031, time.March, 4))
	now := day(2031, time.June, 1)
	if _, err := s.Retain(t.Context(), now, keep); err != nil {
		t.Fatal(err)
	}
	failedAt(t, s, day(2031, time.March, 5)) // archived, and yet another
	failedAt(t, s, day(2035, time.May, 1))   // ahead of all
	for range 2 {
		if _, err := s.Retain(t.Context(), now, keep); err != nil {
			t.Fatal(err)
		}
		live, err := s.History(t.Context(), link, "1", 0)
		must(t, err)
		all, err := s.HistoryWithArchive(t.Context(), link, "1", 0)
		must(t, err)
		if len(live) != 1 || len(all) != 4 {
			t.Errorf("%d live and %d in all, want 1 and 4", len(live), len(all))
		}
	}
}

// TestRetentionBesideRecording: while months move, what is done goes on being
// recorded, and a purge that is broken off is made good by the next.
func TestRetentionBesideRecording(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1")
	keep := site.Retention{History: 24 * time.Hour, Archive: 3650 * 24 * time.Hour}
	done := make(chan struct{})
	var wg sync.WaitGroup
	written := 0
	wg.Go(func() {
		for ; ; written++ {
			select {
			case <-done:
				return
			default:
				failedAt(t, s, day(2032, time.January, 1).AddDate(0, written%30, 0).Add(time.Duration(written)*time.Second))
			}
		}
	})
	for month := range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(month)*time.Millisecond)
		_, err := s.Retain(ctx, day(2032, time.January, 1).AddDate(0, month, 0), keep)
		cancel()
		if err != nil && !fault.Is(err, fault.Transient) {
			t.Errorf("broken off: %v", err)
		}
		if _, err := s.Retain(t.Context(), day(2032, time.January, 1).AddDate(0, month, 0), keep); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	if _, err := s.Retain(t.Context(), day(2035, time.January, 1), keep); err != nil {
		t.Error(err)
	}
	all, err := s.HistoryWithArchive(t.Context(), link, "1", 0)
	must(t, err)
	if len(all) != written || written == 0 {
		t.Errorf("%d entries, %d were recorded", len(all), written)
	}
}

// TestRetentionOfCompares keeps the last of each kind, and what is not over.
func TestRetentionOfCompares(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t)
	for i, kind := range []site.RunKind{site.RunCompare, site.RunCompare, site.RunRebuild, site.RunRebuild, ""} {
		run := site.CompareRun{RunID: fmt.Sprint("run ", i), Link: link, Kind: kind, Trigger: "schedule", Mailboxes: 1, StartedAt: day(2030, time.January, 1+i)}
		must(t, s.StartCompare(t.Context(), run))
		must(t, s.AddCompareProgress(t.Context(), run.RunID, 0, site.CompareProgress{Reviewed: 1}))
	}
	status, err := s.Status(t.Context(), link)
	must(t, err)
	if c, r := status[0].LastCompare, status[0].LastRebuild; c == nil || c.RunID != "run 4" || c.Kind != site.RunCompare || r == nil || r.RunID != "run 3" {
		t.Errorf("last compare %+v, last rebuild %+v", c, r)
	}
	sql(t, dsn, `UPDATE compare_runs SET updated_at = started_at`, `UPDATE compare_pages SET updated_at = '2030-01-02'`)
	done, err := s.Retain(t.Context(), day(2030, time.June, 1), site.Retention{History: 60 * 24 * time.Hour, Archive: 365 * 24 * time.Hour})
	must(t, err)
	if done.Compares != 3 {
		t.Errorf("%d compares were dropped, want 3", done.Compares)
	}
	for id, there := range map[string]bool{"run 0": false, "run 1": false, "run 2": false, "run 3": true, "run 4": true} {
		if _, err := s.CompareRun(t.Context(), id); (err == nil) != there {
			t.Errorf("%s: %v, want it to be there: %v", id, err, there)
		}
	}
}
