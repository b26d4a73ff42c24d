package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func (c *cli) syncCommand() *cobra.Command {
	var wait bool
	cmd := c.onLink(2, 2, &cobra.Command{
		Use:   "sync LINK NUMBER",
		Short: "Sync one mailbox now, without waiting for the next compare",
		Long: `Marks one mailbox as due and starts its sync. With --wait it ends with the
sync: exit code 1 where the sync failed, 3 where lasting differences remain or
deletions are held.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			return c.syncNow(ctx, ctl, mailbox.Key{Link: args[0], Number: mailbox.Number(args[1])}, wait)
		}),
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until it ends and show how the mailbox stands")
	return cmd
}

func (c *cli) syncNow(ctx context.Context, ctl *control.Control, key mailbox.Key, wait bool) error {
	generation, err := ctl.Sync(ctx, key)
	if err != nil {
		return err
	}
	if !wait {
		return c.show(map[string]any{"link": key.Link, "number": key.Number, "generation": generation}, func(io.Writer) {
			c.say("sync of mailbox %s started; look at it with: mailmirror mailbox show %s %s", key.Number, key.Link, key.Number)
		})
	}
	return c.waitSync(ctx, ctl, key, generation)
}

func (c *cli) waitSync(ctx context.Context, ctl *control.Control, key mailbox.Key, generation int64) error {
	m, err := ctl.WaitSync(ctx, key, waiting[site.Mailbox](silent{c}, nil))
	if err != nil {
		return interrupted(ctx, err, "sync", "look at it with: mailmirror mailbox show "+key.Link+" "+string(key.Number))
	}
	// A mailbox may be due again already: what counts is whether the change
	// that was asked for is mirrored.
	return c.showOutcome(m, func(w io.Writer) { c.writeMailbox(w, m) }, m.CleanGeneration < generation, m.Differences+m.Held > 0)
}
