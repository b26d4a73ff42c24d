package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/suspension"
)

// operator names who gives the command: the person behind a sudo, where there
// is one.
func operator(lookup func(string) (string, bool)) string {
	if name, ok := lookup("SUDO_USER"); ok && name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

func (c *cli) suspendCommand() *cobra.Command {
	var reason string
	var wait bool
	cmd := &cobra.Command{
		Use:   "suspend [LINK] --reason TEXT",
		Short: "Stop all writing to the targets, or to that of one link, until resume",
		Long: `Stops all writing to the targets of every link, or of LINK alone. When the command returns no
sync begins any more, and those under way are ending; with --wait it returns
when no write is in flight there, which takes seconds, or, where a worker
died, its write lease and the fence after it. Changes are still noticed, and
mirrored after "mailmirror resume". Verify and store check go on: they only read.

If it is suspended already, that suspension stays, with its reason. If everything
and a link are suspended, both have to be resumed before Mailmirror writes to the
target of that link.

A suspension outlives restarts of everything. The same can be asked for by
  temporal workflow signal --workflow-id mirror-control --name suspend
and for one link by adding --input '{"link": "LINK"}'.`,
		Args:              takes(0, 1),
		ValidArgsFunction: c.linkNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			s, changed, err := ctl.Suspend(ctx, first(args), reason)
			if s.Suspended() && !changed && (err == nil || errors.Is(err, control.ErrNotPaused)) {
				c.warn("%s is already %s since %s by %s; the reason stays: %s", s.Scope(), s.State, c.moment(s.Since), s.Who, s.Reason)
			}
			if wait && errors.Is(err, control.ErrNotPaused) {
				c.warn("%v", err)
			} else if err != nil {
				return err
			}
			if wait {
				return c.waitSuspended(ctx, ctl, s)
			}
			return c.show(s, func(io.Writer) { c.say("%s", c.suspensionLine(s)) })
		}),
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&reason, "reason", "", "why, `text` for the record")
	cmd.Flags().BoolVar(&wait, "wait", false, "return when no write is in flight there")
	c.asFlag(cmd)
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func (c *cli) waitSuspended(ctx context.Context, ctl *control.Control, s suspension.Suspension) error {
	show := c.newDisplay("suspend", "writes ended")
	most := s.Waiting
	w := waiting[suspension.Suspension](show, nil)
	noWorker := w.NoWorker
	w.NoWorker = func(since time.Duration) {
		noWorker(since)
		show.warn("nothing new is written from now on; " + c.inFlight(s))
	}
	w.Progress = func(now suspension.Suspension) {
		s, most = now, max(most, now.Waiting)
		show.update(most-s.Waiting, most, c.inFlight(s))
	}
	ended, err := ctl.WaitSuspended(ctx, s.Link, s.Epoch, w)
	show.close()
	if err != nil {
		return interrupted(ctx, err, "suspension", "look at it with: mailmirror status")
	}
	return c.show(ended, func(io.Writer) { c.say("%s", c.suspensionLine(ended)) })
}

// inFlight says which writes may still reach the target while s is being suspended.
func (c *cli) inFlight(s suspension.Suspension) string {
	if s.Waiting == 0 {
		return "no write is in flight any more; waiting for a worker to confirm it"
	}
	return fmt.Sprintf("%s may still be written to until %s", counted(s.Waiting, "mailbox"), c.moment(c.env.Now().Add(s.Remaining)))
}

func (c *cli) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "resume [LINK]",
		Short: "Let the mirror write again after suspend",
		Long: `Ends the suspension of everything, or of LINK: the schedules go on, and what is due is
started at once. Links that are suspended by themselves stay so until they are resumed.`,
		Args:              takes(0, 1),
		ValidArgsFunction: c.linkNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			s, changed, err := ctl.Resume(ctx, first(args))
			if err != nil {
				return err
			}
			all, err := ctl.Suspensions(ctx)
			if err != nil {
				return err
			}
			return c.show(s, func(io.Writer) {
				c.say("%s", c.resumedLine(s, all.Own(""), changed))
				for _, own := range all {
					if s.Link == "" && own.Link != "" && own.Suspended() {
						c.say("link %s is still suspended by itself; end that with: %s", own.Link, own.ResumeCommand())
					}
				}
			})
		}),
	}
	c.asFlag(cmd)
	return cmd
}

// resumedLine says how s stands after resume; changed is true if that ended its suspension.
func (c *cli) resumedLine(s, everything suspension.Suspension, changed bool) string {
	no := "not"
	if changed {
		no = "no longer"
	}
	switch {
	case s.Link != "" && everything.Suspended():
		return s.Scope() + " is " + no + " suspended by itself, but everything is suspended; end that with: " + everything.ResumeCommand()
	case !changed:
		return s.Scope() + " is not suspended"
	}
	return c.suspensionLine(s)
}

// suspensionLine says how the mirror as a whole stands, or a link, in a line.
func (c *cli) suspensionLine(s suspension.Suspension) string {
	var line string
	switch s.State {
	case suspension.Running:
		line = s.Scope() + " is running"
		switch {
		case s.Unconfirmed:
			line = "NOTHING IS WRITTEN: the database was started again or restored, or a standby took over, and it may lack a suspension. " +
				"A worker of this release asks Temporal within a minute; mailmirror errors says what it found. According to the database the mirror is running"
		case s.Remaining > 0:
			line += fmt.Sprintf("; no sync begins for %s: writes that were sent before the database was started again may still arrive",
				span(s.Remaining.Round(time.Second)))
		}
	case suspension.Suspending:
		line = "SUSPENDING: no sync begins any more"
		if s.Waiting > 0 {
			line += fmt.Sprintf("; %s still written to, for %s at most", counted(s.Waiting, "mailbox"), span(s.Remaining.Round(100*time.Millisecond)))
		}
	case suspension.Suspended:
		line = "SUSPENDED: nothing is written"
	}
	if s.Link != "" && s.Suspended() {
		line = "link " + s.Link + " is " + line
	}
	line += "; since " + c.moment(s.Since)
	if s.Who != "" {
		line += " by " + s.Who
	}
	if s.Reason != "" {
		line += ": " + s.Reason
	}
	if s.Suspended() {
		line += "; end it with: " + s.ResumeCommand()
	}
	return line
}
