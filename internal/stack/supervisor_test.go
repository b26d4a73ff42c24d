package stack

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/fault"
	"mailmirror/test/logged"
)

func signalContext() context.Context { return context.Background() }

func newTestSupervisor(t *testing.T) (*Supervisor, *logged.Log, string) {
	t.Helper()
	dir, log := t.TempDir(), &logged.Log{}
	s, err := NewSupervisor(dir, dir, log.Logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s, log, dir
}

func onlyPID(t *testing.T, s *Supervisor) int {
	t.Helper()
	children := s.Children()
	if len(children) != 1 {
		t.Fatalf("children: %v", children)
	}
	return children[0].PID
}

func TestSupervisorStartsADeadChildAgain(t *testing.T) {
	s, log, _ := newTestSupervisor(t)
	if err := s.Start(t.Context(), helperChild(t, "serve", "serve")); err != nil {
		t.Fatal(err)
	}
	first := onlyPID(t, s)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "restart", func() bool { pid := onlyPID(t, s); return pid != 0 && pid != first })
	if got := s.Children()[0].Restarts; got != 1 {
		t.Errorf("restarts: got %d, want 1", got)
	}
	for _, want := range []string{"child died", `"child":"serve"`, "signal: killed", `"restart_in":`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, log.String())
		}
	}
	second := onlyPID(t, s)
	s.Stop(context.Background())
	log.Want(t, "child ready", 2)
	log.Want(t, "child stopped", 1)
	if !gone(second) {
		t.Errorf("process %d outlived Stop", second)
	}
}

func TestSupervisorStopsInReverseOrder(t *testing.T) {
	s, _, dir := newTestSupervisor(t)
	record := filepath.Join(dir, "order")
	for _, name := range []string{"first", "second", "third"} {
		if err := s.Start(t.Context(), helperChild(t, name, "serve", record, name)); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop(context.Background())
	b, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"third", "second", "first"}
	if diff := cmp.Diff(want, strings.Fields(string(b))); diff != "" {
		t.Errorf("order of stopping (-want +got):\n%s", diff)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.pid")); len(left) > 0 {
		t.Errorf("pid files left: %v", left)
	}
}

func TestSupervisorKillsAChildThatDoesNotStop(t *testing.T) {
	t.Run("after its grace", func(t *testing.T) {
		s, _, _ := newTestSupervisor(t)
		child := helperChild(t, "stubborn", "stubborn")
		child.Grace = 50 * time.Millisecond
		if err := s.Start(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		pid := onlyPID(t, s)
		s.Stop(context.Background())
		if !gone(pid) {
			t.Errorf("process %d outlived Stop", pid)
		}
	})
	t.Run("at once when the context ends", func(t *testing.T) {
		s, _, _ := newTestSupervisor(t)
		child := helperChild(t, "stubborn", "stubborn")
		child.Grace = time.Hour
		if err := s.Start(t.Context(), child); err != nil {
			t.Fatal(err)
		}
		pid := onlyPID(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Stop(ctx)
		if !gone(pid) {
			t.Errorf("process %d outlived Stop", pid)
		}
	})
}

func TestSupervisorReportsAFailedStart(t *testing.T) {
	s, _, dir := newTestSupervisor(t)
	child := helperChild(t, "broken", "broken")
	child.StartAttempts = 2
	err := s.Start(t.Context(), child)
	if err == nil {
		t.Fatal("start of a program that dies succeeded")
	}
	if want := "start broken: ended before it was ready (exit status 3)"; err.Error() != want {
		t.Errorf("error: got %q, want %q", err, want)
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "cannot open the gates") {
		t.Errorf("hint lacks the child's own words: %q", hint)
	}
	b, err := os.ReadFile(filepath.Join(dir, "broken.log"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(b), "gates"); got != 2 {
		t.Errorf("attempts: got %d, want 2", got)
	}
}

func TestSupervisorGivesUpOnAChildThatNeverGetsReady(t *testing.T) {
	s, _, dir := newTestSupervisor(t)
	child := helperChild(t, "mute", "stubborn")
	child.ReadyTimeout, child.Grace = 300*time.Millisecond, 10*time.Millisecond
	child.Ready = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	err := s.Start(t.Context(), child)
	if err == nil || !strings.Contains(err.Error(), "not ready after 300ms") {
		t.Errorf("error: got %v", err)
	}
	records, err := readPIDRecords(dir)
	if err != nil || len(records) != 1 {
		t.Fatalf("pid records: %v, %v", records, err)
	}
	if !gone(records[0].PID) {
		t.Errorf("process %d still runs", records[0].PID)
	}
}

func TestSupervisorStopsWhileAChildIsDown(t *testing.T) {
	s, log, dir := newTestSupervisor(t)
	// The second start fails for ever, since the program's folder is gone.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "program")
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	child := helperChild(t, "serve", "serve")
	child.Path = link
	if err := s.Start(t.Context(), child); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(onlyPID(t, s), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failed restart", func() bool { return strings.Contains(log.String(), "did not start again") })
	s.Stop(context.Background()) // must not hang
}

func TestBackOffGrowsWithinItsBounds(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 5: 3200 * time.Millisecond,
		9: restartCap, 40: restartCap, 100000: restartCap,
	} {
		for range 100 {
			if got := backOff(n); got < want/2 || got > want {
				t.Errorf("backOff(%d): got %s, want between %s and %s", n, got, want/2, want)
			}
		}
	}
}

func TestLogsOfEarlierStartsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	for i := range keptLogs + 3 {
		if err := rotateLogs(path, keptLogs); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte{byte('a' + i)}, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, suffix := range []string{"", ".1", ".2", ".3", ".4", ".5", ".6"} {
		if b, err := os.ReadFile(path + suffix); err == nil {
			got = append(got, string(b))
		}
	}
	if diff := cmp.Diff([]string{"h", "g", "f", "e", "d", "c"}, got); diff != "" {
		t.Errorf("logs (-want +got):\n%s", diff)
	}
}

// startSupervisorProcess runs helperSupervisor and returns it with its child.
func startSupervisorProcess(t *testing.T, dir string, extra ...string) (parent *exec.Cmd, child pidRecord) {
	t.Helper()
	l, err := listenNotify()
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent = exec.Command(self, append([]string{dir}, extra...)...)
	parent.Env = append(withoutHelper(), helperEnv+"=supervisor", "NOTIFY_SOCKET="+l.address())
	parent.Stderr = os.Stderr
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = parent.Process.Kill(); _ = parent.Wait() })
	select {
	case <-l.ready:
	case <-time.After(30 * time.Second):
		t.Fatal("supervisor process does not get ready")
	}
	records, err := readPIDRecords(dir)
	if err != nil || len(records) != 1 || !records[0].alive() {
		t.Fatalf("pid records: %v, %v", records, err)
	}
	return parent, records[0]
}

func TestChildrenDieWithTheirParent(t *testing.T) {
	parent, child := startSupervisorProcess(t, t.TempDir())
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "end of the child", func() bool { return gone(child.PID) })
}

