// Command record runs every way through the workflows on a real Temporal
// server, over a database and a copy engine in memory, and writes the histories
// that the replay test holds later releases to.
//
//	go run ./test/replay/record [--bin bin] [--out test/replay/histories] [--prefix v1-] [--only directory-sync]
//
// It needs the Temporal server of `make build`.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"mailmirror/activities"
	"mailmirror/activities/activitytest"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/stack"
	"mailmirror/internal/temporalrunner"
	"mailmirror/workflows"
)

func main() {
	bin := flag.String("bin", "bin", "`folder` of mailmirror-temporal")
	out := flag.String("out", "test/replay/histories", "`folder` to write to")
	prefix := flag.String("prefix", "v1-", "what the files' names begin with")
	only := flag.String("only", "", "record only the scenarios whose names begin so")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx, *bin, *out, *prefix, *only); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		os.Exit(1)
	}
}

func record(ctx context.Context, bin, out, prefix, only string) (err error) {
	dir, err := os.MkdirTemp("", "mm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// PostgreSQL runs as another user, who has to pass.
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	running, err := stack.Up(ctx, stack.Options{DataDir: dir, BinDir: bin, NoWorker: true, Logger: quiet})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		running.Stop(ctx)
	}()
	c, err := client.Dial(client.Options{HostPort: running.Info().TemporalAddress,
		Identity: "recorder", // and not this machine's name
		Logger:   sdklog.NewStructuredLogger(quiet)})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := temporalrunner.New(c, temporalrunner.Options{}).Prepare(ctx); err != nil {
		return err
	}
	for i, s := range slices.Concat(scenarios, directoryScenarios, checkScenarios) {
		if !strings.HasPrefix(s.name, only) {
			continue
		}
		rig := newRig(c, fmt.Sprintf("link%d", i))
		if err := rig.play(ctx, s, filepath.Join(out, prefix+s.name+".json")); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// rig is one link with a worker of its own.
type rig struct {
	*temporalrunner.Runner
	client client.Client
	world  *activitytest.World
	runs   *dirsynctest.Runs // over the link's directory
	checks *activitytest.Checks
	link   string
	// entered gets a value whenever an engine that waits is reached; leave lets
	// it go on.
	entered, leave chan struct{}
	attempts       atomic.Int64
}

func newRig(c client.Client, link string) *rig {
	return &rig{
		Runner: temporalrunner.New(c, temporalrunner.Options{TaskQueue: link, Debounce: 200 * time.Millisecond, PageSize: 2, Pages: 2, Changes: 2}),
		client: c, world: activitytest.New(), runs: dirsynctest.NewRuns(), checks: &activitytest.Checks{}, link: link,
		entered: make(chan struct{}, 100), leave: make(chan struct{}),
	}
}

func (r *rig) key(n mailbox.Number) mailbox.Key { return mailbox.Key{Link: r.link, Number: n} }

// play runs a scenario and saves the history of the workflow that it names.
func (r *rig) play(ctx context.Context, s scenario, path string) error {
	w := worker.New(r.client, r.link, worker.Options{MaxHeartbeatThrottleInterval: 100 * time.Millisecond})
	workflows.Register(w)
	ports := r.checks.Into(r.world, r.world.Ports(r.Runner))
	ports.Directory = r.runs.Engine(lease.Times{})
	activities.Register(w, activities.New(ports, activities.Settings{Report: 50 * time.Millisecond,
		Pace: activities.Pace{Quick: 10 * time.Millisecond}}))
	if err := w.Start(); err != nil {
		return err
	}
	defer w.Stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	id, err := s.run(ctx, r)
	if err != nil {
		return err
	}
	return r.save(ctx, id, s.ends, path)
}

// save writes the history of a workflow that has ended as it is meant to.
func (r *rig) save(ctx context.Context, id string, ends enums.EventType, path string) error {
	var h historypb.History
	events := r.client.GetWorkflowHistory(ctx, id, "", true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return err
		}
		h.Events = append(h.Events, event)
	}
	if last := h.Events[len(h.Events)-1].GetEventType(); last != ends {
		return fmt.Errorf("workflow %s ended with %s, want %s", id, last, ends)
	}
	text, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d events\n", path, len(h.Events))
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
