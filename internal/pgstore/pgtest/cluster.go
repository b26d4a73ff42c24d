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
	bin   string
	owner *syscall.Credential // nil: as the test's own user
	dir   string
	sync  bool
	cmd   *exec.Cmd
	// exited is closed when the server has ended.
	exited chan struct{}
}

// startTimeout bounds the time until the server takes connections.
const startTimeout = time.Minute

// newCluster makes a cluster that is not started yet. sync keeps the waits for
// the disk, for measuring.
func newCluster(sync bool) (_ *cluster, err error) {
	c := &cluster{sync: sync}
	if c.bin, err = binaries(); err != nil {
		return nil, err
	}
	if c.owner, err = credential(); err != nil {
		return nil, err
	}
	// The path stays short: a socket's name may have no more than 107 bytes.
	if c.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.remove())
		}
	}()
	if c.owner != nil {
		if err := os.Chown(c.dir, int(c.owner.Uid), int(c.owner.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(c.bin, "initdb"), "--pgdata", c.data(), "--username", "postgres", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions")
	initdb.Dir = c.dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return c, nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

func (c *cluster) remove() error { return os.RemoveAll(c.dir) }

// dsn is the address of one of the cluster's databases.
func (c *cluster) dsn(database string) string {
	return "host=" + c.dir + " user=postgres dbname=" + database
}

// start runs the server and waits until it takes connections. The signal at
// the parent's death is tied to the thread that started the child, so one
// thread is kept for that.
func (c *cluster) start() error {
	onOff := map[bool]string{true: "on", false: "off"}[c.sync]
	c.cmd = exec.Command(filepath.Join(c.bin, "postgres"), "-D", c.data(), "-k", c.dir,
		"-c", "listen_addresses=", "-c", "fsync="+onOff, "-c", "full_page_writes="+onOff,
		"-c", "max_connections=300", "-c", "shared_buffers=128MB", "-c", "max_wal_size=1GB",
		"-c", "log_min_messages=log", "-c", "log_min_error_statement=panic")
	c.cmd.Dir = c.dir
	// A test process that is killed takes its server along.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.owner, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return err
	}
	started, ready := make(chan error, 1), make(chan error, 1)
	c.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan<- struct{}) {
		runtime.LockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ready <- awaitReady(stderr)
		_, _ = io.Copy(io.Discard, stderr) // until the server closes it
		_ = cmd.Wait()                     // an immediate shutdown ends with status 2
		close(exited)
	}(c.cmd, c.exited)
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
		return errors.Join(fmt.Errorf("start postgres: not ready after %v", startTimeout), c.crash())
	}
}

// crash ends the server at once, as a power cut would: what it had not written
// to its log is lost.
func (c *cluster) crash() error {
	if err := c.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return err
	}
	<-c.exited
	return nil
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
