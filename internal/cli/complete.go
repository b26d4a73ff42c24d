package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
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
	return names(c, position, (*control.Control).Stores, func(s site.Store) string { return s.Name + "\t" + s.IMAPAddress })
}

// linkNames completes a link as the argument at the given position.
func (c *cli) linkNames(position int) completer {
	return names(c, position, (*control.Control).Links, func(l site.Link) string { return l.Name + "\t" + l.Source + " to " + l.Target })
}

// scheduleNames completes a schedule as the first argument.
func (c *cli) scheduleNames() completer {
	return names(c, 0, (*control.Control).Schedules, func(s site.ScheduleInfo) string { return fmt.Sprintf("%s\t%s, %s", s.Name, s.What, s.When) })
}

// names asks the system; where it cannot be reached there is nothing to offer,
// and a shell prompt is no place to say why. position -1 is for flags.
func names[T any](c *cli, position int, ask func(*control.Control, context.Context) ([]T, error), spell func(T) string) completer {
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
		items, _ := ask(backend.Control(), ctx)
		words := make([]string, len(items))
		for i, item := range items {
			words[i] = spell(item)
		}
		return words, directive
	}
}
