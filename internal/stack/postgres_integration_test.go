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

// startPostgres starts a stack of nothing but a private cluster.
func startPostgres(t *testing.T, data string) (*Stack, *cluster) {
	t.Helper()
	s, err := Up(t.Context(), Options{DataDir: data, NoSync: true, NoWorker: true, ExternalTemporal: "127.0.0.1:1", Logger: testLogger(t)})
	if err != nil {
		t.Fatalf("%v\n%s", err, fault.HintOf(err))
	}
	c, err := newCluster(s.layout, s.info.Ports.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func TestStalePostmasterPIDOfAnotherProcess(t *testing.T) {
	data, _ := testDirs(t)
	p, c := startPostgres(t, data)
	path := filepath.Join(c.dataDir(), "postmaster.pid")
	live, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(context.Background())
	// A container that was restarted: the number is some other process's now,
	// here one of the same user, which PostgreSQL takes for its predecessor.
	sleeper := exec.Command("sleep", "600")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Credential: c.user.credential()}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sleeper.Process.Kill(); _ = sleeper.Wait() })
	lines := strings.SplitN(string(live), "\n", 2)
	stale := strconv.Itoa(sleeper.Process.Pid) + "\n" + lines[1]
	if err := os.WriteFile(path, []byte(stale), 0o600); err != nil {
		t.Fatal(err)
	}
	if c.user.switching {
		if err := os.Chown(path, c.user.uid, c.user.gid); err != nil {
			t.Fatal(err)
		}
	}
	again, _ := startPostgres(t, data)
	again.Stop(context.Background())
	if gone(sleeper.Process.Pid) {
		t.Error("the other process was ended")
	}
}

func TestLongDataDirectory(t *testing.T) {
	base, _ := testDirs(t)
	data := filepath.Join(base, strings.Repeat("long-name-", 11))
	p, c := startPostgres(t, data)
	t.Cleanup(func() { _ = os.RemoveAll(c.socketDir) })
	defer p.Stop(context.Background())
	if strings.HasPrefix(c.socketDir, data) || !socketFits(c.socketDir) {
		t.Errorf("socket folder: %s", c.socketDir)
	}
	conn, err := pgx.Connect(t.Context(), p.Info().DatabaseDSN)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(context.WithoutCancel(t.Context()))
}
