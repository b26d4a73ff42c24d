package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailmirror/test/bench/meter"
	"mailmirror/test/servers"
)

// latencyFigures are what was measured of one way.
type latencyFigures struct {
	way
	rate          float64 // deposits a second
	before, after string  // load average
	// From the end of the deposit to readable on DR, from the server's
	// announcement to that, and from the deposit to the announcement.
	deposit, event, server []time.Duration
	// MB of a worker that listens to no mailbox, and to all; and of production's
	// processes meanwhile.
	idle, worker, processes float64
}

// latencyTable is the result as Markdown.
func latencyTable(o latencyOptions, all []latencyFigures) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d mailboxes, %d deposits of 20 kB, %d at a time; %d processors for both stores, PostgreSQL, Temporal, the worker and the depositors. "+
		"Milliseconds: median / 90th percentile / 99th / worst.\n\n", o.mailboxes, o.deposits, o.streams, runtime.NumCPU())
	out.WriteString("| production, events | deposits/s | announced after the deposit | from the announcement to readable on DR | from the deposit to readable on DR | load average before, after |")
	if o.memory > 0 {
		fmt.Fprintf(&out, " worker MB: no mailbox, %d listened to | production's processes MB meanwhile |", o.memory)
	}
	out.WriteString("\n| --- | --: | --: | --: | --: | --- |")
	if o.memory > 0 {
		out.WriteString(" --: | --: |")
	}
	out.WriteString("\n")
	for _, f := range all {
		fmt.Fprintf(&out, "| %s | %.1f | %s | %s | %s | %s, %s |", f.way, f.rate, distribution(f.server, o.deposits), distribution(f.event, o.deposits),
			distribution(f.deposit, o.deposits), f.before, f.after)
		if o.memory > 0 {
			fmt.Fprintf(&out, " %.0f, %.0f | %.0f |", f.idle, f.worker, f.processes)
		}
		out.WriteString("\n")
	}
	out.WriteString("\n" + targetLines(latencyTargets(o, all)))
	return out.String()
}

// percentile is the p-th of so many times, p from 0 to 1, of which those that are
// missing are longer than any other; false where it is one of the missing.
func percentile(times []time.Duration, of int, p float64) (time.Duration, bool) {
	at := min(int(p*float64(of)), of-1)
	if at < 0 || at >= len(times) {
		return 0, false
	}
	return slices.Sorted(slices.Values(times))[at], true
}

// distribution tells percentiles, and of how many where some are missing.
func distribution(times []time.Duration, of int) string {
	if len(times) == 0 {
		return "–"
	}
	at := func(p float64) int64 {
		got, _ := percentile(times, len(times), p)
		return got.Milliseconds()
	}
	text := fmt.Sprintf("%d / %d / %d / %d", at(0.5), at(0.9), at(0.99), at(1))
	if len(times) < of {
		text += fmt.Sprintf(" (of %d)", len(times))
	}
	return text
}

func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(b))[0]
}

// measureMemory has more mailboxes take part and measures a worker that does
// nothing but listen to them: one that has just been started.
func (l *latency) measureMemory(ctx context.Context, f *latencyFigures) error {
	if more := l.known[len(l.numbers):l.memory]; len(more) > 0 {
		if err := l.join(ctx, more); err != nil {
			return err
		}
		l.numbers = l.known[:l.memory]
	}
	// A worker that is told to stop hands its listening on at once.
	pid, err := l.workerPid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the worker: %w", err)
	}
	l.say("listening to %d mailboxes", len(l.numbers))
	if err := l.awaitListening(ctx, pid); err != nil {
		return err
	}
	if _, err := meter.AwaitIdle(ctx, 20*time.Second); err != nil {
		return err
	}
	f.processes = l.serverMemory()
	f.worker, err = l.workerMemory()
	return err
}

// workerMemory is in MB.
func (l *latency) workerMemory() (float64, error) {
	pid, err := l.workerPid()
	return float64(meter.PSS(pid)) / 1e6, err
}

func (l *latency) workerPid() (int, error) {
	table, err := meter.ReadTable()
	if err != nil {
		return 0, err
	}
	for _, p := range l.mm.residents(table).tool {
		if strings.HasPrefix(p.Name, "mailmirror-work") {
			return p.Pid, nil
		}
	}
	return 0, errors.New("find the worker: there is none")
}

// serverMemory is that of all processes of production, in MB.
func (l *latency) serverMemory() float64 {
	table, err := meter.ReadTable()
	if err != nil {
		return 0
	}
	group := 0
	switch s := l.source.(type) {
	case *servers.Dovecot:
		group = s.Pid()
	case *servers.Cyrus:
		group = s.Pid()
	}
	sum := int64(0)
	for _, p := range table.InGroup(group) {
		sum += meter.PSS(p.Pid)
	}
	return float64(sum) / 1e6
}
