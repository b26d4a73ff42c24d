package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

func (c *cli) statusCommand() *cobra.Command {
	return c.onLink(0, 1, &cobra.Command{
		Use:   "status [LINK]",
		Short: "How the links stand and what will happen next",
		Long: `Shows, per link, the mailboxes by state, what the source holds, and the lag: the
age of the oldest change that was seen and is not mirrored yet. Where nobody listens
for changes the lag is unknown, and "4?" equal means that 4 mailboxes were equal when
they were last compared.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			links, err := ctl.Status(ctx, first(args))
			if err != nil {
				return err
			}
			if err := c.show(list(links), func(w io.Writer) { c.writeStatus(w, links) }); err != nil || len(links) > 0 {
				return err
			}
			// No link shows it.
			suspensions, err := ctl.Suspensions(ctx)
			suspension := suspensions.Own("")
			if err != nil || !suspension.Still() {
				return err
			}
			if c.output == outputJSON {
				c.warn("%s", c.suspensionLine(suspension))
			} else {
				c.say("%s", c.suspensionLine(suspension))
			}
			return nil
		}),
	})
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (c *cli) writeStatus(w io.Writer, links []control.LinkOverview) {
	if len(links) == 0 {
		c.say("no links yet; add one with: mailmirror link add")
		return
	}
	t := c.newTable("LINK", "FROM", "TO", ">MAILBOXES", ">EQUAL", ">DIFFERING", ">HELD", ">DIRTY", ">PARKED", ">NEW", ">MESSAGES", ">GREETINGS", ">LAG")
	for _, l := range links {
		t.row(l.Link.Name, l.Link.Source, l.Link.Target, l.Mailboxes, equalText(l), l.States.Differing,
			l.States.Held, l.States.Dirty, l.States.Parked, l.States.New, l.Messages, l.Greetings, lagText(l))
	}
	t.write(w)
	for i, l := range links {
		// That of everything is the same for all links.
		if s := l.Suspension; (s.Still() || s.Remaining > 0) && (s.Link != "" || i == 0) {
			fmt.Fprintf(w, "\n%s\n", clean(c.suspensionLine(s)))
		}
		if l.OwnSuspension.Link != "" {
			fmt.Fprintf(w, "\n%s\n", clean(c.suspensionLine(l.OwnSuspension)))
		}
	}
	for _, l := range links {
		fmt.Fprintf(w, "\n%s: %s\n", l.Link.Name, c.lastCompare(l))
		for _, line := range slices.Concat(background(l), c.listening(l), l.Load, c.directoryLines(l), c.comingUp(l)) {
			fmt.Fprintf(w, "%s  %s\n", strings.Repeat(" ", len(l.Link.Name)), line)
		}
	}
}

// equalText is how many mailboxes are equal. Where changes may go unnoticed that is
// how many were when they were last compared, and no more is known.
func equalText(l control.LinkOverview) string {
	if l.Listening.Blind {
		return fmt.Sprintf("%d?", l.States.Equal)
	}
	return fmt.Sprint(l.States.Equal)
}

func lagText(l control.LinkOverview) string {
	switch {
	case l.Lag == nil && l.LinkStatus.Lag > 0:
		return span(l.LinkStatus.Lag) + " or more"
	case l.Lag == nil:
		return "unknown"
	}
	return span(*l.Lag)
}

// background tells what is wrong with the work in the background, and what had to be
// started again.
func background(l control.LinkOverview) []string {
	var lines []string
	for _, f := range l.Background {
		line := f.Text
		if f.Hint != "" {
			line += "; " + f.Hint
		}
		lines = append(lines, clean(line))
	}
	return append(lines, l.Restarted...)
}

func (c *cli) lastCompare(l control.LinkOverview) string {
	run := l.LastCompare
	switch {
	case run == nil:
		return "never compared"
	case run.FinishedAt.IsZero():
		line := fmt.Sprintf("compare running since %s: %d of %d mailboxes reviewed, %d synced, %d failed",
			c.moment(run.StartedAt), run.Reviewed, run.Mailboxes, run.Synced, run.Failed)
		// A big mailbox takes minutes without news, a lost worker for ever.
		if silence := c.env.Now().Sub(run.UpdatedAt); l.Suspension.Still() {
			line += "; it goes on when " + l.Suspension.Scope() + " is resumed"
		} else if silence > 10*time.Minute {
			line += fmt.Sprintf("; no progress for %s, is a worker running?", span(silence))
		}
		return line
	case run.Error != "":
		return fmt.Sprintf("last compare FAILED %s (%s) after %d of %s; see: mailmirror errors %s",
			c.moment(run.FinishedAt), c.ago(run.FinishedAt), run.Reviewed, counted(run.Mailboxes, "mailbox"), l.Link.Name)
	default:
		return fmt.Sprintf("last compare ended %s (%s, took %s): %s, %d unchanged, %d synced, %d differing, %d failed",
			c.moment(run.FinishedAt), c.ago(run.FinishedAt), span(run.FinishedAt.Sub(run.StartedAt)),
			counted(run.Reviewed, "mailbox"), run.Unchanged, run.Synced, run.Differing, run.Failed)
	}
}

func (c *cli) comingUp(l control.LinkOverview) []string {
	var next []string
	if due := l.States.Dirty + l.States.New; due > 0 && l.Suspension.Still() {
		next = append(next, counted(due, "mailbox")+" due, to be started when "+l.Suspension.Scope()+" is resumed")
	} else if due > 0 {
		next = append(next, fmt.Sprintf("%s due, to be started within %s", counted(due, "mailbox"), span(l.Next.SweepWithin)))
	}
	if l.States.Parked > 0 {
		line := counted(l.States.Parked, "mailbox") + " parked"
		if !l.Next.RetryAt.IsZero() {
			line += ", next attempt " + c.attempt(l.Next.RetryAt)
		}
		next = append(next, line+"; see: mailmirror errors "+l.Link.Name)
	}
	if l.States.Held > 0 {
		next = append(next, counted(l.States.Held, "mailbox")+" with deletions that wait for you; see: mailmirror guard list "+l.Link.Name)
	}
	if l.States.Differing > 0 {
		next = append(next, counted(l.States.Differing, "mailbox")+" with lasting differences; see: mailmirror errors "+l.Link.Name)
	}
	if line := c.nextCompare(l.Next); line != "" && !l.Suspension.Still() {
		next = append(next, line)
	}
	if line := c.lastRebuild(l.LastRebuild); line != "" {
		next = append(next, line)
	}
	for _, s := range l.Next.Missed {
		next = append(next, fmt.Sprintf("schedule %s missed %s, noticed %s, and started none since; see: mailmirror schedule list",
			s.Name, counted(s.Missed, "run"), c.moment(s.MissedSeen)))
	}
	return next
}

func (c *cli) lastRebuild(run *site.CompareRun) string {
	switch {
	case run == nil:
		return ""
	case run.FinishedAt.IsZero():
		return fmt.Sprintf("ledger is being rebuilt since %s: %d of %d mailboxes", c.moment(run.StartedAt), run.Reviewed, run.Mailboxes)
	case run.Error != "":
		return fmt.Sprintf("last rebuild of the ledger FAILED %s (%s) after %d of %s",
			c.moment(run.FinishedAt), c.ago(run.FinishedAt), run.Reviewed, counted(run.Mailboxes, "mailbox"))
	default:
		return fmt.Sprintf("ledger rebuilt %s (%s, took %s): %d failed", c.moment(run.FinishedAt), c.ago(run.FinishedAt),
			span(run.FinishedAt.Sub(run.StartedAt)), run.Failed)
	}
}

func (c *cli) nextCompare(n control.Next) string {
	switch {
	case n.CompareUnknown != "":
		return "next compare not known: " + n.CompareUnknown
	case n.CompareRunning:
		return ""
	case n.CompareOverdue:
		return "next compare is overdue since " + c.moment(n.CompareBy) + "; is a worker running?"
	case n.ComparePaused:
		return "no compare by itself: the schedule is paused in Temporal"
	case n.CompareBy.IsZero():
		return "no compare by itself: Temporal has no schedule for it; a worker that starts makes it"
	default:
		return "next compare at " + c.moment(n.CompareBy)
	}
}
