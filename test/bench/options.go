package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// options is what one run of the benchmark builds and repeats.
type options struct {
	mailboxes int
	messages  int // per mailbox, greetings included
	rounds    int
	parallel  int  // mailboxes at a time, for every tool
	review    int  // mailboxes of the cases that only look; 0 leaves them out
	reuse     bool // a process of the servers serves one log-in after the other
	largeMB   int  // size of the single large message; 0 leaves the case out
	tools     []string
	dir       string // scratch; a folder of its own is made in it and removed
	binaries  string // folder of mailmirror's binaries
	output    string // file for the table, beside standard output
	json      string // file for every single figure
	idle      time.Duration
	keep      bool
	check     bool // a missed target is a failure
}

var allTools = []string{toolMailmirror, toolDsync, toolMbsync, toolCeiling}

func parseOptions(args []string, errOut io.Writer) (options, error) {
	var o options
	var tools string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.IntVar(&o.mailboxes, "mailboxes", 100, "mailboxes to mirror")
	f.IntVar(&o.messages, "messages", 27, "messages per mailbox, greetings included, of 5 to 250 kB")
	f.IntVar(&o.rounds, "rounds", 3, "times that each tool does everything, in turn; medians are shown")
	f.IntVar(&o.parallel, "parallel", 4, "mailboxes at a time, for every tool")
	f.IntVar(&o.review, "review", 500, "mailboxes, with few small messages, for the cases that only look for changes; 0 leaves them out")
	f.BoolVar(&o.reuse, "reuse", true, "let each of the servers' processes serve one log-in after the other; false is as Dovecot has it by itself: one process for each log-in")
	f.IntVar(&o.largeMB, "large", 100, "size in MB of the large message for the memory case; 0 leaves it out")
	f.StringVar(&tools, "tools", strings.Join(allTools, ","), "tools to compare")
	f.StringVar(&o.dir, "dir", "", "scratch folder (default: the system's)")
	f.StringVar(&o.binaries, "bin", "bin", "folder of mailmirror's binaries")
	f.StringVar(&o.output, "o", "", "also write the table to this file")
	f.StringVar(&o.json, "json", "", "write every single figure to this file")
	f.DurationVar(&o.idle, "idle-wait", time.Minute, "longest wait for an idle machine before each measured section")
	f.BoolVar(&o.check, "check", false, "end with exit code 1 where mailmirror misses a target")
	f.BoolVar(&o.keep, "keep", false, "keep the scratch folder")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.tools = strings.Split(tools, ",")
	return o, o.validate()
}

func (o options) validate() error {
	var errs []error
	for name, value := range map[string]int{"mailboxes": o.mailboxes, "rounds": o.rounds, "parallel": o.parallel} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("-%s must be at least 1", name))
		}
	}
	// The small change takes one message away and alters two others.
	if o.messages < 8 {
		errs = append(errs, errors.New("-messages must be at least 8"))
	}
	if max(o.mailboxes, o.review) > 9000 || o.review < 0 {
		errs = append(errs, errors.New("-mailboxes and -review must be at most 9000: mailbox numbers have four digits"))
	}
	for _, name := range o.tools {
		if _, err := newTool(name, o); err != nil {
			errs = append(errs, err)
		}
	}
	if o.largeMB < 0 || o.largeMB > 1000 {
		errs = append(errs, errors.New("-large must be between 0 and 1000"))
	}
	return errors.Join(errs...)
}
