package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mailmirror/test/bench/meter"
	"mailmirror/test/servers"
)

const (
	benchLink  = "dr"
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// mailmirror is run as an operator runs it: `mailmirror up` keeps PostgreSQL,
// Temporal and the worker running, everything else is the command line.
type mailmirror struct {
	binaries string
	data     string // of `mailmirror up`
	config   string
	up       *exec.Cmd
	ended    chan struct{} // closed when up has ended
}

func (*mailmirror) name() string { return toolMailmirror }

func (*mailmirror) how(parallel int) string {
	return fmt.Sprintf("`mailmirror up` with worker.mailboxes = %d, then `mailmirror compare LINK --wait`, timed from the command's start to its end; "+
		"since the others do not listen for changes, it does not either: production is polled daily, and the sweep is paused", parallel)
}

func (m *mailmirror) program() string { return filepath.Join(m.binaries, "mailmirror") }

func (m *mailmirror) available() error {
	_, err := exec.LookPath(m.program())
	return err
}

func (*mailmirror) usesShared() bool { return true }

func (m *mailmirror) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, m.program(), append(args, "--data", m.data, "--config", m.config)...)
}

// run runs one command of the CLI that is not measured.
func (m *mailmirror) run(ctx context.Context, args ...string) error {
	out, err := m.command(ctx, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mailmirror %s: %w: %s", strings.Join(args[:2], " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (m *mailmirror) prepare(ctx context.Context, r *rig) error {
	m.data, m.config = filepath.Join(r.dir, "mailmirror"), filepath.Join(r.dir, "mailmirror.toml")
	settings := fmt.Sprintf("[worker]\nmailboxes = %d\n", r.parallel)
	if err := os.WriteFile(m.config, []byte(settings), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(mailboxList(r), []byte(strings.Join(r.mailboxes, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("write list of mailboxes: %w", err)
	}
	if err := m.start(ctx, filepath.Join(r.dir, "mailmirror.log")); err != nil {
		return err
	}
	for name, d := range map[string]*servers.Dovecot{"production": r.source, "standby": r.target} {
		if err := m.addStore(ctx, r, name, d); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"store", "edit", "production", "--events", "poll", "--poll-every", "24h"},
		{"link", "add", benchLink, "--source", "production", "--target", "standby"},
		{"schedule", "pause", "sweep"},
	} {
		if err := m.run(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func mailboxList(r *rig) string { return filepath.Join(r.dir, "mailboxes") }

func (m *mailmirror) addStore(ctx context.Context, r *rig, name string, d *servers.Dovecot) error {
	password := filepath.Join(r.dir, name+".password")
	if err := os.WriteFile(password, []byte(d.TrustedPassword()), 0o600); err != nil {
		return fmt.Errorf("write password file: %w", err)
	}
	return m.run(ctx, "store", "add", name, "--imap", d.Addr(), "--imap-security", "none", "--login", "authzid",
		"--trusted-name", d.TrustedName(), "--trusted-password-file", password)
}

// readyLine is what `mailmirror up` prints first once everything serves.
const readyLine = "mailmirror is up"

// start runs `mailmirror up` on free ports and returns when it says that it is up.
func (m *mailmirror) start(ctx context.Context, logPath string) error {
	log, err := os.Create(logPath)
	if err != nil {
		return fmt.Errorf("create log: %w", err)
	}
	args := []string{"up", "--data", m.data, "--config", m.config}
	for _, port := range []string{"postgres", "temporal", "temporal-ui", "temporal-history", "temporal-matching", "temporal-worker", "metrics"} {
		args = append(args, "--"+port+"-port", "0")
	}
	ready := make(chan struct{})
	m.up = exec.Command(m.program(), args...) //nolint:gosec // ended by close, in order
	m.up.Stdout, m.up.Stderr = &lineWaiter{to: log, line: readyLine, seen: ready}, log
	// A group of its own: Ctrl-C reaches it through close alone, after what is
	// under way has ended.
	m.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.up.Start(); err != nil {
		return errors.Join(fmt.Errorf("start mailmirror: %w", err), log.Close())
	}
	m.ended = make(chan struct{})
	go func() {
		_ = m.up.Wait() // how it ended stands in its log
		_ = log.Close()
		close(m.ended)
	}()
	select {
	case <-ready:
		return nil
	case <-m.ended:
		return fmt.Errorf("start mailmirror: it ended by itself: %s", lastLine(logPath))
	case <-time.After(startLimit):
		return fmt.Errorf("start mailmirror: not up after %s: %s", startLimit, lastLine(logPath))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lineWaiter passes everything on and closes seen when line came by.
type lineWaiter struct {
	to   io.Writer
	line string
	seen chan struct{}
	text []byte // until the line was seen
	done bool
}

func (w *lineWaiter) Write(p []byte) (int, error) {
	if !w.done {
		w.text = append(w.text, p...)
		if bytes.Contains(w.text, []byte(w.line)) {
			w.done, w.text = true, nil
			close(w.seen)
		}
	}
	return w.to.Write(p)
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func (m *mailmirror) section(ctx context.Context, r *rig, c benchCase) (section, error) {
	s := section{
		rig:      r,
		commands: []*exec.Cmd{m.command(ctx, "compare", benchLink, "--wait")},
		running:  m.residents,
	}
	// What joins a link is read once. That is over, and does not lead to a sync,
	// when the clock starts; but a single mailbox is synced for it, so that it
	// joins at the last moment.
	join := func() error { return m.run(ctx, "mailbox", "add", benchLink, "--file", mailboxList(r)) }
	switch c {
	case caseInitial:
		return s, join()
	case caseLarge:
		s.before = join
	case caseUnchanged, caseChange, caseMany, caseShared:
	}
	return s, nil
}

// residents sorts what runs below `mailmirror up` by executable. The names are
// those of the process table, 15 bytes long at most.
func (m *mailmirror) residents(t meter.Table) residents {
	var out residents
	for _, p := range t.Below(m.up.Process.Pid) {
		switch {
		case strings.HasPrefix(p.Name, "postgres"):
			out.postgres = append(out.postgres, p)
		case strings.HasPrefix(p.Name, "mailmirror-temp"):
			out.temporal = append(out.temporal, p)
		default:
			out.tool = append(out.tool, p)
		}
	}
	return out
}

// close ends `up` in order.
func (m *mailmirror) close() error {
	if m.ended == nil {
		return nil
	}
	if err := m.up.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop mailmirror: %w", err)
	}
	select {
	case <-m.ended:
		return nil
	case <-time.After(stopLimit):
		return errors.Join(fmt.Errorf("stop mailmirror: still running after %s", stopLimit), m.up.Process.Kill())
	}
}
