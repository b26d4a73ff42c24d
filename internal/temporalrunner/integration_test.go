//go:build integration

package temporalrunner_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/stack"
	"mailmirror/internal/stack/stacktest"
	"mailmirror/internal/temporalrunner"
	"mailmirror/workflows"
)

// TestOnTemporal runs everything on Temporal's own server, which it starts once.
// Each part has a link and a task queue of its own.
func TestOnTemporal(t *testing.T) {
	running := stacktest.Up(t, stacktest.DataDir(t), func(o *stack.Options) { o.NoWorker = true })
	c, err := client.Dial(client.Options{HostPort: running.Info().TemporalAddress, Logger: sdklog.NewStructuredLogger(stacktest.Logger(t))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	// Two workers that start at the same time both prepare the new namespace,
	// and what they start at once afterwards is accepted.
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if err := temporalrunner.New(c, temporalrunner.Options{}).Prepare(t.Context()); err != nil {
				t.Errorf("prepare: %v", err)
			}
		})
	}
	both.Wait()

	for name, test := range map[string]func(*testing.T, *bench){
		"sync":                          testSync,
		"odd mailbox numbers":           testOddNumbers,
		"signals while syncing":         testSignals,
		"bare signal":                   testBareSignal,
		"failures":                      testFailures,
		"worker stops":                  testWorkerStops,
		"compare":                       testCompare,
		"scheduled and asked for":       testScheduled,
		"schedules":                     testSchedules,
		"a start waits for a worker":    testWaiting,
		"sweep":                         testSweep,
		"mirror control":                testMirrorControl,
		"link control":                  testLinkControl,
		"schedules are set":             testScheduleControl,
		"directory":                     testDirectory,
		"remove":                        testRemove,
		"checks":                        testChecks,
		"a failed compare says its why": testFailedCompare,
	} {
		t.Run(name, func(t *testing.T) { test(t, newBench(t, c)) })
	}
}

var benches atomic.Int64

// bench is one link with a world, a worker and a runner of its own.
type bench struct {
	*temporalrunner.Runner
	client client.Client
	world  *activitytest.World
	runs   *dirsynctest.Runs // nil where no directory is mirrored
	checks *activitytest.Checks
	link   string
	opts   temporalrunner.Options
}

func newBench(t *testing.T, c client.Client) *bench {
	t.Helper()
	link := "link" + string(rune('a'+benches.Add(1)))
	b := &bench{client: c, world: activitytest.New(), checks: &activitytest.Checks{}, link: link, opts: temporalrunner.Options{
		TaskQueue: link, Debounce: 10 * time.Millisecond, PageSize: 4, Pages: 2, SweepEvery: time.Hour}}
	b.Runner = temporalrunner.New(c, b.opts)
	return b
}

func (b *bench) key(number mailbox.Number) mailbox.Key {
	return mailbox.Key{Link: b.link, Number: number}
}

// work runs a worker until the returned function, or the test's end, stops it.
func (b *bench) work(t *testing.T) (stop func()) {
	t.Helper()
	ports := b.checks.Into(b.world, b.world.Ports(b.Runner))
	if b.runs != nil {
		ports.Directory = b.runs.Engine(lease.Times{})
	}
	w := temporalrunner.NewWorker(b.client, b.opts, activities.New(ports, activities.Settings{
		Report: 50 * time.Millisecond, Pace: activities.Pace{Quick: 10 * time.Millisecond}}), nil, func(err error) { t.Error(err) })
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(w.Stop)
	t.Cleanup(stop)
	return stop
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bench) status(t *testing.T, id string) enums.WorkflowExecutionStatus {
	t.Helper()
	d, err := b.client.DescribeWorkflowExecution(t.Context(), id, "")
	must(t, err)
	return d.GetWorkflowExecutionInfo().GetStatus()
}

