package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long an orderly stop may take before the rest of the
// instance is killed.
const stopGrace = 10 * time.Second

// account is the unprivileged user that an instance runs as. When the caller
// is not root it is the caller itself.
type account struct {
	name, group string
	uid, gid    int
	self        bool // the caller's own account: no change of user is needed
}

// findAccount returns the caller's account or, for root, the first of the
// candidates that exists on this machine.
func findAccount(candidates ...string) (account, error) {
	if os.Getuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return account{}, fmt.Errorf("look up own account: %w", err)
		}
		return newAccount(u, true)
	}
	for _, name := range candidates {
		if u, err := user.Lookup(name); err == nil {
			return newAccount(u, false)
		}
	}
	return account{}, fmt.Errorf("find an account to run the server as: none of %s exists (is the package installed?)",
		strings.Join(candidates, ", "))
}

func newAccount(u *user.User, self bool) (account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return account{}, fmt.Errorf("parse user id of %s: %w", u.Username, err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("parse group id of %s: %w", u.Username, err)
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return account{}, fmt.Errorf("look up group of %s: %w", u.Username, err)
	}
	return account{name: u.Username, group: g.Name, uid: uid, gid: gid, self: self}, nil
}

// makeDir creates a folder that belongs to the account.
func (a account) makeDir(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	return a.own(path)
}

// writeFile replaces a file of the account in one step, so that a server that
// reads it meanwhile sees the old content or the new, never a part.
func (a account) writeFile(path string, content []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	if err := a.own(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("replace file: %w", err)
	}
	return nil
}

func (a account) own(path string) error {
	if a.self {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("hand over to %s: %w", a.name, err)
	}
	return nil
}

// apply makes the command run as the account.
func (a account) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if !a.self {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// checkReach reports the first folder on the way to dir that the account may
// not enter. The servers' own messages about it are hard to understand.
func (a account) checkReach(dir string) error {
	if a.self {
		return nil
	}
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return fmt.Errorf("check folder: %w", err)
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		mode := info.Mode().Perm()
		switch {
		case int(st.Uid) == a.uid && mode&0o100 != 0:
		case int(st.Gid) == a.gid && mode&0o010 != 0:
		case mode&0o001 != 0:
		default:
			return fmt.Errorf("check folder: user %s may not enter %s (mode %04o); choose another folder or allow it with chmod o+x", a.name, p, mode)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// Start starts a command that may have a parent-death signal (Pdeathsig). The
// kernel sends that when the thread ends which forked, be the process alive or
// not, and the Go runtime ends threads; here it is one that never does.
func Start(cmd *exec.Cmd) error {
	s := spawn{cmd, make(chan error, 1)}
	spawner() <- s
	return <-s.started
}

type spawn struct {
	cmd     *exec.Cmd
	started chan error
}

var spawner = sync.OnceValue(func() chan<- spawn {
	spawns := make(chan spawn)
	go startAll(spawns)
	return spawns
})

// startAll runs as long as the process. It has a name for goleak to leave it out.
func startAll(spawns <-chan spawn) {
	runtime.LockOSThread()
	for s := range spawns {
		s.started <- s.cmd.Start()
	}
}

// process is one running server: a master process and everything it started,
// all in one process group of their own.
type process struct {
	pid  int
	rest int           // how many processes linger in an orderly stop when all that write have ended
	done chan struct{} // closed when the master has ended and was reaped
}

// startProcess runs argv as the account, in a process group of its own, with
// standard output and error appended to logPath. The group gets SIGTERM when
// the calling process dies, so that an aborted test leaves nothing behind.
func startProcess(a account, dir, logPath string, env []string, argv ...string) (*process, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	defer log.Close()
	if err := a.own(logPath); err != nil {
		return nil, err
	}
	// The Go runtime gives children the soft limit of open files it was
	// started with; the servers need the hard one for thousands of log-ins.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `ulimit -n "$(ulimit -Hn)"; exec "$@"`, "sh"}, argv...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir}, env...)
	a.apply(cmd)
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGTERM
	if err := Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	p := &process{pid: cmd.Process.Pid, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in the log; that it ended is what counts
		close(p.done)
	}()
	return p, nil
}

// stop ends the server in order, by force when that takes too long.
func (p *process) stop() error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop server %d: %w", p.pid, err)
	}
	// Whoever is left after the grace, or lingers only, is killed either way.
	_ = p.awaitGroup(stopGrace, p.rest)
	return p.kill9()
}

// kill9 sends SIGKILL to the master and all its children at once and returns
// when none of them is left.
func (p *process) kill9() error {
	if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill server group %d: %w", p.pid, err)
	}
	<-p.done
	return p.awaitGroup(stopGrace, 0)
}

