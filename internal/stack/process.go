package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// pidRecord is the content of a run/NAME.pid file: enough to recognise the
// very process again, after a restart of the supervisor or of the machine, and
// to stop it as its child specification would have.
type pidRecord struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// BootID and StartTicks make the PID unique: a number that was given out
	// again belongs to a process with another start time or another boot.
	BootID     string   `json:"boot_id"`
	StartTicks uint64   `json:"start_ticks"`
	Argv       []string `json:"argv"`
	// StopSignals are tried in turn, each for GraceSeconds.
	StopSignals  []int   `json:"stop_signals"`
	GraceSeconds float64 `json:"grace_seconds"`
}

// bootID identifies this run of the kernel; "" where /proc does not say.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// startTicks returns the start time of a process in clock ticks since boot:
// field 22 of /proc/PID/stat (proc(5)). The command name in field 2 may hold
// spaces and brackets, so counting starts behind the last bracket.
func startTicks(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const startTime = 22 - 3 // the first field behind the bracket is number 3
	if len(fields) <= startTime {
		return 0, fmt.Errorf("read /proc/%d/stat: too few fields", pid)
	}
	return strconv.ParseUint(fields[startTime], 10, 64)
}

// commandLine returns the arguments of a process as it was started.
func commandLine(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00"), nil
}

// newPIDRecord describes a process that was just started as argv.
func newPIDRecord(child Child, pid int) (pidRecord, error) {
	ticks, err := startTicks(pid)
	if err != nil {
		return pidRecord{}, err
	}
	r := pidRecord{
		Name: child.Name, PID: pid, BootID: bootID(), StartTicks: ticks,
		Argv: child.argv(), GraceSeconds: child.Grace.Seconds(),
	}
	for _, sig := range child.StopSignals {
		r.StopSignals = append(r.StopSignals, int(sig))
	}
	return r, nil
}

// alive reports whether the recorded process is the one that has the PID now.
// Anything that differs, or cannot be read, means that it is not ours. A
// process that is about to end has lost its command line but may still hold
// its ports, so that counts as alive.
func (r pidRecord) alive() bool {
	if r.PID <= 1 || r.BootID != bootID() {
		return false
	}
	if ticks, err := startTicks(r.PID); err != nil || ticks != r.StartTicks {
		return false
	}
	argv, err := commandLine(r.PID)
	return err == nil && (slices.Equal(argv, r.Argv) || slices.Equal(argv, []string{""}))
}

// stop ends the recorded process with its stop signals and at last SIGKILL,
// and returns when it is gone. It does nothing when the process is not alive.
// Signals go through a pidfd, so they can never reach a successor of the PID.
func (r pidRecord) stop() error {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", r.PID, err)
	}
	defer func() { _ = unix.Close(fd) }() // nothing is written by it
	// Looked at after the pidfd was opened, the answer is about that process.
	if !r.alive() {
		return nil
	}
	grace := time.Duration(r.GraceSeconds * float64(time.Second))
	for _, sig := range r.StopSignals {
		if gone, err := signalAndWait(fd, unix.Signal(sig), grace); gone || err != nil {
			return err
		}
	}
	const killWait = 10 * time.Second
	gone, err := signalAndWait(fd, unix.SIGKILL, killWait)
	if err == nil && !gone {
		err = fmt.Errorf("process %d (%s) does not end even after SIGKILL", r.PID, r.Name)
	}
	return err
}

// signalAndWait sends sig to the process behind a pidfd and waits for its end.
func signalAndWait(fd int, sig unix.Signal, patience time.Duration) (gone bool, err error) {
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); errors.Is(err, unix.ESRCH) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("send %s: %w", unix.SignalName(sig), err)
	}
	deadline := time.Now().Add(patience)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left.Milliseconds())+1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return false, fmt.Errorf("wait for process: %w", err)
		case n > 0:
			return true, nil
		}
	}
}

func pidFile(runDir, name string) string { return filepath.Join(runDir, name+".pid") }

func writePIDRecord(runDir string, r pidRecord) error {
	return writeJSON(pidFile(runDir, r.Name), r)
}

// readPIDRecords returns the records of a run directory; unreadable ones are
// left out, since a file that is no record names no process of ours.
func readPIDRecords(runDir string) ([]pidRecord, error) {
	paths, err := filepath.Glob(filepath.Join(runDir, "*.pid"))
	if err != nil {
		return nil, err
	}
	var records []pidRecord
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return nil, err
		}
		var r pidRecord
		if json.Unmarshal(b, &r) == nil && r.Name+".pid" == filepath.Base(path) {
			records = append(records, r)
		}
	}
	return records, nil
}

// writeJSON replaces a file atomically, readable by its owner only.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// writeFile replaces a file atomically and durably, readable by its owner only.
func writeFile(path string, content []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
