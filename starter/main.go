// Command mailmirror is the operator's command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mailmirror/internal/app"
	"mailmirror/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], cli.Environment{Open: app.Open, Up: app.Up, Migrate: app.Migrate}))
}
