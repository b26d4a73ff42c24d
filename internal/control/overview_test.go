package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func TestStatusTellsWhatComesNext(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	next := func() control.Next {
		t.Helper()
		s, err := w.Status(t.Context(), "dr")
		if err != nil || len(s) != 1 {
			t.Fatal(s, err)
		}
		return s[0].Next
	}
	schedule := site.CompareSchedule{NextCompare: w.now.Add(3 * time.Hour)}
	w.runner.OnSchedule = func(context.Context, string) (site.CompareSchedule, error) { return schedule, nil }
	if n := next(); !n.CompareBy.Equal(w.now.Add(3*time.Hour)) || n.CompareOverdue || n.SweepWithin != time.Minute {
		t.Errorf("of a new link: %+v", n)
	}
	schedule.WaitingSince = w.now.Add(-30 * time.Second)
	if n := next(); n.CompareOverdue {
		t.Errorf("while one starts: %+v", n)
	}
	schedule.WaitingSince = w.now.Add(-time.Hour)
	if n := next(); !n.CompareOverdue || !n.CompareBy.Equal(schedule.WaitingSince) {
		t.Errorf("while no worker takes it up: %+v", n)
	}
	w.repo.PutRun(site.CompareRun{RunID: "r", Link: "dr", StartedAt: w.now.Add(-5 * time.Hour)})
	if n := next(); !n.CompareRunning || n.CompareOverdue {
		t.Errorf("while one runs: %+v", n)
	}
	// However long ago the last one was: what the schedule says counts.
	w.repo.PutRun(site.CompareRun{RunID: "r", Link: "dr", StartedAt: w.now.Add(-5 * time.Hour), FinishedAt: w.now.Add(-5 * time.Hour)})
	schedule.WaitingSince = time.Time{}
	if n := next(); n.CompareRunning || n.CompareOverdue || !n.CompareBy.Equal(w.now.Add(3*time.Hour)) {
		t.Errorf("after the last one: %+v", n)
	}
	schedule = site.CompareSchedule{Paused: true}
	if n := next(); !n.ComparePaused || n.CompareOverdue || !n.CompareBy.IsZero() {
		t.Errorf("while the schedule is paused: %+v", n)
	}
	w.repo.PutMailbox(site.Mailbox{Link: "dr", Number: "1", State: site.StateParked})
	w.repo.PutErrors(
		site.ErrorEntry{Link: "dr", Number: "1", NextAttemptAt: w.now.Add(time.Hour)},
		site.ErrorEntry{Link: "dr", Number: "2", NextAttemptAt: w.now.Add(time.Minute)},
	)
	if n := next(); !n.RetryAt.Equal(w.now.Add(time.Minute)) {
		t.Errorf("next retry: %+v", n)
	}
	if _, err := w.Status(t.Context(), "nothing"); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown link: %v", err)
	}
}

func TestStatusSaysWhereTemporalCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.link(t, "a", "prod", "site")
		w.link(t, "b", "prod", "site")
		asked := 0
		w.runner.OnSchedule = func(ctx context.Context, _ string) (site.CompareSchedule, error) {
			asked++
			<-ctx.Done()
			return site.CompareSchedule{}, fault.New(fault.Transient, "ask Temporal", ctx.Err(), "is it running?")
		}
		begin := time.Now()
		links, err := w.Status(t.Context(), "")
		if err != nil || len(links) != 2 {
			t.Fatalf("got %v, %v", links, err)
		}
		for _, l := range links {
			if n := l.Next; !n.CompareBy.IsZero() || n.CompareOverdue || !strings.Contains(n.CompareUnknown, "is it running?") {
				t.Errorf("link %s: %+v", l.Link.Name, n)
			}
		}
		if took := time.Since(begin); asked != 1 || took > 10*time.Second {
			t.Errorf("asked %d times, for %s", asked, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Status(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after the caller gave up: %v", err)
		}
	})
}

func TestHistoryOutlivesItsLink(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	if h, err := w.History(t.Context(), "dr", "", 10, false); err != nil || len(h) != 0 {
		t.Errorf("a new link: %v, %v", h, err)
	}
	w.repo.PutHistory(site.HistoryEntry{ID: 1}, site.HistoryEntry{ID: 2})
	entry := site.HistoryEntry{ID: 3}
	entry.Key = mailbox.Key{Link: "dr", Number: "1"}
	w.repo.PutHistory(entry)
	if err := w.RemoveLink(t.Context(), "dr"); err != nil {
		t.Fatal(err)
	}
	if h, err := w.History(t.Context(), "dr", "1", 10, false); err != nil || len(h) != 1 {
		t.Errorf("a removed link: %v, %v", h, err)
	}
	if _, err := w.History(t.Context(), "never", "", 10, false); !fault.Is(err, fault.NotFound) {
		t.Errorf("a link that never was: %v", err)
	}
}
