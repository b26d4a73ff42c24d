package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailmirror/test/servers"
)

// result is one tool's go at one case.
type result struct {
	Tool  string    `json:"tool"`
	Case  benchCase `json:"case"`
	Round int       `json:"round"`
	Usage usage     `json:"usage"`
	// Differences are what the independent reader found afterwards.
	Differences []string `json:"differences,omitempty"`
	Failure     string   `json:"failure,omitempty"` // why there are no figures
	Absent      bool     `json:"absent,omitempty"`  // the tool is not installed or has no way to do it
}

// stage is a store filled once, of which every contender gets a copy, and the
// cases that are measured on it.
type stage struct {
	name    string
	seed    string // folder of the filled server
	numbers []string
	amount  amount
	cases   []benchCase
	// settled stages are copied once, without being measured, before the cases.
	settled bool
	// shared servers show all mailboxes to the trusted user in one namespace.
	shared bool
	fill   func(context.Context, *servers.Dovecot, []string) (amount, error)
}

// bench is one run of the program.
type bench struct {
	options
	progress io.Writer
	dir      string
	stages   []*stage
	results  []result
}

// run builds the work, lets every tool do everything in turn and prints.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "mailmirror-bench-")
	if err != nil {
		return fmt.Errorf("create scratch folder: %w", err)
	}
	if o.keep {
		fmt.Fprintln(progress, "scratch folder:", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	// The mail server's own user must reach its folders.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // holds test data only
		return fmt.Errorf("open scratch folder: %w", err)
	}
	b := &bench{options: o, progress: progress, dir: dir}
	if err := b.buildWork(ctx); err != nil {
		return err
	}
	for round := range o.rounds {
		for i := range o.tools {
			// Every round begins with another tool, so that none always
			// follows the same one.
			if err := b.contend(ctx, o.tools[(i+round)%len(o.tools)], round); err != nil {
				return err
			}
		}
	}
	return b.report(out)
}

// buildWork fills the servers that are copied for every contender.
func (b *bench) buildWork(ctx context.Context) error {
	b.stages = []*stage{{
		name: "main", numbers: mailboxNumbers(b.mailboxes), cases: mainCases,
		fill: func(ctx context.Context, d *servers.Dovecot, numbers []string) (amount, error) {
			return fill(ctx, d, numbers, b.work())
		},
	}}
	if b.review > 0 {
		small := func(ctx context.Context, d *servers.Dovecot, numbers []string) (amount, error) {
			return fill(ctx, d, numbers, smallWork())
		}
		b.stages = append(b.stages,
			&stage{name: "review", numbers: mailboxNumbers(b.review), cases: reviewCases, settled: true, fill: small},
			&stage{name: "shared", numbers: mailboxNumbers(b.review), cases: sharedCases, settled: true, shared: true, fill: small})
	}
	if b.largeMB > 0 {
		b.stages = append(b.stages, &stage{
			name: "large", numbers: mailboxNumbers(1), cases: largeCases,
			fill: func(ctx context.Context, d *servers.Dovecot, numbers []string) (amount, error) {
				return fillLarge(ctx, d, numbers[0], b.largeMB)
			},
		})
	}
	for _, st := range b.stages {
		begin := time.Now()
		st.seed = filepath.Join(b.dir, "seed-"+st.name)
		d, err := servers.StartDovecot(ctx, servers.DovecotOptions{Dir: st.seed, Mailboxes: st.numbers})
		if err != nil {
			return err
		}
		st.amount, err = st.fill(ctx, d, st.numbers)
		if err := errors.Join(err, d.Stop()); err != nil {
			return fmt.Errorf("build work: %w", err)
		}
		fmt.Fprintf(b.progress, "%s work: %s, built in %.1f s\n", st.name, st.amount, time.Since(begin).Seconds())
	}
	return nil
}

func (a amount) String() string {
	return fmt.Sprintf("%d mailboxes, %d messages, %.0f MB", a.mailboxes, a.messages, float64(a.bytes)/1e6)
}

// contend lets one tool go through all cases on servers of its own. A tool's
// failure is a result, not the end of the run.
func (b *bench) contend(ctx context.Context, name string, round int) error {
	for _, st := range b.stages {
		t, err := newTool(name, b.options)
		if err != nil {
			return err
		}
		absent := ""
		switch {
		case t.available() != nil:
			absent = "not installed"
		case st.shared && !t.usesShared():
			absent = "no way to use it"
		}
		if absent != "" {
			for _, c := range st.cases {
				b.add(result{Tool: name, Case: c, Round: round, Failure: absent, Absent: true})
			}
			continue
		}
		if err := b.onStage(ctx, st, t, round); err != nil {
			return err
		}
	}
	return nil
}

