// Command mailmirror-soak runs the tests again and again, as `make soak` does,
// and prints a table of what it ran and what failed.
//
// A package's unit tests are one piece of work, with the race detector; each
// test that needs the tag integration is one of its own. Two pieces run at a
// time, those with the fewest runs first. Tests repeat more within a run than
// they do in `make test`: see package repeat.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options say what is run and for how long.
type options struct {
	rounds   int           // how often each piece runs; 0 means that lasts decides
	lasts    time.Duration // no piece begins later than this; 0 means that rounds decides
	run      *regexp.Regexp
	parallel int
	few      bool   // tests repeat as little as in make test
	logs     string // folder for the output of what failed
}

func parse(args []string) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 0, "run each test this many `times`")
	flags.DurationVar(&o.lasts, "for", 0, "begin no test after this `time`, as in 1h30m; what runs then is finished")
	run := flags.String("run", "", "only tests whose name matches this `pattern`")
	flags.IntVar(&o.parallel, "parallel", 2, "how many pieces run at a `time`")
	flags.BoolVar(&o.few, "few", false, "let tests repeat within a run as little as in make test")
	flags.StringVar(&o.logs, "logs", "", "`folder` for the output of what failed; default: one of its own")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.rounds == 0 && o.lasts == 0 {
		o.rounds = 1
	}
	if o.rounds < 0 || o.lasts < 0 || o.parallel < 1 || flags.NArg() > 0 {
		return o, errors.New("-rounds, -for and -parallel take positive values, and there are no other arguments")
	}
	var err error
	o.run, err = regexp.Compile(*run)
	return o, err
}

func main() {
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok := false
	if err == nil {
		ok, err = soak(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// soak runs everything and reports whether all passed. An interrupt ends it
// early, with the table of what ran until then.
func soak(ctx context.Context, o options) (bool, error) {
	dir, err := os.MkdirTemp("", "mailmirror-soak")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	if o.logs == "" {
		if o.logs, err = os.MkdirTemp("", "mailmirror-soak-logs"); err != nil {
			return false, err
		}
	}
	if o.logs, err = filepath.Abs(o.logs); err != nil {
		return false, err
	}
	if err := os.MkdirAll(o.logs, 0o755); err != nil {
		return false, err
	}
	pieces, err := build(ctx, dir, o)
	if err != nil {
		return false, err
	}
	if len(pieces) == 0 {
		return false, fmt.Errorf("no test matches %s", o.run)
	}
	begun := time.Now()
	fmt.Printf("%d pieces of work are built; output of failures goes to %s\n", len(pieces), o.logs)
	results := newTally()
	work(ctx, o, pieces, results)
	fmt.Printf("\nran for %s\n\n", time.Since(begun).Round(time.Second))
	results.print(os.Stdout)
	return results.failures() == 0, nil
}
