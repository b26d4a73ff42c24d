//go:build integration

package temporalrunner_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/verdict"
)

// testChecks: of each link one verification runs at a time, a second request for the
// same joins it, and whoever waits learns whether a worker is at it.
func testChecks(t *testing.T, b *bench) {
	b.world.Add(b.link, activitytest.Numbers(9)...)
	request := verdict.VerifyRequest{Link: b.link}
	first, err := b.StartVerify(t.Context(), request)
	must(t, err)
	run := site.Run{Kind: site.RunVerify, Of: b.link, ID: first.RunID}
	since, err := b.AwaitsWorker(t.Context(), run)
	must(t, err)
	if !first.Started || !first.Same || since.IsZero() {
		t.Errorf("started %+v, waits for a worker since %s", first, since)
	}
	second, err := b.StartVerify(t.Context(), request)
	must(t, err)
	if second.Started || !second.Same || second.RunID != first.RunID {
		t.Errorf("the second of %+v is %+v", first, second)
	}
	deep, err := b.StartVerify(t.Context(), verdict.VerifyRequest{Link: b.link, Deep: true})
	must(t, err)
	if deep.Started || deep.Same {
		t.Errorf("a request for another depth joins: %+v", deep)
	}

	// So does the suspension of a link.
	must(t, b.AskSuspend(t.Context(), suspension.Request{Link: b.link, Who: "alice"}))
	if since, err := b.AwaitsWorker(t.Context(), site.Run{Kind: site.RunSuspension, Of: b.link}); err != nil || since.IsZero() {
		t.Errorf("a suspension waits for a worker since %s, %v", since, err)
	}
	must(t, b.AskResume(t.Context(), suspension.Request{Link: b.link, Who: "alice"}))
	// The caller's own end can be told from a failure.
	ended, end := context.WithCancel(t.Context())
	defer time.AfterFunc(100*time.Millisecond, end).Stop()
	if err := b.WaitRun(ended, run); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that its caller ended: %v", err)
	}

	entered, leave := make(chan struct{}, 100), make(chan struct{})
	b.checks.OnVerify = func(ctx context.Context, _ copier.Job) ([]copier.FolderVerdict, error) {
		entered <- struct{}{}
		select {
		case <-leave:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	stop := b.work(t)
	<-entered
	if since, err := b.AwaitsWorker(t.Context(), run); err != nil || !since.IsZero() {
		t.Errorf("while a worker verifies: waits since %s, %v", since, err)
	}
	stop()
	// The worker hands its work back, and nobody takes it up.
	for since = (time.Time{}); since.IsZero(); time.Sleep(10 * time.Millisecond) {
		since, err = b.AwaitsWorker(t.Context(), run)
		must(t, err)
	}
	b.work(t)
	close(leave)
	must(t, b.WaitRun(t.Context(), run))
	if got := b.checks.Found(first.RunID); got.Mailboxes != 9 || got.Equal != 9 {
		t.Errorf("recorded %+v", got)
	}
	if since, err := b.AwaitsWorker(t.Context(), run); err != nil || !since.IsZero() {
		t.Errorf("at its end: waits since %s, %v", since, err)
	}
	if err := b.StopVerify(t.Context(), b.link); !fault.Is(err, fault.NotFound) {
		t.Errorf("stop what does not run: %v", err)
	}

	check, err := b.StartCheck(t.Context(), b.link, "1000")
	must(t, err)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCheck, Of: b.link, ID: check.RunID}))
	if got := b.checks.Checked(); len(got) != 1 || got[0].RunID != check.RunID || got[0].Mailbox != mailbox.Number("1000") {
		t.Errorf("recorded %+v", got)
	}
}
