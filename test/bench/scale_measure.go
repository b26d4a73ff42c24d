package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailmirror/test/bench/bare"
	"mailmirror/test/bench/meter"
)

// scalePart is a part of the system whose CPU time is measured.
type scalePart int

const (
	partProduction scalePart = iota
	partDR
	partTool // Mailmirror's worker, or the bare protocol
	partPostgres
	partTemporal
	scaleParts
)

// cpuTimes are the CPU times of the parts.
type cpuTimes [scaleParts]time.Duration

func (c cpuTimes) minus(before cpuTimes) cpuTimes {
	for i := range c {
		c[i] -= before[i]
	}
	return c
}

func (c cpuTimes) sum() (sum time.Duration) {
	for _, t := range c {
		sum += t
	}
	return sum
}

// scalePhase is one measured phase of a way.
type scalePhase struct {
	took time.Duration
	cpu  cpuTimes
	mem  [scaleParts]int64 // at the end of the phase, bytes; 0 where it was not measured
}

// phase measures what do takes. mm is nil for the bare protocol.
func (r *rig) phase(mm *mailmirror, do func() error) (p scalePhase, err error) {
	before, _, err := r.account(mm, false)
	if err != nil {
		return p, err
	}
	began := time.Now()
	err = do()
	p.took = time.Since(began)
	after, mem, accountErr := r.account(mm, mm != nil)
	p.cpu, p.mem = after.minus(before), mem
	return p, errors.Join(err, accountErr)
}

// account reads the CPU times of the parts so far, and the memory of Mailmirror's
// parts if that is asked for.
func (r *rig) account(mm *mailmirror, memory bool) (cpu cpuTimes, mem [scaleParts]int64, err error) {
	t, err := meter.ReadTable()
	if err != nil {
		return cpu, mem, err
	}
	cpu[partProduction] = meter.CPU(t.InGroup(r.source.Pid()))
	cpu[partDR] = meter.CPU(t.InGroup(r.target.Pid()))
	if mm == nil {
		var u syscall.Rusage
		err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		cpu[partTool] = time.Duration(u.Utime.Nano() + u.Stime.Nano())
		return cpu, mem, err
	}
	running := mm.residents(t)
	workers := slices.DeleteFunc(running.tool, func(p meter.Process) bool { return !strings.HasPrefix(p.Name, "mailmirror-work") })
	for part, list := range map[scalePart][]meter.Process{partTool: workers, partPostgres: running.postgres, partTemporal: running.temporal} {
		cpu[part] = meter.CPU(list)
		for _, p := range list {
			if memory {
				mem[part] += meter.PSS(p.Pid)
			}
		}
	}
	return cpu, mem, nil
}

// bareCase is one way in which the bare protocol goes by login.
type bareCase struct {
	bounded bool // by the logins per second that Mailmirror keeps to
	shared  bool // both servers have a shared namespace, with which a login costs more
}

func (c bareCase) String() string {
	name := "bare protocol"
	if c.shared {
		name += ", servers with a shared namespace"
	}
	if !c.bounded {
		name += ", no bound of logins"
	}
	return name
}

// bareFigures are what was measured of the bare protocol.
type bareFigures struct {
	bareCase

	first, unchanged scalePhase
	production       followed
}

// references are the cases of the bare protocol that Mailmirror's ways are shown
// beside: without the bound of logins, and with it, on the same kind of servers.
func (s *scale) references() []bareCase {
	list := []bareCase{{}, {bounded: true}}
	if slices.ContainsFunc(s.ways, sharesNamespace) {
		list = append(list, bareCase{bounded: true, shared: true})
	}
	return list
}

func sharesNamespace(way string) bool { return way != byLogin }

// bare measures the bare protocol going by login: the copy, and a look at all.
func (s *scale) bare(ctx context.Context, c bareCase) (f bareFigures, err error) {
	f.bareCase = c
	way := byLogin
	if c.shared {
		way = byNamespace
	}
	r, err := s.pair(ctx, "bare", way)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.stop(), os.RemoveAll(r.dir)) }()
	var admit func(context.Context) error
	if c.bounded {
		admit = newLoginPace(s.logins).wait
	}
	load := follow(ctx, r.source)
	defer func() { f.production = load.stop() }()
	run := func(kind bare.Kind) (scalePhase, error) {
		s.say("%s: %s", c, kind)
		return r.phase(nil, func() error {
			_, err := bare.Run(ctx, bare.Job{Kind: kind, Source: endpoint(r.source), Target: endpoint(r.target), Mailboxes: s.numbers,
				Parallel: s.parallel, Admit: admit})
			return err
		})
	}
	if f.first, err = run(bare.Copy); err == nil {
		err = rest(ctx)
	}
	if err == nil {
		f.unchanged, err = run(bare.Status)
	}
	return f, err
}

// wayFigures are what was measured of Mailmirror with production in one way: the first
// compare, the wait until listening is up, and a compare of unchanged mailboxes.
type wayFigures struct {
	way                     string
	first, unchanged, after scalePhase // after is the wait until listening is up
	listening               listeningFigures
	production              followed
	sessions                int // that production may have at most by the bounds
	notes                   []string
}

// measure has Mailmirror listen to one production and compare it, both from the
// moment at which the mailboxes join.
func (s *scale) measure(ctx context.Context, way string) (f wayFigures, err error) {
	f = wayFigures{way: way}
	r, err := s.pair(ctx, way, way)
	if err != nil {
		return f, err
	}
	mm := &mailmirror{binaries: s.binaries}
	defer func() { err = errors.Join(err, mm.close(), r.stop(), os.RemoveAll(r.dir)) }()
	s.say("%s: starting", way)
	if err := mm.prepare(ctx, r); err != nil {
		return f, err
	}
	if err := mm.bound(ctx, s.logins); err != nil {
		return f, err
	}
	load := follow(ctx, r.source)
	defer func() { f.production = load.stop() }()
	joined := time.Now()
	if err := mm.run(ctx, "mailbox", "add", benchLink, "--file", mailboxList(r)); err != nil {
		return f, err
	}
	listening := mm.awaitListening(ctx, joined, len(s.numbers))
	compare := func(name string) (scalePhase, error) {
		s.say("%s: %s compare", way, name)
		return r.phase(mm, func() error { return mm.run(ctx, "compare", benchLink, "--wait") })
	}
	f.first, err = compare("first")
	s.say("%s: waiting for listening", way)
	var afterErr error
	f.after, afterErr = r.phase(mm, func() error {
		f.listening = listening.within(s.listening)
		return nil
	})
	if err = errors.Join(err, afterErr, rest(ctx)); err == nil {
		f.unchanged, err = compare("unchanged")
	}
	f.sessions, f.notes = mm.shown(ctx)
	return f, err
}

// rest lets the logins that were not needed before a phase add up to as many as may come
// at once: the bare protocol and Mailmirror begin with the same number of them.
func rest(ctx context.Context) error {
	return waitFor(ctx, loginBurst, "rest")
}
