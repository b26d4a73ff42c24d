//go:build integration

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"mailmirror/activities"
	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/suspension"
	"mailmirror/internal/temporalclient"
	"mailmirror/internal/temporalrunner"
	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
	"mailmirror/test/user"
	"mailmirror/workflows"
)

// TestSuspend suspends the mirror at random moments under full load, with one of
// two workers being killed, in each of the ways there are. After each
// acknowledgement not one command that writes reaches the target until the
// mirror is resumed, whatever asks for it; what was marked meanwhile is mirrored
// then, and in the end both sides are equal, and nothing was ever there twice.
func TestSuspend(t *testing.T) {
	t.Parallel()
	s := newSuspender(t)
	suspensions := repeat.Times(3, 12)
	for i := range suspensions {
		s.round(i)
		if (i+1)%10 == 0 {
			t.Logf("after %d: %d commands that write, %d bytes of messages", i+1, s.writes, s.bytes)
		}
	}
	s.outlives()
	s.r.settle()
	s.r.equal(slices.Concat(s.loaded, s.probes))
	s.r.neverDoubled(slices.Concat(s.loaded, s.probes))
	s.r.onlyRead()
	slices.Sort(s.took)
	t.Logf("%d suspensions tried, %d with a worker killed in the midst, %d more with one killed while suspended; "+
		"after acknowledgement: %d commands that write, %d bytes of messages; acknowledged after %s (median), %s (most)",
		suspensions, s.killedBefore, s.killedAfter, s.writes, s.bytes, s.took[len(s.took)/2].Round(10*time.Millisecond), s.took[len(s.took)-1].Round(10*time.Millisecond))
}

type suspender struct {
	t      *testing.T
	r      *rig
	rng    *rand.Rand
	store  *pgstore.Store
	client client.Client
	runner *temporalrunner.Runner
	// other is a second worker, which is never killed before outlives.
	other *exec.Cmd
	// loaded get the load, probes a message while the mirror is suspended.
	loaded, probes []string

	killedBefore, killedAfter int
	writes                    int
	bytes                     int64
	took                      []time.Duration
}