func testSync(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	must(t, b.WaitSync(t.Context(), b.key("1001"))) // none was ever started
	must(t, b.Sync(t.Context(), b.key("1001"), activities.TriggerSweep))
	b.work(t)
	must(t, b.WaitSync(t.Context(), b.key("1001")))
	if dirty := b.world.Dirty(); len(dirty) > 0 {
		t.Errorf("still dirty: %v", dirty)
	}
	jobs := b.world.Syncs()
	if len(jobs) != 1 || jobs[0].Trigger != activities.TriggerSweep || jobs[0].Force || jobs[0].RunID == "" || jobs[0].Generation != 1 {
		t.Errorf("synced %+v", jobs)
	}
	// An operator's sync looks closely at a mailbox that is clean, too.
	must(t, b.Sync(t.Context(), b.key("1001"), activities.TriggerOperator))
	must(t, b.WaitSync(t.Context(), b.key("1001")))
	if jobs := b.world.Syncs(); len(jobs) != 2 || !jobs[1].Force {
		t.Errorf("synced %+v", jobs)
	}
}

func testSignals(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	entered, leave := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(entered) })
	b.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		first()
		<-leave
		return copier.Report{}, nil
	}
	b.work(t)
	must(t, b.Sync(t.Context(), b.key("1001"), activities.TriggerEvent))
	<-entered
	started, err := b.StartSync(t.Context(), b.key("1001"), activities.TriggerSweep)
	if err != nil || started {
		t.Errorf("sweep started a second workflow: %v, %v", started, err)
	}
	b.world.Touch(b.key("1001"))
	for range 3 {
		must(t, b.Sync(t.Context(), b.key("1001"), activities.TriggerEvent))
	}
	value, err := b.client.QueryWorkflow(t.Context(), workflows.SyncID(b.key("1001")), "", workflows.QueryProgress)
	must(t, err)
	var view workflows.SyncView
	must(t, value.Get(&view))
	if view.Phase != workflows.PhaseSyncing || view.Syncs != 0 {
		t.Errorf("progress while syncing: %+v", view)
	}
	close(leave)
	must(t, b.WaitSync(t.Context(), b.key("1001")))
	if jobs := b.world.Syncs(); len(jobs) != 2 || jobs[0].RunID != jobs[1].RunID {
		t.Errorf("%d syncs, want 2 of one workflow", len(jobs))
	}
	if dirty := b.world.Dirty(); len(dirty) > 0 {
		t.Errorf("still dirty: %v", dirty)
	}
}

// A signal without an argument, as `temporal workflow signal --name work` sends
// it, wakes the workflow like any other.
func testBareSignal(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	b.world.OnSync = func(context.Context, copier.Job) (copier.Report, error) {
		entered <- struct{}{}
		<-leave
		return copier.Report{}, nil
	}
	b.work(t)
	must(t, b.Sync(t.Context(), b.key("1001"), activities.TriggerEvent))
	<-entered
	b.world.Touch(b.key("1001"))
	_, err := b.client.WorkflowService().SignalWorkflowExecution(t.Context(), &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: "default", SignalName: workflows.SignalWork,
		WorkflowExecution: &common.WorkflowExecution{WorkflowId: workflows.SyncID(b.key("1001"))},
	})
	must(t, err)
	close(leave)
	must(t, b.WaitSync(t.Context(), b.key("1001")))
	if jobs := b.world.Syncs(); len(jobs) != 2 || jobs[1].Trigger != activities.TriggerEvent {
		t.Errorf("synced %d times, want 2", len(jobs))
	}
}

