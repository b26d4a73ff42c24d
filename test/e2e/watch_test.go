//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// newEventRig is a rig in which nothing but an event, or the look after an
// interruption, leads to a sync: the next compare and the next sweep are far
// away.
func newEventRig(t *testing.T, mailboxes []string, events string) *rig {
	t.Helper()
	o := servers.DovecotOptions{SharedNamespace: true, Mailboxes: mailboxes}
	r := newRig(t, o, o)
	r.env = append(r.env, "MAILMIRROR_SWEEP_INTERVAL=24h", "MAILMIRROR_COMPARE_INTERVAL=24h", "MAILMIRROR_WORKER_DEBOUNCE=1s")
	r.run("store", "edit", "production", "--events", events, "--poll-every", "5s")
	return r
}

// listened waits until that many mailboxes are listened to.
func (r *rig) listened(n int) (worker string) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out := r.run("status", link, "-o", "json")
		var s []struct {
			Watchers []struct {
				Worker      string    `json:"worker"`
				Updated     time.Time `json:"updated_at"`
				Listened    int       `json:"listened"`
				Connections int       `json:"connections"`
				Wanted      int       `json:"wanted"`
			} `json:"watchers"`
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			r.t.Fatal(err)
		}
		sum := 0
		for _, w := range s[0].Watchers {
			if time.Since(w.Updated) < 12*time.Second && w.Connections == w.Wanted {
				sum += w.Listened
				worker = w.Worker
			}
		}
		if sum == n {
			return worker
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not listened to: %s", out)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// appears waits until both stores are equal, as the independent reader sees it.
func (r *rig) appears(what string, within time.Duration, mailboxes ...string) {
	r.t.Helper()
	began := time.Now()
	for {
		diffs, err := reader.Compare(r.t.Context(), access(r.production), access(r.dr), mailboxes, 4)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(diffs) == 0 {
			r.t.Logf("%s: mirrored after %s", what, time.Since(began).Round(10*time.Millisecond))
			return
		}
		if time.Since(began) > within {
			r.t.Fatalf("%s: not within %s: %s\n%s", what, within, diffs[0], r.run("status", link))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// put deposits into a folder of a mailbox on production.
func (r *rig) put(number, folder, name string, n int) {
	r.t.Helper()
	conn := connect(r.t, r.production, number)
	if err := conn.EnsureFolders(folder); err != nil {
		r.t.Fatal(err)
	}
	all := voices(name, n)
	for i := range all {
		all[i].Folder = folder
	}
	if _, err := conn.AppendAll(all); err != nil {
		r.t.Fatal(err)
	}
	conn.Close()
}

func (r *rig) commands(number string, commands ...string) {
	r.t.Helper()
	conn := connect(r.t, r.production, number)
	for _, c := range commands {
		if _, err := conn.Command(c); err != nil {
			r.t.Fatal(err)
		}
	}
	conn.Close()
}

func TestEvents(t *testing.T) {
	for _, events := range []string{"notify", "idle", "poll"} {
		t.Run(events, func(t *testing.T) {
			all := numbers(7001, 13)
			r := newEventRig(t, all, events)
			r.startWorker()
			joined := all[:12]
			r.fill(all, corpus.Options{Seed: 5, Messages: 3, Greetings: 1, MinSize: 2 << 10, MaxSize: 4 << 10})
			for _, number := range all {
				r.put(number, "INBOX", "base-"+number, 1)
			}
			r.add(joined)
			r.settle(2 * time.Minute)
			listened := func(n int) {
				if events != "poll" {
					r.listened(n)
				}
			}
			listened(12)

			r.put("7001", "INBOX", "one", 1)
			r.appears("a message", time.Minute, joined...)
			r.commands("7002", "SELECT INBOX", `STORE 1 +FLAGS (\Seen)`)
			r.appears("a flag", time.Minute, joined...)
			r.commands("7003", "SELECT INBOX", `STORE 1 +FLAGS (\Deleted)`, "EXPUNGE")
			r.appears("a message that goes", time.Minute, joined...)
			r.put("7004", "Greetings", "greeting", 1)
			r.appears("a greeting", time.Minute, joined...)
			r.put("7005", "Work", "work", 2)
			r.appears("a new folder", time.Minute, joined...)

			// A mailbox that joins is listened to: what it holds is copied, and what
			// comes then, too.
			r.add(all[12:])
			listened(13)
			r.appears("a mailbox that joins", time.Minute, all...)
			r.put(all[12], "INBOX", "joined", 1)
			r.appears("a message in it", time.Minute, all...)

			before := len(r.history("7006"))
			for part := range 20 {
				r.put("7006", "INBOX", fmt.Sprint("burst", part, "-"), 50)
			}
			r.appears("a burst of 1,000", 2*time.Minute, all...)
			if n := len(r.history("7006")) - before; n > 15 {
				t.Errorf("1,000 deposits were %d syncs", n)
			} else {
				t.Logf("1,000 deposits were %d syncs", n)
			}
			r.outages(all)
			r.equal(all)
			r.neverDoubled([]string{"7001", "7006"})
			r.onlyRead()
		})
	}
}

// history returns the lines of a mailbox's history.
func (r *rig) history(number string) []json.RawMessage {
	r.t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(r.run("history", link, number, "--limit", "100000", "-o", "json")), &list); err != nil {
		r.t.Fatal(err)
	}
	return list
}

// outages has changes made while a part is down, and waits for each to be
// mirrored after it is back.
func (r *rig) outages(all []string) {
	r.t.Helper()
	for i, outage := range []struct {
		name     string
		down, up func() error
	}{
		{"worker stopped", func() error { r.stopWorker(); return nil }, func() error { r.startWorker(); return nil }},
		{"worker killed", func() error { r.killWorker(); return nil }, func() error { r.startWorker(); return nil }},
		{"production out of reach", func() error {
			err := r.toProduction.Refuse(true)
			r.toProduction.CutAll(faults.RST)
			return err
		}, func() error { return r.toProduction.Refuse(false) }},
		{"production killed", func() error { return killAndRestart(r.t, r.production) }, nil},
		{"production stalled", func() error { r.toProduction.CutAll(faults.Stall); return nil }, nil},
		{"PostgreSQL killed", func() error { return syscall.Kill(r.child("postgres"), syscall.SIGKILL) }, nil},
		{"Temporal killed", func() error { return syscall.Kill(r.child("temporal"), syscall.SIGKILL) }, nil},
	} {
		if err := outage.down(); err != nil {
			r.t.Fatal(err)
		}
		r.put(all[7], "INBOX", fmt.Sprint("while", i, "-"), 2)
		r.commands(all[8], "SELECT INBOX", fmt.Sprintf(`STORE 1 FLAGS (\Seen while%d)`, i))
		if outage.up != nil {
			if err := outage.up(); err != nil {
				r.t.Fatal(err)
			}
		}
		r.appears(outage.name, 3*time.Minute, all...)
	}
}

// TestListeningIsTakenOver kills the worker that listens while another one
// runs.
func TestListeningIsTakenOver(t *testing.T) {
	all := numbers(7001, 6)
	r := newEventRig(t, all, "auto")
	r.startWorker()
	r.fill(all, corpus.Options{Seed: 5, Messages: 2, Greetings: 1, MinSize: 2 << 10, MaxSize: 4 << 10})
	r.add(all)
	r.settle(2 * time.Minute)
	for round := range 4 {
		first := r.worker
		r.listened(len(all))
		r.startWorker()
		second := r.worker
		holder := r.listened(len(all))
		dead, alive := first, second
		if !strings.HasPrefix(holder, fmt.Sprint(first.Process.Pid, "@")) {
			dead, alive = second, first
		}
		_ = dead.Process.Kill()
		_ = dead.Wait()
		r.worker = alive
		r.put(all[0], "INBOX", fmt.Sprint("round", round, "-"), 1)
		r.appears("the listening worker killed", 30*time.Second, all...)
	}
	r.neverDoubled(all)
}
