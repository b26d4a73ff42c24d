//go:build integration

package pgstore_test

import (
	"testing"
	"time"

	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/site"
)

// insertBefore is how the release before records a sync.
const insertBefore = `INSERT INTO history (link, number, started_at, run_id, trigger, finished_at, outcome,
    messages_appended, messages_bytes, messages_flags_changed, messages_expunged,
    greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged,
    folders_created, folders_deleted, folders_renamed, folders_subscribed,
    differences, source_messages, source_greetings, generation, error_kind, error, hint)
SELECT 'prod-dr', '1', timestamptz '2024-11-30 23:59:59.999999Z' + k * interval '13 days 5 hours', 'run ' || k, 'sweep', now(), 'equal',
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, '', '', ''
FROM generate_series(0, 99) k ON CONFLICT DO NOTHING`

// TestHistoryMigration: nothing of a history is lost when it is cut into months,
// nor when that is taken back, and the release before goes on recording.
func TestHistoryMigration(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	must(t, pgstore.MigrateTo(t.Context(), s, 5))
	sql(t, dsn, insertBefore)
	must(t, pgtest.Migrate(t.Context(), s))
	before, err := s.History(t.Context(), link, "1", 0)
	must(t, err)
	if len(before) != 100 {
		t.Fatalf("%d entries of 100", len(before))
	}
	if n := len(tables(t, dsn)); n < 40 {
		t.Errorf("%d months: %v", n, tables(t, dsn))
	}
	ids := map[int64]bool{}
	for _, e := range before {
		ids[e.ID] = true
	}
	if len(ids) != 100 || before[0].Folders.Subscribed != 12 || before[0].Messages.Expunged != 4 {
		t.Errorf("%d ids, the first entry is %+v", len(ids), before[0])
	}

	// The release before repeats what it recorded, and records something new.
	sql(t, dsn, insertBefore)
	failedAt(t, s, time.Now())
	after, err := s.History(t.Context(), link, "1", 0)
	must(t, err)
	if len(after) != 101 {
		t.Errorf("%d entries, want 101", len(after))
	}
	for _, e := range after {
		if !ids[e.ID] && len(ids) == 101 {
			t.Errorf("id %d came twice", e.ID)
		}
		ids[e.ID] = true
	}
	if len(ids) != 101 {
		t.Errorf("%d ids of 101 entries", len(ids))
	}

	// Archived and taken back, it is whole.
	if _, err := s.Retain(t.Context(), time.Now(), site.Retention{History: 24 * time.Hour, Archive: 36500 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	must(t, pgstore.MigrateTo(t.Context(), s, 5))
	sql(t, dsn, insertBefore)
	must(t, pgtest.Migrate(t.Context(), s))
	back, err := s.History(t.Context(), link, "1", 0)
	must(t, err)
	equal(t, "histories", back, after)
}
