// Command mailmirror-temporal runs Temporal's own server, all services in one
// process, with its Web UI, on PostgreSQL.
//
// It is a Go module of its own because the server drags in a thousand packages
// that nothing else of Mailmirror needs: only those who run the one-machine
// stack pay for building it. It owns the two databases "temporal" and
// "temporal_visibility" beside Mailmirror's own and brings their schema up to
// date at start. It must not know what the workflows do: search attributes,
// schedules and workers are the business of the clients.
//
// Everything listens on 127.0.0.1 and nothing asks for a password there, as in
// Temporal's own development server: whoever has a shell on the machine can
// reach the workflows. Clusters shared between machines are Temporal's to run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	settings, err := parseSettings(os.Args[1:], os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A second signal ends the process at once: the databases are safe at any
	// moment, so impatience does no harm.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, settings); err != nil {
		fmt.Fprintln(os.Stderr, "mailmirror-temporal:", err)
		os.Exit(1)
	}
}
