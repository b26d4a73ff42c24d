package app

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/sdk/client"

	"mailmirror/internal/cli"
	"mailmirror/internal/config"
	"mailmirror/internal/control"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/seal"
	"mailmirror/internal/temporalclient"
	"mailmirror/internal/temporalrunner"
)

// parts are the adapters that the worker and the commands have in common.
type parts struct {
	repo     *pgstore.Store
	keys     *seal.Ring
	temporal client.Client
	runner   *temporalrunner.Runner
	options  temporalrunner.Options
	// directories are those of the stores.
	directories *directories
}

// dialer makes a Temporal client: temporalclient.Dial for who cannot do
// without, temporalclient.Lazy for who asks the database as well.
type dialer func(context.Context, temporalclient.Options) (client.Client, error)

// connect opens the database, makes sure of its schema by ensure, and opens Temporal.
//
// meter gets what Temporal's SDK counts; it may be nil.
func connect(ctx context.Context, cfg config.Config, log *slog.Logger, meter metric.Meter, dial dialer, ensure schema) (_ *parts, err error) {
	where, err := findPlaces(cfg)
	if err != nil {
		return nil, err
	}
	p := &parts{}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.repo, err = pgstore.Open(ctx, where.dsn); err != nil {
		return nil, err
	}
	if err := ensure(ctx, p.repo, log); err != nil {
		return nil, err
	}
	if p.keys, err = where.keys(ctx, p.repo); err != nil {
		return nil, err
	}
	where.temporal.Logger, where.temporal.Meter = log, meter
	if where.temporal, err = temporalclient.Resolve(where.temporal); err != nil {
		return nil, err
	}
	if p.temporal, err = dial(ctx, where.temporal); err != nil {
		return nil, err
	}
	p.options = temporalrunner.Options{
		Namespace:    where.temporal.Namespace,
		CompareEvery: cfg.Compare.Interval,
		SweepEvery:   cfg.Sweep.Interval,
		Debounce:     cfg.Worker.Debounce,
		PageSize:     cfg.Worker.PageSize,
		Grace:        cfg.Worker.Grace,
		Book:         p.repo,
	}
	p.runner = temporalrunner.New(p.temporal, p.options)
	p.directories = &directories{repo: p.repo, keys: p.keys}
	return p, nil
}

func (p *parts) close() {
	if p.temporal != nil {
		p.temporal.Close()
	}
	if p.repo != nil {
		p.repo.Close()
	}
}

// backend is an installation as the commands see it.
type backend struct {
	*parts
	control *control.Control
}

// Open connects to the installation that the settings describe.
func Open(ctx context.Context, cfg config.Config, log *slog.Logger) (cli.Backend, error) {
	lazy := func(_ context.Context, o temporalclient.Options) (client.Client, error) {
		return temporalclient.Lazy(o)
	}
	var outdated error
	p, err := connect(ctx, cfg, log, nil, lazy, func(ctx context.Context, repo *pgstore.Store, log *slog.Logger) (err error) {
		outdated, err = checked(ctx, repo, log)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &backend{parts: p, control: control.New(control.Ports{
		Stores: p.repo, Links: p.repo, Mailboxes: p.repo, Records: p.repo, Guard: p.repo,
		Suspension: p.repo, Schedules: p.repo, Audit: p.repo, Checks: p.repo,
		Runner: p.runner, Scheduler: p.runner, Suspender: p.runner, DirectoryRunner: p.runner, CheckRunner: p.runner,
		Sealer: p.keys, Resolver: resolver{},
		DirectoryConfig: p.repo, DirectoryRuns: p.repo, DirectoryHolds: p.repo, Directories: p.directories,
	}, control.Options{SweepInterval: cfg.Sweep.Interval, Outdated: outdated})}, nil
}

func (b *backend) Control() *control.Control { return b.control }

func (b *backend) Close() { b.close() }
