package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

func (c *cli) mailboxCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "mailbox",
		Short: "Mailboxes that take part in a link: add, list, show, remove",
	}, c.mailboxAdd(), c.mailboxList(), c.mailboxShow(), c.mailboxRemove())
}

// mailboxAdded is the answer to `mailbox add`.
type mailboxAdded struct {
	Link string `json:"link"`
	// Given is how many numbers were given, Added how many are new.
	Given int `json:"given"`
	Added int `json:"added"`
}

func (c *cli) mailboxAdd() *cobra.Command {
	var file string
	var reverse bool
	cmd := c.onLink(1, -1, &cobra.Command{
		Use:   "add LINK NUMBER... | --file FILE",
		Short: "Make mailboxes take part in a link",
		Long: `Makes mailboxes take part in a link: all that are given, or none where one of
them cannot. A file holds one number a line; a # begins a comment. Mailboxes
that take part already are left as they are.

An account has one writer: a mailbox that another link mirrors to the same server,
also by another name of the server or another spelling of the number, is rejected.
So is a mailbox that would be mirrored back to the store where it came from.`,
		PreRunE: func(cmd *cobra.Command, args []string) error {
			if (file == "") == (len(args) == 1) {
				return &usageError{cmd, fmt.Errorf("give either mailbox numbers or --file")}
			}
			return nil
		},
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			numbers := toNumbers(args[1:])
			if file != "" {
				var err error
				if numbers, err = c.readNumbers(file); err != nil {
					return err
				}
			}
			add := ctl.AddMailboxes
			if reverse {
				add = ctl.ReverseMailboxes
			}
			added, err := add(ctx, args[0], numbers)
			if err != nil {
				return err
			}
			return c.show(mailboxAdded{args[0], len(numbers), added}, func(io.Writer) {
				c.say("%s added to link %s", counted(added, "mailbox"), args[0])
				if already := len(numbers) - added; already > 0 {
					c.say("%s took part already", counted(already, "mailbox"))
				}
			})
		}),
	})
	cmd.Flags().BoolVar(&reverse, "reverse", false, "mirror back to the store where an earlier link read these mailboxes")
	cmd.Flags().StringVar(&file, "file", "", "`file` with one number a line; - reads standard input")
	_ = cmd.MarkFlagFilename("file")
	return cmd
}

func toNumbers(args []string) []mailbox.Number {
	numbers := make([]mailbox.Number, len(args))
	for i, a := range args {
		numbers[i] = mailbox.Number(a)
	}
	return numbers
}

func (c *cli) readNumbers(path string) ([]mailbox.Number, error) {
	if path == "-" {
		return control.ReadNumbers(c.env.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.Config, "read mailbox numbers", err, "")
	}
	defer f.Close()
	numbers, err := control.ReadNumbers(f)
	return numbers, fault.Wrap(err, path)
}

func (c *cli) mailboxList() *cobra.Command {
	var state string
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "list LINK",
		Short: "List the mailboxes of a link and how they stand",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			all, err := ctl.Mailboxes(ctx, args[0])
			if err != nil {
				return err
			}
			mailboxes := make([]site.Mailbox, 0, len(all))
			for _, m := range all {
				if state == "" || m.State == site.MailboxState(state) {
					mailboxes = append(mailboxes, m)
				}
			}
			return c.show(mailboxes, func(w io.Writer) {
				if len(all) == 0 {
					c.say("no mailbox takes part in link %s; add some with: mailmirror mailbox add %s NUMBER...", args[0], args[0])
					return
				}
				t := c.newTable("NUMBER", "STATE", ">MESSAGES", ">GREETINGS", ">DIFFERENCES", "LAST EQUAL", "ERROR")
				for _, m := range mailboxes {
					t.row(m.Number, m.State, m.Messages, m.Greetings, m.Differences, c.moment(m.LastEqualAt), m.Error)
				}
				t.write(w)
			})
		}),
	})
	states := []string{
		string(site.StateNew), string(site.StateEqual), string(site.StateDiffering),
		string(site.StateHeld), string(site.StateDirty), string(site.StateParked),
	}
	cmd.Flags().Var(choice(&state, states...), "state", "only those that are `new`, equal, differing, held, dirty or parked")
	_ = cmd.RegisterFlagCompletionFunc("state", fixed(states...))
	return cmd
}

func (c *cli) mailboxShow() *cobra.Command {
	return c.onLink(2, 2, &cobra.Command{
		Use:   "show LINK NUMBER",
		Short: "Show how one mailbox stands and what comes next",
		RunE: answers(c, func(ctx context.Context, ctl *control.Control, args []string) (site.Mailbox, error) {
			return ctl.Mailbox(ctx, mailbox.Key{Link: args[0], Number: mailbox.Number(args[1])})
		}, c.writeMailbox),
	})
}

func (c *cli) writeMailbox(w io.Writer, m site.Mailbox) {
	due := ""
	if !m.DirtySince.IsZero() {
		due = c.moment(m.DirtySince) + " (" + c.ago(m.DirtySince) + ")"
	}
	failures, next := "", ""
	if m.Failures > 0 {
		failures = fmt.Sprintf("%s in a row, last %s", counted(m.Failures, "failure"), c.moment(m.ErrorAt))
	}
	if !m.NextAttemptAt.IsZero() {
		next = c.attempt(m.NextAttemptAt)
	}
	differences := ""
	if m.Differences > 0 {
		differences = fmt.Sprintf("%d; list them with: mailmirror errors %s", m.Differences, m.Link)
	}
	held := ""
	if m.Held > 0 {
		held = fmt.Sprintf("%s %s to be deleted from the target; see: mailmirror guard list %s", counted(m.Held, "message"), waits(m.Held), m.Link)
	}
	pairs(w,
		"mailbox", string(m.Number)+" of link "+m.Link,
		"source log-in", m.SourceLogin, "target log-in", m.TargetLogin,
		"state", m.State,
		"messages", m.Messages, "greetings", m.Greetings,
		"lasting differences", differences, "held", held,
		"last equal", c.moment(m.LastEqualAt), "last review", c.moment(m.LastReviewAt),
		"due since", due,
		"failures", failures, "error", m.Error, "hint", m.Hint, "next attempt", next,
		"added", c.moment(m.CreatedAt),
	)
}

func (c *cli) mailboxRemove() *cobra.Command {
	return c.onLink(2, -1, &cobra.Command{
		Use:   "remove LINK NUMBER...",
		Short: "Stop mirroring mailboxes; what is on the target stays there",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			removed, err := ctl.RemoveMailboxes(ctx, args[0], toNumbers(args[1:]))
			if err != nil {
				return err
			}
			return c.show(map[string]any{"link": args[0], "removed": removed}, func(io.Writer) {
				c.say("%s removed from link %s", counted(removed, "mailbox"), args[0])
			})
		}),
	})
}
