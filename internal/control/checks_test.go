package control_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/verdict"
)

func TestVerifyCountsEveryMailboxOnce(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	if _, err := w.AddMailboxes(t.Context(), "dr", []mailbox.Number{"1", "2", "3"}); err != nil {
		t.Fatal(err)
	}
	w.verifier.Results = map[mailbox.Number]verdict.Mailbox{
		"3": {Failure: verdict.Failure{Error: "log in: refused", ErrorKind: "config"}},
		"2": {Folders: []verdict.Folder{
			{Folder: "INBOX", Role: mailbox.RoleMessages, Counts: verdict.Counts{Compared: 5, Missing: 1, Flags: 2}},
			{Folder: "Greetings", Role: mailbox.RoleGreetings, Counts: verdict.Counts{Compared: 1}},
		}},
	}
	verify := func(numbers ...mailbox.Number) (verdict.Verification, error) {
		r := verdict.VerifyRequest{Link: "dr", Numbers: numbers}
		start, err := w.StartVerify(t.Context(), r)
		if err != nil {
			return verdict.Verification{}, err
		}
		return w.WaitVerify(t.Context(), r, start, control.Waiting[verdict.VerifyRun]{Every: time.Second})
	}
	v, err := verify()
	if err != nil {
		t.Fatal(err)
	}
	if v.Mailboxes != 3 || v.Equal != 1 || v.Differing != 1 || v.Failed != 1 {
		t.Errorf("got %+v", v)
	}
	if want := (verdict.Counts{Compared: 8, Missing: 1, Flags: 2}); v.Messages != want {
		t.Errorf("messages: %+v", v.Messages)
	}
	if v.Greetings.Compared != 1 || len(v.Results) != 2 || v.Results[0].Number != "2" {
		t.Errorf("greetings %+v, results %+v", v.Greetings, v.Results)
	}
	w.verifier.Forget = "1"
	if _, err := verify("1", "2", "3"); err == nil {
		t.Error("a mailbox without a result counts as equal")
	}
	w.verifier.Forget, w.verifier.Unended = "", true
	if _, err := verify(); err == nil {
		t.Error("a record without its end counts as complete")
	}
	if _, err := verify("9"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a mailbox that does not take part: %v", err)
	}
}

// A second verification of other mailboxes is rejected: what runs would not answer it.
func TestVerifyIsNotMistakenForAnother(t *testing.T) {
	w := newWorld(t)
	w.link(t, "dr", "prod", "site")
	w.runner.OnVerify = func(verdict.VerifyRequest) (verdict.Start, error) {
		return verdict.Start{RunID: "other"}, nil
	}
	if _, err := w.StartVerify(t.Context(), verdict.VerifyRequest{Link: "dr"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
}

// A check that runs already for another mailbox is waited for, and another one follows.
func TestCheckFollowsAnother(t *testing.T) {
	w := newWorld(t)
	w.store(t, "prod")
	w.repo.PutStoreCheck(verdict.StoreRun{RunID: "other", Report: verdict.Store{Mailbox: "1"}})
	w.repo.PutStoreCheck(verdict.StoreRun{RunID: "own", Report: verdict.Store{Mailbox: "2"}})
	var waited []string
	w.runner.OnCheck = func(string, mailbox.Number) (verdict.Start, error) {
		if len(waited) == 0 {
			return verdict.Start{RunID: "other"}, nil
		}
		return verdict.Start{RunID: "own", Started: true, Same: true}, nil
	}
	w.runner.OnWaitRun = func(_ context.Context, r site.Run) error { waited = append(waited, r.ID); return nil }
	r, err := w.CheckStore(t.Context(), "prod", "2", control.Waiting[verdict.StoreRun]{Every: time.Second})
	if err != nil || r.Mailbox != "2" {
		t.Errorf("report of mailbox %q, %v", r.Mailbox, err)
	}
	if diff := cmp.Diff([]string{"other", "own"}, waited); diff != "" {
		t.Errorf("waited for (-want +got):\n%s", diff)
	}
}

// A suspension that no worker acknowledges is waited for with the same warning.
func TestWaitSuspendedSaysThatNoWorkerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := control.New(controltest.Ports(w.repo, nil, w.runner), control.Options{Now: time.Now}).As(alice)
		s, _, err := c.Suspend(t.Context(), "", "maintenance")
		if err != nil {
			t.Fatal(err)
		}
		w.runner.OnAwaitsWorker = func(r site.Run) time.Time {
			if r != (site.Run{Kind: site.RunSuspension}) {
				t.Errorf("asked for %+v", r)
			}
			return time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		said, shown := 0, 0
		s, err = c.WaitSuspended(t.Context(), "", s.Epoch, control.Waiting[suspension.Suspension]{
			Every: time.Second, Progress: func(suspension.Suspension) { shown++ }, NoWorker: func(time.Duration) { said++ }})
		if err != nil || s.State != suspension.Suspended || said != 1 || shown < 5 {
			t.Errorf("%v, %v; warned %d times, shown %d times", s.State, err, said, shown)
		}
	})
}

// If no worker takes up a run, whoever waits for it learns that after some seconds, once
// for each time that it happens, whatever clock Temporal has.
func TestWaitingSaysThatNoWorkerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.link(t, "dr", "prod", "site")
		begin, temporal := time.Now(), time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
		w.runner.OnWaitRun = func(ctx context.Context, _ site.Run) error { <-ctx.Done(); return ctx.Err() }
		// Nobody takes it up for 20 s; then a worker is at it, and dies at the 40th.
		w.runner.OnAwaitsWorker = func(r site.Run) time.Time {
			switch d := time.Since(begin); {
			case r.Kind != site.RunVerify || r.Of != "dr":
				t.Errorf("asked for %+v", r)
				return time.Time{}
			case d < 20*time.Second:
				return temporal
			case d < 40*time.Second:
				return time.Time{}
			default:
				return temporal.Add(time.Minute)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var said []int
		_, err := w.WaitVerify(ctx, verdict.VerifyRequest{Link: "dr"}, verdict.Start{RunID: "r"}, control.Waiting[verdict.VerifyRun]{
			Every: time.Second, NoWorker: func(time.Duration) { said = append(said, int(time.Since(begin).Seconds())) }})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if diff := cmp.Diff([]int{5, 44}, said); diff != "" {
			t.Errorf("said after so many seconds (-want +got):\n%s", diff)
		}
	})
}