// awaitGroup waits until no more than rest processes of the group are alive. There is no
// event for the end of a process that is not our child, hence the polling.
func (p *process) awaitGroup(limit time.Duration, rest int) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(2 * time.Millisecond) {
		left := groupMembers(p.pid)
		if len(left) <= rest {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("await end of server group %d: still running %v", p.pid, left)
		}
	}
}

// groupMembers lists the live processes of a process group. Zombies do not
// count: they hold nothing, and who adopts them reaps them when it likes.
func groupMembers(pgid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is constant and valid
	var pids []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		// pid (name) state ppid pgrp …; the name may hold blanks and brackets.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) > 2 && string(f[0]) != "Z" && string(f[2]) == strconv.Itoa(pgid) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// instance is what all kinds of server share: one process at a time and the
// address that it answers on.
type instance struct {
	account  account
	logPath  string
	addr     string
	tls      bool // the address expects TLS from the first byte
	launch   func() (*process, error)
	greets   func(ctx context.Context, addr string, tls bool) error // nil: by IMAP
	cleanup  []string                                               // folders made for this instance only, removed by Stop
	mu       sync.Mutex
	proc     *process
	stopped  bool
	startDur time.Duration
}

// Addr is the server's address, "127.0.0.1:port". It stays the same over Restart.
func (s *instance) Addr() string { return s.addr }

// LogPath is the server's log file.
func (s *instance) LogPath() string { return s.logPath }

// StartTime is how long the last start took until the first greeting.
func (s *instance) StartTime() time.Duration { return s.startDur }

// Pid is the master's process id, also the id of the process group, or 0 when
// the server is down.
func (s *instance) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.pid
}

// startAnywhere starts on the wished port or, if that is 0, on a free one, and
// tries again when somebody else was faster to take it. prepare is called with
// the port before every try; addr is set by then.
func (s *instance) startAnywhere(ctx context.Context, wished int, prepare func(port int) error) error {
	for attempt := 1; ; attempt++ {
		port := wished
		if port == 0 {
			free, err := freePort()
			if err != nil {
				return err
			}
			port = free
		} else if err := PortFree(port); err != nil {
			return err // its holder would be mistaken for this server
		}
		s.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if err := prepare(port); err != nil {
			return err
		}
		err := s.start(ctx)
		if err == nil || wished != 0 || attempt == 3 || !errors.Is(err, errEnded) {
			return err
		}
	}
}

// Kill9 kills every process of the instance with SIGKILL, as a power failure
// would. Restart brings the instance back with what it has on disk.
func (s *instance) Kill9() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.proc.kill9()
	s.proc = nil
	return err
}

// Restart starts the server again on the same address with the same data, in
// order if it is running, otherwise after a Kill9 or an own crash.
func (s *instance) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("restart server: it was stopped for good")
	}
	if s.proc != nil {
		if err := s.proc.stop(); err != nil {
			return err
		}
		s.proc = nil
	}
	return s.start(ctx)
}

// Stop ends the server in order and removes the folders that were made for it
// alone. It may be called more than once.
func (s *instance) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	var errs []error
	if s.proc != nil {
		errs = append(errs, s.proc.stop())
		s.proc = nil
	}
	for _, dir := range s.cleanup {
		errs = append(errs, os.RemoveAll(dir))
	}
	s.cleanup = nil
	return errors.Join(errs...)
}

// start launches the process and waits for a greeting. The caller holds mu or
// is the only one that knows the instance.
func (s *instance) start(ctx context.Context) error {
	begin := time.Now()
	p, err := s.launch()
	if err != nil {
		return err
	}
	greets := s.greets
	if greets == nil {
		greets = readGreeting
	}
	if err := awaitGreeting(ctx, p, s.addr, s.tls, greets); err != nil {
		return errors.Join(fmt.Errorf("%w\n%s", err, logTail(s.logPath)), p.kill9())
	}
	s.proc, s.startDur = p, time.Since(begin)
	return nil
}

// StopAll stops those of some servers that were started: the others are nil.
func StopAll[S interface {
	comparable
	Stop() error
}](servers ...S) error {
	var none S
	var errs []error
	for _, s := range servers {
		if s != none {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(errs...)
}

// logTail returns the last lines of a server's log for an error text. These
// logs are the private test servers' own; they hold names, no mail.
func logTail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	end := lines[max(0, len(lines)-8):]
	// A Dovecot that is out of inotify instances may announce nothing from then on.
	for _, line := range lines[:len(lines)-len(end)] {
		if strings.Contains(line, "max_user_instances") {
			return line + "\n...\n" + strings.Join(end, "\n")
		}
	}
	return strings.Join(end, "\n")
}