func testFailures(t *testing.T, b *bench) {
	b.world.Add(b.link, "quick", "poison", "busy", "panics", "foreign")
	var tries sync.Map
	b.world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		n, _ := tries.LoadOrStore(job.Key.Number, new(atomic.Int64))
		attempt := n.(*atomic.Int64).Add(1)
		switch job.Key.Number {
		case "quick":
			if attempt < 3 {
				return copier.Report{}, fault.New(fault.Transient, "open mailbox", errors.New("connection refused"), "is it up?")
			}
		case "poison":
			return copier.Report{}, fault.New(fault.Permanent, "append", errors.New("NO [LIMIT]"), "")
		case "busy":
			if attempt < 2 {
				return copier.Report{}, fault.New(fault.Conflict, "", &lease.HeldError{Resource: lease.OfMailbox(job.Key), Wait: time.Millisecond}, "")
			}
		case "panics":
			panic("the body of a message")
		case "foreign":
			return copier.Report{}, errors.New("the body of a message")
		}
		return copier.Report{}, nil
	}
	b.work(t)
	for _, n := range []mailbox.Number{"quick", "poison", "busy", "panics", "foreign"} {
		must(t, b.Sync(t.Context(), b.key(n), activities.TriggerSweep))
	}
	for _, n := range []mailbox.Number{"quick", "poison", "busy", "panics", "foreign"} {
		must(t, b.WaitSync(t.Context(), b.key(n)))
	}
	got := map[mailbox.Number]int{}
	for _, r := range b.world.Failures() {
		got[r.Key.Number]++
		if r.Outcome != copier.Failed || r.Err == "" || r.ErrKind == "" || r.Finished.IsZero() {
			t.Errorf("recorded %+v", r)
		}
		if r.Err == "the body of a message" {
			t.Error("recorded an error text that nobody vouched for")
		}
	}
	want := map[mailbox.Number]int{"quick": 2, "poison": 1, "panics": 1, "foreign": 4}
	for n, times := range want {
		if got[n] != times {
			t.Errorf("%s: %d failures recorded, want %d", n, got[n], times)
		}
	}
	if got["busy"] != 0 {
		t.Error("a busy mailbox was recorded as failed")
	}
	if dirty := b.world.Dirty(); len(dirty) != 3 {
		t.Errorf("still dirty: %v", dirty)
	}
	for _, n := range []mailbox.Number{"poison", "panics", "foreign"} {
		if s := b.status(t, workflows.SyncID(b.key(n))); s != enums.WORKFLOW_EXECUTION_STATUS_COMPLETED {
			t.Errorf("workflow of parked mailbox %s is %s", n, s)
		}
	}
}

// A worker that stops hands its work on at once, and a page goes on where it
// was: the mailboxes that were done are not looked at again.
func testWorkerStops(t *testing.T, b *bench) {
	numbers := activitytest.Numbers(4)
	b.world.Add(b.link, numbers...)
	b.opts.Pages = 1
	stuck := make(chan struct{})
	once := sync.OnceFunc(func() { close(stuck) })
	var release atomic.Bool
	b.world.OnSync = func(ctx context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number == numbers[2] && !release.Load() {
			once()
			<-ctx.Done()
			return copier.Report{}, ctx.Err()
		}
		return copier.Report{Messages: copier.Work{Appended: 1, Bytes: 10}}, nil
	}
	stop := b.work(t)
	runID, _, err := b.StartCompare(t.Context(), b.link)
	must(t, err)
	<-stuck
	// What a worker did last before it stops may be done again: it waits until all
	// that was done is recorded.
	for {
		record, _ := b.world.Compare(runID)
		if record.Progress().Synced == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	release.Store(true)
	stop()
	begin := time.Now()
	b.work(t)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: runID}))
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the next worker took over after %s", took)
	}
	times := map[mailbox.Number]int{}
	for _, job := range b.world.Syncs() {
		times[job.Key.Number]++
	}
	for i, n := range numbers {
		want := 1
		if i == 2 {
			want = 2
		}
		if times[n] != want {
			t.Errorf("mailbox %s was synced %d times, want %d", n, times[n], want)
		}
	}
	record, _ := b.world.Compare(runID)
	if p := record.Progress(); p.Reviewed != 4 || p.Synced != 4 || p.Messages.Appended != 4 || p.Failed != 0 {
		t.Errorf("progress %+v", p)
	}
	if len(b.world.Failures()) != 0 {
		t.Error("a stopping worker was recorded as a mailbox's failure")
	}
}

