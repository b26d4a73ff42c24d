package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailmirror/test/bench/bare"
	"mailmirror/test/bench/meter"
	"mailmirror/test/corpus"
	"mailmirror/test/servers"
)

// scaleCommand measures the load on a production of thousands of mailboxes.
const scaleCommand = "scale"

type scaleOptions struct {
	mailboxes, messages int
	parallel            int
	ways                []string
	listening           time.Duration // how long at most is waited for listening
	dir, binaries       string
}

// The ways in which production shows its mailboxes.
const (
	byLogin       = "login"   // no namespace of all mailboxes
	byNamespace   = "shared"  // a namespace that nobody listed yet, acl_shared_dict filled
	withoutDict   = "no-dict" // the same, and acl_shared_dict cannot be read
	allScaleWays  = byLogin + "," + byNamespace + "," + withoutDict
	mostMailboxes = 9000
)

func parseScale(args []string, errOut io.Writer) (scaleOptions, error) {
	var o scaleOptions
	var ways string
	f := flag.NewFlagSet("bench scale", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.mailboxes, "mailboxes", 5000, "mailboxes on production")
	f.IntVar(&o.messages, "messages", 1, "small messages in each")
	f.IntVar(&o.parallel, "parallel", 4, "mailboxes at a time")
	f.StringVar(&ways, "ways", allScaleWays, "how production shows its mailboxes: login, shared (a cold namespace), no-dict (the same without a usable acl_shared_dict)")
	f.DurationVar(&o.listening, "listening", 2*time.Minute, "how long at most to wait for listening after the compares")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.mailboxes < 20 || o.mailboxes > mostMailboxes || o.messages < 1 || o.parallel < 1 {
		return o, fmt.Errorf("-mailboxes must be 20 to %d, -messages and -parallel at least 1", mostMailboxes)
	}
	for w := range strings.SplitSeq(ways, ",") {
		if !slices.Contains([]string{byLogin, byNamespace, withoutDict}, w) {
			return o, fmt.Errorf("-ways %q is none of %s", w, allScaleWays)
		}
		o.ways = append(o.ways, w)
	}
	return o, nil
}

// runScale fills one production, measures the bare protocol over it and then
// Mailmirror in each way, on copies, and prints one table.
func runScale(ctx context.Context, o scaleOptions, out, progress io.Writer) (err error) {
	dir, err := os.MkdirTemp(o.dir, "mailmirror-scale-")
	if err != nil {
		return fmt.Errorf("create scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the servers run as users of their own
		return fmt.Errorf("open scratch folder: %w", err)
	}
	s := &scale{scaleOptions: o, dir: dir, progress: progress, began: time.Now(), numbers: mailboxNumbers(o.mailboxes)}
	putBack, err := roomToIdle(o.mailboxes, s.say)
	if err != nil {
		s.say("%v; IDLE announces late", err)
	} else {
		defer putBack()
	}
	if err := s.seed(ctx); err != nil {
		return err
	}
	reference, err := s.bare(ctx)
	if err != nil {
		return err
	}
	var all []scaleFigures
	var failed error
	for _, w := range o.ways {
		f, err := s.measure(ctx, w)
		all = append(all, f)
		if err != nil {
			failed = fmt.Errorf("%s: %w", w, err)
			break
		}
	}
	// What was measured until then is told in any case.
	_, err = io.WriteString(out, scaleTable(o, reference, all))
	return errors.Join(failed, err)
}

type scale struct {
	scaleOptions
	dir      string
	numbers  []string
	progress io.Writer
	began    time.Time
}

func (s *scale) say(format string, args ...any) {
	fmt.Fprintf(s.progress, "scale, %3.0f s: %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

func (s *scale) seedDir() string { return filepath.Join(s.dir, "seed") }

// seed fills a production whose storage the others copy.
func (s *scale) seed(ctx context.Context) error {
	s.say("filling %d mailboxes", len(s.numbers))
	d, err := servers.StartDovecot(ctx, servers.DovecotOptions{Dir: s.seedDir(), Name: "seed", Mailboxes: s.numbers, ReuseProcesses: true})
	if err != nil {
		return err
	}
	_, err = fill(ctx, d, s.numbers, corpus.Options{Seed: workSeed, Messages: s.messages, MinSize: 2_000, MaxSize: 4_000})
	return errors.Join(err, d.Stop())
}

// pair starts a production over a copy of the seed, and an empty DR.
func (s *scale) pair(ctx context.Context, name, way string) (*rig, error) {
	r := &rig{dir: filepath.Join(s.dir, name), mailboxes: s.numbers, parallel: s.parallel}
	if err := os.MkdirAll(r.sourceDir(), 0o755); err != nil {
		return nil, fmt.Errorf("create folder: %w", err)
	}
	cp := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", filepath.Join(s.seedDir(), "mail"), r.sourceDir())
	if out, err := cp.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy storage: %w: %s", err, out)
	}
	extra := "service imap {\n process_limit = 6000\n client_limit = 1\n}\n"
	if way == withoutDict {
		extra += "plugin {\n acl_shared_dict = file:" + filepath.Join(r.sourceDir(), "missing", "shared.db") + "\n}\n"
	}
	var err error
	if r.source, err = servers.StartDovecot(ctx, servers.DovecotOptions{Dir: r.sourceDir(), Name: "production",
		Mailboxes: slices.Clone(s.numbers), SharedNamespace: way != byLogin, Extra: extra}); err != nil {
		return nil, err
	}
	// DR is as production is: an overview needs both.
	if r.target, err = servers.StartDovecot(ctx, servers.DovecotOptions{Dir: r.targetDir(), Name: "dr",
		Mailboxes: slices.Clone(s.numbers), SharedNamespace: way != byLogin}); err != nil {
		return nil, errors.Join(err, r.stop())
	}
	return r, nil
}

// bare measures the bare protocol going by login: the copy, and a look at all.
func (s *scale) bare(ctx context.Context) (f scaleFigures, err error) {
	f = scaleFigures{way: "bare protocol, by login"}
	r, err := s.pair(ctx, "bare", byLogin)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.stop(), os.RemoveAll(r.dir)) }()
	load := follow(ctx, r.source.Pid())
	for _, step := range []struct {
		kind bare.Kind
		took *time.Duration
	}{{bare.Copy, &f.first}, {bare.Status, &f.unchanged}} {
		s.say("bare protocol: %s", step.kind)
		began := time.Now()
		_, err := bare.Run(ctx, bare.Job{Kind: step.kind, Source: endpoint(r.source), Target: endpoint(r.target), Mailboxes: s.numbers, Parallel: s.parallel})
		if err != nil {
			load.stop()
			return f, err
		}
		*step.took = time.Since(began)
	}
	f.production = load.stop()
	return f, nil
}

