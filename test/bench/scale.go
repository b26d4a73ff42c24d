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

	"mailmirror/test/corpus"
	"mailmirror/test/servers"
)

// scaleCommand measures the load on a production of thousands of mailboxes.
const scaleCommand = "scale"

type scaleOptions struct {
	mailboxes, messages int
	parallel            int
	logins              int // to production per second, at most
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

// sourceLogins is how many logins to a source Mailmirror does a second at most if the
// operator sets no bound.
const sourceLogins = 100

func parseScale(args []string, errOut io.Writer) (scaleOptions, error) {
	var o scaleOptions
	var ways string
	f := flag.NewFlagSet("bench scale", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.mailboxes, "mailboxes", 5000, "mailboxes on production")
	f.IntVar(&o.messages, "messages", 1, "small messages in each")
	f.IntVar(&o.parallel, "parallel", 4, "mailboxes at a time")
	f.IntVar(&o.logins, "logins", sourceLogins, "most logins to production per second, for Mailmirror and for the bare protocol")
	f.StringVar(&ways, "ways", allScaleWays, "how production shows its mailboxes: login, shared (a cold namespace), no-dict (the same without a usable acl_shared_dict)")
	f.DurationVar(&o.listening, "listening", 2*time.Minute, "how long at most to wait for listening after the first compare")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.mailboxes < 20 || o.mailboxes > mostMailboxes || o.messages < 1 || o.parallel < 1 || o.logins < 1 {
		return o, fmt.Errorf("-mailboxes must be 20 to %d, -messages, -parallel and -logins at least 1", mostMailboxes)
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
	var result scaleResult
	for _, c := range s.references() {
		b, err := s.bare(ctx, c)
		if err != nil {
			return err
		}
		result.bare = append(result.bare, b)
	}
	var failed error
	for _, w := range o.ways {
		f, err := s.measure(ctx, w)
		result.ways = append(result.ways, f)
		if err != nil {
			failed = fmt.Errorf("%s: %w", w, err)
			break
		}
	}
	// If a way fails, the table shows what was measured before.
	_, err = io.WriteString(out, scaleTable(o, result))
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
		// A file in the place of its folder: Dovecot can neither read it nor make it.
		unusable := filepath.Join(r.sourceDir(), "unusable")
		if err := os.WriteFile(unusable, nil, 0o600); err != nil {
			return nil, fmt.Errorf("make acl_shared_dict unusable: %w", err)
		}
		extra += "plugin {\n acl_shared_dict = file:" + filepath.Join(unusable, "shared.db") + "\n}\n"
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
