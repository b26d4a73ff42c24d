package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
)

func (c *cli) verifyCommand() *cobra.Command {
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify LINK [NUMBER...]",
		Short: "Compare the two stores themselves, never what Mailmirror remembers",
		Long: `Reads both stores and compares them, folder by folder: which messages are
missing or extra on the target, and whose flags, dates or sizes differ. With
--deep every body is read, too. Nothing is changed. Exit code 3 where the
stores differ, 1 where a mailbox could not be read.`,
		Args:              takes(1, -1),
		ValidArgsFunction: c.linkNames(0),
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			request, err := ctl.PlanVerify(ctx, args[0], toNumbers(args[1:]), deep)
			if err != nil {
				return err
			}
			show := c.newDisplay("verify "+args[0], "mailboxes")
			v, err := ctl.Verify(ctx, request, func(v control.Verification) {
				show.update(v.Mailboxes, len(request.Numbers), verifyText(v))
			})
			show.close()
			if err != nil {
				return err
			}
			if err := c.show(v, func(w io.Writer) { c.writeVerification(w, v) }); err != nil {
				return err
			}
			switch {
			case v.Failed > 0:
				return outcome(exitFailed)
			case v.Differing > 0:
				return outcome(exitDifferences)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&deep, "deep", false, "read and compare every body")
	return cmd
}

func verifyText(v control.Verification) string {
	s := fmt.Sprintf("%d differing  %d failed  %d messages", v.Differing, v.Failed, v.Messages.Compared+v.Greetings.Compared)
	if v.Deep {
		s += "  " + size(v.Bytes)
	}
	return s
}

func (c *cli) writeVerification(w io.Writer, v control.Verification) {
	if len(v.Results) > 0 {
		t := c.newTable("MAILBOX", "FOLDER", ">COMPARED", ">MISSING", ">EXTRA", ">FLAGS", ">DATES", ">CONTENT", "TROUBLE")
		for _, r := range v.Results {
			for _, f := range r.Folders {
				if !f.Equal() {
					trouble := f.Trouble
					if trouble != "" {
						trouble = "folder: " + trouble
					}
					t.row(r.Number, f.Folder, f.Compared, f.Missing, f.Extra, f.Flags, f.Dates, f.Content, trouble)
				}
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
		n    control.VerifyCounts
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
