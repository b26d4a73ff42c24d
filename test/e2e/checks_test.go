//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/verdict"
	"mailmirror/test/output"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// TestVerify plants a difference and has workers find it. No worker runs at first, which
// the commands that wait say, and the first one is killed in the middle.
func TestVerify(t *testing.T) {
	t.Parallel()
	const canary = "canary7391"
	r := newRigOn(t, &shared.kills, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(8601, 30) // two pages
	for _, n := range all {
		d := reader.Deposit{Folder: "INBOX", Date: time.Date(2025, 5, 6, 7, 8, 9, 0, time.UTC)}
		d.Size, d.Body = reader.Bytes([]byte("Message-ID: <" + n + "@voice.example.com>\r\nSubject: " + canary + "\r\n\r\n" + canary + "\r\n"))
		r.on(n, func(u *user.User) { u.Put("INBOX", append(user.Voices(n, 2), d)...) })
	}
	r.add(all)
	r.startWorker()
	r.settle()
	lost := all[7]
	r.at(r.dr, lost, func(u *user.User) {
		u.Do("SELECT INBOX")
		u.Do(`STORE 1 +FLAGS (\Deleted)`)
		u.Do("EXPUNGE")
	})
	r.stopWorker()

	check := r.begin("store", "check", r.source, "--mailbox", lost)
	var waiting []*begun
	for range 2 { // one joins the other
		waiting = append(waiting, r.begin("verify", r.link, "--deep", "-o", "json"))
	}
	for _, c := range append(waiting, check) {
		c.says("no worker of this release")
	}
	if code, _, errs := r.command(t.Context(), "verify", r.link); code != 1 || !strings.Contains(errs, "--stop") {
		t.Errorf("a verification of another depth beside it: exit code %d, %s", code, errs)
	}
	r.toDR.SetDelay(30 * time.Millisecond)
	r.startWorker()
	r.until("some mailboxes are compared", func() bool { return r.verified() >= 3 })
	r.killWorker()
	r.toDR.SetDelay(0)
	r.startWorker()
	var said strings.Builder
	for _, c := range waiting {
		code, out := c.end()
		said.WriteString(out + c.errs.String())
		var v verdict.Verification
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != 3 {
			t.Fatalf("verify: exit code %d, %v\n%s%s", code, err, out, c.errs.String())
		}
		if v.Mailboxes != len(all) || v.Equal != len(all)-1 || v.Messages.Missing != 1 || len(v.Results) != 1 || string(v.Results[0].Number) != lost {
			t.Errorf("found %s", out)
		}
	}
	if code, out := check.end(); code != 0 || !strings.Contains(out, "Dovecot") {
		t.Errorf("store check: exit code %d\n%s%s", code, out, check.errs.String())
	}
	r.run("compare", r.link, "--wait")
	said.WriteString(r.run("verify", r.link, "--deep"))
	said.WriteString(r.run("store", "check", r.target, "--mailbox", lost))
	if strings.Contains(said.String(), canary) || strings.Contains(said.String(), r.dr.TrustedPassword()) {
		t.Errorf("shown: %s", said.String())
	}
	r.nowhereInDatabases(canary)
	r.nowhereInDatabases(r.dr.TrustedPassword())
	r.onlyRead()

	r.stopWorker()
	last := []*begun{r.begin("sync", r.link, lost, "--wait"), r.begin("compare", r.link, "--wait")}
	for _, c := range last {
		c.says("no worker of this release")
		kill(c.cmd)
	}
}

// verified is how many mailboxes have a result in a verification that runs.
func (r *rig) verified() (n int) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.stack.Info().DatabaseDSN)
	must(r.t, err)
	defer conn.Close(r.t.Context())
	must(r.t, conn.QueryRow(r.t.Context(), "SELECT count(*) FROM verify_mailboxes JOIN verify_runs USING (run_id) WHERE link = $1", r.link).Scan(&n))
	return n
}

// begun is a command that runs.
type begun struct {
	r         *rig
	cmd       *exec.Cmd
	out, errs output.Buffer
}

// begin starts a mailmirror command.
func (r *rig) begin(args ...string) *begun {
	r.t.Helper()
	c := &begun{r: r, cmd: exec.CommandContext(r.t.Context(), filepath.Join(r.bin, "mailmirror"), args...)}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = r.env, &c.out, &c.errs
	must(r.t, c.cmd.Start())
	return c
}

// says waits until the command has written a text to standard error.
func (c *begun) says(text string) {
	c.r.t.Helper()
	c.r.until(fmt.Sprintf("mailmirror %s to say %q", strings.Join(c.cmd.Args[1:], " "), text), func() bool { return strings.Contains(c.errs.String(), text) })
}

// end waits for its end.
func (c *begun) end() (code int, out string) {
	c.r.t.Helper()
	ended := time.AfterFunc(longest, func() { _ = c.cmd.Process.Kill() })
	defer ended.Stop()
	_ = c.cmd.Wait() // the exit code tells
	return c.cmd.ProcessState.ExitCode(), c.out.String()
}
