//go:build integration

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/test/corpus"
	"mailmirror/test/faults"
	"mailmirror/test/reader"
	"mailmirror/test/servers"
	"mailmirror/test/user"
)

// rig is the whole system as an operator has it: two real stores, each behind
// a proxy that records and breaks, PostgreSQL, Temporal, and the programs.
type rig struct {
	*installation
	t *testing.T
	// link, source and target are the names of the test's own link and stores.
	link, source, target string
	production, dr       *servers.Dovecot
	toProduction, toDR   *faults.Proxy
	dir                  string // for files of the test
	quiet                bool   // workers run already, and belong to all tests
	worker               *exec.Cmd
	env                  []string
}

// newRig starts everything but the worker, and adds the stores and the link. It
// starts an installation of its own; a test that can use one of the lanes is
// cheaper.
func newRig(t *testing.T, production, dr servers.DovecotOptions) *rig {
	t.Helper()
	return newRigOn(t, nil, production, dr)
}

// newQuietRig is newRig on the installation that many tests use at the same
// time. Its workers run already. The test kills and suspends nothing, uses no
// settings of its own, and queries the database by r.link alone.
func newQuietRig(t *testing.T, production, dr servers.DovecotOptions) *rig {
	t.Helper()
	return newRigOn(t, &shared.quiet, production, dr)
}

// newRigOn is newRig on a lane, for which it waits; nil is none.
func newRigOn(t *testing.T, l *lane, production, dr servers.DovecotOptions) *rig {
	t.Helper()
	in := l.enter(t)
	load <- struct{}{}
	t.Cleanup(func() { <-load })
	r := &rig{t: t, installation: in, env: in.env(), dir: t.TempDir(), quiet: l == &shared.quiet,
		link: "dr", source: "production", target: "dr"}
	if l != nil {
		n := fmt.Sprint(links.Add(1))
		r.link, r.source, r.target = "link"+n, "production"+n, "dr"+n
	}
	production.Name, dr.Name = "production", "dr"
	r.production, r.dr = servers.DovecotT(t, production), servers.DovecotT(t, dr)
	r.toProduction, r.toDR = faults.ProxyT(t, r.production.Addr()), faults.ProxyT(t, r.dr.Addr())
	t.Cleanup(func() {
		if r.t = t; t.Failed() {
			r.showLog("stack.log", 40)
			r.showLog("worker.log", 40)
		}
		if l != nil {
			r.leave()
		}
		r.stopWorker()
	})
	for _, s := range []struct {
		name  string
		store *servers.Dovecot
		proxy *faults.Proxy
	}{{r.source, r.production, r.toProduction}, {r.target, r.dr, r.toDR}} {
		file := filepath.Join(r.dir, s.name+".password")
		if err := os.WriteFile(file, []byte(s.store.TrustedPassword()), 0o600); err != nil {
			t.Fatal(err)
		}
		r.run("store", "add", s.name, "--imap", s.proxy.Addr(), "--imap-security", "none", "--login", "authzid",
			"--trusted-name", s.store.TrustedName(), "--trusted-password-file", file)
	}
	r.run("link", "add", r.link, "--source", r.source, "--target", r.target)
	return r
}

