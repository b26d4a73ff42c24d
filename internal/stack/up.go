package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mailmirror/internal/fault"
)

// Options says how a stack is run.
type Options struct {
	// DataDir is made when it does not exist.
	DataDir string
	// Ports are taken as they are; see DefaultPorts, and Ports for what 0 means.
	Ports Ports
	// BinDir holds mailmirror-temporal and mailmirror-worker; "" means the
	// folder of the running program.
	BinDir string
	// ExternalTemporal is host:port of an existing cluster to use instead of a
	// private server; TLS and API key come from the environment.
	ExternalTemporal string
	// Namespace is the Temporal namespace; "" means "default". It is created
	// only on the private server.
	Namespace string
	// Retention is how long the private server keeps closed workflows, decided
	// at its first start; 0 means 72 hours.
	Retention time.Duration
	// ExternalDatabase is the URL of an existing PostgreSQL database to use
	// instead of a private cluster. A private Temporal server then makes its
	// databases beside it.
	ExternalDatabase string
	// WorkerArgs are given to the worker beside its data directory.
	WorkerArgs []string
	// NoWorker leaves the worker out.
	NoWorker bool
	// OwnMetrics says that the worker's settings tell where it shows metrics, or
	// that it shows none: it gets no port for them.
	OwnMetrics bool
	// NoSync trades the private cluster's durability for speed: a power failure
	// may destroy it. It is for stacks that die with a test; no command sets it.
	NoSync bool
	// Logger gets the supervisor's messages; nil means slog.Default.
	Logger *slog.Logger
}

const (
	temporalBinary = "mailmirror-temporal"
	workerBinary   = "mailmirror-worker"
)

func (o *Options) setDefaults() error {
	var faults []error
	if o.DataDir == "" {
		faults = append(faults, errors.New("no data directory given"))
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Retention == 0 {
		o.Retention = 72 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.ExternalDatabase != "" && o.ExternalTemporal == "" &&
		!strings.HasPrefix(o.ExternalDatabase, "postgres://") && !strings.HasPrefix(o.ExternalDatabase, "postgresql://") {
		faults = append(faults, errors.New("a private Temporal server needs the database as a postgres:// URL"))
	}
	if o.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			faults = append(faults, fmt.Errorf("find own folder: %w", err))
		}
		o.BinDir = filepath.Dir(self)
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		faults = append(faults, err)
	}
	o.DataDir = dir
	if err := errors.Join(faults...); err != nil {
		return fault.New(fault.Config, "start stack", err, "")
	}
	return nil
}

// binary returns the path of one of our programs, which must exist.
func (o *Options) binary(name string) (string, error) {
	path := filepath.Join(o.BinDir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fault.New(fault.Config, "find "+name, err, "build it first: make build")
	}
	return path, nil
}

// needsPort says which ports a stack of these options listens on.
func (o *Options) needsPort(flag string) bool {
	switch flag {
	case postgresFlag:
		return o.ExternalDatabase == ""
	case metricsFlag:
		return !o.NoWorker && !o.OwnMetrics
	default:
		return o.ExternalTemporal == ""
	}
}

// Stack is a running stack; see Up.
type Stack struct {
	layout     layout
	lock       *dirLock
	supervisor *Supervisor
	info       Info
	stopOnce   sync.Once
}

