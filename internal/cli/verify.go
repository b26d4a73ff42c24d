package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/verdict"
)

func (c *cli) verifyCommand() *cobra.Command {
	var deep, stop bool
	cmd := c.onLink(1, -1, &cobra.Command{
		Use:   "verify LINK [NUMBER...]",
		Short: "Compare the two stores themselves, never what Mailmirror remembers",
		Long: `Workers read both stores and compare them, folder by folder: which messages are
missing or extra on the target, and whose flags, dates or sizes differ. With --deep
they read every body, too. They change nothing, and also work while the mirror is
suspended. The exit code is 3 if the stores differ, and 1 if a mailbox could not be
read.

Ctrl-C ends only the waiting. The same command waits again if the verification is
still running. With --stop it ends.`,
		Example: `  mailmirror verify dr --deep
  mailmirror verify dr 1001 1002`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if stop {
				if err := ctl.StopVerify(ctx, args[0]); err != nil {
					return err
				}
				return c.show(map[string]string{"stopped": args[0]}, func(io.Writer) { c.say("the verification of link %s ends", args[0]) })
			}
			return c.verify(ctx, ctl, verdict.VerifyRequest{Link: args[0], Numbers: toNumbers(args[1:]), Deep: deep})
		}),
	})
	cmd.Flags().BoolVar(&deep, "deep", false, "read and compare every body")
	cmd.Flags().BoolVar(&stop, "stop", false, "end the verification of the link that is running")
	cmd.MarkFlagsMutuallyExclusive("deep", "stop")
	return cmd
}

func (c *cli) verify(ctx context.Context, ctl *control.Control, request verdict.VerifyRequest) error {
	start, err := ctl.StartVerify(ctx, request)
	if err != nil {
		return err
	}
	if !start.Started && c.output != outputJSON {
		c.warn("this verification was running already; the command waits for its end")
	}
	show := c.newDisplay("verify "+request.Link, "mailboxes")
	v, err := ctl.WaitVerify(ctx, request, start, waiting(show, func(r verdict.VerifyRun) {
		show.update(r.Mailboxes, max(r.Planned, r.Mailboxes), verifyText(r.Verification))
	}))
	if err == nil {
		show.update(v.Mailboxes, v.Mailboxes, verifyText(v))
	}
	show.close()
	if err != nil {
		return interrupted(ctx, err, "verification", "wait for it again with the same command, or end it with: mailmirror verify "+request.Link+" --stop")
	}
	v.Results = list(v.Results)
	return c.showOutcome(v, func(w io.Writer) { c.writeVerification(w, v) }, v.Failed > 0, v.Differing > 0)
}

func verifyText(v verdict.Verification) string {
	s := fmt.Sprintf("%d differing  %d failed  %d messages", v.Differing, v.Failed, v.Messages.Compared+v.Greetings.Compared)
	if v.Deep {
		s += "  " + size(v.Bytes)
	}
	return s
}

func (c *cli) writeVerification(w io.Writer, v verdict.Verification) {
	if len(v.Results) > 0 {
		t := c.newTable("MAILBOX", "FOLDER", ">COMPARED", ">MISSING", ">EXTRA", ">FLAGS", ">DATES", ">CONTENT", "TROUBLE")
		for _, r := range v.Results {
			for _, f := range r.Folders {
				if !f.Equal() {
					trouble := f.Trouble
					if trouble != "" {
						trouble = "folder: " + trouble
					}
					if f.Unreadable > 0 {
						trouble = strings.TrimPrefix(trouble+"; "+counted(f.Unreadable, "message")+" unreadable", "; ")
					}
					t.row(r.Number, f.Folder, f.Compared, f.Missing, f.Extra, f.Flags, f.Dates, f.Content, trouble)
				}
			}
			if r.Omitted > 0 {
				t.row(r.Number, "", "", "", "", "", "", "", counted(r.Omitted, "folder")+" more")
			}
			if r.Error != "" {
				t.row(r.Number, "", "", "", "", "", "", "", r.Error)
			}
		}
		t.write(w)
		var hints hints
		for _, r := range v.Results {
			hints.add(r.Hint)
		}
		hints.write(w)
		fmt.Fprintln(w)
	}
	t := c.newTable("", ">COMPARED", ">MISSING", ">EXTRA", ">FLAGS", ">DATES", ">CONTENT")
	for _, line := range []struct {
		role string
		n    verdict.Counts
	}{{"messages", v.Messages}, {"greetings", v.Greetings}} {
		content := fmt.Sprint(line.n.Content)
		if !v.Deep && line.n.Content == 0 {
			// Sizes and headers were compared, bodies were not.
			content = "not read"
		}
		t.row(line.role, line.n.Compared, line.n.Missing, line.n.Extra, line.n.Flags, line.n.Dates, content)
	}
	t.write(w)
	read := ""
	if v.Deep {
		read = ", " + size(v.Bytes) + " read"
	}
	fmt.Fprintf(w, "%s compared%s: %d equal, %d differing, %d failed\n", counted(v.Mailboxes, "mailbox"), read, v.Equal, v.Differing, v.Failed)
}
