package meter

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// sampleEvery is a compromise: reading the PSS of a large process takes about
// a millisecond, which must stay small beside what is measured.
const sampleEvery = 100 * time.Millisecond

// Sampler follows the memory of a set of processes until Stop.
type Sampler struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	peak   int64
}

// Sample starts following the processes that pids returns at each look, and
// keeps the largest sum of their memory.
func Sample(ctx context.Context, pids func() []int) *Sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &Sampler{cancel: cancel}
	s.wg.Go(func() {
		// The first looks come quickly, for processes that live only briefly.
		for wait := 5 * time.Millisecond; ; wait = min(2*wait, sampleEvery) {
			var sum int64
			for _, pid := range pids() {
				sum += PSS(pid)
			}
			s.peak = max(s.peak, sum)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	})
	return s
}

// Stop ends the sampling and returns the peak in bytes.
func (s *Sampler) Stop() int64 {
	s.cancel()
	s.wg.Wait()
	return s.peak
}

// PSS is the proportional set size of a process in bytes, 0 when it has ended.
func PSS(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	return field(b, "Pss:")
}

// RSS is the resident set size of a process in bytes, 0 when it has ended.
func RSS(pid int) int64 { return status(pid, "VmRSS:") }

// PeakRSS is the largest resident set size since the start of the process or
// the last ResetPeak, exactly as the kernel kept it.
func PeakRSS(pid int) int64 { return status(pid, "VmHWM:") }

// ResetPeak makes PeakRSS start again from the present size (proc(5), clear_refs).
func ResetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("reset peak memory: %w", err)
	}
	return nil
}

func status(pid int, name string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	return field(b, name)
}

// field reads a "Name:   123 kB" line.
func field(b []byte, name string) int64 {
	for line := range bytes.Lines(b) {
		rest, ok := bytes.CutPrefix(line, []byte(name))
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return n << 10
	}
	return 0
}
