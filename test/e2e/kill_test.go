//go:build integration

package e2e

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
)

// TestKillWorker kills the worker without notice at random moments of an
// initial copy, and then lets it finish.
func TestKillWorker(t *testing.T) {
	t.Parallel()
	kills, perKill := repeat.Times(4, 24), 4
	r := newRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(3001, kills*perKill)
	r.fill(all, corpus.Options{Seed: 2, Messages: 20, Greetings: 4, MinSize: 2 << 10, MaxSize: 20 << 10})
	r.add(all)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range kills {
		// Appended messages, counted at the target's door, are the clock.
		moment := r.toDR.Inject(faults.AfterBytes(faults.ToServer, int64(20_000+rng.IntN(900_000)), faults.FIN))
		r.startWorker()
		for _, number := range all[i*perKill : (i+1)*perKill] {
			r.run("sync", r.link, number)
		}
		await(t, moment, fmt.Sprintf("bytes of copy %d", i+1))
		r.killWorker()
		r.toDR.Clear()
	}
	r.startWorker()
	r.settle()
	r.equal(all)
	r.neverDoubled(all)
	r.onlyRead()
	t.Logf("%d kills survived", kills)
}

// TestKillParts kills each server that the mirror stands on in mid-copy.
func TestKillParts(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{})
	r.startWorker()
	next := 4001
	var all []string
	for _, part := range []struct {
		name string
		kill func() error
	}{
		{"production", func() error { return killAndRestart(t, r.production) }},
		{"dr", func() error { return killAndRestart(t, r.dr) }},
		{"postgres", func() error { return syscall.Kill(r.child("postgres"), syscall.SIGKILL) }},
		{"temporal", func() error { return syscall.Kill(r.child("temporal"), syscall.SIGKILL) }},
		{"postgres again", func() error { return syscall.Kill(r.child("postgres"), syscall.SIGKILL) }},
		{"production again", func() error { return killAndRestart(t, r.production) }},
		{"dr again", func() error { return killAndRestart(t, r.dr) }},
	} {
		t.Run(part.name, func(t *testing.T) {
			r.t = t
			fresh := numbers(next, 12)
			next += len(fresh)
			all = append(all, fresh...)
			r.fill(fresh, corpus.Options{Seed: 3, Messages: 16, Greetings: 3, MinSize: 2 << 10, MaxSize: 20 << 10})
			r.add(fresh)
			moment := r.toDR.Inject(faults.AfterBytes(faults.ToServer, 700_000, faults.FIN))
			r.run("compare", r.link)
			await(t, moment, "bytes of the copy")
			if err := part.kill(); err != nil {
				t.Fatal(err)
			}
			// A lock file that a killed Dovecot leaves is honoured by the next one for
			// two minutes.
			r.settle()
			r.equal(all)
			r.neverDoubled(all)
		})
	}
	r.t = t
	r.onlyRead()
}

func killAndRestart(t *testing.T, d *servers.Dovecot) error {
	if err := d.Kill9(); err != nil {
		return err
	}
	return d.Restart(t.Context())
}

func await(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(longest):
		t.Fatalf("waited in vain for %s", what)
	}
}
