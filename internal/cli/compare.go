package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/copier"
	"mailmirror/internal/site"
)

func (c *cli) compareCommand() *cobra.Command {
	var wait bool
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "compare LINK",
		Short: "Compare every mailbox of a link now and make the target equal",
		Long: `Starts a full compare of a link, as the schedule does by itself. With --wait it
shows the progress and ends with the compare: exit code 1 where a mailbox
failed, 3 where lasting differences remain. Ctrl-C ends only the waiting.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			start, err := ctl.Compare(ctx, args[0])
			if err != nil {
				return err
			}
			if !wait {
				return c.showStart(start, start.Started, "compare of link "+start.Link, "compare "+start.Link)
			}
			return c.waitCompare(ctx, ctl, start)
		}),
	})
	cmd.Flags().BoolVar(&wait, "wait", false, "show progress until it ends")
	return cmd
}

func (c *cli) waitCompare(ctx context.Context, ctl *control.Control, start control.CompareStart) error {
	what := string(cmp.Or(start.Kind, site.RunCompare))
	show := c.newDisplay(what+" "+start.Link, "mailboxes")
	var t tracker
	run, err := watched(show, func(w control.Waiting[site.CompareRun]) (site.CompareRun, error) {
		return ctl.WaitCompare(ctx, start, w)
	},
		func(run site.CompareRun) { show.update(run.Reviewed, run.Mailboxes, t.add(run, c.env.Now()).String()) })
	if err != nil {
		return interrupted(ctx, err, what, "look at it with: mailmirror status "+start.Link)
	}
	return c.showOutcome(run, func(w io.Writer) { c.writeCompare(w, run) }, run.Failed > 0, run.Differing > 0)
}

func (c *cli) writeCompare(w io.Writer, r site.CompareRun) {
	took := max(r.FinishedAt.Sub(r.StartedAt), 0)
	fmt.Fprintf(w, "%s of link %s ended after %s: %s reviewed\n", cmp.Or(r.Kind, site.RunCompare), r.Link, span(took), counted(r.Reviewed, "mailbox"))
	t := c.newTable(">UNCHANGED", ">SYNCED", ">DIFFERING", ">FAILED", ">BUSY")
	t.row(r.Unchanged, r.Synced, r.Differing, r.Failed, r.Busy)
	t.write(w)
	t = c.newTable("", ">COPIED", ">BYTES", ">FLAGS CHANGED", ">DELETED")
	writeWork(t, "messages", r.Messages)
	writeWork(t, "greetings", r.Greetings)
	t.write(w)
	if all := r.Messages.Add(r.Greetings); all.Appended > 0 && took >= time.Second {
		seconds := took.Seconds()
		fmt.Fprintf(w, "on average %.0f messages/s, %s/s\n", float64(all.Appended)/seconds, size(int64(float64(all.Bytes)/seconds)))
	}
	if r.Failed > 0 || r.Differing > 0 {
		fmt.Fprintf(w, "see why with: mailmirror errors %s\n", r.Link)
	}
}

func writeWork(t *table, role string, w copier.Work) {
	t.row(role, w.Appended, size(w.Bytes), w.FlagsChanged, w.Expunged)
}