func testCompare(t *testing.T, b *bench) {
	b.world.Add(b.link, activitytest.Numbers(11)...)
	poison := activitytest.Numbers(11)[5]
	b.world.OnSync = func(_ context.Context, job copier.Job) (copier.Report, error) {
		if job.Key.Number == poison {
			return copier.Report{}, fault.Newf(fault.Permanent, "append: refused")
		}
		return copier.Report{Messages: copier.Work{Appended: 2, Bytes: 20}}, nil
	}
	first, started, err := b.StartCompare(t.Context(), b.link)
	if err != nil || !started {
		t.Fatalf("start: %v, %v", started, err)
	}
	second, started, err := b.StartCompare(t.Context(), b.link)
	if err != nil || started || second != first {
		t.Errorf("a second start gave %s, %v, %v; want %s of the first", second, started, err, first)
	}
	b.work(t)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: first}))
	record, ok := b.world.Compare(first)
	if !ok || record.Run.FinishedAt.IsZero() || record.Run.Mailboxes != 11 || record.Run.Link != b.link {
		t.Fatalf("record %+v", record.Run)
	}
	if p := record.Progress(); p.Reviewed != 11 || p.Synced != 10 || p.Failed != 1 || p.Messages.Appended != 20 || p.DueMessages != 20 {
		t.Errorf("progress %+v", p)
	}
	// Once more: what is equal is recorded without a sync.
	synced := len(b.world.Syncs())
	again, started, err := b.StartCompare(t.Context(), b.link)
	if err != nil || !started || again == first {
		t.Fatalf("start again: %s, %v, %v", again, started, err)
	}
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: again}))
	record, _ = b.world.Compare(again)
	if p := record.Progress(); p.Unchanged != 10 || p.Failed != 1 || len(b.world.Syncs()) != synced+1 {
		t.Errorf("progress %+v", p)
	}
	var workflow struct{ Reviewed, Unchanged, Failed int }
	must(t, b.client.GetWorkflow(t.Context(), workflows.CompareID(b.link), again).Get(t.Context(), &workflow))
	if workflow.Reviewed != 11 || workflow.Unchanged != 10 || workflow.Failed != 1 {
		t.Errorf("workflow's result %+v", workflow)
	}
}

func testSweep(t *testing.T, b *bench) {
	b.world.Add(b.link, activitytest.Numbers(5)...)
	b.world.Add("other", "1001")
	b.work(t)
	must(t, b.EnsureCommonSchedules(t.Context()))
	must(t, b.EnsureCommonSchedules(t.Context()))
	handle := b.client.ScheduleClient().GetHandle(t.Context(), workflows.SweepID)
	must(t, handle.Trigger(t.Context(), client.ScheduleTriggerOptions{}))
	deadline := time.Now().Add(20 * time.Second)
	for len(b.world.Dirty()) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still dirty: %v", b.world.Dirty())
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, job := range b.world.Syncs() {
		if job.Trigger != activities.TriggerSweep {
			t.Errorf("synced by trigger %s", job.Trigger)
		}
	}
	must(t, handle.Delete(t.Context()))
}

func testRemove(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	entered := make(chan struct{})
	b.world.OnSync = func(ctx context.Context, _ copier.Job) (copier.Report, error) {
		close(entered)
		<-ctx.Done()
		return copier.Report{}, ctx.Err()
	}
	b.work(t)
	runID, _, err := b.StartCompare(t.Context(), b.link)
	must(t, err)
	<-entered
	must(t, b.RemoveSchedules(t.Context(), b.link))
	if err := b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: runID}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the compare ended with %v, want cancelled", err)
	}
	if record, _ := b.world.Compare(runID); record.Run.FinishedAt.IsZero() {
		t.Error("the record of a cancelled compare says that it runs")
	}
	if len(b.world.Failures()) != 0 {
		t.Error("a cancellation was recorded as a mailbox's failure")
	}
}

func testFailedCompare(t *testing.T, b *bench) {
	b.world.Add(b.link, "1001")
	b.world.FailAt("NumbersPage", fault.New(fault.Config, "read mailboxes", errors.New("link is not there"), "see `mailmirror link list`"))
	b.work(t)
	runID, _, err := b.StartCompare(t.Context(), b.link)
	must(t, err)
	err = b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: runID})
	if !fault.Is(err, fault.Config) || fault.HintOf(err) != "see `mailmirror link list`" {
		t.Errorf("got %v (hint %q)", err, fault.HintOf(err))
	}
}
