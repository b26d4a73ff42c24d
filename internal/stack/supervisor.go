package stack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// Restart delays of a child that died: exponential from restartBase, capped,
// each drawn at random from its upper half, and back to the start once a run
// has served for healthyAfter.
const (
	restartBase  = 200 * time.Millisecond
	restartCap   = 30 * time.Second
	healthyAfter = 30 * time.Second
	keptLogs     = 5
	// tailBytes is how much of a child's output an error about its start quotes.
	tailBytes = 2048
)

// Supervisor keeps child processes running. Every child is started again when
// it dies, says so in the log, and is stopped in the reverse order of its
// start. The zero value is not usable; see NewSupervisor.
type Supervisor struct {
	runDir, logDir string
	logger         *slog.Logger
	spawner        *spawner

	mu       sync.Mutex
	children []*supervised
}

// supervised is a child with its keeper.
type supervised struct {
	child Child
	// stop asks the keeper to stop the child; hurry, set before, is closed when it has
	// been patient long enough.
	stop  context.CancelFunc
	hurry <-chan struct{}
	// kept is closed when the keeper has ended, and the process with it.
	kept chan struct{}

	mu     sync.Mutex
	pid    int
	since  time.Time
	starts int
}

// ChildInfo is what is known of one running child.
type ChildInfo struct {
	Name string `json:"name"`
	// PID is 0 while the child is down and waits for its restart.
	PID int `json:"pid"`
	// Since is when the present process was started.
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
}

// NewSupervisor returns a supervisor that keeps pid files in runDir and the
// children's output in logDir; both must exist. First it ends what an earlier
// supervisor on the same runDir left behind.
func NewSupervisor(runDir, logDir string, logger *slog.Logger) (*Supervisor, error) {
	s := &Supervisor{runDir: runDir, logDir: logDir, logger: logger}
	if err := s.clearLeftovers(); err != nil {
		return nil, err
	}
	s.spawner = newSpawner()
	return s, nil
}

// clearLeftovers stops recorded processes that are still alive: all at once,
// since each of them already lost its parent.
func (s *Supervisor) clearLeftovers() error {
	records, err := readPIDRecords(s.runDir)
	if err != nil {
		return fmt.Errorf("read pid files: %w", err)
	}
	results := make([]error, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() {
			if r.alive() {
				s.logger.Warn("stopping leftover of an earlier run", "child", r.Name, "pid", r.PID)
				if results[i] = r.stop(); results[i] != nil {
					return
				}
			}
			results[i] = os.Remove(pidFile(s.runDir, r.Name))
		})
	}
	wg.Wait()
	return errors.Join(results...)
}

// Start starts a child and returns when it is ready; from then on it is kept
// running until Stop. When it does not become ready it is stopped again, and
// the error quotes the end of what it printed.
func (s *Supervisor) Start(ctx context.Context, child Child) error {
	if err := rotateLogs(s.logPath(child.Name), keptLogs); err != nil {
		return fmt.Errorf("rotate log of %s: %w", child.Name, err)
	}
	k := &supervised{child: child, kept: make(chan struct{})}
	var p *process
	var err error
	for attempt := 1; ; attempt++ {
		if p, err = s.run(ctx, k); err == nil {
			break
		}
		if attempt >= child.StartAttempts || ctx.Err() != nil || !sleep.For(ctx, backOff(attempt)) {
			return s.startFailure(child.Name, err)
		}
	}
	keeping, stop := context.WithCancel(context.WithoutCancel(ctx)) // it lives until Stop
	k.stop = stop
	s.mu.Lock()
	s.children = append(s.children, k)
	s.mu.Unlock()
	go s.keep(keeping, k, p)
	return nil
}

// startFailure adds the end of the child's log to err.
func (s *Supervisor) startFailure(name string, err error) error {
	hint := "see " + s.logPath(name)
	if tail := logTail(s.logPath(name)); tail != "" {
		hint += ", which ends in:\n" + tail
	}
	return fault.New(fault.Transient, "start "+name, err, hint)
}

