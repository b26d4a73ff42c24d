package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
)

// tally counts runs and failures.
type tally struct {
	mu   sync.Mutex
	runs map[string]int     // by piece
	rows map[string]*faulty // by piece and test
}

// faulty is a test that failed.
type faulty struct {
	piece, test, first string
	failures           int
}

func newTally() *tally { return &tally{runs: map[string]int{}, rows: map[string]*faulty{}} }

// add counts one run of a piece, with what failed in it.
func (t *tally) add(piece string, failed []failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs[piece]++
	for _, f := range failed {
		key := piece + "\x00" + f.test
		if t.rows[key] == nil {
			t.rows[key] = &faulty{piece: piece, test: f.test, first: f.message}
		}
		t.rows[key].failures++
	}
}

func (t *tally) failures() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, f := range t.rows {
		n += f.failures
	}
	return n
}

// print writes a row for every piece, and after it one for each of its tests
// that failed.
func (t *tally) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width := len("test")
	for _, piece := range slices.Collect(maps.Keys(t.runs)) {
		width = max(width, len(piece))
	}
	row := func(test string, runs, failures any, first string) {
		fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s  %6v  %8v  %s", width, test, runs, failures, first), " "))
	}
	row("test", "runs", "failures", "first failure")
	for _, piece := range slices.Sorted(maps.Keys(t.runs)) {
		var failed []*faulty
		for _, key := range slices.Sorted(maps.Keys(t.rows)) {
			if f := t.rows[key]; f.piece == piece {
				failed = append(failed, f)
			}
		}
		// A piece that is one test, or whose failure belongs to no test, is its own row.
		if len(failed) == 1 && (failed[0].test == "" || strings.HasSuffix(piece, " "+failed[0].test)) {
			row(piece, t.runs[piece], failed[0].failures, failed[0].first)
			continue
		}
		sum := 0
		for _, f := range failed {
			sum += f.failures
		}
		row(piece, t.runs[piece], sum, "")
		for _, f := range failed {
			row("  "+f.test, t.runs[piece], f.failures, f.first)
		}
	}
}
