//go:build integration

package temporalrunner_test

import (
	"testing"
	"time"

	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// standsOf waits until the link of the bench stands so by itself.
func (b *bench) standsOf(t *testing.T, want suspension.State) suspension.Suspension {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		all, err := b.world.Suspensions(t.Context())
		must(t, err)
		if s := all.Own(b.link); s.State == want {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("want %s, it is %+v", want, all)
		}
	}
}

// paused waits until the schedules of the link are paused by a suspension, or not, and
// checks that the sweep is not.
func (b *bench) paused(t *testing.T, want bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		s := b.schedule(t, workflows.CompareID(b.link))
		if s.Paused == want && s.Suspended == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("want paused: %v, it is %+v", want, s)
		}
	}
	if sweep := b.schedule(t, workflows.SweepID); sweep.Paused {
		t.Errorf("the sweep is paused: %+v", sweep)
	}
}

// testLinkControl suspends and resumes one link, by signals to MirrorControl and by the
// runner, and ends its LinkControl in between.
func testLinkControl(t *testing.T, b *bench) {
	withBook(t, b)
	ctx := t.Context()
	b.world.Add(b.link, "1001")
	must(t, b.EnsureCommonSchedules(ctx))
	must(t, b.EnsureSchedules(ctx, b.link))
	must(t, b.EnsureControl(ctx))
	b.work(t)
	id := workflows.ControlIDOf(b.link)
	if known, err := b.ControlView(ctx, b.link); err != nil || known.Suspended() {
		t.Errorf("never suspended: %+v, %v", known, err)
	}

	must(t, b.client.SignalWorkflow(ctx, workflows.ControlID, "", workflows.SignalSuspend, map[string]string{"link": b.link, "reason": "restore"}))
	s := b.standsOf(t, suspension.Suspended)
	if s.Reason != "restore" || b.stands(t, suspension.Running).Suspended() {
		t.Errorf("suspended: %+v", s)
	}
	b.paused(t, true)
	if known, err := b.ControlView(ctx, b.link); err != nil || known.Epoch != s.Epoch || known.Link != b.link || !known.Suspended() {
		t.Errorf("it knows %+v, %v", known, err)
	}
	must(t, b.UnpauseSchedule(ctx, workflows.CompareID(b.link), "resumed by carol"))
	b.paused(t, true)

	// Everything besides: the link stays as it is.
	if all := b.updateControl(t, workflows.SignalSuspend, suspension.Request{Who: "alice"}); all.State != suspension.Suspended || all.Link != "" {
		t.Errorf("everything: %+v", all)
	}
	if all := b.updateControl(t, workflows.SignalResume, suspension.Request{Who: "alice"}); all.State != suspension.Running {
		t.Errorf("everything: %+v", all)
	}
	b.paused(t, true)
	b.standsOf(t, suspension.Suspended)

	// Somebody ends it: it is started again.
	must(t, b.client.TerminateWorkflow(ctx, id, "", "an accident"))
	if known, err := b.ControlView(ctx, b.link); err != nil || known.Epoch != s.Epoch {
		t.Errorf("after its end it is known as %+v, %v", known, err)
	}
	if started, err := b.ReviveControl(ctx, b.link); err != nil || !started {
		t.Errorf("started anew: %v, %v", started, err)
	}
	if resumed := b.updateControl(t, workflows.SignalResume, suspension.Request{Link: b.link, Who: "bob"}); resumed.Link != b.link {
		t.Errorf("resumed: %+v", resumed)
	}
	b.standsOf(t, suspension.Running)
	must(t, b.client.GetWorkflow(ctx, id, "").Get(ctx, nil))
	b.paused(t, false)

	// One of a link that is removed ends.
	again, err := b.world.Suspend(ctx, suspension.Request{Link: b.link, Who: "alice"})
	must(t, err)
	must(t, b.AskSuspend(ctx, suspension.Request{Link: b.link, Who: "alice", Epoch: again.Epoch}))
	b.standsOf(t, suspension.Suspended)
	must(t, b.RemoveSchedules(ctx, b.link))
	if err := b.client.GetWorkflow(ctx, id, "").Get(ctx, nil); err == nil {
		t.Error("it outlives its link")
	}
}
