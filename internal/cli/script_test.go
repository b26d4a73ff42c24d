package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/cli"
	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/stack"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/suspension"
)

var update = flag.Bool("update", false, "write what the commands say into the scripts")

// TestScripts runs testdata/script over a system in memory. The commands that
// the scripts have beside testscript's own:
//
//	mailmirror ARGS...   runs the command line in this process; the clock stands
//	                     at 2026-03-04 03:00:00 UTC. $STDIN_FILE is its input.
//	code N               checks the exit code of the last mailmirror
//	seed                 fills the system with what seed_test.go describes
//	holds                has the guard of that link hold something
//	directory            gives both stores of that link a directory, with runs
//	schedule HOW         makes the compare schedules overdue, paused, none or away
//	still                lets the suspension be complete from now on
//	restored             has the database come back without link dr's suspension
//	older                makes the schema older than this release, without suspensions
//	away                 makes the system unreachable
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Values[system{}] = newSystem()
			e.Vars = append(e.Vars, "MAILMIRROR_DATA="+e.WorkDir+"/data")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mailmirror": runMailmirror,
			"code":       checkCode,
			"seed":       func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).seed() },
			"holds":      func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).holds() },
			"leftover":   func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).leftover() },
			"directory":  func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).directory() },
			"schedule":   func(ts *testscript.TestScript, _ bool, args []string) { of(ts).schedule(args[0]) },
			"still":      func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).still() },
			"brokenoff":  func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).brokenOff() },
			"restored": func(ts *testscript.TestScript, _ bool, _ []string) {
				of(ts).repo.PutSuspension(suspension.Suspension{Link: "dr", State: suspension.Running, Epoch: 1, Unconfirmed: true})
			},
			"older": func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).older = true },
			"away":  func(ts *testscript.TestScript, _ bool, _ []string) { of(ts).away = true },
		},
	})
}

var clock = time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)

func now() time.Time { return clock }

// system is what one script works on.
type system struct {
	repo     *controltest.Memory
	runner   *controltest.Runner
	servers  *controltest.Servers
	verifier *controltest.Verifier
	records  *controltest.Directory
	sides    *controltest.Sides
	away     bool
	older    bool
	opened   int
	closed   int
	code     int
}

func newSystem() *system {
	repo := controltest.NewMemory(now)
	s := &system{
		repo: repo, runner: &controltest.Runner{Specs: repo.ScheduleSpecs, OnAskResume: func(r suspension.Request) error {
			_, err := repo.Resume(context.Background(), r)
			return err
		}},
		servers: &controltest.Servers{}, verifier: &controltest.Verifier{},
		records: controltest.NewDirectory(repo), sides: &controltest.Sides{},
	}
	controltest.Work(s.runner, repo, &storecheck.Checker{Records: controltest.CheckRecords{Memory: repo, Directory: s.records}, Servers: s.servers}, s.verifier)
	return s
}

func of(ts *testscript.TestScript) *system { return ts.Value(system{}).(*system) }

func (s *system) Control() *control.Control {
	p := controltest.Ports(s.repo, s.records, s.runner)
	p.Directories = s.sides
	o := control.Options{Now: now}
	if s.older {
		p.Suspension = lacking{p.Suspension}
		o.Outdated = fault.New(fault.Config, "the database's schema (version 1) is older than this release (version 2)", nil, "run mailmirror migrate")
	}
	return control.New(p, o)
}

// lacking is a database without the table of suspensions.
type lacking struct{ suspension.Records }

func (lacking) Suspensions(context.Context) (suspension.Scopes, error) {
	return nil, fault.New(fault.Config, "read what is suspended", fmt.Errorf("relation does not exist: %w", fault.ErrDatabase), "the schema is of another release")
}

// brokenOff has the last compare and rebuild of link dr fail, and a try due.
func (s *system) brokenOff() {
	ended := clock.Add(-time.Minute)
	for kind, loop := range map[site.RunKind]background.Loop{site.RunCompare: background.LoopCompare, site.RunRebuild: background.LoopRebuild} {
		s.repo.PutRun(site.CompareRun{RunID: "broken-" + string(kind), Link: "dr", Kind: kind, Mailboxes: 6, StartedAt: ended, FinishedAt: ended, UpdatedAt: ended})
		_ = s.repo.EndLoop(context.Background(), background.Sign{Loop: loop, Item: "dr", Link: "dr", FailedAt: ended, ErrorKind: "config",
			Error: "open the password of store prod: sealed with a key that is not in the key file", Hint: "enter it again"})
	}
	s.repo.PutErrors(site.ErrorEntry{Link: "dr", Number: "1006", Kind: "transient", Text: "connection refused", Failures: 4, NextAttemptAt: clock.Add(-time.Minute)})
}

// still acknowledges suspensions, as a worker does.
func (s *system) still() {
	s.runner.OnAskSuspend = func(r suspension.Request) error {
		_, err := s.repo.ConfirmSuspended(context.Background(), r.Link, r.Epoch)
		return err
	}
}

func (s *system) Close() { s.closed++ }

func (s *system) open(context.Context, config.Config, *slog.Logger) (cli.Backend, error) {
	if s.away {
		return nil, fault.New(fault.Transient, "find stack", errors.New("the one in data is not running"), "start it: mailmirror up --data data")
	}
	s.opened++
	return s, nil
}

func (s *system) up(ctx context.Context, c config.Config, p stack.Ports, log *slog.Logger, ready func(stack.Info)) error {
	log.InfoContext(ctx, "stack started")
	ready(stack.Info{
		DataDir: c.DataDir, PID: 42, DatabaseDSN: "postgres://mm:geheim@db/mm", TemporalAddress: fmt.Sprintf("127.0.0.1:%d", p.TemporalFrontend),
		TemporalNamespace: "default", WebUIURL: fmt.Sprintf("http://127.0.0.1:%d", p.TemporalUI), Ports: p,
	})
	return nil
}

func runMailmirror(ts *testscript.TestScript, neg bool, args []string) {
	s := of(ts)
	var in io.Reader = strings.NewReader("")
	if name := ts.Getenv("STDIN_FILE"); name != "" {
		f, err := os.Open(ts.MkAbs(name))
		ts.Check(err)
		defer f.Close()
		in = f
	}
	s.code = cli.Main(context.Background(), args, cli.Environment{
		Stdin: in, Stdout: ts.Stdout(), Stderr: ts.Stderr(), Now: now, Version: "1.2.3", User: "alice",
		LookupEnv: func(name string) (string, bool) { v := ts.Getenv(name); return v, v != "" },
		Open:      s.open, Up: s.up,
		Migrate: func(context.Context, config.Config, *slog.Logger, audit.Actor) (before, after int64, err error) {
			return 1, 2, nil
		},
	})
	if s.opened != s.closed {
		ts.Fatalf("the system was opened %d times and closed %d times", s.opened, s.closed)
	}
	if failed := s.code != 0; failed != neg {
		ts.Fatalf("exit code %d", s.code)
	}
}

func checkCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(strings.Join(args, " "))
	ts.Check(err)
	if got := of(ts).code; got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
