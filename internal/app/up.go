package app

import (
	"context"
	"log/slog"
	"time"

	"mailmirror/internal/config"
	"mailmirror/internal/fault"
	"mailmirror/internal/stack"
)

// Up runs the one-machine stack until ctx ends. ready is called once, when
// everything serves.
func Up(ctx context.Context, cfg config.Config, ports stack.Ports, log *slog.Logger, ready func(stack.Info)) error {
	dsn, err := cfg.DatabaseDSN()
	if err != nil {
		return fault.New(fault.Config, "read settings", err, "")
	}
	var workerArgs []string
	if cfg.File != "" {
		workerArgs = []string{"--config", cfg.File}
	}
	s, err := stack.Up(ctx, stack.Options{
		WorkerArgs: workerArgs, OwnMetrics: cfg.Metrics.Listen != "",
		DataDir: cfg.DataDir, Ports: ports, Logger: log,
		ExternalDatabase: dsn, ExternalTemporal: cfg.Temporal.Address, Namespace: cfg.Temporal.Namespace,
	})
	if err != nil {
		return err
	}
	ready(s.Info())
	<-ctx.Done()
	// More than the children's own graces together: none of them is cut short.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 90*time.Second)
	defer cancel()
	s.Stop(stopping)
	return nil
}
