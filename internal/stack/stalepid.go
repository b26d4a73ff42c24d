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

	"mailmirror/internal/fault"
)

// clearStalePID removes a postmaster.pid whose process number was given to
// another process meanwhile, as happens in every restarted container: then
// PostgreSQL would refuse to start for ever. All other cases are left to
// PostgreSQL, which knows best whether its predecessor is really gone; above
// all the file must stay while a process of a killed predecessor is still
// attached to the shared memory that the file names.
func (c *cluster) clearStalePID(context.Context) error {
	path := filepath.Join(c.dataDir(), "postmaster.pid")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// Line 1 is the pid, line 7 "key id" of the shared memory segment
	// (src/include/utils/pidfile.h).
	const pidLine, segmentLine = 0, 6
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[pidLine]))
	if err != nil {
		return nil
	}
	argv, err := commandLine(pid)
	if err != nil {
		return nil // no such process
	}
	if slices.Contains(argv, c.dataDir()) {
		return fault.New(fault.Conflict, "start postgres",
			fmt.Errorf("another server, pid %d, runs on %s", pid, c.dataDir()), "stop it first")
	}
	if len(lines) > segmentLine {
		if fields := strings.Fields(lines[segmentLine]); len(fields) == 2 && segmentInUse(fields[1]) {
			return nil
		}
	}
	return os.Remove(path)
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
