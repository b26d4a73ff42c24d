package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder says in words who listens on a TCP port of this machine, for
// instance `postgres (pid 812)`, or "an unknown process" when /proc does not
// show it to us.
func portHolder(port int) string {
	inodes := listeningInodes(port)
	if len(inodes) == 0 {
		return unknownHolder
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range descriptors {
		target, err := os.Readlink(path)
		if err != nil || !inodes[target] {
			continue
		}
		pid, err := strconv.Atoi(strings.Split(path, "/")[2])
		if err != nil {
			continue
		}
		name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			name = []byte("process")
		}
		return fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
	}
	return unknownHolder
}

const unknownHolder = "an unknown process"

// listeningInodes returns the sockets that listen on the port, in the form in
// which /proc/PID/fd names them. The tables are described in proc_net_tcp of
// the kernel's documentation: local address, state and inode are columns 1, 3
// and 9, numbers are hexadecimal, state 0A is LISTEN.
func listeningInodes(port int) map[string]bool {
	const localColumn, stateColumn, inodeColumn = 1, 3, 9
	found := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6, or no /proc
		}
		for line := range strings.Lines(string(b)) {
			fields := strings.Fields(line)
			if len(fields) <= inodeColumn || fields[stateColumn] != "0A" {
				continue
			}
			_, hexPort, _ := strings.Cut(fields[localColumn], ":")
			if n, err := strconv.ParseUint(hexPort, 16, 16); err == nil && int(n) == port {
				found["socket:["+fields[inodeColumn]+"]"] = true
			}
		}
	}
	return found
}
