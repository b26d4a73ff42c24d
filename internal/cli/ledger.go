package cli

import (
	"context"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
)

func (c *cli) ledgerCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "ledger",
		Short: "The record of which message is which: rebuild it from the stores",
	}, c.ledgerRebuild())
}

func (c *cli) ledgerRebuild() *cobra.Command {
	var wait bool
	cmd := c.onLink(1, 2, &cobra.Command{
		Use:   "rebuild LINK [NUMBER]",
		Short: "Make the ledger anew from both stores, while the mirror keeps working",
		Long: `Looks at every message of every mailbox on both stores, whatever the ledger
says, and makes the ledger what they say, as the daily schedule does by itself.
Useful after the database was restored from a backup, or altered by hand. What
is equal is neither copied nor deleted.

With NUMBER it is one mailbox, as by sync. With --wait it ends with the rebuild:
exit code 1 where a mailbox failed, 3 where lasting differences remain. Ctrl-C
ends only the waiting.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if len(args) == 2 {
				// A sync that an operator asks for looks at everything.
				return c.syncNow(ctx, ctl, mailbox.Key{Link: args[0], Number: mailbox.Number(args[1])}, wait)
			}
			start, err := ctl.Rebuild(ctx, args[0])
			if err != nil {
				return err
			}
			if wait {
				return c.waitCompare(ctx, ctl, start)
			}
			return c.showStart(start, start.Started, "rebuild of the ledger of link "+start.Link, "ledger rebuild "+start.Link)
		}),
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "show progress until it ends")
	return cmd
}
