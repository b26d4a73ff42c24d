//go:build integration

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
)

// TestCutConnections breaks connections to either store at the moments that
// matter, many times, while mailboxes are copied.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	r.startWorker()
	next := 5001
	var all []string
	type cut struct {
		name  string
		proxy *faults.Proxy
		fault faults.Fault
	}
	for _, c := range repeat.Some(6, []cut{
		{"target, in mid-literal", r.toDR, faults.MidAppend(7, 1500, faults.RST)},
		{"target, after the literal", r.toDR, faults.AfterLiteral(5, faults.RST)},
		{"target, stored but not answered", r.toDR, faults.AfterCommand("APPEND", 9, faults.LoseAnswer)},
		{"target, first append not answered", r.toDR, faults.AfterCommand("APPEND", 1, faults.LoseAnswer)},
		{"source, in mid-literal", r.toProduction, faults.AfterBytes(faults.ToClient, 150_000, faults.RST)},
		{"target, at login", r.toDR, faults.AfterBytes(faults.ToServer, 20, faults.RST)},
		// Those that follow are only in make soak.
		{"target, in mid-literal, in order", r.toDR, faults.MidAppend(11, 900, faults.FIN)},
		{"target, stored but not answered, again", r.toDR, faults.AfterCommand("APPEND", 6, faults.LoseAnswer)},
		{"source, in mid-literal, in order", r.toProduction, faults.AfterBytes(faults.ToClient, 260_000, faults.FIN)},
	}) {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			fresh := numbers(next, 4)
			next += len(fresh)
			all = append(all, fresh...)
			r.fill(fresh, corpus.Options{Seed: 4, Messages: 12, Greetings: 2, MinSize: 2 << 10, MaxSize: 12 << 10})
			r.add(fresh)
			fired := c.proxy.Inject(c.fault)
			r.run("compare", r.link)
			await(t, fired, "the fault to fire")
			r.settle()
			r.equal(all)
			r.neverDoubled(all)
		})
	}
	r.t = t
	r.onlyRead()
}

// TestOddities mirrors everything odd that a mailbox may hold, and shows what
// the target does not keep.
func TestOddities(t *testing.T) {
	t.Parallel()
	r := newQuietRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	number := "6001"
	conn := connect(t, r.production, number)
	for _, o := range corpus.Oddities() {
		if _, err := conn.AppendAll(o.Deposits); err != nil {
			t.Logf("%s: production itself refuses it: %v", o.Name, err)
			conn = connect(t, r.production, number)
		}
	}
	for _, f := range corpus.FolderOddities() {
		if f.Dovecot == corpus.Refused {
			continue
		}
		if err := conn.EnsureFolders(f.Folder); err != nil {
			t.Errorf("folder %s: %v", f.Name, err)
		}
	}
	r.add([]string{number})
	// What this test deletes is meant to be gone.
	r.run("guard", "set", r.link, "--gone", "0", "--folder-share", "0")
	r.startWorker()
	r.run("sync", r.link, number, "--wait")
	if code, out, errs := r.command(t.Context(), "verify", r.link, "--deep"); code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", code, out, errs)
	}
	r.equal([]string{number})
	out, err := r.dr.Doveadm(t.Context(), "mailbox", "list", "-u", number)
	if err != nil || !strings.Contains(out, "INBOX") {
		t.Fatalf("list folders of the target: %v %q", err, out)
	}
	for _, injected := range []string{"Pwned", "Evil"} {
		if strings.Contains(out, injected) {
			t.Errorf("a message's body was run as a command: folder %s is on the target", injected)
		}
	}
	r.onlyRead()
	r.changes(number)
}

// changes makes every kind of change on production and mirrors it.
func (r *rig) changes(number string) {
	r.t.Helper()
	conn := connect(r.t, r.production, number)
	for _, step := range []struct {
		name     string
		commands []string
	}{
		{"flags and keywords", []string{"SELECT INBOX", `STORE 1:3 +FLAGS (\Seen $Forwarded Custom)`, `STORE 2 -FLAGS (\Seen)`, `STORE 4 +FLAGS (\Deleted)`}},
		{"expunge", []string{"SELECT INBOX", `STORE 1:5 +FLAGS (\Deleted)`, "EXPUNGE"}},
		{"new folders", []string{`CREATE "Projects/Alpha"`, `SUBSCRIBE "Projects/Alpha"`, `SELECT INBOX`, `COPY 1:4 "Projects/Alpha"`}},
		{"move", []string{"SELECT INBOX", `MOVE 1:2 "Projects/Alpha"`}},
		{"rename", []string{`RENAME "Projects" "Archive 2025"`}},
		{"unsubscribe", []string{`UNSUBSCRIBE "Projects/Alpha"`}},
		{"delete a folder", []string{`DELETE "Archive 2025/Alpha"`}},
		{"re-create a folder", []string{`CREATE again`, "SELECT INBOX", "COPY 1:2 again", "CLOSE", "DELETE again", "CREATE again", "SELECT INBOX", "COPY 3:4 again", "CLOSE"}},
	} {
		for _, c := range step.commands {
			if reply, err := conn.Command(c); err != nil {
				r.t.Fatalf("%s: %s: %v %v", step.name, c, reply, err)
			}
		}
		r.run("sync", r.link, number, "--wait")
		before := r.t.Failed()
		r.equal([]string{number})
		if r.t.Failed() && !before {
			r.t.Fatalf("differences appear after: %s", step.name)
		}
	}
	// What is equal is left alone: not one message is copied again.
	history := r.run("history", r.link, number, "-o", "json")
	r.run("sync", r.link, number, "--wait")
	r.run("compare", r.link, "--wait")
	if again := r.run("history", r.link, number, "-o", "json"); again != history {
		r.t.Errorf("a mailbox that is equal was written to:\n%s", again)
	}
}

// TestHugeMessage copies a message of 100 MB.
func TestHugeMessage(t *testing.T) {
	t.Parallel()
	repeat.OnlyInSoak(t)
	r := newRig(t, servers.DovecotOptions{}, servers.DovecotOptions{})
	number := "7001"
	conn := connect(t, r.production, number)
	if _, err := conn.Append(corpus.Huge(1, 100<<20)); err != nil {
		t.Fatal(err)
	}
	r.add([]string{number})
	r.startWorker()
	r.run("sync", r.link, number, "--wait")
	r.equal([]string{number})
	fmt.Fprintf(t.Output(), "100 MB message mirrored; worker's peak memory %s\n", peak(t, r.worker.Process.Pid))
}
