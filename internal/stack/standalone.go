package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mailmirror/internal/fault"
)

// PostgresOptions says how a private cluster alone is run.
type PostgresOptions struct {
	// Port on loopback; 0 picks a free one.
	Port int
	// NoSync trades durability for speed, for clusters that die with a test.
	NoSync bool
	// Logger gets the supervisor's messages; nil means slog.Default.
	Logger *slog.Logger
}

// Postgres is a private cluster that runs alone, without the rest of a stack.
type Postgres struct {
	cluster    *cluster
	lock       *dirLock
	supervisor *Supervisor
}

// StartPostgres runs a private cluster under dataDir and returns when it
// serves. The caller must call Stop.
func StartPostgres(ctx context.Context, dataDir string, o PostgresOptions) (_ *Postgres, err error) {
	options := Options{DataDir: dataDir, Logger: o.Logger}
	if err := options.setDefaults(); err != nil {
		return nil, err
	}
	l := layout{options.DataDir}
	if err := makeDirs(l); err != nil {
		return nil, fault.New(fault.Config, "make data directory", err, "")
	}
	p := &Postgres{}
	if p.lock, err = takeLock(ctx, l.lock()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Stop(context.WithoutCancel(ctx))
		}
	}()
	onlyPostgres := func(flag string) bool { return flag == postgresFlag }
	ports, err := resolvePorts(Ports{Postgres: o.Port}, Ports{}, onlyPostgres)
	if err != nil {
		return nil, err
	}
	if p.supervisor, err = NewSupervisor(l.run(), l.log(), options.Logger); err != nil {
		return nil, fmt.Errorf("end leftover processes: %w", err)
	}
	if p.cluster, err = newCluster(l, ports.Postgres, options.Logger); err != nil {
		return nil, err
	}
	p.cluster.noSync = o.NoSync
	if err := p.cluster.initialise(ctx); err != nil {
		return nil, err
	}
	if err := p.supervisor.Start(ctx, p.cluster.child()); err != nil {
		return nil, err
	}
	return p, p.CreateDatabase(ctx, databaseName)
}

// DSN is the connection string of Mailmirror's database in the cluster.
func (p *Postgres) DSN() string { return p.cluster.dsn(databaseName) }

// DSNOf is the connection string of any database in the cluster.
func (p *Postgres) DSNOf(database string) string { return p.cluster.dsn(database) }

// CreateDatabase makes a database unless it exists.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) error {
	if name == "" {
		return errors.New("create database: no name")
	}
	return p.cluster.createDatabase(ctx, name)
}

// PID is the server's process, 0 while it is being restarted.
func (p *Postgres) PID() int {
	for _, child := range p.supervisor.Children() {
		return child.PID
	}
	return 0
}

// Stop ends the cluster; when ctx ends it is killed, which loses nothing that
// was committed (unless NoSync).
func (p *Postgres) Stop(ctx context.Context) {
	if p.supervisor != nil {
		p.supervisor.Stop(ctx)
	}
	p.lock.release()
}