// measure has Mailmirror listen to and compare one production, both from the
// moment at which the mailboxes join.
func (s *scale) measure(ctx context.Context, way string) (f scaleFigures, err error) {
	f = scaleFigures{way: way}
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
	if err := mm.run(ctx, "store", "edit", "production", "--events", "auto", "--poll-every", "1m"); err != nil {
		return f, err
	}
	load := follow(ctx, r.source.Pid())
	stopped := false
	defer func() {
		if !stopped {
			load.stop()
		}
	}()
	before, err := mm.account()
	if err != nil {
		return f, err
	}
	joined := time.Now()
	if err := mm.run(ctx, "mailbox", "add", benchLink, "--file", mailboxList(r)); err != nil {
		return f, err
	}
	listening := mm.awaitListening(ctx, joined, len(s.numbers))
	compare := func(name string, took *time.Duration) error {
		s.say("%s: %s compare", way, name)
		began := time.Now()
		err := mm.run(ctx, "compare", benchLink, "--wait")
		*took = time.Since(began)
		return err
	}
	if err = compare("first", &f.first); err == nil {
		err = compare("unchanged", &f.unchanged)
	}
	s.say("%s: waiting for listening", way)
	f.listening = listening.within(s.listening)
	after, accountErr := mm.account()
	f.worker, f.postgres, f.temporal = after.minus(before)
	f.production, stopped = load.stop(), true
	if text, statusErr := mm.command(ctx, "store", "show", "production").Output(); statusErr == nil {
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "now:") || strings.HasPrefix(line, "last listing:") {
				f.notes = append(f.notes, strings.Join(strings.Fields(line), " "))
			}
		}
	}
	return f, errors.Join(err, accountErr)
}

// used is the CPU and memory of one part.
type used struct {
	cpu time.Duration
	mem int64
}

// parts are the parts of Mailmirror.
type parts struct{ worker, postgres, temporal used }

func (m *mailmirror) account() (parts, error) {
	t, err := meter.ReadTable()
	if err != nil {
		return parts{}, err
	}
	sum := func(list []meter.Process) used {
		u := used{cpu: meter.CPU(list)}
		for _, p := range list {
			u.mem += meter.PSS(p.Pid)
		}
		return u
	}
	r := m.residents(t)
	workers := slices.DeleteFunc(r.tool, func(p meter.Process) bool { return !strings.HasPrefix(p.Name, "mailmirror-work") })
	return parts{sum(workers), sum(r.postgres), sum(r.temporal)}, nil
}

// minus is what was used since, and the memory now.
func (p parts) minus(before parts) (worker, postgres, temporal used) {
	since := func(now, then used) used { return used{now.cpu - then.cpu, now.mem} }
	return since(p.worker, before.worker), since(p.postgres, before.postgres), since(p.temporal, before.temporal)
}
