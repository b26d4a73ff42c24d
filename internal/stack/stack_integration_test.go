//go:build integration

package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"mailmirror/internal/fault"
	"mailmirror/internal/stack/sdnotify"
)

const (
	testQueue    = "stack-test"
	testWorkflow = "WaitForSignal"
	testSignal   = "go-on"
)

func integrationHelpers() map[string]func([]string) int {
	return map[string]func([]string) int{"up": helperUp, "worker": helperWorker}
}

// waitForSignal is a workflow that stays until told, so that it can be seen to
// survive: it returns what the signal carried.
func waitForSignal(ctx workflow.Context) (string, error) {
	var word string
	workflow.GetSignalChannel(ctx, testSignal).Receive(ctx, &word)
	return word, nil
}

// helperWorker is a true Temporal worker in the place of mailmirror-worker: it
// finds its settings in the data directory, as the real one does.
func helperWorker(args []string) int {
	if err := runWorker(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runWorker(args []string) error {
	if len(args) != 2 || args[0] != "--data" {
		return fmt.Errorf("unexpected arguments %q", args)
	}
	info, err := Load(args[1])
	if err != nil {
		return err
	}
	c, err := client.Dial(client.Options{HostPort: info.TemporalAddress, Namespace: info.TemporalNamespace})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, testQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(waitForSignal, workflow.RegisterOptions{Name: testWorkflow})
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := sdnotify.Ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// helperUp is `mailmirror up --data ARG --bin ARG` on automatic ports.
func helperUp(args []string) int {
	if err := os.Setenv(helperEnv, "worker"); err != nil { // for the worker that it starts
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := Up(ctx, Options{DataDir: args[0], BinDir: args[1], Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err, fault.HintOf(err))
		return 1
	}
	if err := sdnotify.Ready(); err != nil {
		return 1
	}
	<-ctx.Done()
	s.Stop(context.Background())
	return 0
}

// testDirs returns a data directory with a short path that PostgreSQL's user
// may pass, and a folder of binaries in which this test is the worker.
func testDirs(t *testing.T) (data, bin string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	temporal := filepath.Join(root, "bin", temporalBinary)
	if _, err := os.Stat(temporal); err != nil {
		t.Fatalf("this test needs the Temporal server, %v: run `make build` first", err)
	}
	base, err := os.MkdirTemp("", "mm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(base, 0o711); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin = filepath.Join(base, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{temporalBinary: temporal, workerBinary: self} {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(base, "data"), bin
}

func testLogger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// startStack runs a stack in this process, with the test binary as its worker.
func startStack(t *testing.T) *Stack {
	t.Helper()
	data, bin := testDirs(t)
	t.Setenv(helperEnv, "worker")
	begun := time.Now()
	s, err := Up(t.Context(), Options{DataDir: data, BinDir: bin, Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	t.Logf("first start took %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

// upProcess is a stack in a process of its own.
type upProcess struct{ cmd *exec.Cmd }

func startUpProcess(t *testing.T, data, bin string) *upProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l, err := listenNotify()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	cmd := exec.Command(self, data, bin)
	cmd.Env = append(withoutHelper(), helperEnv+"=up", "NOTIFY_SOCKET="+l.address())
	cmd.Stderr = t.Output()
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &upProcess{cmd}
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = cmd.Process.Wait()
	}()
	select {
	case <-l.ready:
	case <-ended:
		t.Fatal("up ended before it was ready")
	case <-time.After(3 * time.Minute):
		t.Fatal("up does not get ready")
	}
	t.Logf("up was ready after %s", time.Since(begun).Round(time.Millisecond))
	return p
}

func mustLoad(t *testing.T, data string) Info {
	t.Helper()
	info, err := Load(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	return info
}

func dial(t *testing.T, info Info) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: info.TemporalAddress, Namespace: info.TemporalNamespace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func startTestWorkflow(t *testing.T, c client.Client, id string) {
	t.Helper()
	if _, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: testQueue}, testWorkflow); err != nil {
		t.Fatal(err)
	}
}

// finishTestWorkflow signals the workflow and returns what it returned. A
// server that was killed a moment ago is asked again for a while.
func finishTestWorkflow(t *testing.T, c client.Client, id, word string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		err := c.SignalWorkflow(ctx, id, "", testSignal, word)
		if err == nil {
			break
		}
		if _, missing := errors.AsType[*serviceerror.NotFound](err); missing || ctx.Err() != nil {
			t.Fatalf("signal workflow: %v", err)
		}
	}
	var got string
	if err := c.GetWorkflow(ctx, id, "").Get(ctx, &got); err != nil {
		t.Fatalf("await workflow: %v", err)
	}
	return got
}

func pids(info Info) map[string]int {
	m := map[string]int{}
	for _, c := range info.Children {
		m[c.Name] = c.PID
	}
	return m
}

func TestStackRunsAndItsChildrenAreRevived(t *testing.T) {
	s := startStack(t)
	info := mustLoad(t, s.info.DataDir)
	if got, want := pids(info), pids(s.Info()); fmt.Sprint(got) != fmt.Sprint(want) || len(got) != 3 {
		t.Errorf("children by Load: %v, by the stack itself: %v", got, want)
	}
	c := dial(t, info)

	response, err := http.Get(info.WebUIURL)
	if err != nil {
		t.Fatalf("web ui: %v", err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("web ui: status %s", response.Status)
	}
	insertRow(t, info, "before")

	for _, name := range []string{"postgres", "temporal", "worker"} {
		t.Run(name, func(t *testing.T) {
			id := "survives-kill-of-" + name
			startTestWorkflow(t, c, id)
			victim := pids(s.Info())[name]
			if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed := time.Now()
			eventually(t, name+" runs again", func() bool { pid := pids(s.Info())[name]; return pid != 0 && pid != victim })
			t.Logf("%s ran again after %s", name, time.Since(killed).Round(time.Millisecond))
			if got := finishTestWorkflow(t, c, id, name); got != name {
				t.Errorf("workflow result: got %q, want %q", got, name)
			}
			t.Logf("workflow done %s after the kill", time.Since(killed).Round(time.Millisecond))
		})
	}
	insertRow(t, info, "after")
	logMemory(t, s.Info())

	all := familyOf(s.info.DataDir)
	if len(all) == 0 {
		t.Fatal("found no process of the stack, so this test proves nothing")
	}
	s.Stop(context.Background())
	if left := familyOf(s.info.DataDir); len(left) > 0 {
		t.Errorf("processes left after Stop: %v", left)
	}
	if _, err := Load(s.info.DataDir); !fault.Is(err, fault.Transient) || !strings.Contains(err.Error(), "is not running") {
		t.Errorf("Load after Stop: %v", err)
	}
}

// insertRow proves that Mailmirror's database takes writes, and keeps them.
func insertRow(t *testing.T, info Info, word string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), info.DatabaseDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if conn.Config().Password == "" || strings.Contains(info.DatabaseDSN, conn.Config().Password) {
		t.Error("the password must come from the password file alone")
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS words (word text PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "INSERT INTO words VALUES ($1)", word); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM words WHERE word = 'before'").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("first row: %d, %v", rows, err)
	}
}

// familyOf lists all processes that name the data directory in their command
// line or environment, with PostgreSQL's own children, as "pid command".
func familyOf(dataDir string) []string {
	var family []string
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, entry := range entries {
		pid, _ := strconv.Atoi(filepath.Base(entry))
		if pid == os.Getpid() || gone(pid) {
			continue
		}
		argv, _ := commandLine(pid)
		environ, _ := os.ReadFile(filepath.Join(entry, "environ"))
		cwd, _ := os.Readlink(filepath.Join(entry, "cwd"))
		if strings.Contains(strings.Join(argv, " "), dataDir) || strings.Contains(string(environ), dataDir) ||
			strings.HasPrefix(cwd, dataDir) {
			family = append(family, fmt.Sprint(pid, " ", argv))
		}
	}
	return family
}

// logMemory prints the proportional memory of each child; PostgreSQL's
// processes share most of theirs.
func logMemory(t *testing.T, info Info) {
	t.Helper()
	for _, child := range info.Children {
		members := []int{child.PID}
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", child.PID, child.PID))
		for _, field := range strings.Fields(string(children)) {
			pid, _ := strconv.Atoi(field)
			members = append(members, pid)
		}
		total := 0
		for _, pid := range members {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			for line := range strings.Lines(string(b)) {
				if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Pss:" {
					kilobytes, _ := strconv.Atoi(fields[1])
					total += kilobytes
				}
			}
		}
		t.Logf("memory of %s (%d processes): %d MB", child.Name, len(members), total/1024)
	}
}

func TestStackGoesOnAfterItsSupervisorWasKilled(t *testing.T) {
	data, bin := testDirs(t)
	up := startUpProcess(t, data, bin)
	before := mustLoad(t, data)
	c := dial(t, before)
	startTestWorkflow(t, c, "survives-kill-of-up")
	insertRow(t, before, "before")

	if _, err := Up(t.Context(), Options{DataDir: data, BinDir: bin, Logger: testLogger(t)}); !fault.Is(err, fault.Conflict) ||
		!strings.Contains(err.Error(), "pid "+strconv.Itoa(up.cmd.Process.Pid)) {
		t.Errorf("second up on the same directory: %v", err)
	}

	if err := up.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	second := startUpProcess(t, data, bin) // at once, while leftovers may still be ending
	after := mustLoad(t, data)
	if before.Ports != after.Ports {
		t.Errorf("ports changed: %+v, then %+v", before.Ports, after.Ports)
	}
	for name, pid := range pids(before) {
		if !gone(pid) {
			t.Errorf("%s of the first run, pid %d, still runs", name, pid)
		}
	}
	if got := finishTestWorkflow(t, c, "survives-kill-of-up", "hello"); got != "hello" {
		t.Errorf("workflow result: got %q", got)
	}
	insertRow(t, after, "after")

	// SIGINT is what Ctrl-C sends.
	if err := second.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "end of up", func() bool { return gone(second.cmd.Process.Pid) })
	if left := familyOf(data); len(left) > 0 {
		t.Errorf("processes left after Ctrl-C: %v", left)
	}
}

func TestStackSurvivesTheDeathOfEverythingAtOnce(t *testing.T) {
	data, bin := testDirs(t)
	up := startUpProcess(t, data, bin)
	info := mustLoad(t, data)
	c := dial(t, info)
	startTestWorkflow(t, c, "survives-power-failure")
	// Postmaster first and in the same breath as its supervisor: its own
	// processes may hold its shared memory for a moment.
	for _, pid := range []int{pids(info)["postgres"], up.cmd.Process.Pid, pids(info)["temporal"], pids(info)["worker"]} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	startUpProcess(t, data, bin)
	if again := mustLoad(t, data); again.Ports != info.Ports {
		t.Errorf("ports changed: %+v, then %+v", info.Ports, again.Ports)
	}
	if got := finishTestWorkflow(t, c, "survives-power-failure", "hello"); got != "hello" {
		t.Errorf("workflow result: got %q", got)
	}
}

func TestUpRefusesPortsInUse(t *testing.T) {
	data, bin := testDirs(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held := l.Addr().(*net.TCPAddr).Port
	_, err = Up(t.Context(), Options{DataDir: data, BinDir: bin, Ports: Ports{TemporalUI: held}, Logger: testLogger(t)})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d (--temporal-ui-port) is in use by", held)) ||
		!strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) {
		t.Errorf("error: %v", err)
	}
	if _, err := Load(data); !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), "none was ever started") {
		t.Errorf("Load: %v", err)
	}
}

func TestUpNamesAMissingBinary(t *testing.T) {
	data, _ := testDirs(t)
	_, err := Up(t.Context(), Options{DataDir: data, BinDir: t.TempDir(), Logger: testLogger(t)})
	if err == nil || !strings.Contains(err.Error(), "find mailmirror-temporal") || !strings.Contains(fault.HintOf(err), "make build") {
		t.Errorf("error: %v (%s)", err, fault.HintOf(err))
	}
	if left := familyOf(data); len(left) > 0 {
		t.Errorf("processes left after a failed start: %v", left)
	}
}

func TestExternalServersNeedNoChildOfOurs(t *testing.T) {
	host := startStack(t)
	info := host.Info()
	data, bin := testDirs(t)
	s, err := Up(t.Context(), Options{
		DataDir: data, BinDir: bin, Logger: testLogger(t),
		ExternalTemporal: info.TemporalAddress, ExternalDatabase: info.DatabaseDSN,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	defer s.Stop(context.Background())
	if got := s.Info().Children; len(got) != 1 || got[0].Name != "worker" {
		t.Errorf("children: %v, want the worker alone", got)
	}
	if got := mustLoad(t, data); got.DatabaseDSN != info.DatabaseDSN || got.TemporalAddress != info.TemporalAddress ||
		!got.TemporalExternal || got.WebUIURL != "" || got.Ports != (Ports{}) {
		t.Errorf("info: %+v", got)
	}
}

func TestStalePostmasterPIDOfAnotherProcess(t *testing.T) {
	data, _ := testDirs(t)
	p, err := StartPostgres(t.Context(), data, PostgresOptions{NoSync: true, Logger: testLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.cluster.dataDir(), "postmaster.pid")
	live, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(context.Background())
	// A container that was restarted: the number is some other process's now,
	// here one of the same user, which PostgreSQL takes for its predecessor.
	sleeper := exec.Command("sleep", "600")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Credential: p.cluster.user.credential()}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	lines := strings.SplitN(string(live), "\n", 2)
	stale := strconv.Itoa(sleeper.Process.Pid) + "\n" + lines[1]
	if err := os.WriteFile(path, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if p.cluster.user.switching {
		if err := os.Chown(path, p.cluster.user.uid, p.cluster.user.gid); err != nil {
			t.Fatal(err)
		}
	}
	again, err := StartPostgres(t.Context(), data, PostgresOptions{NoSync: true, Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	again.Stop(context.Background())
	if gone(sleeper.Process.Pid) {
		t.Error("the other process was ended")
	}
}

func TestLongDataDirectory(t *testing.T) {
	base, _ := testDirs(t)
	data := filepath.Join(base, strings.Repeat("long-name-", 11))
	p, err := StartPostgres(t.Context(), data, PostgresOptions{NoSync: true, Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.cluster.socketDir) })
	defer p.Stop(context.Background())
	if strings.HasPrefix(p.cluster.socketDir, data) || !socketFits(p.cluster.socketDir) {
		t.Errorf("socket folder: %s", p.cluster.socketDir)
	}
	conn, err := pgx.Connect(t.Context(), p.DSN())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(context.WithoutCancel(t.Context()))
}