// onStage starts servers, lets the tool do the cases in order, and clears up.
func (b *bench) onStage(ctx context.Context, st *stage, t tool, round int) (err error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%s-%d", t.name(), st.name, round))
	r, err := newRig(ctx, dir, st, b.options)
	if err != nil {
		return fmt.Errorf("build servers for %s: %w", t.name(), err)
	}
	defer func() {
		err = errors.Join(err, t.close(), r.stop())
		if !b.keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	failure := ""
	if err := b.prepare(ctx, st, r, t); err != nil {
		failure = err.Error()
	}
	for _, c := range st.cases {
		res := result{Tool: t.name(), Case: c, Round: round, Failure: failure}
		if failure == "" {
			b.one(ctx, r, t, &res)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.add(res)
		if res.Failure != "" {
			failure = "not run after a failure: " + string(c)
		}
	}
	return nil
}

// prepare does what is not measured. A settled stage is copied, and looked at
// once where it has a shared namespace: the servers build their lists of who
// may see what at the first look.
func (b *bench) prepare(ctx context.Context, st *stage, r *rig, t tool) error {
	if err := t.prepare(ctx, r); err != nil || !st.settled {
		return err
	}
	if err := unmeasured(ctx, r, t, caseInitial); err != nil || !st.shared {
		return err
	}
	if err := r.lookShared(ctx); err != nil {
		return err
	}
	return unmeasured(ctx, r, t, caseShared)
}

func unmeasured(ctx context.Context, r *rig, t tool, c benchCase) error {
	s, err := t.section(ctx, r, c)
	if err != nil {
		return err
	}
	_, err = s.measure(ctx)
	return err
}

// one measures one case and checks what it left.
func (b *bench) one(ctx context.Context, r *rig, t tool, res *result) {
	fail := func(err error) { res.Failure = err.Error() }
	if res.Case == caseChange {
		var err error
		if r.changes, err = smallChange(ctx, r.source, r.mailboxes); err != nil {
			fail(fmt.Errorf("make small change: %w", err))
			return
		}
	}
	s, err := t.section(ctx, r, res.Case)
	if err != nil {
		fail(err)
		return
	}
	s.idleWait = b.idle
	s.freshTarget = res.Case == caseInitial || res.Case == caseLarge
	if res.Usage, err = s.measure(ctx); err != nil {
		fail(err)
		return
	}
	if res.Differences, err = r.differences(ctx); err != nil {
		fail(fmt.Errorf("compare stores: %w", err))
	}
}

// add keeps a result and says so.
func (b *bench) add(res result) {
	b.results = append(b.results, res)
	said := fmt.Sprintf("%.2f s", res.Usage.Wall.Seconds())
	switch {
	case res.Failure != "":
		said = res.Failure
	case len(res.Differences) > 0:
		said += fmt.Sprintf(", %d differences, such as: %s", len(res.Differences), res.Differences[0])
	}
	if res.Failure == "" && !res.Usage.Idle {
		said += " (the machine was not idle before)"
	}
	fmt.Fprintf(b.progress, "round %d  %-10s  %-30s  %s\n", res.Round+1, res.Tool, res.Case, said)
}

// report writes the table and the figures behind it.
func (b *bench) report(out io.Writer) error {
	table := b.markdown(toolVersions())
	if _, err := io.WriteString(out, table); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	if b.output != "" {
		if err := os.WriteFile(b.output, []byte(table), 0o644); err != nil { //nolint:gosec // meant to be read
			return fmt.Errorf("write table: %w", err)
		}
	}
	if b.json != "" {
		if err := b.writeFigures(); err != nil {
			return err
		}
	}
	if b.check && slices.ContainsFunc(b.targets(), func(t target) bool { return !t.met }) {
		return errTargetMissed
	}
	return nil
}

// writeFigures writes every single result.
func (b *bench) writeFigures() error {
	data, err := json.MarshalIndent(b.results, "", "  ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	if err := os.WriteFile(b.json, data, 0o644); err != nil { //nolint:gosec // meant to be read
		return fmt.Errorf("write figures: %w", err)
	}
	return nil
}

// toolVersions is the first line that each tool says of itself.
func toolVersions() string {
	var said []string
	for _, argv := range [][]string{{"mbsync", "--version"}, {"dovecot", "--version"}} {
		out, err := exec.Command(argv[0], argv[1:]...).Output() //nolint:gosec // fixed commands
		line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			line = "not installed"
		}
		if !strings.Contains(line, argv[0]) {
			line = argv[0] + " " + line
		}
		said = append(said, line)
	}
	return strings.Join(said, ", ")
}
