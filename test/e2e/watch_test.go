//go:build integration

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// newEventRig is a rig in which nothing but an event, or the look after an
// interruption, leads to a sync: the next compare and the next sweep are far
// away.
func newEventRig(t *testing.T, mailboxes []string, events string) *rig {
	t.Helper()
	o := servers.DovecotOptions{SharedNamespace: true, Mailboxes: mailboxes}
	r := newRigOn(t, &shared.events, o, o)
	r.env = append(r.env, "MAILMIRROR_SWEEP_INTERVAL=24h", "MAILMIRROR_COMPARE_INTERVAL=24h", "MAILMIRROR_WORKER_DEBOUNCE=1s")
	r.run("store", "edit", r.source, "--events", events, "--poll-every", "5s")
	return r
}

// way is a link of an event rig whose source is listened to in its own way,
// with mailboxes of its own.
type way struct {
	events, link string
	all          []string
}

// addWay adds the same production as another store, and a link from it.
func (r *rig) addWay(w way) {
	r.t.Helper()
	name := r.source + "-" + w.events
	r.run("store", "add", name, "--imap", r.toProduction.Addr(), "--imap-security", "none", "--login", "authzid",
		"--trusted-name", r.production.TrustedName(), "--trusted-password-file", filepath.Join(r.dir, r.source+".password"),
		"--events", w.events, "--poll-every", "5s")
	r.run("link", "add", w.link, "--source", name, "--target", r.target)
}

// listened waits until that many mailboxes are listened to.
func (r *rig) listened(n int) (worker string) { return r.listenedOf(r.link, n) }

