package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
)

// patience bounds a completion: somebody waits at the keyboard.
const patience = 2 * time.Second

type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// fixed completes words that are known beforehand.
func fixed(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// storeNames completes a store as the argument at the given position.
func (c *cli) storeNames(position int) completer {
	return c.names(position, func(ctx context.Context, ctl *control.Control) []string {
		stores, _ := ctl.Stores(ctx)
		names := make([]string, 0, len(stores))
		for _, s := range stores {
			names = append(names, s.Name+"\t"+s.IMAPAddress)
		}
		return names
	})
}

// linkNames completes a link as the argument at the given position.
func (c *cli) linkNames(position int) completer {
	return c.names(position, func(ctx context.Context, ctl *control.Control) []string {
		links, _ := ctl.Links(ctx)
		names := make([]string, 0, len(links))
		for _, l := range links {
			names = append(names, l.Name+"\t"+l.Source+" to "+l.Target)
		}
		return names
	})
}

// names asks the system; where it cannot be reached there is nothing to offer,
// and a shell prompt is no place to say why. position -1 is for flags.
func (c *cli) names(position int, ask func(context.Context, *control.Control) []string) completer {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if position >= 0 && len(args) != position {
			return nil, directive
		}
		cfg, err := c.settings()
		if err != nil {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), patience)
		defer cancel()
		backend, err := c.env.Open(ctx, cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			return nil, directive
		}
		defer backend.Close()
		return ask(ctx, backend.Control()), directive
	}
}
