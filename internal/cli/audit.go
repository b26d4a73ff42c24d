package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/audit"
	"mailmirror/internal/control"
)

func (c *cli) auditCommand() *cobra.Command {
	var limit int
	cmd := c.onLink(0, 1, &cobra.Command{
		Use:   "audit [LINK]",
		Short: "Who changed what, newest first: every command that changed something",
		Long: `Lists who changed what, when and by which way: the CLI, or a request to Temporal.
Each change has one row, written together with it: a command that makes two changes,
such as "link add --keep-deleted", has two rows. Mailmirror's own rows have the way
"mailmirror", such as a restarted workflow. A suspension has two rows: "suspend" is
the operator's, "suspended" says that no write is in flight any more.

With LINK it lists what is about the link, its stores, and the mirror as a whole.

OUTCOME is empty if the change is made. "failed" means that Temporal rejected the
change, or that the command ended with an error after its change was recorded: look
whether the change is in force. "asked" means that Temporal's answer is not known,
"denied" that the command is not allowed: nothing was changed.

  mailmirror audit site --limit 20`,
		RunE: lists(c, func(ctx context.Context, ctl *control.Control, args []string) ([]audit.Entry, error) {
			return ctl.Audit(ctx, first(args), limit)
		}, c.writeAudit),
	})
	limitFlag(cmd, &limit, "rows")
	return cmd
}

func (c *cli) writeAudit(w io.Writer, entries []audit.Entry) {
	if len(entries) == 0 {
		c.say("nothing was changed yet")
		return
	}
	t := c.newTable("WHEN", "WHO", "WAY", "COMMAND", "LINK", "ABOUT", "DETAIL", "OUTCOME")
	for _, e := range entries {
		outcome := string(e.Outcome)
		if e.Outcome == audit.Done {
			outcome = ""
		}
		about := strings.TrimSpace(e.Store + " " + e.Subject)
		t.row(c.moment(e.At), e.Actor, string(e.Way), e.Command, e.Link, about, e.Detail, outcome)
	}
	t.write(w)
}

// event is a row of the audit log as programs read it of history, which has shown the
// log before there was audit.
type event struct {
	At      time.Time `json:"at"`
	Event   string    `json:"event"`
	Subject string    `json:"subject,omitempty"`
	Who     string    `json:"who"`
	Reason  string    `json:"reason,omitempty"`
}

func (c *cli) showEvents(ctx context.Context, ctl *control.Control, limit int) error {
	entries, err := ctl.Audit(ctx, "", limit)
	if err != nil {
		return err
	}
	events := make([]event, len(entries))
	for i, e := range entries {
		events[i] = event{At: e.At, Event: e.Command, Subject: e.Subject, Who: e.Actor, Reason: e.Detail}
	}
	return c.show(events, func(w io.Writer) { c.writeAudit(w, entries) })
}
