// Command mailmirror is the operator's command line.
package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"mailmirror/internal/cli"
	"mailmirror/internal/config"
	"mailmirror/internal/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Environment{Open: open, Up: up}))
}

func open(context.Context, config.Config, *slog.Logger) (cli.Backend, error) {
	return nil, errors.New("this build has no connection to a system")
}

func up(context.Context, config.Config, stack.Ports, *slog.Logger, func(stack.Info)) error {
	return errors.New("this build cannot run a system")
}
