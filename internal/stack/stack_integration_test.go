//go:build integration

package stack

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mailmirror/internal/fault"
)

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
	checkAccess(t, info)

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
		!got.TemporalExternal || got.WebUIURL != "" || got.Ports != (Ports{Metrics: got.Ports.Metrics}) ||
		got.MetricsURL != fmt.Sprintf("http://127.0.0.1:%d/metrics", got.Ports.Metrics) {
		t.Errorf("info: %+v", got)
	}
}
