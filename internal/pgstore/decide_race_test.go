//go:build integration

package pgstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/mirror"
)

// TestDecisionMeetsJudge: an operator decides on a hold after a sync has read the
// folder's holds and before it writes them. The decision stays. The table that the
// judgement reads next is locked, so that the order is certain.
func TestDecisionMeetsJudge(t *testing.T) {
	t.Parallel()
	s, dsn := seededDatabase(t, "1")
	synced(t, s, "1", 40)
	judged(t, s, "1", dueIn(30, 40))
	_, err := s.DecideHolds(t.Context(), []int64{holds(t, s)[0].ID}, guard.HoldRefused, "anna")
	must(t, err)
	refused := holds(t, s)[0].ID

	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	must(t, err)
	defer conn.Close(ctx)
	lease, _ := begin(t, s, keyOf("1"))
	tx, err := conn.Begin(ctx)
	must(t, err)
	_, err = tx.Exec(ctx, `LOCK TABLE guard_reserved IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
	judgement := make(chan error, 1)
	go func() {
		_, err := s.Judge(ctx, lease, mirror.DefaultLimits(), dueIn(30, 40))
		judgement <- err
	}()
	waiting(t, dsn, 1, nil)
	decision := make(chan error, 1)
	go func() {
		_, err := s.DecideHolds(ctx, []int64{refused}, guard.HoldApproved, "anna")
		decision <- err
	}()
	waiting(t, dsn, 2, decision)
	must(t, tx.Commit(ctx))
	must(t, <-judgement)
	must(t, <-decision)
	if list := holds(t, s); len(list) != 1 || list[0].State != guard.HoldApproved {
		t.Errorf("approved, and then the holds are %+v", list)
	}
	must(t, s.Release(ctx, lease, true))
	if d := judged(t, s, "1", dueIn(30, 40)); d.Allow.Len() != 30 {
		t.Errorf("approved, and then judged so: %+v", d)
	}
}

// waiting returns once so many connections wait for a lock, or once done has an
// answer, which it leaves there.
func waiting(t testing.TB, dsn string, n int, done chan error) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), dsn)
	must(t, err)
	defer conn.Close(context.Background())
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var count int
		must(t, conn.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&count))
		if count >= n || len(done) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections wait for a lock, want %d", count, n)
		}
	}
}

// TestDirectoryDecisionMeetsRun: an operator decides on a hold of a directory
// after a run has compared the entries and before it holds their changes.
func TestDirectoryDecisionMeetsRun(t *testing.T) {
	t.Parallel()
	for _, decision := range []guard.HoldState{guard.HoldApproved, guard.HoldRefused} {
		s := mirrored(t)
		settings := dirsync.DefaultSettings()
		source, target := paired(t, s)
		compared(t, s, "one", "operator", settings, source[:2], target)
		hold(t, s, "one", directory.Remove)
		finished(t, s, "one")
		compared(t, s, "two", "operator", settings, source[:2], target)
		_, err := s.DecideDirectoryHolds(t.Context(), []int64{directoryHolds(t, s)[0].ID}, decision, "anna")
		must(t, err)
		if held := hold(t, s, "two", directory.Remove); held != 1 {
			t.Errorf("%d are held in the run that had compared before", held)
		}
		finished(t, s, "two")
		if list := directoryHolds(t, s); len(list) != 1 || list[0].State != decision || list[0].Changes != 1 {
			t.Errorf("%s, and then the holds are %+v", decision, list)
		}
	}
}
