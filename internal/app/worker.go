package app

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"go.temporal.io/sdk/worker"

	"mailmirror/activities"
	"mailmirror/internal/audit"
	"mailmirror/internal/background"
	"mailmirror/internal/config"
	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
	"mailmirror/internal/sleep"
	"mailmirror/internal/storecheck"
	"mailmirror/internal/supervise"
	"mailmirror/internal/temporalclient"
	"mailmirror/internal/temporalrunner"
)

// Worker executes the workflows and activities of an installation.
type Worker struct {
	parts    *parts
	shares   *shares
	worker   worker.Worker
	metrics  *metrics
	fatal    chan error
	stopOnce sync.Once
	// supervision looks after the background work until stopLooking is called.
	supervision sync.WaitGroup
	supervisor  *supervise.Supervisor
	stopLooking context.CancelFunc
	log         *slog.Logger
	mailboxes   int // worked on at a time
}

// NewWorker connects to everything, makes Temporal fit for the workflows,
// brings the schedules of every link to what is configured and set, and sees to
// it that MirrorControl runs. It polls for no work before Start.
func NewWorker(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *Worker, err error) {
	figures, err := newMetrics(ctx, cfg.Metrics, log)
	if err != nil {
		return nil, err
	}
	p, err := connect(ctx, cfg, log, figures.sdk(), temporalclient.Dial, ownMigration)
	if err != nil {
		figures.close()
		return nil, err
	}
	shares := newShares(p.repo, cfg, log)
	defer func() {
		if err != nil {
			figures.close()
			shares.close()
			p.close()
		}
	}()
	if err := figures.show(p.repo); err != nil {
		return nil, err
	}
	sealed := &passwords{repo: p.repo, keys: p.keys}
	if err := sealed.start(ctx, log); err != nil {
		return nil, err
	}
	if err := p.runner.Prepare(ctx); err != nil {
		return nil, err
	}
	if err := p.ensureSchedules(ctx, log); err != nil {
		return nil, err
	}
	stores := newStores(p.repo, p.keys, shares, log)
	stores.findServers(ctx)
	if err := p.runner.EnsureControl(ctx); err != nil {
		return nil, err
	}
	times := leaseTimes(cfg)
	engine := copier.NewEngine(p.repo, sleep.Clock{}, copier.Options{Lease: times}, log)
	acts := activities.New(
		activities.Ports{Engine: engine, Links: stores, Mailboxes: p.repo, Compares: p.repo, Reviews: p.repo, Members: p.repo, Due: p.repo,
			Starter: p.runner, Keeper: p.repo, Watch: p.repo, Waker: p.runner, Signs: p.repo, Suspension: p.repo, Schedules: p.runner,
			Meter: figures.meter(), Approved: p.runner,
			Approvals: p.repo, Directory: dirsync.NewEngine(dirsync.Ports{Directories: p.directories, Runs: p.repo, Changes: p.repo,
				Members: p.repo, Settings: p.repo, Leases: p.repo}, sleep.Clock{}, times, log),
			Checks: p.repo, Store: &storecheck.Checker{Records: p.repo, Servers: checker{stores, p.directories}, Lease: times}},
		activities.Settings{Mailboxes: cfg.Worker.Mailboxes, Quiet: cfg.Worker.Debounce, Log: log, Identity: identity(),
			Pace:      activities.Pace{FirstPark: cfg.Retry.Initial, LongestPark: cfg.Retry.Maximum},
			Retention: site.Retention{History: cfg.Retention.History, Archive: cfg.Retention.Archive}},
	)
	w := &Worker{parts: p, log: log, mailboxes: cfg.Worker.Mailboxes, shares: shares, metrics: figures, fatal: make(chan error, 1), supervisor: supervise.New(p.repo, p.repo, p.runner,
		supervise.Options{Worker: identity(), Every: cfg.Sweep.Interval, Lease: times.TTL + times.Fence, Log: log, Own: []supervise.Own{
			{Loop: background.LoopShares, Failing: shares.load.Failing},
			{Loop: background.LoopLogins, Failing: stores.failing},
			{Loop: background.LoopPasswords, Failing: sealed.failing},
		}})}
	w.worker = temporalrunner.NewWorker(p.temporal, p.options, acts, figures.failed(), func(err error) {
		select {
		case w.fatal <- err:
		default:
		}
	})
	return w, nil
}

// ownMigration is a worker's, which nobody asked for.
func ownMigration(ctx context.Context, repo *pgstore.Store, log *slog.Logger) error {
	_, _, err := migrate(ctx, repo, log, audit.Actor{Name: identity(), Way: audit.Itself})
	return err
}

// identity names this process, as Temporal's own client does.
func identity() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%d@%s", os.Getpid(), host)
}

// ensureSchedules makes the schedules what the configuration says. A link for which
// that fails keeps no other from being mirrored: the supervision tries it again, and
// shows what is wrong.
func (p *parts) ensureSchedules(ctx context.Context, log *slog.Logger) error {
	if err := p.runner.EnsureCommonSchedules(ctx); err != nil {
		return err
	}
	links, err := p.repo.Links(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		err := p.runner.EnsureSchedules(ctx, l.Name)
		switch {
		case err == nil:
		case ctx.Err() != nil, fault.Is(err, fault.Transient):
			return err
		default:
			log.WarnContext(ctx, "the schedules of a link are not as they should be", "link", l.Name, "error", err.Error())
		}
	}
	return nil
}

// Start begins to take work.
func (w *Worker) Start() error {
	if err := w.worker.Start(); err != nil {
		return fault.Wrap(err, "start worker")
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stopLooking = cancel
	w.supervision.Go(func() { w.supervisor.Run(ctx) })
	w.log.InfoContext(ctx, "worker started", "worker", identity(), "mailboxes", w.mailboxes)
	return nil
}

// Fatal yields an error after which the worker takes no more work.
func (w *Worker) Fatal() <-chan error { return w.fatal }

// Stop takes no more work, lets what runs break off in good order, and closes
// every connection. Further calls do nothing.
func (w *Worker) Stop() {
	w.stopOnce.Do(func() {
		if w.stopLooking != nil {
			w.stopLooking()
			w.supervision.Wait()
		}
		w.worker.Stop()
		w.log.Info("worker stopped", "worker", identity())
		w.metrics.close()
		w.shares.close()
		w.parts.close()
	})
}
