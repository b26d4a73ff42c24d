package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/sleep"
)

// predecessorPatience is how long the processes of a killed server may take to
// notice that their postmaster is gone; those in the middle of a query do so
// at its end.
const predecessorPatience = 30 * time.Second

// settlePredecessor deals with what a server that was killed left behind.
//
// Its processes may outlive it for a moment, attached to the shared memory that
// postmaster.pid names, and PostgreSQL refuses to start meanwhile: so they are
// waited for. And the pid in its lock files may belong to another process now,
// as happens in every restarted container, or to a zombie that nobody reaps;
// then PostgreSQL would refuse to start for ever, so the files are removed.
// They are never removed while somebody is attached: they are what keeps two
// servers off one cluster.
func (c *cluster) settlePredecessor(ctx context.Context) error {
	pidFile := filepath.Join(c.dataDir(), "postmaster.pid")
	lines, err := readLines(pidFile)
	if err != nil {
		return err
	}
	// Line 7 is "key id" of the segment (src/include/utils/pidfile.h); a server
	// that was killed early has not written it.
	const segmentLine = 6
	if len(lines) > segmentLine {
		if fields := strings.Fields(lines[segmentLine]); len(fields) == 2 && !awaitDetached(ctx, fields[1]) {
			return nil // PostgreSQL's to refuse
		}
	}
	socketLock := filepath.Join(c.socketDir, fmt.Sprintf(".s.PGSQL.%d.lock", c.port))
	return errors.Join(c.removeStaleLock(pidFile), c.removeStaleLock(socketLock))
}

// removeStaleLock removes a lock file of PostgreSQL, whose first line is a
// pid, unless that process is a server on our cluster.
func (c *cluster) removeStaleLock(path string) error {
	lines, err := readLines(path)
	if err != nil || len(lines) == 0 {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return nil //nolint:nilerr // a file without a pid is PostgreSQL's to complain about
	}
	if argv, err := commandLine(pid); err == nil && slices.Contains(argv, c.dataDir()) {
		return fault.New(fault.Conflict, "start postgres",
			fmt.Errorf("another server, pid %d, runs on %s", pid, c.dataDir()), "stop it first")
	}
	return os.Remove(path)
}

// readLines returns the lines of a file, none when there is no file.
func readLines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Split(string(b), "\n"), err
}

// awaitDetached waits until no process is attached to a shared memory segment;
// false means that some still are.
func awaitDetached(ctx context.Context, segment string) bool {
	ctx, cancel := context.WithTimeout(ctx, predecessorPatience)
	defer cancel()
	for segmentInUse(segment) {
		if !sleep.For(ctx, probeInterval) {
			return false
		}
	}
	return true
}

// segmentInUse reports whether processes are attached to the System V shared
// memory segment with this id. The columns of /proc/sysvipc/shm are named in
// its first line: shmid is the second, nattch the seventh. When it cannot be
// read the answer is yes, which is the safe one.
func segmentInUse(id string) bool {
	const idColumn, attachedColumn = 1, 6
	b, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) > attachedColumn && fields[idColumn] == id {
			return fields[attachedColumn] != "0"
		}
	}
	return false
}
