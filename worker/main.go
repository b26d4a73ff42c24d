// Command mailmirror-worker executes the mirror's workflows: the process that
// runs in production, and that `mailmirror up` supervises on one machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"mailmirror/internal/app"
	"mailmirror/internal/config"
	"mailmirror/internal/fault"
	"mailmirror/internal/stack/sdnotify"
	"mailmirror/internal/telemetry"
)

func main() {
	data := flag.String("data", "", "data `directory` of \"mailmirror up\" ($MAILMIRROR_DATA)")
	file := flag.String("config", "", "configuration `file` ($MAILMIRROR_CONFIG)")
	metrics := flag.String("metrics", "", "show metrics on `host:port` ($MAILMIRROR_METRICS_LISTEN)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	flags := map[string]config.FlagValue{}
	if *data != "" {
		flags["data_dir"] = config.FlagValue{Flag: "--data", Value: *data}
	}
	if *metrics != "" {
		flags["metrics.listen"] = config.FlagValue{Flag: "--metrics", Value: *metrics}
	}
	if err := run(ctx, *file, flags); err != nil {
		fmt.Fprintln(os.Stderr, "mailmirror-worker:", err)
		if hint := fault.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

// run works until ctx ends.
func run(ctx context.Context, file string, flags map[string]config.FlagValue) error {
	cfg, err := config.Load(config.Sources{File: file, LookupEnv: os.LookupEnv, Flags: flags})
	if err := errors.Join(err, cfg.Validate()); err != nil {
		return err
	}
	log, err := telemetry.NewLogger(os.Stderr, cfg.Log.Level, cfg.Log.Format)
	if err != nil {
		return err
	}
	w, err := app.NewWorker(ctx, cfg, log)
	if err != nil && ctx.Err() != nil {
		return nil // told to stop while it started
	}
	if err != nil {
		return err
	}
	defer w.Stop()
	if err := w.Start(); err != nil {
		return err
	}
	if err := sdnotify.Ready(); err != nil {
		return err
	}
	select {
	case err := <-w.Fatal():
		return fmt.Errorf("worker: %w", err)
	case <-ctx.Done():
		return nil
	}
}
