package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cluster is a private PostgreSQL server in a directory of its own.
type cluster struct {
	dir    string
	cmd    *exec.Cmd
	exited chan error
}

// startTimeout bounds the time until the server takes connections.
const startTimeout = time.Minute

// startCluster makes a cluster and waits until it takes connections. sync
// keeps the waits for the disk, for measuring.
func startCluster(sync bool) (_ *cluster, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	owner, err := credential()
	if err != nil {
		return nil, err
	}
	// The path stays short: a socket's name may have no more than 107 bytes.
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, exited: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}

	onOff := map[bool]string{true: "on", false: "off"}[sync]
	c.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir,
		"-c", "listen_addresses=", "-c", "fsync="+onOff, "-c", "full_page_writes="+onOff,
		"-c", "max_connections=300", "-c", "shared_buffers=128MB", "-c", "max_wal_size=1GB", "-c", "log_min_messages=log",
		"-c", "log_min_error_statement=panic", "-c", "log_startup_progress_interval=0")
	c.cmd.Dir = dir
	// A test process that is killed takes its server along.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	return c, c.start()
}

// start runs the server. The signal at the parent's death is tied to the
// thread that started the child, so one thread is kept for that.
func (c *cluster) start() error {
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started := make(chan error, 1)
	ready := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := c.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ready <- awaitReady(stderr)
		_, _ = io.Copy(io.Discard, stderr) // until the server closes it
		c.exited <- c.cmd.Wait()
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	select {
	case err := <-ready:
		if err != nil {
			return fmt.Errorf("start postgres: %w", err)
		}
		return nil
	case <-time.After(startTimeout):
		_ = c.cmd.Process.Kill()
		return fmt.Errorf("start postgres: not ready after %v", startTimeout)
	}
}

// awaitReady reads the server's log until it says that it takes connections.
func awaitReady(log io.Reader) error {
	var seen []string
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if strings.Contains(lines.Text(), "ready to accept connections") {
			return nil
		}
	}
	return fmt.Errorf("it ended:\n%s", strings.Join(seen, "\n"))
}

// stop ends the server at once and removes its directory.
func (c *cluster) stop() error {
	err := c.cmd.Process.Signal(syscall.SIGQUIT)
	if err == nil {
		_ = <-c.exited // an immediate shutdown ends with status 2
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// binaries finds the directory of initdb and postgres: Debian keeps them by
// version and out of the PATH; the newest is taken.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("no PostgreSQL server is installed: install the package postgresql")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// credential is the user postgres where the test runs as root, under which the
// server refuses to run, and nil otherwise.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("as root the server needs the user postgres: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
