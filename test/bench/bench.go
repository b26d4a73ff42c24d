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
	"strings"
	"time"

	"mailmirror/test/reader"
	"mailmirror/test/servers"
)

// result is one tool's go at one case.
type result struct {
	Tool     string    `json:"tool"`
	Case     benchCase `json:"case"`
	Round    int       `json:"round"`
	Usage    usage     `json:"usage"`
	Messages int       `json:"messages"` // of the whole work, or of the change
	Bytes    int64     `json:"bytes"`
	// Differences are what the independent reader found afterwards.
	Differences []string `json:"differences,omitempty"`
	Failure     string   `json:"failure,omitempty"` // why there are no figures
	Absent      bool     `json:"absent,omitempty"`  // the tool is not installed or has no way to do it
}

// bench is one run of the program.
type bench struct {
	options
	progress  io.Writer
	numbers   []string
	seed      string // folder of the filled store that every rig copies
	largeSeed string
	messages  int
	bytes     int64
	results   []result
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
	b := &bench{
		options: o, progress: progress, numbers: mailboxNumbers(o.mailboxes),
		seed: filepath.Join(dir, "seed"), largeSeed: filepath.Join(dir, "large"),
	}
	if err := b.buildWork(ctx); err != nil {
		return err
	}
	for round := range o.rounds {
		for i := range o.tools {
			// Every round begins with another tool, so that none always
			// follows the same one.
			name := o.tools[(i+round)%len(o.tools)]
			if err := b.contend(ctx, filepath.Join(dir, fmt.Sprintf("%s-%d", name, round)), name, round); err != nil {
				return err
			}
		}
	}
	return b.report(out)
}

// buildWork fills the stores that are copied for every contender.
func (b *bench) buildWork(ctx context.Context) error {
	begin := time.Now()
	err := withDovecot(ctx, b.seed, b.numbers, func(d *servers.Dovecot) error {
		return fill(ctx, d, b.numbers, b.options.messages)
	})
	if err != nil {
		return fmt.Errorf("build work: %w", err)
	}
	for i := range b.numbers {
		for _, dep := range mailboxWork(i, b.options.messages) {
			b.messages++
			b.bytes += dep.Size
		}
	}
	if b.largeMB > 0 {
		err := withDovecot(ctx, b.largeSeed, b.numbers[:1], func(d *servers.Dovecot) error {
			return store1(ctx, d, b.numbers[0], []reader.Deposit{largeMessage(b.largeMB)})
		})
		if err != nil {
			return fmt.Errorf("build large message: %w", err)
		}
	}
	fmt.Fprintf(b.progress, "work: %d mailboxes, %d messages, %.0f MB, built in %.1f s\n",
		len(b.numbers), b.messages, float64(b.bytes)/1e6, time.Since(begin).Seconds())
	return nil
}

func withDovecot(ctx context.Context, dir string, mailboxes []string, do func(*servers.Dovecot) error) error {
	d, err := servers.StartDovecot(ctx, servers.DovecotOptions{Dir: dir, Mailboxes: mailboxes})
	if err != nil {
		return err
	}
	return errors.Join(do(d), d.Stop())
}

// contend lets one tool go through all cases on servers of its own. A tool's
// failure is a result, not the end of the run.
func (b *bench) contend(ctx context.Context, dir, name string, round int) error {
	t, err := newTool(name, b.options)
	if err != nil {
		return err
	}
	cases := []benchCase{caseInitial, caseUnchanged, caseChange, caseShared}
	if err := t.available(); err != nil {
		if b.largeMB > 0 {
			cases = append(cases, caseLarge)
		}
		for _, c := range cases {
			b.add(result{Tool: name, Case: c, Round: round, Failure: "not installed", Absent: true})
		}
		fmt.Fprintf(b.progress, "round %d  %-10s  not installed: %v\n", round+1, name, err)
		return nil
	}
	if err := b.onRig(ctx, dir, b.seed, b.numbers, t, round, cases); err != nil {
		return err
	}
	if b.largeMB == 0 {
		return nil
	}
	if t, err = newTool(name, b.options); err != nil {
		return err
	}
	return b.onRig(ctx, dir+"-large", b.largeSeed, b.numbers[:1], t, round, []benchCase{caseLarge})
}

// onRig starts servers, lets the tool do the cases in order, and clears up.
func (b *bench) onRig(ctx context.Context, dir, seed string, numbers []string, t tool, round int, cases []benchCase) (err error) {
	r, err := newRig(ctx, dir, seed, numbers, b.parallel)
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
	if err := t.prepare(ctx, r); err != nil {
		failure = err.Error()
	}
	for _, c := range cases {
		res := result{Tool: t.name(), Case: c, Round: round, Failure: failure}
		if failure == "" {
			b.one(ctx, r, t, &res)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.add(res)
		if res.Failure != "" && !res.Absent {
			failure = "after a failure: " + string(c)
		}
	}
	return nil
}

// one measures one case and checks what it left.
func (b *bench) one(ctx context.Context, r *rig, t tool, res *result) {
	fail := func(err error) {
		res.Failure = err.Error()
		res.Absent = errors.Is(err, errNotOffered)
	}
	res.Messages, res.Bytes = b.messages, b.bytes
	switch res.Case {
	case caseChange:
		changes, err := smallChange(ctx, r.source, r.mailboxes)
		if err != nil {
			fail(fmt.Errorf("make small change: %w", err))
			return
		}
		r.changes = changes
	case caseShared:
		if err := r.restartShared(ctx); err != nil {
			fail(err)
			return
		}
	case caseLarge:
		res.Messages, res.Bytes = 1, int64(b.largeMB)*1_000_000
	}
	s, err := t.section(ctx, r, res.Case)
	if err != nil {
		fail(err)
		return
	}
	s.idleWait = b.idle
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
	fmt.Fprintf(b.progress, "round %d  %-10s  %-27s  %s\n", res.Round+1, res.Tool, res.Case, said)
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
	if b.json == "" {
		return nil
	}
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
