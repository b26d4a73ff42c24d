//go:build integration

package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"mailmirror/internal/pgstore"
	"mailmirror/internal/pgstore/pgtest"
	"mailmirror/internal/stack"
	"mailmirror/test/servers"
)

// installation is Mailmirror's own half: PostgreSQL and Temporal on a data
// directory. Workers are started by whoever uses it.
type installation struct {
	bin, data string
	stack     *stack.Stack
	// stay are the workers that serve all tests of the quiet lane.
	stay []*exec.Cmd
}

// up starts PostgreSQL and Temporal on the data directory. What they and their
// supervisor write goes to files of the data directory.
func (in *installation) up(ctx context.Context) error {
	file, err := os.OpenFile(filepath.Join(in.data, "stack.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	in.stack, err = stack.Up(ctx, stack.Options{DataDir: in.data, BinDir: in.bin, NoWorker: true, NoSync: true,
		Logger: slog.New(slog.NewTextHandler(file, nil))})
	return err
}

// binaries returns the folder of the programs of `make build`.
func binaries() (string, error) {
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"mailmirror", "mailmirror-worker", "mailmirror-temporal"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("%w: build the programs first: make build", err)
		}
	}
	return bin, nil
}

// newDataDir makes a data directory that PostgreSQL's user may pass through.
// Its path is short enough for a Unix socket.
func newDataDir() (string, error) {
	dir, err := os.MkdirTemp("", "mme2e")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o711)
}

// template returns a stopped data directory with a cluster, both of Temporal's
// schemas and Mailmirror's. It is made once per process: making it costs more
// than starting a copy of it.
var template = sync.OnceValues(func() (string, error) {
	bin, err := binaries()
	if err != nil {
		return "", err
	}
	in := &installation{bin: bin}
	if in.data, err = newDataDir(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := in.up(ctx); err != nil {
		return in.data, err
	}
	defer in.stack.Stop(context.Background())
	store, err := pgstore.Open(ctx, in.stack.Info().DatabaseDSN)
	if err != nil {
		return in.data, err
	}
	defer store.Close()
	return in.data, pgtest.Migrate(ctx, store)
})

// newInstallation starts a copy of the template. The caller ends it.
func newInstallation(ctx context.Context) (_ *installation, err error) {
	from, err := template()
	if err != nil {
		return nil, fmt.Errorf("make the template of the data directories: %w", err)
	}
	in := &installation{}
	if in.bin, err = binaries(); err != nil {
		return nil, err
	}
	if in.data, err = newDataDir(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(in.data))
		}
	}()
	// The ports and the process ids of the template stay behind.
	cp := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", filepath.Join(from, "postgres"), filepath.Join(from, "secrets"), in.data)
	if out, err := cp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the template: %w: %s", err, out)
	}
	return in, in.up(ctx)
}

// env is the environment of commands and workers. What waits for a dead worker
// is short here, so that many can die in a test.
func (in *installation) env() []string {
	return append(os.Environ(), "MAILMIRROR_DATA="+in.data,
		"MAILMIRROR_LEASE_TTL=5s", "MAILMIRROR_RETRY_INITIAL=2s", "MAILMIRROR_RETRY_MAXIMUM=4s",
		"MAILMIRROR_SWEEP_INTERVAL=5s", "MAILMIRROR_WORKER_DEBOUNCE=100ms", "MAILMIRROR_WORKER_PAGE_SIZE=20")
}

// worker starts a worker, which ends with this process at the latest.
func (in *installation) worker(env []string) (*exec.Cmd, error) {
	log, err := os.OpenFile(filepath.Join(in.data, "worker.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	worker := exec.Command(filepath.Join(in.bin, "mailmirror-worker"), "--data", in.data)
	worker.Env, worker.Stderr = env, log
	worker.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return worker, servers.Start(worker)
}

// end stops the installation and removes it.
func (in *installation) end() {
	for _, worker := range in.stay {
		kill(worker)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	in.stack.Stop(ctx)
	if err := os.RemoveAll(in.data); err != nil {
		fmt.Fprintln(os.Stderr, "remove a data directory:", err)
	}
}

// lane is an installation that several tests use, one after the other. Each has
// stores, a link and workers of its own, and takes its link away at its end.
type lane struct {
	turn sync.Mutex
	in   *installation // nil before the first test
}

// The lanes. Tests of different lanes run at the same time.
type lanes struct {
	// kills is for tests that kill workers and servers.
	kills lane
	// workers is for tests with several workers.
	workers lane
	// suspension is for tests that suspend the whole mirror.
	suspension lane
	// database is for tests that alter or restore the database, or stop it.
	database lane
	// events is for tests of listening, where no compare and no sweep may help.
	events lane
	// quiet is the exception: all its tests run at the same time, beside two
	// workers that stay. They may do nothing that another link would notice.
	quiet lane
}

// shared are the lanes of this process.
var shared lanes

// enter waits for the lane, and leaves it when the test ends. A test on no lane
// has an installation of its own.
func (l *lane) enter(t *testing.T) *installation {
	t.Helper()
	if l == nil {
		in, err := newInstallation(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(in.end)
		return in
	}
	l.turn.Lock()
	if l != &shared.quiet {
		t.Cleanup(l.turn.Unlock)
	} else {
		defer l.turn.Unlock()
	}
	if l.in == nil {
		in, err := newInstallation(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		l.in = in // also where a worker does not start: it has to be stopped
		if l == &shared.quiet {
			for range 2 {
				worker, err := in.worker(in.env())
				if err != nil {
					t.Fatal(err)
				}
				in.stay = append(in.stay, worker)
			}
		}
	}
	return l.in
}

// endLanes stops what the lanes run. Their workers end with this process.
func endLanes() {
	for _, l := range []*lane{&shared.kills, &shared.workers, &shared.suspension, &shared.database, &shared.events, &shared.quiet} {
		if l.in != nil {
			l.in.end()
		}
	}
	if dir, err := template(); err == nil {
		_ = os.RemoveAll(dir)
	}
}

// links counts the links that were made, each of which has its own name.
var links atomic.Int64

// load bounds how many systems are under test at a time. They wait for servers
// more than they compute.
var load = make(chan struct{}, 2*runtime.GOMAXPROCS(0))
