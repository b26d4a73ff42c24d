// Package meter measures what processes use: CPU seconds and memory of whole
// process trees, read from Linux's /proc. It owns the reading of /proc and the
// arithmetic; it must not know which tool it measures.
//
// CPU time counts children that have ended and were waited for, so servers
// that start a process per connection are counted in full. Memory is the
// proportional set size (PSS): a page shared by four processes counts once,
// not four times, so one big process and four small ones compare fairly.
package meter

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc (USER_HZ, fixed at 100 by Linux's
// interface for all architectures that Go runs on).
const tick = time.Second / 100

// Process is one line of the process table.
type Process struct {
	Pid, Parent, Group int
	Name               string        // of the executable, at most 15 bytes
	CPU                time.Duration // own and of ended children, user and system
}

// Table is the process table at one moment, by process id.
type Table map[int]Process

// ReadTable reads the process table. Processes that end meanwhile are left out.
func ReadTable() (Table, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	t := make(Table, len(paths))
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if p, ok := parseStat(b); ok {
			t[p.Pid] = p
		}
	}
	return t, nil
}

// parseStat reads /proc/<pid>/stat (proc(5)): pid (name) state ppid pgrp …,
// where the name may hold blanks and brackets; utime, stime, cutime and cstime
// are fields 14 to 17.
func parseStat(b []byte) (Process, bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:open])))
	f := strings.Fields(string(b[end+1:]))
	if err != nil || len(f) < 15 {
		return Process{}, false
	}
	p := Process{Pid: pid, Name: string(b[open+1 : end])}
	p.Parent, _ = strconv.Atoi(f[1]) // the kernel writes numbers
	p.Group, _ = strconv.Atoi(f[2])
	for _, s := range f[11:15] {
		n, _ := strconv.ParseInt(s, 10, 64)
		p.CPU += time.Duration(n) * tick
	}
	return p, true
}

// Below returns root and all its living descendants.
func (t Table) Below(root int) []Process {
	children := map[int][]int{}
	for pid, p := range t {
		children[p.Parent] = append(children[p.Parent], pid)
	}
	var out []Process
	queue := []int{root}
	for len(queue) > 0 {
		pid := queue[0]
		queue = queue[1:]
		if p, ok := t[pid]; ok {
			out = append(out, p)
			queue = append(queue, children[pid]...)
		}
	}
	return out
}

// InGroup returns the living processes of a process group.
func (t Table) InGroup(group int) []Process {
	var out []Process
	for _, p := range t {
		if p.Group == group {
			out = append(out, p)
		}
	}
	return out
}

// CPU is the sum of what the processes have used.
func CPU(processes []Process) time.Duration {
	var sum time.Duration
	for _, p := range processes {
		sum += p.CPU
	}
	return sum
}

// MachineBusy is the CPU time that all processors together have spent working
// since the machine started, or idle when busy is false.
func machineTimes() (busy, idle time.Duration, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, fmt.Errorf("read processor times: %w", err)
	}
	return parseMachine(b)
}

// parseMachine reads the first line of /proc/stat: cpu user nice system idle
// iowait irq softirq steal ….
func parseMachine(b []byte) (busy, idle time.Duration, err error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("read processor times: unexpected %.40q", line)
	}
	for i, s := range f[1:9] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("read processor times: %w", err)
		}
		if i == 3 || i == 4 {
			idle += time.Duration(n) * tick
		} else {
			busy += time.Duration(n) * tick
		}
	}
	return busy, idle, nil
}

// Busy is the CPU time that all processors together have worked so far.
func Busy() (time.Duration, error) {
	busy, _, err := machineTimes()
	return busy, err
}
