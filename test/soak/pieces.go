package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailmirror/test/repeat"
)

// piece is what runs at once: the unit tests of a package, or one test on real
// servers.
type piece struct {
	name    string // of the row
	pkg     string // folder, relative to the module's
	binary  string
	pattern string // of -test.run
	runs    int
	busy    bool
}

// pieceLimit ends a piece that hangs.
const pieceLimit = "45m"

var (
	needsServers = regexp.MustCompile(`(?m)^//go:build integration`)
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)
)

// build compiles the tests of all packages into dir.
func build(ctx context.Context, dir string, o options) ([]*piece, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-tags", "integration", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	var pieces []*piece
	for folder := range strings.FieldsSeq(string(out)) {
		pkg, err := filepath.Rel(root, folder)
		if err != nil {
			return nil, err
		}
		unit, served, err := testsOf(folder)
		if err != nil {
			return nil, err
		}
		unit, served = matching(unit, o.run), matching(served, o.run)
		name := filepath.Join(dir, strings.ReplaceAll(pkg, string(filepath.Separator), "-"))
		if len(unit) > 0 {
			if err := compile(ctx, name+".unit", pkg, "-race"); err != nil {
				return nil, err
			}
			pieces = append(pieces, &piece{name: pkg, pkg: pkg, binary: name + ".unit", pattern: either(unit)})
		}
		if len(served) > 0 {
			if err := compile(ctx, name+".served", pkg, "-tags", "integration"); err != nil {
				return nil, err
			}
		}
		for _, test := range served {
			pieces = append(pieces, &piece{name: pkg + " " + test, pkg: pkg, binary: name + ".served", pattern: either([]string{test})})
		}
	}
	return pieces, nil
}

func compile(ctx context.Context, binary, pkg string, flags ...string) error {
	args := append([]string{"test", "-c", "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// testsOf returns the names of a package's unit tests, and of those that need
// servers.
func testsOf(folder string) (unit, served []string, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		to := &unit
		if needsServers.Match(text) {
			to = &served
		}
		for _, m := range testFunction.FindAllSubmatch(text, -1) {
			*to = append(*to, string(m[1]))
		}
	}
	return unit, served, nil
}

func matching(names []string, pattern *regexp.Regexp) []string {
	var out []string
	for _, name := range names {
		if pattern.MatchString(name) {
			out = append(out, name)
		}
	}
	return out
}

// either is the pattern of exactly these tests.
func either(names []string) string { return "^(" + strings.Join(names, "|") + ")$" }

// work runs pieces until the rounds or the time are over.
func work(ctx context.Context, o options, pieces []*piece, results *tally) {
	begun := time.Now()
	var mu sync.Mutex
	next := func() *piece {
		mu.Lock()
		defer mu.Unlock()
		var best *piece
		for _, p := range pieces {
			if !p.busy && (best == nil || p.runs < best.runs) {
				best = p
			}
		}
		over := best == nil || ctx.Err() != nil || o.rounds > 0 && best.runs >= o.rounds || o.lasts > 0 && time.Since(begun) > o.lasts
		if over {
			return nil
		}
		best.runs++
		best.busy = true
		return best
	}
	var all sync.WaitGroup
	for range o.parallel {
		all.Go(func() {
			for p := next(); p != nil; p = next() {
				p.do(ctx, o, results)
				mu.Lock()
				p.busy = false
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// do runs a piece once and adds what came of it to the results. A run that an
// interrupt ends does not count.
func (p *piece) do(ctx context.Context, o options, results *tally) {
	cmd := exec.CommandContext(ctx, p.binary, "-test.v", "-test.count=1", "-test.shuffle=on", "-test.timeout="+pieceLimit, "-test.run="+p.pattern)
	cmd.Dir, cmd.Env = p.pkg, os.Environ()
	if !o.few {
		cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%d", repeat.Variable, p.runs))
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = time.Minute
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begun := time.Now()
	err := cmd.Run()
	if ctx.Err() != nil {
		return
	}
	failed := readFailures(&output)
	if err != nil && len(failed) == 0 {
		failed = []failure{{test: "", message: err.Error()}}
	}
	results.add(p.name, failed)
	fmt.Printf("%s: run %d took %s", p.name, p.runs, time.Since(begun).Round(100*time.Millisecond))
	if err == nil {
		fmt.Println()
		return
	}
	log := filepath.Join(o.logs, fmt.Sprintf("%s-%d.log", strings.NewReplacer("/", "-", " ", "-").Replace(p.name), p.runs))
	if err := os.WriteFile(log, output.Bytes(), 0o600); err != nil {
		log = err.Error()
	}
	fmt.Printf(", FAILED: see %s\n", log)
}

// failure is a top-level test that failed, with its first message.
type failure struct{ test, message string }

var (
	begins  = regexp.MustCompile(`^=== (?:RUN|NAME|CONT)\s+(Test[^/\s]*)`)
	fails   = regexp.MustCompile(`^--- FAIL: (Test\S+)`)
	message = regexp.MustCompile(`^\s+\w+\.go:\d+: `)
)

// readFailures finds what failed in the output of a test binary with -test.v,
// and of each test the first message, or that of the crash that ended all.
func readFailures(output *bytes.Buffer) []failure {
	said, crashed, current := map[string]string{}, "", ""
	var failed []string
	lines := bufio.NewReader(bytes.NewReader(output.Bytes()))
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\n")
		if m := begins.FindStringSubmatch(line); m != nil {
			current = m[1]
		}
		if m := fails.FindStringSubmatch(line); m != nil {
			failed = append(failed, m[1])
		}
		if said[current] == "" && message.MatchString(line) {
			said[current] = strings.TrimSpace(line)
		}
		if crashed == "" && (strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || line == "WARNING: DATA RACE") {
			crashed = line
		}
		if errors.Is(err, io.EOF) {
			break
		}
	}
	var out []failure
	for _, test := range failed {
		text := said[test]
		if crashed != "" && (text == "" || len(failed) == 1) {
			text = crashed + " " + text
		}
		out = append(out, failure{test, text})
	}
	if len(out) == 0 && crashed != "" {
		out = append(out, failure{current, crashed})
	}
	return out
}
