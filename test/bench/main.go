// Command bench measures mailmirror beside mbsync, dsync and the bare IMAP
// protocol, all over the same mailboxes on private Dovecot servers, and prints
// one Markdown table.
//
// It owns the work, the order of the runs, the contenders' configuration and
// the table. It must not know how the mirror works inside: mailmirror is run
// as an operator runs it, by its command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"mailmirror/test/bench/bare"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == bareCommand {
		if err := bare.Main(ctx, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && (os.Args[1] == latencyCommand || os.Args[1] == directoryCommand || os.Args[1] == scaleCommand) {
		if err := other(ctx, os.Args[1], os.Args[2:]); err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench", os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(ctx, o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// other runs what has a table of its own.
func other(ctx context.Context, command string, args []string) error {
	if command == directoryCommand {
		o, err := parseDirectory(args, os.Stderr)
		if err != nil {
			return err
		}
		return runDirectory(ctx, o, os.Stdout, os.Stderr)
	}
	if command == scaleCommand {
		o, err := parseScale(args, os.Stderr)
		if err != nil {
			return err
		}
		return runScale(ctx, o, os.Stdout, os.Stderr)
	}
	o, err := parseLatency(args, os.Stderr)
	if err != nil {
		return err
	}
	return runLatency(ctx, o, os.Stdout, os.Stderr)
}
