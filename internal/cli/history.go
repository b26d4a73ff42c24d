package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
)

func (c *cli) historyCommand() *cobra.Command {
	var limit int
	var archive bool
	cmd := c.onLink(0, 2, &cobra.Command{
		Use:   "history [LINK [NUMBER]]",
		Short: "What was done, newest first: syncs that changed something or failed",
		Long: `Shows what was done, newest first: of a link or one of its mailboxes, the syncs
that changed something or failed. Without a link, what actors changed, as audit
shows it.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if len(args) == 0 {
				return c.showEvents(ctx, ctl, limit)
			}
			entries, err := ctl.History(ctx, args[0], mailbox.Number(first(args[1:])), limit, archive)
			if err != nil {
				return err
			}
			return c.show(list(entries), func(w io.Writer) {
				if len(entries) == 0 {
					c.say("nothing was done yet")
					return
				}
				t := c.newTable("ENDED", "MAILBOX", "TRIGGER", "OUTCOME", ">COPIED", ">GREETINGS", ">BYTES", ">FLAGS", ">DELETED", ">FOLDERS", ">TOOK", "ERROR")
				for _, e := range entries {
					both := e.Messages.Add(e.Greetings)
					folders := e.Folders.Created + e.Folders.Deleted + e.Folders.Renamed + e.Folders.Subscribed
					t.row(c.moment(e.Finished), e.Key.Number, e.Trigger, e.Outcome, e.Messages.Appended, e.Greetings.Appended,
						size(both.Bytes), both.FlagsChanged, both.Expunged, folders, span(e.Finished.Sub(e.Started)), e.Err)
				}
				t.write(w)
			})
		}),
	})
	cmd.Flags().BoolVar(&archive, "archive", false, "show what was moved to the archive, too")
	limitFlag(cmd, &limit, "entries")
	return cmd
}
