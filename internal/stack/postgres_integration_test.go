//go:build integration

package stack

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
)

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