func newSuspender(t *testing.T) *suspender {
	t.Helper()
	s := &suspender{t: t, r: newRigOn(t, &shared.suspension, servers.DovecotOptions{}, servers.DovecotOptions{}),
		rng: rand.New(rand.NewPCG(3, 4)), loaded: numbers(7001, 24), probes: numbers(7101, 3)}
	s.r.env = append(s.r.env, "MAILMIRROR_LEASE_TTL=3s", "MAILMIRROR_LEASE_FENCE=1s")
	s.r.fill(slices.Concat(s.loaded, s.probes), corpus.Options{Seed: 1, Messages: 3, Greetings: 1, MinSize: 2 << 10, MaxSize: 20 << 10})
	s.r.add(slices.Concat(s.loaded, s.probes))
	info := s.r.stack.Info()
	var err error
	if s.store, err = pgstore.Open(t.Context(), info.DatabaseDSN); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.store.Close)
	s.client, err = temporalclient.Lazy(temporalclient.Options{Address: info.TemporalAddress, Namespace: info.TemporalNamespace, Local: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	s.runner = temporalrunner.New(s.client, temporalrunner.Options{Debounce: 100 * time.Millisecond, PageSize: 20, Book: s.store})
	t.Cleanup(func() {
		if t.Failed() { // the tests after this one use the same installation
			ctx, cancel := context.WithTimeout(context.Background(), longest)
			defer cancel()
			s.r.command(ctx, "resume")
		}
	})
	s.r.startWorker()
	s.other = s.r.spawn()
	// An event marks a mailbox that was mirrored before; others are due anyway.
	s.r.settle()
	return s
}

// must ends the test where err is one.
func (s *suspender) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// change deposits messages in a mailbox of production and has that noticed, as
// an event would; it returns the generation that is to be reached.
func (s *suspender) change(number string, o corpus.Options) (mailbox.Key, int64, error) {
	ctx := s.t.Context()
	key := mailbox.Key{Link: s.r.link, Number: mailbox.Number(number)}
	if err := corpus.Fill(ctx, user.Access(s.r.production), []string{number}, o, 1, nil); err != nil {
		return key, 0, err
	}
	generation, err := s.store.MarkDirty(ctx, key)
	if err != nil {
		return key, 0, err
	}
	return key, generation, s.sync(key, activities.TriggerEvent)
}

// sync starts a sync. Temporal may be busy: it is asked again.
func (s *suspender) sync(key mailbox.Key, trigger string) error {
	ctx := s.t.Context()
	for deadline := time.Now().Add(longest); ; {
		err := s.runner.Sync(ctx, key, trigger)
		if !fault.Is(err, fault.Transient) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
	}
}

// deposit puts messages into a mailbox of production, waits until the listener
// has marked the mailbox, and returns the generation that is to be reached.
func (s *suspender) deposit(number string, o corpus.Options) (mailbox.Key, int64) {
	s.t.Helper()
	ctx := s.t.Context()
	key := mailbox.Key{Link: s.r.link, Number: mailbox.Number(number)}
	before, err := s.store.Mailbox(ctx, key)
	s.must(err)
	s.must(corpus.Fill(ctx, user.Access(s.r.production), []string{number}, o, 1, nil))
	deadline := time.Now().Add(longest)
	for {
		now, err := s.store.Mailbox(ctx, key)
		s.must(err)
		if now.DirtyGeneration > before.DirtyGeneration {
			return key, now.DirtyGeneration
		}
		if time.Now().After(deadline) {
			_, status, _ := s.r.command(ctx, "status", s.r.link)
			s.t.Fatalf("no listener noticed a message in mailbox %s: %+v\n%s", number, now, status)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// load changes one mailbox after the other until it is stopped.
func (s *suspender) load(round int) (stop func() error) {
	done := make(chan struct{})
	var group errgroup.Group
	order := s.rng.Perm(len(s.loaded))
	for half := range 2 {
		group.Go(func() error {
			for i := half; ; i += 2 {
				select {
				case <-done:
					return nil
				default:
				}
				o := corpus.Options{Seed: uint64(1000*round + i), Messages: 5, Greetings: 1, MinSize: 2 << 10, MaxSize: 12 << 10}
				if _, _, err := s.change(s.loaded[order[i%len(order)]], o); err != nil {
					return err
				}
			}
		})
	}
	return func() error {
		close(done)
		return group.Wait()
	}
}

// round is one suspension and its end.
func (s *suspender) round(i int) {
	s.t.Helper()
	stop := s.load(i)
	if i%5 == 0 {
		_, _, err := s.runner.StartCompare(s.t.Context(), s.r.link)
		s.must(err)
	}
	// The moment: so many bytes of messages have gone to the target.
	s.r.appended(int64(s.rng.IntN(600_000)))

	kill := i == 1 || i > 2 && s.rng.IntN(4) == 0
	moment := time.Duration(s.rng.IntN(1000)) * time.Millisecond
	acknowledged := make(chan error, 1)
	begin := time.Now()
	go func() { acknowledged <- s.suspend(i) }()
	if kill {
		s.killedBefore++
		time.Sleep(moment)
		s.r.killWorker()
		s.r.startWorker()
	}
	s.must(<-acknowledged)
	still := s.watch()
	s.took = append(s.took, time.Since(begin))
	s.must(stop())

	// Now everything tries to write.
	marks := map[mailbox.Key]int64{}
	for _, n := range s.probes {
		key, generation := s.deposit(n, corpus.Options{Seed: uint64(10 + i), Messages: 1, MinSize: 2 << 10, MaxSize: 8 << 10})
		marks[key] = generation
		s.must(s.sync(key, activities.TriggerEvent))
	}
	if i%5 == 1 {
		_, _, err := s.runner.StartCompare(s.t.Context(), s.r.link)
		s.must(err)
	}
	if code, _, errs := s.r.command(s.t.Context(), "sync", s.r.link, s.probes[0]); code != 1 || !strings.Contains(errs, "suspended") {
		s.t.Errorf("sync while suspended: exit code %d, %s", code, errs)
	}
	if i == 2 || i > 2 && s.rng.IntN(5) == 0 {
		s.killedAfter++
		s.r.killWorker()
		s.r.startWorker()
	}
	for key := range marks {
		s.must(s.runner.WaitSync(s.t.Context(), key))
	}
	s.paused(true)
	still(fmt.Sprintf("suspension %d", i+1))
	s.must(s.resume(i))
	s.mirrored(marks)
	if i == 0 {
		s.paused(false)
	}
}

// suspend suspends in one of the ways there are and returns when it is
// acknowledged.
func (s *suspender) suspend(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	request := suspension.Request{Reason: fmt.Sprintf("round %d", i+1), Who: "test"}
	switch i % 3 {
	case 0:
		code, out, errs := s.r.command(ctx, "suspend", "--reason", request.Reason, "--wait")
		if code != 0 {
			return fmt.Errorf("suspend: exit code %d: %s%s", code, out, errs)
		}
		return nil
	case 1:
		if err := s.client.SignalWorkflow(ctx, workflows.ControlID, "", workflows.SignalSuspend, nil); err != nil {
			return err
		}
		return s.stands(ctx, suspension.Suspended)
	default:
		return s.update(ctx, workflows.SignalSuspend, request, suspension.Suspended)
	}
}

func (s *suspender) resume(i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	switch i % 3 {
	case 0:
		code, out, errs := s.r.command(ctx, "resume")
		if code != 0 {
			return fmt.Errorf("resume: exit code %d: %s%s", code, out, errs)
		}
		return nil
	case 1:
		if err := s.client.SignalWorkflow(ctx, workflows.ControlID, "", workflows.SignalResume, nil); err != nil {
			return err
		}
		return s.stands(ctx, suspension.Running)
	default:
		return s.update(ctx, workflows.SignalResume, suspension.Request{Who: "test"}, suspension.Running)
	}
}

func (s *suspender) update(ctx context.Context, name string, request suspension.Request, want suspension.State) error {
	update, err := s.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: workflows.ControlID, UpdateName: name,
		Args: []any{request}, WaitForStage: client.WorkflowUpdateStageCompleted})
	if err != nil {
		return err
	}
	var got suspension.Suspension
	if err := update.Get(ctx, &got); err != nil {
		return err
	}
	if got.State != want {
		return fmt.Errorf("update %s was answered %+v", name, got)
	}
	return nil
}

// stands waits until the database says so.
func (s *suspender) stands(ctx context.Context, want suspension.State) error {
	for {
		now, err := standing(ctx, s.store)
		if err != nil || now.State == want {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// watch returns what fails the test where anything was written to the target
// since.
func (s *suspender) watch() func(when string) {
	commands, bytes := len(s.r.toDR.Commands()), s.r.toDR.Appended()
	return func(when string) {
		s.t.Helper()
		more := s.r.toDR.Appended() - bytes
		wrote := faults.Writes(s.r.toDR.Commands()[commands:])
		s.writes += len(wrote)
		s.bytes += more
		if len(wrote) > 0 || more > 0 {
			s.t.Errorf("%s: after the acknowledgement %d bytes of messages went to the target, and %q", when, more, wrote)
		}
	}
}

// mirrored waits until changes are mirrored.
func (s *suspender) mirrored(marks map[mailbox.Key]int64) {
	s.t.Helper()
	deadline := time.Now().Add(longest)
	for key, generation := range marks {
		for {
			m, err := s.store.Mailbox(s.t.Context(), key)
			s.must(err)
			if m.CleanGeneration >= generation {
				break
			}
			if m.Failures > 0 && m.ErrorKind == "conflict" {
				s.t.Errorf("mailbox %s counts a failure: %s", key.Number, m.Error)
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("not mirrored %s after the resumption: %+v", longest, m)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// paused checks what the schedules show; after a resumption they go on at once,
// and not before a worker does that.
func (s *suspender) paused(want bool) {
	s.t.Helper()
	deadline := time.Now().Add(longest)
	for {
		list, err := s.runner.Schedules(s.t.Context(), []string{s.r.link})
		s.must(err)
		right := 0
		for _, schedule := range list {
			if schedule.Exists && schedule.Paused == want && schedule.Suspended == want {
				right++
			}
		}
		if right == len(list) && right > 1 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("want schedules paused: %v, they are %+v", want, list)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// outlives kills every part while the mirror is suspended, and then stops what
// there is and starts it anew. Temporal's Web UI shows the suspension all the time,
// and after the resumption that all is well again.
func (s *suspender) outlives() {
	s.t.Helper()
	s.r.run("suspend", "--reason", "outlive everything", "--wait")
	still := s.watch()
	s.controlShows(suspension.Suspended, "outlive everything")
	s.r.killWorker()
	kill(s.other)
	for _, part := range []string{"temporal", "postgres"} {
		s.must(syscall.Kill(s.r.child(part), syscall.SIGKILL))
	}
	for _, store := range []*servers.Dovecot{s.r.production, s.r.dr} {
		s.must(killAndRestart(s.t, store))
	}
	s.awaitStatus()
	s.r.stack.Stop(s.t.Context())
	s.r.up()
	s.awaitStatus()
	s.r.startWorker()
	key := mailbox.Key{Link: s.r.link, Number: mailbox.Number(s.probes[0])}
	generation, err := s.store.MarkDirty(s.t.Context(), key)
	s.must(err)
	s.must(s.sync(key, activities.TriggerOperator))
	s.must(s.runner.WaitSync(s.t.Context(), key))
	s.paused(true)
	s.controlShows(suspension.Suspended, "outlive everything")
	still("after everything was killed and started anew")
	s.r.run("resume")
	s.mirrored(map[mailbox.Key]int64{key: generation})
	s.controlShows(suspension.Running, "")
	s.listeningShows()
	// Whether the resumption mirrored the mailbox by its own workflow is chance. This
	// sync waits until leases are given again after the start of PostgreSQL.
	s.must(s.sync(key, activities.TriggerOperator))
	s.must(s.runner.WaitSync(s.t.Context(), key))
	s.syncShows(s.probes[0])
}

// awaitStatus waits until the stack is there again, and suspended as before.
func (s *suspender) awaitStatus() {
	s.t.Helper()
	deadline := time.Now().Add(longest)
	for {
		code, out, errs := s.r.command(s.t.Context(), "status", s.r.link, "-o", "json")
		var links []control.LinkOverview
		if code == 0 && json.Unmarshal([]byte(out), &links) == nil && len(links) == 1 && links[0].Next.CompareUnknown == "" {
			if got := links[0].Suspension; got.State != suspension.Suspended || got.Reason != "outlive everything" {
				s.t.Fatalf("after everything was killed: %+v", got)
			}
			// Two looks at the database: one finds what connections died.
			if _, err := standing(s.t.Context(), s.store); err == nil {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the stack did not come back: exit code %d, %s%s", code, out, errs)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// standing is the suspension of everything.
func standing(ctx context.Context, store *pgstore.Store) (suspension.Suspension, error) {
	all, err := store.Suspensions(ctx)
	return all.Own(""), err
}
