package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Child says how one supervised process is run.
type Child struct {
	// Name is what logs, the log file and the pid file call it.
	Name string
	Path string
	Args []string
	// Env is the whole environment; nil means the supervisor's own.
	Env []string
	// Dir is the working directory; "" means the supervisor's own.
	Dir string
	// Credential is who the process runs as; nil means the supervisor's user.
	Credential *syscall.Credential

	// Prepare runs before every start, for what a dead predecessor left behind.
	Prepare func(ctx context.Context) error
	// Ready returns nil once the process serves; it is called after every start
	// with a context that ends when the process dies or ReadyTimeout is over.
	// nil means that the process says so itself, by sd_notify(3) on
	// $NOTIFY_SOCKET.
	Ready        func(ctx context.Context) error
	ReadyTimeout time.Duration
	// StartAttempts is how often the first start is tried (at least once);
	// later starts are tried for ever.
	StartAttempts int

	// StopSignals are sent in turn, Grace apart, until the process ends;
	// SIGKILL follows the last.
	StopSignals []syscall.Signal
	Grace       time.Duration
	// DeathSignal is what the kernel sends when the supervisor itself dies.
	DeathSignal syscall.Signal
}

func (c Child) argv() []string { return append([]string{c.Path}, c.Args...) }

// spawner starts processes from one operating system thread that lives as long
// as it does. The kernel's parent-death signal fires when the *thread* that
// forked ends, and Go ends threads as it likes, so the thread must be held.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd    *exec.Cmd
	result chan error
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		for r := range s.requests {
			r.result <- r.cmd.Start()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	r := spawnRequest{cmd: cmd, result: make(chan error, 1)}
	s.requests <- r
	return <-r.result
}

// close ends the thread. All processes must have ended before.
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// process is one run of a child.
type process struct {
	child Child
	pid   int
	// begun is when it was started.
	begun time.Time
	// ended is closed when the process is gone and status is set.
	ended  chan struct{}
	status string

	mu sync.Mutex
	// reaped is set once the kernel may give the pid to somebody else.
	reaped bool
}

// launch starts one run of the child, output appended to its log file, and
// records its pid.
func (s *Supervisor) launch(child Child, notifySocket string) (*process, error) {
	logFile, err := os.OpenFile(s.logPath(child.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer logFile.Close() // the child has its own copy
	cmd := exec.Command(child.Path, child.Args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Dir = child.Dir
	cmd.Env = slices.Clone(child.Env)
	if child.Env == nil {
		cmd.Env = os.Environ()
	}
	// Ours, when somebody supervises us in turn, is not the child's to answer:
	// PostgreSQL, for one, would.
	cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, "NOTIFY_SOCKET=") })
	if notifySocket != "" {
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notifySocket)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		// A group of its own: Ctrl-C in the terminal reaches the supervisor
		// alone, which then stops the children in order.
		Setpgid:    true,
		Pdeathsig:  child.DeathSignal,
		Credential: child.Credential,
	}
	if err := s.spawner.start(cmd); err != nil {
		return nil, err
	}
	p := &process{child: child, pid: cmd.Process.Pid, begun: time.Now(), ended: make(chan struct{})}
	record, err := newPIDRecord(child, p.pid) // works on a zombie too: nobody reaps it yet
	if err == nil {
		err = writePIDRecord(s.runDir, record)
	}
	go p.reap(cmd)
	if err != nil {
		p.killGroup()
		<-p.ended
		return nil, fmt.Errorf("record pid: %w", err)
	}
	return p, nil
}

// reap waits for the end of the process, ends what is left of its group while
// the pid is still reserved for it, and only then lets the kernel have the pid.
func (p *process) reap(cmd *exec.Cmd) {
	for unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.killGroup()
	p.mu.Lock()
	_ = cmd.Wait() // the state says it all
	p.reaped = true
	p.mu.Unlock()
	p.status = cmd.ProcessState.String()
	close(p.ended)
}

// signal sends sig to the process, or to its whole group, unless it is gone.
// Children lead groups of their own, so nobody else is reached.
func (p *process) signal(target int, sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(target, sig) // "no such process" is what we want anyway
	}
}

func (p *process) killGroup() { p.signal(-p.pid, syscall.SIGKILL) }

// awaitReady returns nil once the process serves, or why it does not: it
// ended, it took too long, or ctx ended.
func (p *process) awaitReady(ctx context.Context, notified <-chan struct{}) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.child.ReadyTimeout,
		fmt.Errorf("not ready after %s", p.child.ReadyTimeout))
	defer cancel()
	answer := make(chan error, 1)
	if p.child.Ready != nil {
		var probe sync.WaitGroup
		probe.Go(func() { answer <- p.child.Ready(ctx) })
		defer func() { cancel(); probe.Wait() }() // the probe does not outlive us
	}
	select {
	case err := <-answer:
		if err != nil && ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		return err
	case <-notified:
		return nil
	case <-p.ended:
		return fmt.Errorf("ended before it was ready (%s)", p.status)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop ends the process in its own way and at last by SIGKILL, sooner when
// hurry is closed, and returns when it is gone.
func (p *process) stop(hurry <-chan struct{}) {
	for _, sig := range p.child.StopSignals {
		p.signal(p.pid, sig)
		select {
		case <-p.ended:
			return
		case <-time.After(p.child.Grace):
		case <-hurry:
		}
	}
	p.killGroup()
	<-p.ended
}

// rotateLogs keeps the output of earlier starts beside the new one.
func rotateLogs(path string, keep int) error {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || (err == nil && info.Size() == 0) {
		return nil
	} else if err != nil {
		return err
	}
	numbered := func(n int) string { return fmt.Sprintf("%s.%d", path, n) }
	for n := keep - 1; n >= 1; n-- {
		if err := os.Rename(numbered(n), numbered(n+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(path, numbered(1))
}

func (s *Supervisor) logPath(name string) string { return filepath.Join(s.logDir, name+".log") }
