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
	mailboxes     int
	rate          float64 // deposits a second
	before, after string  // load average
	// From the end of the deposit to readable on DR, from the server's
	// announcement to that, and from the deposit to the announcement.
	deposit, event, server []time.Duration
	// MB of a worker that listens to none, and to so many mailboxes; and of the
	// server's processes that it listens by.
	idle, worker, processes float64
}

// latencyTable is the result as Markdown.
func latencyTable(o latencyOptions, all []latencyFigures) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d mailboxes, %d deposits of 20 kB, %d at a time; %d processors for both stores, PostgreSQL, Temporal, the worker and the depositors. "+
		"Milliseconds: median / 90th percentile / 99th / worst.\n\n", o.mailboxes, o.deposits, o.streams, runtime.NumCPU())
	out.WriteString("| production, events | deposits/s | announced after the deposit | from the announcement to readable on DR | from the deposit to readable on DR | load average before, after |")
	if o.memory > 0 {
		fmt.Fprintf(&out, " worker MB: no mailbox, %d listened to | server's listening processes MB |", o.memory)
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
	return out.String()
}

// distribution tells percentiles, and of how many where some are missing.
func distribution(times []time.Duration, of int) string {
	if len(times) == 0 {
		return "–"
	}
	times = slices.Sorted(slices.Values(times))
	at := func(p float64) int64 { return times[min(int(p*float64(len(times))), len(times)-1)].Milliseconds() }
	text := fmt.Sprintf("%d / %d / %d / %d", at(0.5), at(0.9), at(0.99), times[len(times)-1].Milliseconds())
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
	before := l.serverMemory()
	if err := l.mm.run(ctx, "store", "edit", "production", "--events", "poll", "--poll-every", "1h"); err != nil {
		return err
	}
	var err error
	if f.idle, err = l.freshWorker(ctx); err != nil {
		return err
	}
	l.say("listening to %d mailboxes", len(l.numbers))
	quiet := l.serverMemory()
	if err := l.mm.run(ctx, "store", "edit", "production", "--events", l.events, "--poll-every", "1m"); err != nil {
		return err
	}
	if f.worker, err = l.freshWorker(ctx); err != nil {
		return err
	}
	f.processes = max(l.serverMemory()-min(quiet, before), 0)
	return nil
}

// freshWorker kills the worker and returns the memory, in MB, of the one that
// the supervisor starts in its place, once it listens.
func (l *latency) freshWorker(ctx context.Context) (float64, error) {
	pid, err := l.workerPid()
	if err != nil {
		return 0, err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return 0, fmt.Errorf("kill the worker: %w", err)
	}
	if err := l.awaitListening(ctx, pid); err != nil {
		return 0, err
	}
	if _, err := meter.AwaitIdle(ctx, 20*time.Second); err != nil {
		return 0, err
	}
	if pid, err = l.workerPid(); err != nil {
		return 0, err
	}
	return float64(meter.PSS(pid)) / 1e6, nil
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
