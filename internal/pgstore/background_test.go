//go:build integration

package pgstore_test

import (
	"testing"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// sign reads the sign of life of a loop; the zero value where there is none.
func signOf(t *testing.T, s *pgstore.Store, loop background.Loop, item string) background.Sign {
	t.Helper()
	b, err := s.Background(t.Context())
	must(t, err)
	for _, sign := range b.Signs {
		if sign.Loop == loop && sign.Item == item {
			return sign
		}
	}
	return background.Sign{}
}

func TestSignsOfLife(t *testing.T) {
	s := seeded(t)
	ctx := t.Context()
	if b, err := s.Background(ctx); err != nil || len(b.Signs) > 0 || b.Now.IsZero() {
		t.Errorf("of a fresh database: %+v, %v", b, err)
	}
	sweep := background.Sign{Loop: background.LoopSweep, Worker: "1@one"}
	must(t, s.BeginLoop(ctx, sweep))
	begun := signOf(t, s, background.LoopSweep, "")
	if begun.StartedAt.IsZero() || !begun.OKAt.IsZero() || begun.Worker != "1@one" {
		t.Errorf("begun: %+v", begun)
	}
	failed := sweep
	failed.ErrorKind, failed.Error, failed.Hint = "transient", "no\x00 answer", "wait"
	must(t, s.EndLoop(ctx, failed))
	first := signOf(t, s, background.LoopSweep, "")
	must(t, s.EndLoop(ctx, failed))
	second := signOf(t, s, background.LoopSweep, "")
	if first.FailedAt.IsZero() || !first.FailedAt.Equal(second.FailedAt) || second.Error == "" || second.Hint != "wait" {
		t.Errorf("failed: %+v, and again: %+v", first, second)
	}
	must(t, s.EndLoop(ctx, sweep))
	if well := signOf(t, s, background.LoopSweep, ""); !well.FailedAt.IsZero() || well.Error != "" || well.OKAt.IsZero() || !well.StartedAt.Equal(begun.StartedAt) {
		t.Errorf("well again: %+v", well)
	}
	listening := background.Sign{Loop: background.LoopListening, Item: link, Link: link}
	must(t, s.NoteRestart(ctx, listening))
	must(t, s.NoteRestart(ctx, listening))
	if r := signOf(t, s, background.LoopListening, link); r.Restarts != 2 || r.RestartedAt.IsZero() {
		t.Errorf("restarted: %+v", r)
	}
	// With the link goes what is known of its loops, from what is shown at once.
	must(t, s.RemoveLink(ctx, link))
	if r := signOf(t, s, background.LoopListening, link); r.Restarts != 0 {
		t.Errorf("of a link that is gone: %+v", r)
	}
	if claimed, err := s.ClaimSupervision(ctx, "1@one", time.Minute); err != nil || !claimed {
		t.Errorf("claimed %v, %v", claimed, err)
	}
	addLinkAgain(t, s)
	if r := signOf(t, s, background.LoopListening, link); r.Restarts != 0 {
		t.Errorf("of a link that is back: %+v", r)
	}
}

func addLinkAgain(t *testing.T, s *pgstore.Store) {
	t.Helper()
	must(t, s.AddLink(t.Context(), site.Link{Name: link, Source: "prod", Target: "dr"}))
}

func TestOneWorkerSupervises(t *testing.T) {
	s := seeded(t)
	for _, c := range []struct {
		worker string
		every  time.Duration
		want   bool
	}{
		{"1@one", time.Hour, true}, {"2@two", time.Hour, false}, {"1@one", time.Hour, false}, {"2@two", 0, true}, {"1@one", time.Hour, false},
	} {
		if claimed, err := s.ClaimSupervision(t.Context(), c.worker, c.every); err != nil || claimed != c.want {
			t.Errorf("%s, every %s: %v, %v", c.worker, c.every, claimed, err)
		}
	}
	if sign := signOf(t, s, background.LoopSupervision, ""); sign.Worker != "2@two" || sign.StartedAt.IsZero() {
		t.Errorf("%+v", sign)
	}
}

func TestADueRunIsNotForgotten(t *testing.T) {
	s := seeded(t)
	at := time.Now().Truncate(time.Second)
	sweep := site.ScheduleInfo{Name: "sweep", When: "every 1m"}
	note := func(lastRun, due, want time.Time) {
		t.Helper()
		sweep.LastRun = lastRun
		must(t, s.NoteSchedule(t.Context(), sweep, due))
		if sign := signOf(t, s, background.LoopSchedule, "sweep"); !sign.DueAt.Equal(want) || !sign.StartedAt.Equal(lastRun) {
			t.Errorf("due %v, want %v; last run %v", sign.DueAt, want, sign.StartedAt)
		}
	}
	var never time.Time
	next := func(n int) time.Time { return at.Add(time.Duration(n) * time.Minute) }
	note(never, next(1), next(1))
	note(never, next(2), next(1))   // the first was missed
	note(next(2), next(3), next(3)) // and was made good
	note(next(3), next(4), next(4))
	note(next(3), never, never)     // paused
	note(next(3), next(9), next(9)) // and goes on
	sweep.When = "every 1h"
	note(next(3), next(60), next(60)) // what was due by another spec is not due any more
}