// run starts one process of the child and waits until it is ready; on failure
// the process is gone when run returns.
func (s *Supervisor) run(ctx context.Context, k *supervised) (*process, error) {
	if k.child.Prepare != nil {
		if err := k.child.Prepare(ctx); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	var socket string
	var notified <-chan struct{}
	if k.child.Ready == nil {
		l, err := listenNotify()
		if err != nil {
			return nil, err
		}
		defer l.close()
		socket, notified = l.address(), l.ready
	}
	p, err := s.launch(k.child, socket)
	if err != nil {
		return nil, err
	}
	if err := p.awaitReady(ctx, notified); err != nil {
		p.stop(ctx.Done())
		return nil, err
	}
	k.set(p.pid, p.begun)
	s.logger.InfoContext(ctx, "child ready", "child", k.child.Name, "pid", p.pid,
		"after", time.Since(p.begun).Round(time.Millisecond))
	return p, nil
}

// keep watches over a child until it is told to stop.
func (s *Supervisor) keep(ctx context.Context, k *supervised, p *process) {
	defer close(k.kept)
	defer k.stop()
	failures := 0
	for {
		select {
		case <-ctx.Done():
			p.stop(k.hurry)
			s.logger.InfoContext(ctx, "child stopped", "child", k.child.Name, "pid", p.pid, "status", p.status)
			_ = os.Remove(pidFile(s.runDir, k.child.Name)) // a stale one is recognised anyway
			return
		case <-p.ended:
		}
		uptime := time.Since(p.begun)
		if uptime >= healthyAfter {
			failures = 0
		}
		k.set(0, time.Time{})
		var ok bool
		if p, ok = s.revive(ctx, k, p, uptime, &failures); !ok {
			return
		}
	}
}

// revive starts a dead child again, as often as it takes; false means that
// Stop was called before it served.
func (s *Supervisor) revive(ctx context.Context, k *supervised, dead *process, uptime time.Duration, failures *int) (*process, bool) {
	next := func() time.Duration {
		*failures++
		return backOff(*failures)
	}
	delay := next()
	s.logger.WarnContext(ctx, "child died", "child", k.child.Name, "pid", dead.pid, "status", dead.status,
		"uptime", uptime.Round(time.Millisecond), "restart_in", delay.Round(time.Millisecond))
	for sleep.For(ctx, delay) {
		p, err := s.run(ctx, k)
		if err == nil {
			return p, true
		}
		if ctx.Err() != nil {
			break
		}
		delay = next()
		s.logger.WarnContext(ctx, "child did not start again", "child", k.child.Name, "error", err,
			"restart_in", delay.Round(time.Millisecond))
	}
	return nil, false
}

// Stop stops all children, the last started first, and ends the supervisor.
// When ctx ends, those that are left are killed at once.
func (s *Supervisor) Stop(ctx context.Context) {
	s.mu.Lock()
	children := s.children
	s.children = nil
	s.mu.Unlock()
	for _, k := range slices.Backward(children) {
		k.hurry = ctx.Done()
		k.stop()
		<-k.kept
	}
	if s.spawner != nil {
		s.spawner.close()
		s.spawner = nil
	}
}

// Children returns the children in the order of their start.
func (s *Supervisor) Children() []ChildInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]ChildInfo, 0, len(s.children))
	for _, k := range s.children {
		k.mu.Lock()
		infos = append(infos, ChildInfo{Name: k.child.Name, PID: k.pid, Since: k.since, Restarts: k.starts - 1})
		k.mu.Unlock()
	}
	return infos
}

func (k *supervised) set(pid int, since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pid, k.since = pid, since
	if pid != 0 {
		k.starts++
	}
}

// backOff returns the delay before the nth start in a row that follows a
// failure, n from 1.
func backOff(n int) time.Duration {
	delay := restartCap
	if shift := n - 1; shift < 16 {
		delay = min(restartCap, restartBase<<shift)
	}
	return delay/2 + rand.N(delay/2)
}

// logTail returns the last lines of a log, or "".
func logTail(path string) string {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-tailBytes), io.SeekStart)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	if _, rest, cut := bytes.Cut(b, []byte("\n")); cut && len(b) == tailBytes {
		b = rest // the first line is a fragment
	}
	return strings.TrimSpace(string(b))
}