func TestLeftoversAreEnded(t *testing.T) {
	dir := t.TempDir()
	parent, child := startSupervisorProcess(t, dir, "child ignores our death")
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if gone(child.PID) {
		t.Fatal("the child was to survive its parent here")
	}
	s, err := NewSupervisor(dir, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop(context.Background())
	if !gone(child.PID) {
		t.Errorf("leftover %d still runs", child.PID)
	}
}

func TestOtherProcessesAreNotTakenForLeftovers(t *testing.T) {
	dir := t.TempDir()
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	pid := sleeper.Process.Pid
	eventually(t, "exec", func() bool { argv, err := commandLine(pid); return err == nil && argv[0] == "sleep" })
	truth, err := newPIDRecord(Child{Name: "x", Path: "sleep", Args: []string{"600"}}, pid)
	if err != nil {
		t.Fatal(err)
	}
	if !truth.alive() {
		t.Fatal("a true record must be recognised, or this test proves nothing")
	}
	for name, change := range map[string]func(*pidRecord){
		"another start time":   func(r *pidRecord) { r.StartTicks++ },
		"another boot":         func(r *pidRecord) { r.BootID = "x" },
		"another command line": func(r *pidRecord) { r.Argv = []string{"sleep", "601"} },
		"init":                 func(r *pidRecord) { r.PID = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := truth
			change(&r)
			if err := writePIDRecord(dir, r); err != nil {
				t.Fatal(err)
			}
			s, err := NewSupervisor(dir, dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			s.Stop(context.Background())
			if gone(pid) {
				t.Fatal("a process that is not ours was killed")
			}
		})
	}
}

func TestPortsInUseNameTheirHolder(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	held := l.Addr().(*net.TCPAddr).Port
	wanted := Ports{Postgres: held, TemporalUI: held}
	_, err = resolvePorts(wanted, Ports{}, func(string) bool { return true })
	if err == nil {
		t.Fatal("a port in use was accepted")
	}
	comm, readErr := os.ReadFile("/proc/self/comm")
	if readErr != nil {
		t.Fatal(readErr)
	}
	for _, want := range []string{
		"(--postgres-port) is in use by " + strings.TrimSpace(string(comm)) + " (pid ",
		"(--temporal-ui-port) is in use by", "is given twice",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if fault.KindOf(err) != fault.Config {
		t.Errorf("kind: got %s, want config", fault.KindOf(err))
	}
}

func TestAutomaticPortsStayTheSame(t *testing.T) {
	all := func(string) bool { return true }
	first, err := resolvePorts(Ports{}, Ports{}, all)
	if err != nil {
		t.Fatal(err)
	}
	second, err := resolvePorts(Ports{}, first, all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("ports of the second run (-first +second):\n%s", diff)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(first.Postgres)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	third, err := resolvePorts(Ports{}, first, all)
	if err != nil {
		t.Fatal(err)
	}
	if third.Postgres == first.Postgres || third.Postgres == 0 {
		t.Errorf("a port that is taken now was chosen again: %d", third.Postgres)
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if held, err := locked(path); held || err != nil {
		t.Fatalf("before: %v, %v", held, err)
	}
	lock, err := takeLock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if held, err := locked(path); !held || err != nil {
		t.Fatalf("while held: %v, %v", held, err)
	}
	_, err = takeLock(t.Context(), path)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("second lock: got %v", err)
	}
	lock.release()
	if held, err := locked(path); held || err != nil {
		t.Fatalf("after: %v, %v", held, err)
	}
}