// leave takes all links from the test's stores away, so that nobody mirrors
// stores that are gone. Leases of workers that were killed have to expire first.
func (r *rig) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	var all []struct {
		Name   string `json:"name"`
		Target string `json:"target"`
	}
	_, out, _ := r.command(ctx, "link", "list", "-o", "json")
	_ = json.Unmarshal([]byte(out), &all) // what is missing shows below
	for _, l := range all {
		if l.Target != r.target {
			continue
		}
		for {
			code, out, errs := r.command(ctx, "link", "remove", l.Name)
			if code == 0 {
				break
			}
			if ctx.Err() != nil {
				r.t.Errorf("link %s cannot be removed at the end: %s%s", l.Name, out, errs)
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// up starts PostgreSQL and Temporal again after they were stopped.
func (r *rig) up() {
	r.t.Helper()
	if err := r.installation.up(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// numbers names mailboxes.
func numbers(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(first + i)
	}
	return out
}

// fill deposits voice mail on production.
func (r *rig) fill(mailboxes []string, o corpus.Options) {
	r.t.Helper()
	if err := corpus.Fill(r.t.Context(), user.Access(r.production), mailboxes, o, 4, nil); err != nil {
		r.t.Fatal(err)
	}
}

// add makes mailboxes participate.
func (r *rig) add(mailboxes []string) {
	r.t.Helper()
	r.run(append([]string{"mailbox", "add", r.link}, mailboxes...)...)
}

// longest is how long a test waits for an event, or for a command to end, before
// it fails: far beyond what anything here takes on a busy machine. No test
// measures time by it.
const longest = 10 * time.Minute

// command runs a mailmirror command and returns its exit code and output.
func (r *rig) command(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	r.t.Helper()
	limited := time.AfterFunc(longest, func() {
		r.t.Errorf("mailmirror %s does not end", strings.Join(args, " "))
		r.dumpWorker()
	})
	defer limited.Stop()
	ctx, cancel := context.WithTimeout(ctx, longest+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "mailmirror"), args...)
	cmd.Env = r.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("mailmirror %s: %v", strings.Join(args, " "), err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// run runs a command that must succeed.
func (r *rig) run(args ...string) string {
	r.t.Helper()
	code, stdout, stderr := r.command(r.t.Context(), args...)
	if code != 0 {
		r.t.Fatalf("mailmirror %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// startWorker starts the worker. On the quiet lane it runs already.
func (r *rig) startWorker() {
	r.t.Helper()
	if !r.quiet {
		r.worker = r.newWorker()
	}
}

// newWorker starts a worker, with settings of its own.
func (r *rig) newWorker(env ...string) *exec.Cmd {
	r.t.Helper()
	worker, err := r.installation.worker(append(slices.Clone(r.env), env...))
	if err != nil {
		r.t.Fatal(err)
	}
	return worker
}

// killWorker kills the worker without notice.
func (r *rig) killWorker() {
	kill(r.worker)
	r.worker = nil
}

func (r *rig) stopWorker() {
	if r.worker != nil {
		_ = r.worker.Process.Signal(syscall.SIGTERM)
		_ = r.worker.Wait()
		r.worker = nil
	}
}

// dumpWorker makes the worker tell what it is at, which ends it.
func (r *rig) dumpWorker() {
	if r.worker == nil {
		r.t.Log("no worker runs")
		return
	}
	if err := r.worker.Process.Signal(syscall.SIGQUIT); err != nil {
		r.t.Logf("the worker is not there any more: %v", err)
		return
	}
	_ = r.worker.Wait()
	r.worker = nil
	r.showLog("worker.log", 3000)
}

// child returns the pid of a part of the stack.
func (r *rig) child(name string) int {
	r.t.Helper()
	for _, c := range r.stack.Info().Children {
		if c.Name == name {
			return c.PID
		}
	}
	r.t.Fatalf("the stack runs no %s", name)
	return 0
}

// appended waits until so many more bytes of messages went to the target.
func (r *rig) appended(more int64) {
	r.t.Helper()
	deadline := time.Now().Add(longest)
	for begin := r.toDR.Appended(); r.toDR.Appended() <= begin+more; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("in %s of load no %d bytes went to the target", longest, more)
		}
	}
}

// settle waits until every mailbox is equal, by the database and then by the
// independent reader; if mailboxes are given, the reader looks at those alone.
// It asks for nothing: only the mirror's own events, sweeps and schedules bring
// that about.
func (r *rig) settle(mailboxes ...string) {
	r.t.Helper()
	r.settleWithin(longest, mailboxes...)
}

// settleWithin is settle with a limit of its own.
func (r *rig) settleWithin(within time.Duration, mailboxes ...string) {
	r.t.Helper()
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	var last string
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		var equal []string
		var others int
		var err error
		if conn == nil || conn.IsClosed() { // the test kills PostgreSQL, also just before
			conn, err = pgx.Connect(r.t.Context(), r.stack.Info().DatabaseDSN)
		}
		if err == nil {
			err = conn.QueryRow(r.t.Context(), `SELECT coalesce(array_agg(number) FILTER (WHERE state = 'equal'), '{}'),
				count(*) FILTER (WHERE state <> 'equal') FROM mailboxes WHERE link = $1`, r.link).Scan(&equal, &others)
		}
		if last = fmt.Sprintf("%d mailboxes are equal, %d are not, %v", len(equal), others, err); err == nil && others == 0 && len(equal) > 0 {
			if len(mailboxes) > 0 {
				equal = mailboxes
			}
			diffs, err := reader.Compare(r.t.Context(), user.Access(r.production), user.Access(r.dr), equal, 4)
			if err == nil && len(diffs) == 0 {
				return
			}
			last = fmt.Sprintf("all %d mailboxes are equal, and the reader sees %d differences: %.300s, %v", len(equal), len(diffs), fmt.Sprint(diffs), err)
		}
		if time.Now().After(deadline) {
			_, status, _ := r.command(r.t.Context(), "status", r.link)
			_, list, _ := r.command(r.t.Context(), "errors", r.link)
			r.t.Fatalf("not settled within %s: %s\n%s\n%s", within, last, status, list)
		}
	}
}

// compareUntilEqual asks for compares until every mailbox is equal. It is for
// tests of the compare: it hides events and sweeps that do nothing.
func (r *rig) compareUntilEqual() {
	r.t.Helper()
	deadline := time.Now().Add(longest)
	for {
		ctx, cancel := context.WithDeadline(r.t.Context(), deadline)
		code, out, errs := r.command(ctx, "compare", r.link, "--wait", "-o", "json")
		cancel()
		_, status, _ := r.command(r.t.Context(), "status", r.link, "-o", "json")
		if code == 0 && allEqual(status) {
			return
		}
		if time.Now().After(deadline) {
			_, list, _ := r.command(r.t.Context(), "errors", r.link)
			r.t.Fatalf("not equal within %s: compare exit code %d\n%s%s\n%s\n%s", longest, code, out, errs, status, list)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

func allEqual(status string) bool {
	var s []struct {
		Mailboxes int `json:"mailboxes"`
		States    struct {
			Equal int `json:"equal"`
		} `json:"states"`
	}
	if json.Unmarshal([]byte(status), &s) != nil || len(s) != 1 {
		return false
	}
	return s[0].Mailboxes > 0 && s[0].States.Equal == s[0].Mailboxes
}

// equal fails the test where the independent reader sees a difference.
func (r *rig) equal(mailboxes []string) {
	r.t.Helper()
	diffs, err := reader.Compare(r.t.Context(), user.Access(r.production), user.Access(r.dr), mailboxes, 4)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, d := range diffs {
		if i == 20 {
			r.t.Errorf("… and %d differences more", len(diffs)-20)
			break
		}
		r.t.Error(d)
	}
}

// neverDoubled fails the test where the target ever gave out more UIDs than
// there are messages: on mailboxes from which nothing was deleted that means
// that a message was once there twice. What the server itself doubled does not
// count, see foundAgain.
func (r *rig) neverDoubled(mailboxes []string) {
	r.t.Helper()
	again := r.foundAgain()
	for _, number := range mailboxes {
		out, err := r.dr.Doveadm(r.t.Context(), "mailbox", "status", "-u", number, "messages uidnext", "*")
		if err != nil {
			r.t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			var messages, next int
			at := strings.Index(line, " messages=")
			if at < 0 {
				continue
			}
			if _, err := fmt.Sscanf(line[at:], " messages=%d uidnext=%d", &messages, &next); err != nil {
				r.t.Fatalf("doveadm said %q: %v", line, err)
			}
			if more := next - 1 - messages; more < 0 || more > again[number+"/"+line[:at]] {
				r.t.Errorf("mailbox %s, %s: %d messages, but UIDNEXT is %d", number, line[:at], messages, next)
			}
		}
	}
}

var rebuilds = regexp.MustCompile(`/mail/(\d+)/sdbox/mailboxes/(.+)/dbox-Mails/u\.\d+ already exists, rebuilding index`)

// foundAgain counts, by mailbox and folder ("4001/INBOX"), how often the target
// came upon a message that it had stored and not listed. A Dovecot that is
// killed between the two shows nobody that message, and so it is sent again;
// while it stores it again it finds the first one, rebuilds the folder's index,
// and then has both. No client can see that coming; Mailmirror takes the second
// one away, and its UID is used up.
func (r *rig) foundAgain() map[string]int {
	r.t.Helper()
	log, err := os.ReadFile(r.dr.LogPath())
	if err != nil {
		r.t.Fatal(err)
	}
	found := map[string]int{}
	for _, m := range rebuilds.FindAllSubmatch(log, -1) {
		found[string(m[1])+"/"+string(m[2])]++
	}
	return found
}

// onlyRead fails the test where a command that could change something ever
// went to production.
func (r *rig) onlyRead() {
	r.t.Helper()
	commands := r.toProduction.Commands()
	if len(commands) == 0 {
		r.t.Error("the proxy in front of production recorded nothing")
	}
	for _, c := range faults.OnlyReads(commands) {
		r.t.Errorf("production was sent %q", c)
	}
}

// showLog logs the last lines of a file of the data directory.
func (r *rig) showLog(name string, last int) {
	b, _ := os.ReadFile(filepath.Join(r.data, name))
	lines := strings.Split(string(b), "\n")
	r.t.Logf("%s:\n%s", name, strings.Join(lines[max(0, len(lines)-last):], "\n"))
}

func connect(t *testing.T, d *servers.Dovecot, number string) *reader.Conn {
	t.Helper()
	conn, err := reader.Dial(t.Context(), d.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.LoginFor(number, d.TrustedName(), d.TrustedPassword()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// peak returns a process's greatest resident size so far (VmHWM).
func peak(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
