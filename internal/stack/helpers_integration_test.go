//go:build integration

package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	if len(args) != 4 || args[0] != "--data" || args[2] != "--metrics" {
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

// insertRow proves that Mailmirror's database takes writes, and keeps them.
func insertRow(t *testing.T, info Info, word string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), info.DatabaseDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
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

// checkAccess proves that over TCP the password of the password file counts and
// nothing else, and that over the socket none is asked for.
func checkAccess(t *testing.T, info Info) {
	t.Helper()
	t.Setenv("PGPASSWORD", "of another database")
	tcp := fmt.Sprintf("postgres://%s@%s:%d/%s", postgresRole, loopback, info.Ports.Postgres, databaseName)
	connect := func(dsn string) error {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err == nil {
			err = conn.Close(t.Context())
		}
		return err
	}
	if err := connect(info.DatabaseDSN); err != nil {
		t.Errorf("over the socket: %v", err)
	}
	if err := connect(tcp); err == nil {
		t.Error("over TCP a wrong password is good enough")
	}
	if err := os.Unsetenv("PGPASSWORD"); err != nil {
		t.Fatal(err)
	}
	if err := connect(tcp + "?passfile=" + (layout{info.DataDir}).passfile()); err != nil {
		t.Errorf("over TCP with the password file: %v", err)
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
		for field := range strings.FieldsSeq(string(children)) {
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
