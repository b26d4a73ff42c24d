package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailmirror/test/bench/meter"
)

// usage is what one measured section took.
type usage struct {
	Wall     time.Duration `json:"wall_ns"`
	Tool     time.Duration `json:"tool_cpu_ns"`    // the tool's own processes
	Servers  time.Duration `json:"servers_cpu_ns"` // both IMAP servers
	Postgres time.Duration `json:"postgres_cpu_ns"`
	Temporal time.Duration `json:"temporal_cpu_ns"`
	Others   time.Duration `json:"others_cpu_ns"` // whatever else ran on the machine: noise
	Peak     int64         `json:"peak_bytes"`    // memory of the tool's processes together
	// AboveIdle is by how much the long-running processes grew at their peak.
	AboveIdle int64 `json:"above_idle_bytes,omitempty"`
	Idle      bool  `json:"idle"` // the machine was idle before
}

// residents are long-running processes that belong to a tool.
type residents struct {
	tool, postgres, temporal []meter.Process
}

// section is one thing to measure: commands that are started at once, beside
// processes that already run.
type section struct {
	rig      *rig
	idleWait time.Duration
	// freshTarget requires that nothing has been copied when the clock starts.
	freshTarget bool
	commands    []*exec.Cmd
	// before, if not nil, is done last before the clock starts.
	before func() error
	// running tells the tool's long-running processes; nil if it has none.
	running func(meter.Table) residents
}

// measure waits for an idle machine, runs the commands and accounts for what
// was used meanwhile.
func (s section) measure(ctx context.Context) (usage, error) {
	syscall.Sync() // so that nobody pays for the pages that another one wrote
	idle, err := meter.AwaitIdle(ctx, s.idleWait)
	if err != nil {
		return usage{}, err
	}
	if s.before != nil {
		if err := s.before(); err != nil {
			return usage{}, err
		}
	}
	if s.freshTarget {
		if err := s.rig.requireEmptyTarget(); err != nil {
			return usage{}, err
		}
	}
	before, err := s.account()
	if err != nil {
		return usage{}, err
	}
	grown, err := s.followGrowth()
	if err != nil {
		return usage{}, err
	}
	begin := time.Now()
	sampler, err := s.run(ctx)
	wall := time.Since(begin)
	peak := sampler.Stop()
	if err != nil {
		return usage{}, err
	}
	after, err := s.account()
	if err != nil {
		return usage{}, err
	}
	u := usage{
		Wall: wall, Peak: peak, AboveIdle: grown(), Idle: idle,
		Tool:     after.tool - before.tool,
		Servers:  after.servers - before.servers,
		Postgres: after.postgres - before.postgres,
		Temporal: after.temporal - before.temporal,
	}
	for _, c := range s.commands {
		u.Tool += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	}
	own := after.self - before.self
	u.Others = max(0, after.busy-before.busy-own-u.Tool-u.Servers-u.Postgres-u.Temporal)
	return u, nil
}

// run starts the commands and waits for all of them; the caller stops the
// returned sampler, also after an error.
func (s section) run(ctx context.Context) (*meter.Sampler, error) {
	var (
		mu   sync.Mutex
		pids []int
	)
	if s.running != nil {
		t, err := meter.ReadTable()
		if err != nil {
			return meter.Sample(ctx, func() []int { return nil }), err
		}
		for _, p := range s.running(t).tool {
			pids = append(pids, p.Pid)
		}
	}
	sampler := meter.Sample(ctx, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return append([]int(nil), pids...)
	})
	errs := make([]error, len(s.commands))
	var wg sync.WaitGroup
	for i, c := range s.commands {
		wg.Go(func() {
			var said bytes.Buffer
			if c.Stderr == nil {
				c.Stderr = &said
			}
			if errs[i] = c.Start(); errs[i] != nil {
				return
			}
			mu.Lock()
			pids = append(pids, c.Process.Pid)
			mu.Unlock()
			if err := c.Wait(); err != nil {
				text := strings.TrimSpace(said.String())
				errs[i] = fmt.Errorf("%s: %w: %s", c.Args[0], err, text[max(0, len(text)-800):])
			}
		})
	}
	wg.Wait()
	return sampler, errors.Join(errs...)
}

// followGrowth makes the kernel keep the peak of the long-running processes
// from now on. The returned function says by how much they grew.
func (s section) followGrowth() (func() int64, error) {
	if s.running == nil {
		return func() int64 { return 0 }, nil
	}
	t, err := meter.ReadTable()
	if err != nil {
		return nil, err
	}
	before := map[int]int64{}
	for _, p := range s.running(t).tool {
		if err := meter.ResetPeak(p.Pid); err != nil {
			return nil, err
		}
		before[p.Pid] = meter.RSS(p.Pid)
	}
	return func() int64 {
		var sum int64
		for pid, rss := range before {
			sum += meter.PeakRSS(pid) - rss
		}
		return sum
	}, nil
}

type account struct {
	tool, servers, postgres, temporal, self, busy time.Duration
}

func (s section) account() (account, error) {
	t, err := meter.ReadTable()
	if err != nil {
		return account{}, err
	}
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return account{}, fmt.Errorf("read own times: %w", err)
	}
	a := account{self: time.Duration(self.Utime.Nano() + self.Stime.Nano())}
	if a.busy, err = meter.Busy(); err != nil {
		return a, err
	}
	a.servers = meter.CPU(t.InGroup(s.rig.source.Pid())) + meter.CPU(t.InGroup(s.rig.target.Pid()))
	if s.running != nil {
		r := s.running(t)
		a.tool, a.postgres, a.temporal = meter.CPU(r.tool), meter.CPU(r.postgres), meter.CPU(r.temporal)
	}
	return a, nil
}
