//go:build integration

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"mailmirror/internal/site"
	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
)

// spawn starts one more worker, with settings of its own.
func (r *rig) spawn(env ...string) *exec.Cmd {
	r.t.Helper()
	worker := r.newWorker(env...)
	r.t.Cleanup(func() { kill(worker) })
	return worker
}

// kill ends a worker without notice. It may have ended before.
func kill(worker *exec.Cmd) {
	if worker.ProcessState == nil {
		_ = worker.Process.Kill()
		_ = worker.Wait()
	}
}

// stop tells a worker to stop, which has to end by itself, and well.
func stop(t *testing.T, worker *exec.Cmd) {
	t.Helper()
	_ = worker.Process.Signal(syscall.SIGTERM)
	ended := make(chan error, 1)
	go func() { ended <- worker.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("a worker that was told to stop: %v", err)
		}
	case <-time.After(longest):
		t.Fatal("a worker that was told to stop did not")
	}
}

// TestManyWorkers lets three workers share an initial copy, kills one of them at
// random moments and starts another, and stops others in good order. Nothing is
// lost or doubled.
func TestManyWorkers(t *testing.T) {
	t.Parallel()
	kills := repeat.Times(4, 12)
	r := newRigOn(t, &shared.workers, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(6001, 72)
	r.fill(all, corpus.Options{Seed: 11, Messages: 20, Greetings: 4, MinSize: 2 << 10, MaxSize: 20 << 10})
	r.add(all)
	rng := rand.New(rand.NewPCG(3, 4))
	env := []string{"MAILMIRROR_WORKER_GRACE=20s", "MAILMIRROR_WORKER_PAGE_SIZE=6"}
	workers := []*exec.Cmd{r.spawn(env...), r.spawn(env...), r.spawn(env...)}
	r.run("compare", r.link)
	stopped := 0
	for i := range kills {
		// Bytes at the target's door are the clock.
		moment := r.toDR.Inject(faults.AfterBytes(faults.ToServer, int64(50_000+rng.IntN(700_000)), faults.FIN))
		await(t, moment, fmt.Sprintf("bytes before kill %d", i+1))
		victim := rng.IntN(len(workers))
		if i%3 == 2 {
			stop(t, workers[victim])
			stopped++
		} else {
			kill(workers[victim])
		}
		workers[victim] = r.spawn(env...)
		if i == kills/2 {
			// Work for the others to go on with.
			more := numbers(6101, 24)
			r.fill(more, corpus.Options{Seed: 12, Messages: 20, Greetings: 4, MinSize: 2 << 10, MaxSize: 20 << 10})
			r.add(more)
			all = append(all, more...)
		}
	}
	r.toDR.Clear()
	r.settle()
	r.equal(all)
	r.neverDoubled(all)
	r.onlyRead()
	t.Logf("%d kills and %d stops survived", kills-stopped, stopped)
}

// TestDrain tells a worker to stop while it copies what it cannot finish in its
// grace time, since the target takes in little, or nothing any more. It ends by
// itself and lets go of the mailbox, with which another goes on; nothing is lost
// or doubled. That it was let go shows by the time: the leases last far longer
// than what is waited for here.
func TestDrain(t *testing.T) {
	t.Parallel()
	const (
		ttl      = 5 * time.Minute // the longest there is; renewed at a third of it
		patience = 3 * time.Minute // less than what is left of a lease at any time
	)
	env := []string{"MAILMIRROR_WORKER_GRACE=2s", "MAILMIRROR_LEASE_TTL=" + ttl.String()}
	r := newRigOn(t, &shared.workers, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(6201, 2)
	r.fill(all, corpus.Options{Seed: 14, Messages: 16, Greetings: 2, MinSize: 100 << 10, MaxSize: 120 << 10})
	for i, target := range []struct {
		name string
		copy func(begin func()) // begins a copy and returns in the midst of it
		mend func()
	}{
		{"slow", func(begin func()) {
			r.toDR.SetBandwidth(5_000)
			begin()
			r.appended(20_000)
		}, func() { r.toDR.SetBandwidth(0) }},
		{"stalled", func(begin func()) {
			stalled := r.toDR.Inject(faults.MidAppend(3, 5_000, faults.Stall))
			begin()
			await(t, stalled, "the third message")
		}, func() {}},
	} {
		worker := r.spawn(env...)
		target.copy(func() { r.add(all[i : i+1]) })
		other := r.spawn(env...)
		told := time.Now()
		stop(t, worker)
		if m := r.state(all[i]); m.State == site.StateEqual {
			t.Errorf("%s: the copy was finished, so that nothing is tested", target.name)
		}
		target.mend()
		r.settleWithin(patience - time.Since(told))
		t.Logf("%s: another worker had it finished %s after the first was told to stop", target.name, time.Since(told).Round(time.Millisecond))
		r.equal(all[:i+1])
		r.neverDoubled(all[:i+1])
		stop(t, other)
	}
	r.onlyRead()
}

// TestConnectionBound: two workers, each of which would open more by itself,
// never have more connections to a store than it allows, though one is killed
// and another takes its place.
func TestConnectionBound(t *testing.T) {
	t.Parallel()
	const most = 3
	r := newRigOn(t, &shared.workers, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(7001, 60)
	r.fill(all, corpus.Options{Seed: 13, Messages: 12, Greetings: 2, MinSize: 2 << 10, MaxSize: 20 << 10})
	doors := map[string]*counter{r.source: newCounter(t, r.toProduction.Addr()), r.target: newCounter(t, r.toDR.Addr())}
	for name, door := range doors {
		r.run("store", "edit", name, "--imap", door.addr(), "--max-connections", fmt.Sprint(most))
	}
	r.add(all)
	env := []string{"MAILMIRROR_WORKER_MAILBOXES=8", "MAILMIRROR_WORKER_PAGE_SIZE=10"}
	workers := []*exec.Cmd{r.spawn(env...), r.spawn(env...)}
	r.run("compare", r.link)
	for i := range 4 {
		moment := r.toDR.Inject(faults.AfterBytes(faults.ToServer, 300_000, faults.FIN))
		await(t, moment, fmt.Sprintf("bytes before kill %d", i+1))
		kill(workers[i%2])
		workers[i%2] = r.spawn(env...)
	}
	r.toDR.Clear()
	r.settle()
	r.equal(all)
	r.neverDoubled(all)
	for name, door := range doors {
		if n := door.seen(); n > most || n < 2 {
			t.Errorf("%s had up to %d connections, want some and no more than %d", name, n, most)
		} else {
			t.Logf("%s had up to %d connections", name, n)
		}
	}
	// To wait for a connection is no failure: nothing of it is in the history
	// but what the kills and cuts did.
	r.onlyRead()
}