func (r *rig) listenedOf(link string, n int) (worker string) {
	r.t.Helper()
	deadline := time.Now().Add(longest)
	for {
		out := r.run("status", link, "-o", "json")
		var s []struct {
			Watchers []struct {
				Worker      string    `json:"worker"`
				Updated     time.Time `json:"updated_at"`
				Listened    int       `json:"listened"`
				Polled      int       `json:"polled"`
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
				sum += w.Listened + w.Polled
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
func (r *rig) appears(what string, mailboxes ...string) {
	r.t.Helper()
	r.appearsBy(what, way{link: r.link, all: mailboxes})
}

// appearsBy is appears for several ways, and logs how long each took. Where
// mailboxes are read in turn, it waits for two readings more at the interval that
// status shows: reading is rare where the machine is busy.
func (r *rig) appearsBy(what string, ways ...way) {
	r.t.Helper()
	for began, rest := time.Now(), slices.Clone(ways); ; time.Sleep(50 * time.Millisecond) {
		rest = slices.DeleteFunc(rest, func(w way) bool {
			diffs, err := reader.Compare(r.t.Context(), user.Access(r.production), user.Access(r.dr), w.all, 4)
			if err != nil {
				r.t.Fatal(err)
			}
			if len(diffs) == 0 {
				r.t.Logf("%s: mirrored after %s %s", what, time.Since(began).Round(10*time.Millisecond), w.events)
			} else if time.Since(began) > longest && time.Since(began) > longest+2*r.pollEvery(w.link) {
				r.t.Fatalf("%s: not within %s by %s: %s\n%s", what, time.Since(began), w.events, diffs[0], r.run("status", w.link))
			}
			return len(diffs) == 0
		})
		if len(rest) == 0 {
			return
		}
	}
}

// pollEvery is how often mailboxes of a link are read in turn, as status shows it.
func (r *rig) pollEvery(link string) (every time.Duration) {
	r.t.Helper()
	var s []struct {
		Watchers []struct {
			PollEvery time.Duration `json:"poll_every_ns"`
		} `json:"watchers"`
	}
	if err := json.Unmarshal([]byte(r.run("status", link, "-o", "json")), &s); err != nil {
		r.t.Fatal(err)
	}
	for _, w := range s[0].Watchers {
		every = max(every, w.PollEvery)
	}
	return every
}

// put deposits into a folder of a mailbox on production.
func (r *rig) put(number, folder, name string, n int) {
	r.t.Helper()
	conn := connect(r.t, r.production, number)
	if err := conn.EnsureFolders(folder); err != nil {
		r.t.Fatal(err)
	}
	all := user.Voices(name, n)
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

// TestEvents listens in every way at once, so that the outages are waited for
// once: each way has a link and mailboxes of its own.
func TestEvents(t *testing.T) {
	t.Parallel()
	ways := []way{{"notify", "", numbers(7001, 13)}, {"idle", "by-idle", numbers(7101, 13)}, {"poll", "by-poll", numbers(7201, 13)}}
	var every []string
	for _, w := range ways {
		every = append(every, w.all...)
	}
	r := newEventRig(t, every, ways[0].events)
	ways[0].link = r.link
	for _, w := range ways[1:] {
		r.addWay(w)
	}
	r.startWorker()
	r.fill(every, corpus.Options{Seed: 5, Messages: 3, Greetings: 1, MinSize: 2 << 10, MaxSize: 4 << 10})
	for _, number := range every {
		r.put(number, "INBOX", "base-"+number, 1)
	}
	for _, w := range ways {
		r.run(append([]string{"mailbox", "add", w.link}, w.all[:12]...)...)
		r.run("compare", w.link, "--wait")
	}
	joined := slices.Clone(ways)
	for i := range joined {
		joined[i].all = joined[i].all[:12]
		r.listenedOf(joined[i].link, 12)
	}
	// each does the same to the n-th mailbox of every way, and waits.
	each := func(what string, among []way, n int, do func(number string)) {
		t.Helper()
		for _, w := range among {
			do(w.all[n])
		}
		r.appearsBy(what, among...)
	}
	each("a message", joined, 0, func(number string) { r.put(number, "INBOX", "one", 1) })
	each("a flag", joined, 1, func(number string) { r.commands(number, "SELECT INBOX", `STORE 1 +FLAGS (\Seen)`) })
	each("a message that goes", joined, 2, func(number string) {
		r.commands(number, "SELECT INBOX", `STORE 1 +FLAGS (\Deleted)`, "EXPUNGE")
	})
	each("a greeting", joined, 3, func(number string) { r.put(number, "Greetings", "greeting", 1) })
	each("a new folder", joined, 4, func(number string) { r.put(number, "Work", "work", 2) })

	// A mailbox that joins is listened to: what it holds is copied, and what
	// comes then, too.
	for _, w := range ways {
		r.run("mailbox", "add", w.link, w.all[12])
		r.listenedOf(w.link, 13)
	}
	r.appearsBy("a mailbox that joins", ways...)
	each("a message in it", ways, 12, func(number string) { r.put(number, "INBOX", "joined", 1) })

	before := map[string]int{}
	for _, w := range ways {
		before[w.link] = r.syncs(w.link, w.all[5])
	}
	each("a burst of 1,000", ways, 5, func(number string) {
		for part := range 20 {
			r.put(number, "INBOX", fmt.Sprint("burst", part, "-"), 50)
		}
	})
	for _, w := range ways {
		n := r.syncs(w.link, w.all[5]) - before[w.link]
		t.Logf("1,000 deposits were %d syncs by %s", n, w.events)
		if n > 15 {
			t.Errorf("1,000 deposits were %d syncs by %s", n, w.events)
		}
	}
	r.outages(ways)
	r.equal(every)
	for _, w := range ways {
		r.neverDoubled([]string{w.all[0], w.all[5], w.all[7]})
	}
	r.onlyRead()
}

// syncs counts those in a mailbox's history.
func (r *rig) syncs(link, number string) int {
	r.t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(r.run("history", link, number, "--limit", "100000", "-o", "json")), &list); err != nil {
		r.t.Fatal(err)
	}
	return len(list)
}

// outages has changes made while a part is down, and waits for each to be
// mirrored after it is back.
func (r *rig) outages(ways []way) {
	r.t.Helper()
	type outage struct {
		name     string
		down, up func() error
	}
	for i, outage := range repeat.Some(5, []outage{
		{"worker killed", func() error { r.killWorker(); return nil }, func() error { r.startWorker(); return nil }},
		{"production killed", func() error { return killAndRestart(r.t, r.production) }, nil},
		{"production stalled", func() error { r.toProduction.CutAll(faults.Stall); return nil }, nil},
		{"PostgreSQL held down", func() error { return r.holdDown("postgres") }, func() error { return r.letGo("postgres") }},
		{"Temporal held down", func() error { return r.holdDown("temporal") }, func() error { return r.letGo("temporal") }},
		// Those that follow are only in make soak.
		{"worker stopped", func() error { r.stopWorker(); return nil }, func() error { r.startWorker(); return nil }},
		{"production out of reach", func() error {
			err := r.toProduction.Refuse(true)
			r.toProduction.CutAll(faults.RST)
			return err
		}, func() error { return r.toProduction.Refuse(false) }},
		{"PostgreSQL killed", func() error { return syscall.Kill(r.child("postgres"), syscall.SIGKILL) }, nil},
		{"Temporal killed", func() error { return syscall.Kill(r.child("temporal"), syscall.SIGKILL) }, nil},
	}) {
		if err := outage.down(); err != nil {
			r.t.Fatal(err)
		}
		for _, w := range ways {
			r.put(w.all[7], "INBOX", fmt.Sprint("while", i, "-"), 2)
			r.commands(w.all[8], "SELECT INBOX", fmt.Sprintf(`STORE 1 FLAGS (\Seen while%d)`, i))
		}
		if outage.up != nil {
			if err := outage.up(); err != nil {
				r.t.Fatal(err)
			}
		}
		r.appearsBy(outage.name, ways...)
	}
}

// holdDown stops a part of the stack so that nobody starts it anew: what it has
// open breaks off, and who connects is not answered.
func (r *rig) holdDown(part string) error {
	pid := r.child(part)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	if err != nil {
		return err
	}
	for field := range strings.FieldsSeq(string(children)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// letGo lets a part that is held down go on, once the operator can see that it
// is not there.
func (r *rig) letGo(part string) error {
	r.until("status to tell that "+part+" is not there", func() bool {
		code, out, _ := r.command(r.t.Context(), "status", r.link, "-o", "json")
		return code != 0 || strings.Contains(out, `"compare_unknown"`)
	})
	return syscall.Kill(r.child(part), syscall.SIGCONT)
}

// TestListeningIsTakenOver kills the worker that listens while another one
// runs.
func TestListeningIsTakenOver(t *testing.T) {
	t.Parallel()
	all := numbers(7001, 6)
	r := newEventRig(t, all, "auto")
	r.startWorker()
	r.fill(all, corpus.Options{Seed: 5, Messages: 2, Greetings: 1, MinSize: 2 << 10, MaxSize: 4 << 10})
	r.add(all)
	r.settle()
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
		kill(dead)
		r.worker = alive
		r.put(all[0], "INBOX", fmt.Sprint("round", round, "-"), 1)
		r.appears("the listening worker killed", all...)
	}
	r.neverDoubled(all)
}
