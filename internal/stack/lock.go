package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// dirLock is held by the one `up` of a data directory for as long as it lives.
//
// It is an open-file-description lock (fcntl(2), F_OFD_SETLK): like flock it
// goes away with its owner however that dies, and unlike flock others can ask
// who has it without taking it for a moment themselves, which would make an
// `up` that starts just then fail.
type dirLock struct{ file *os.File }

func wholeFile(kind int16) *unix.Flock_t { return &unix.Flock_t{Type: kind} }

// dyingPatience is how long an owner that was killed may take to let go.
const dyingPatience = 10 * time.Second

// killPatience is how long an owner that looks alive is waited for all the same:
// on a busy machine a process that was killed runs on paper for a while.
const killPatience = 3 * time.Second

// takeLock locks the file at path or says who has it. An owner that is just
// ending, because it was killed, is waited for.
func takeLock(ctx context.Context, path string) (*dirLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	began := time.Now()
	for {
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, wholeFile(unix.F_WRLCK))
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			break
		}
		b, _ := os.ReadFile(path)
		owner := strings.TrimSpace(string(b))
		patience := killPatience
		if ending(owner) {
			patience = dyingPatience
		}
		if time.Since(began) < patience && sleep.For(ctx, probeInterval) {
			continue
		}
		f.Close()
		return nil, fault.New(fault.Conflict, "lock data directory",
			fmt.Errorf("already in use by mailmirror up, pid %s", owner),
			"one data directory runs one stack: stop the other, or choose another --data directory")
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &dirLock{file: f}, nil
}

// ending reports whether a process, given as its decimal pid, is gone or about
// to be: the kernel takes its command line away first.
func ending(owner string) bool {
	pid, err := strconv.Atoi(owner)
	if err != nil {
		return false
	}
	argv, err := commandLine(pid)
	return err != nil || slices.Equal(argv, []string{""})
}

func (l *dirLock) release() { _ = l.file.Close() }

// locked reports whether somebody holds the lock at path.
func locked(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	probe := wholeFile(unix.F_WRLCK)
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, probe); err != nil {
		return false, fmt.Errorf("query lock %s: %w", path, err)
	}
	return probe.Type != unix.F_UNLCK, nil
}
