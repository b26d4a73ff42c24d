// Package system runs `mailmirror up` and gives it commands by its command line, as an
// operator would. It must not know the product's packages.
package system

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mailmirror/test/servers"
)

// System is a running `mailmirror up`, and the command line that finds it.
type System struct {
	program string
	data    string
	up      *exec.Cmd
	done    chan error
	webUI   string
}

// WebUI is the address of Temporal's Web UI.
func (s *System) WebUI() string { return s.webUI }

// Done gets an error when `mailmirror up` has ended.
func (s *System) Done() <-chan error { return s.done }

// Start runs `mailmirror up` from the folder bin, with its files below data, and returns
// when it says that it serves. args are further flags of it.
func Start(ctx context.Context, bin, data string, args ...string) (*System, error) {
	if err := os.MkdirAll(data, 0o711); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(data, "up.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s := &System{program: filepath.Join(bin, "mailmirror"), data: data, done: make(chan error, 1)}
	s.up = exec.Command(s.program, append([]string{"up", "--data", data, "-o", "json"}, args...)...)
	s.up.Stderr = log
	// In a group of its own, so that Ctrl-C reaches it once, from us.
	s.up.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	ready, err := s.up.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := servers.Start(s.up); err != nil {
		return nil, err
	}
	answer := make(chan error, 1)
	go func() {
		var info struct {
			WebUI string `json:"web_ui_url"`
		}
		err := json.NewDecoder(ready).Decode(&info)
		s.webUI = info.WebUI
		answer <- err
		_, _ = io.Copy(io.Discard, ready)
		s.done <- s.up.Wait()
	}()
	select {
	case err := <-answer:
		if err != nil {
			return nil, fmt.Errorf("mailmirror up did not start:\n%s", lastLines(log.Name()))
		}
		return s, nil
	case <-ctx.Done():
		return s, ctx.Err()
	}
}

// Show runs a command as it stands, with its output for everybody to see.
func (s *System) Show(ctx context.Context, args ...string) error {
	fmt.Println("  $ mailmirror " + strings.Join(args, " "))
	cmd := s.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// Capture runs a command and returns what it prints to standard output.
func (s *System) Capture(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Stdout = &out
	err := cmd.Run()
	return out.String(), err
}

func (s *System) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.program, args...)
	cmd.Env = append(os.Environ(), "MAILMIRROR_DATA="+s.data)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// Stop ends the system in order and waits for it.
func (s *System) Stop() error {
	switch err := s.up.Process.Signal(syscall.SIGTERM); {
	case errors.Is(err, os.ErrProcessDone):
		return nil
	case err != nil:
		return fmt.Errorf("stop mailmirror up: %w", err)
	}
	select {
	case err := <-s.done:
		return err
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("mailmirror up (pid %d) does not stop", s.up.Process.Pid)
	}
}

func lastLines(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	var last struct {
		Error struct{ Message, Hint string }
	}
	if json.Unmarshal([]byte(lines[len(lines)-1]), &last) == nil && last.Error.Message != "" {
		lines[len(lines)-1] = "mailmirror: " + last.Error.Message + "\nhint: " + last.Error.Hint
	}
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
