package stack

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailmirror/internal/stack/sdnotify"
)

// helperEnv turns the test binary into one of the children of these tests.
const helperEnv = "MAILMIRROR_STACK_TEST_HELPER"

// helpers are the programs that the test binary can be. Each takes the rest of
// the command line and returns its exit code.
func helpers() map[string]func(args []string) int {
	h := map[string]func([]string) int{
		"serve":      helperServe,
		"stubborn":   helperStubborn,
		"broken":     helperBroken,
		"supervisor": helperSupervisor,
	}
	maps.Copy(h, integrationHelpers())
	return h
}

func TestMain(m *testing.M) {
	if name := os.Getenv(helperEnv); name != "" {
		helper, known := helpers()[name]
		if !known {
			fmt.Fprintln(os.Stderr, "no helper", name)
			os.Exit(2)
		}
		os.Exit(helper(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// helperChild is a child that runs a helper of this test binary.
func helperChild(t testing.TB, name, helper string, args ...string) Child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Child{
		Name: name, Path: self, Args: args,
		Env:          append(os.Environ(), helperEnv+"="+helper),
		ReadyTimeout: 20 * time.Second,
		StopSignals:  []syscall.Signal{syscall.SIGTERM},
		Grace:        10 * time.Second,
		DeathSignal:  syscall.SIGKILL,
	}
}

// helperServe says that it is ready and ends cleanly on SIGTERM. With an
// argument it appends "NAME stopped" to that file when it does.
func helperServe(args []string) int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	if err := sdnotify.Ready(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	<-signals
	if len(args) == 2 {
		f, err := os.OpenFile(args[0], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return 1
		}
		defer f.Close()
		fmt.Fprintln(f, args[1])
	}
	return 0
}

// helperStubborn is ready and ignores SIGTERM.
func helperStubborn([]string) int {
	signal.Ignore(syscall.SIGTERM)
	if err := sdnotify.Ready(); err != nil {
		return 1
	}
	select {}
}

// helperBroken prints why and dies.
func helperBroken([]string) int {
	fmt.Fprintln(os.Stderr, "cannot open the gates")
	return 3
}

// helperSupervisor supervises one serving child in the folder args[0] until it
// is killed. With a second argument the child ignores its parent's death.
func helperSupervisor(args []string) int {
	s, err := NewSupervisor(args[0], args[0], slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	child := Child{
		Name: "serve", Path: self, Env: append(withoutHelper(), helperEnv+"=serve"),
		ReadyTimeout: 20 * time.Second, StopSignals: []syscall.Signal{syscall.SIGTERM}, Grace: 10 * time.Second,
	}
	if len(args) < 2 {
		child.DeathSignal = syscall.SIGKILL
	}
	if err := s.Start(signalContext(), child); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := sdnotify.Ready(); err != nil {
		return 1
	}
	select {}
}

func withoutHelper() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, helperEnv+"=") && !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			env = append(env, v)
		}
	}
	return env
}

// eventually polls until ok, for what only /proc can tell.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// gone reports whether a process has ended; a zombie has.
func gone(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	return err != nil || strings.Contains(string(b), ") Z ")
}