// Up starts everything and returns when it all serves; ctx counts only until
// then. The caller must call Stop. When something cannot be started, whatever
// runs already is stopped again.
//
// Up may be called on a data directory whose stack was killed at any moment:
// leftover processes are ended, and everything goes on from what is stored.
func Up(ctx context.Context, o Options) (*Stack, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	l := layout{o.DataDir}
	if err := makeDirs(l); err != nil {
		return nil, fault.New(fault.Config, "make data directory", err, "")
	}
	lock, err := takeLock(ctx, l.lock())
	if err != nil {
		return nil, err
	}
	s := &Stack{layout: l, lock: lock}
	if s.supervisor, err = NewSupervisor(l.run(), l.log(), o.Logger); err != nil {
		lock.release()
		return nil, fmt.Errorf("end leftover processes: %w", err)
	}
	if err := s.start(ctx, o); err != nil {
		s.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

// makeDirs makes the data directory and the folders that belong to us alone.
func makeDirs(l layout) error {
	//nolint:gosec // PostgreSQL, as another user, passes through to its own folder
	if err := os.MkdirAll(l.dir, 0o711); err != nil {
		return err
	}
	for _, dir := range []string{l.run(), l.log(), l.secrets()} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (s *Stack) start(ctx context.Context, o Options) error {
	last, err := readInfo(s.layout.info())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ports, err := resolvePorts(o.Ports, last.Ports, o.needsPort)
	if err != nil {
		return err
	}
	s.info = Info{
		DataDir: s.layout.dir, PID: os.Getpid(), StartedAt: time.Now().UTC().Truncate(time.Second),
		DatabaseDSN: o.ExternalDatabase, TemporalAddress: o.ExternalTemporal, TemporalNamespace: o.Namespace,
		TemporalExternal: o.ExternalTemporal != "", KeyFile: s.layout.keyFile(), Ports: ports, State: stateStarting,
	}
	if ports.Metrics != 0 {
		s.info.MetricsURL = "http://" + net.JoinHostPort(loopback, strconv.Itoa(ports.Metrics)) + "/metrics"
	}
	if err := writeJSON(s.layout.info(), s.info); err != nil {
		return fmt.Errorf("write %s: %w", s.layout.info(), err)
	}
	if o.ExternalDatabase == "" {
		if err := s.startPostgres(ctx, o); err != nil {
			return err
		}
	}
	if o.ExternalTemporal == "" {
		if err := s.startTemporal(ctx, o); err != nil {
			return err
		}
	}
	s.info.State = stateServing
	if err := writeJSON(s.layout.info(), s.info); err != nil {
		return fmt.Errorf("write %s: %w", s.layout.info(), err)
	}
	if o.NoWorker {
		return nil
	}
	return s.startWorker(ctx, o)
}

func (s *Stack) startPostgres(ctx context.Context, o Options) error {
	c, err := newCluster(s.layout, s.info.Ports.Postgres)
	if err != nil {
		return err
	}
	c.noSync = o.NoSync
	if err := c.initialise(ctx); err != nil {
		return err
	}
	if err := s.supervisor.Start(ctx, c.child()); err != nil {
		return err
	}
	s.info.DatabaseDSN = c.dsn(databaseName)
	return c.createDatabase(ctx, databaseName)
}

func (s *Stack) startTemporal(ctx context.Context, o Options) error {
	binary, err := o.binary(temporalBinary)
	if err != nil {
		return err
	}
	p := s.info.Ports
	s.info.TemporalAddress = net.JoinHostPort(loopback, strconv.Itoa(p.TemporalFrontend))
	s.info.WebUIURL = "http://" + net.JoinHostPort(loopback, strconv.Itoa(p.TemporalUI))
	return s.supervisor.Start(ctx, Child{
		Name: "temporal", Path: binary,
		Args: []string{
			"--frontend-port", strconv.Itoa(p.TemporalFrontend),
			"--history-port", strconv.Itoa(p.TemporalHistory),
			"--matching-port", strconv.Itoa(p.TemporalMatching),
			"--worker-port", strconv.Itoa(p.TemporalWorker),
			"--ui-port", strconv.Itoa(p.TemporalUI),
			"--namespace", o.Namespace,
			"--retention", o.Retention.String(),
		},
		// By the environment: an external database's URL may hold a password.
		Env:          append(os.Environ(), "MAILMIRROR_TEMPORAL_DATABASE="+s.info.DatabaseDSN),
		ReadyTimeout: 3 * time.Minute, // the first start makes two schemas
		// On a busy machine it gives up over what passes, a slow database or a port
		// that somebody tries for a moment.
		StartAttempts: 2,
		StopSignals:   []syscall.Signal{syscall.SIGTERM},
		Grace:         15 * time.Second,
		// Its database may be gone at the same moment; nothing is lost by a kill.
		DeathSignal: syscall.SIGKILL,
	})
}

// startWorker starts the worker, which finds everything by Load and says by
// sd_notify(3) when it polls.
func (s *Stack) startWorker(ctx context.Context, o Options) error {
	binary, err := o.binary(workerBinary)
	if err != nil {
		return err
	}
	args := append([]string{"--data", s.layout.dir}, o.WorkerArgs...)
	if port := s.info.Ports.Metrics; port != 0 {
		args = append(args, "--metrics", net.JoinHostPort(loopback, strconv.Itoa(port)))
	}
	return s.supervisor.Start(ctx, Child{
		Name: "worker", Path: binary, Args: args,
		ReadyTimeout: 2 * time.Minute,
		StopSignals:  []syscall.Signal{syscall.SIGTERM},
		Grace:        30 * time.Second,
		DeathSignal:  syscall.SIGKILL, // the exactly-once protocol is made for it
	})
}

// Info says where everything listens and what runs now.
func (s *Stack) Info() Info {
	info := s.info
	info.Children = s.supervisor.Children()
	return info
}

// Stop stops the children in the reverse order of their start and gives the
// data directory free. When ctx ends, those that are left are killed at once,
// which loses nothing. Further calls do nothing.
func (s *Stack) Stop(ctx context.Context) {
	s.stopOnce.Do(func() {
		s.supervisor.Stop(ctx)
		s.lock.release()
	})
}
