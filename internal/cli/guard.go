package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
)

func (c *cli) guardCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "guard",
		Short: "Deletions and changes that wait for you: list, show, approve, refuse, set",
		Long: `The deletion guard holds back deletions on the target that look like an
accident on the source: most of a folder, a folder that is gone or was made
anew, or much of a whole link within a short time. Copies never wait.

The guard also holds every message that only the target has and that the mirror
did not put there, from the first one on: somebody left it there while production
was away, or the link began on a target that was not empty. No setting switches
this rule off. Such messages stay on the target until you decide: approve deletes
them, refuse keeps them. A later release of Mailmirror will copy such messages to
production; this one cannot.

What is held waits as long as it takes. Approve it, and it is deleted; refuse
it, and the messages stay on the target and are not asked about again. It goes
away by itself when the messages are back on the source.`,
	}, c.guardList(), c.guardShow(), c.guardApprove(), c.guardRefuse(), c.guardSet())
}

func (c *cli) guardList() *cobra.Command {
	var state string
	cmd := c.onLink(0, 1, &cobra.Command{
		Use:   "list [LINK]",
		Short: "What is held, and what was refused",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			all, entries, err := ctl.AllHolds(ctx, first(args))
			if err != nil {
				return err
			}
			other := func(s guard.HoldState) bool { return state != "" && s != guard.HoldState(state) }
			holds := slices.DeleteFunc(all, func(h guard.Hold) bool { return other(h.State) })
			entries = slices.DeleteFunc(entries, func(h guard.DirectoryHold) bool { return other(h.State) })
			return c.show(bothKinds(holds, entries), func(w io.Writer) {
				if len(holds) > 0 || len(entries) == 0 {
					c.writeHolds(w, holds)
				}
				if len(entries) > 0 {
					c.writeDirectoryHolds(w, entries)
				}
			})
		}),
	})
	states := []string{string(guard.HoldWaiting), string(guard.HoldApproved), string(guard.HoldRefused)}
	cmd.Flags().Var(choice(&state, states...), "state", "only those that are `waiting`, approved or refused")
	_ = cmd.RegisterFlagCompletionFunc("state", fixed(states...))
	return cmd
}

// bothKinds is one list of the holds of messages and of directories; these have a
// kind.
func bothKinds(holds []guard.Hold, entries []guard.DirectoryHold) []any {
	all := []any{}
	for _, h := range holds {
		all = append(all, h)
	}
	for _, h := range entries {
		all = append(all, h)
	}
	return all
}

func (c *cli) writeHolds(w io.Writer, holds []guard.Hold) {
	if len(holds) == 0 {
		c.say("nothing is held")
		return
	}
	t := c.newTable(">ID", "STATE", "LINK", "MAILBOX", "FOLDER", ">DELETE", ">OF", ">ON SOURCE", "SINCE", "WHY")
	waiting, messages, only := 0, 0, 0
	for _, h := range holds {
		t.row(h.ID, h.State, h.Link, h.Number, h.Folder, h.Messages, h.Target, h.Source, c.moment(h.Since), why(h))
		if h.State == guard.HoldWaiting {
			waiting++
			messages += h.Messages
			only += h.TargetOnly
		}
	}
	t.write(w)
	if waiting > 0 {
		c.say("%s in %s to be deleted from the target %s for: mailmirror guard approve ID... or guard refuse ID...",
			counted(messages, "message"), counted(waiting, "folder"), waits(messages))
	}
	if only > 0 {
		c.say("Only the target has %s of these. %s", counted(only, "message"), noRestore)
	}
}

// noRestore says what becomes of messages that only the target has.
const noRestore = "A later release of Mailmirror will copy such messages to production; this one cannot. They stay on the target, unless you approve their deletion."

func why(h guard.Hold) string {
	texts := make([]string, len(h.Reasons))
	for i, r := range h.Reasons {
		texts[i] = r.Text
	}
	return strings.Join(texts, "; ")
}

func (c *cli) guardShow() *cobra.Command {
	return c.onLink(1, 1, &cobra.Command{
		Use:   "show ID | LINK",
		Short: "Show one hold, or the guard of a link, with the figures and limits",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if id, err := strconv.ParseInt(args[0], 10, 64); err == nil {
				// A link may have a number for a name; then it is meant.
				if _, err := ctl.Link(ctx, args[0]); err != nil {
					return c.showHold(ctx, ctl, id)
				}
			}
			v, err := ctl.Guard(ctx, args[0])
			if err != nil {
				return err
			}
			v.Holds, v.Decisions = list(v.Holds), list(v.Decisions)
			return c.show(v, func(w io.Writer) { c.writeGuard(w, v) })
		}),
	})
}

func (c *cli) showHold(ctx context.Context, ctl *control.Control, id int64) error {
	entries, limits, found, err := ctl.DirectoryHold(ctx, id)
	if err != nil {
		return err
	}
	if found {
		return c.showDirectoryHold(ctx, ctl, entries, limits)
	}
	h, settings, err := ctl.Hold(ctx, id)
	if err != nil {
		return err
	}
	shown := struct {
		guard.Hold
		Settings guard.Settings `json:"settings"`
	}{h, settings}
	return c.show(shown, func(w io.Writer) {
		folder := string(h.Folder)
		if h.Vanished {
			folder += " (the folder itself would go)"
		}
		decided := ""
		if h.DecidedBy != "" {
			decided = fmt.Sprintf("%s by %s, %s", h.State, h.DecidedBy, c.moment(h.DecidedAt))
		}
		pairs(w, "hold", h.ID, "state", h.State, "mailbox", string(h.Number)+" of link "+h.Link, "folder", folder,
			"would be deleted", fmt.Sprintf("%d of %d messages on the target", h.Messages, h.Target),
			"on the source", counted(h.Source, "message"), "only on the target", onlyOnTarget(h), "why", why(h),
			"held since", c.moment(h.Since), "in this extent since", c.moment(h.AskedAt), "decided", decided)
		c.writeLimits(w, settings)
	})
}

func onlyOnTarget(h guard.Hold) string {
	if h.TargetOnly == 0 {
		return ""
	}
	return fmt.Sprintf("%s that the mirror did not put there. %s", counted(h.TargetOnly, "message"), noRestore)
}

func (c *cli) writeGuard(w io.Writer, v control.GuardView) {
	f := v.Figures
	pairs(w, "link", v.Link,
		"within "+span(v.Settings.Window), fmt.Sprintf("%s deleted or held, the inbox emptied in %s", counted(f.Deleted, "message"), counted(f.Emptied, "mailbox")),
		"the link holds", fmt.Sprintf("%s in %s", counted(f.Messages, "message"), counted(f.Mailboxes, "mailbox")))
	c.writeLimits(w, v.Settings)
	if v.Directory != nil {
		c.writeDirectoryLimits(w, *v.Directory)
	}
	fmt.Fprintln(w)
	c.writeHolds(w, v.Holds)
	if len(v.DirectoryHolds) > 0 {
		fmt.Fprintln(w)
		c.writeDirectoryHolds(w, v.DirectoryHolds)
	}
	if len(v.Decisions) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := c.newTable("DECIDED", "WHO", "WHAT", "MAILBOX", "FOLDER", ">MESSAGES")
	for _, d := range v.Decisions {
		t.row(c.moment(d.At), d.Who, d.Decision, d.Number, d.Folder, d.Messages)
	}
	t.write(w)
}

// writeLimits shows the settings in force.
func (c *cli) writeLimits(w io.Writer, s guard.Settings) {
	rule := func(on bool, format string, args ...any) string {
		if !on {
			return "off"
		}
		return fmt.Sprintf(format, args...)
	}
	set := "the defaults"
	if s.SetBy != "" {
		set = fmt.Sprintf("set by %s, %s", s.SetBy, c.moment(s.SetAt))
	}
	pairs(w, "limits", set,
		"  share of a folder", rule(s.FolderShare > 0, "more than %d %%, and at least %s", s.FolderShare, counted(s.FolderMinimum, "message")),
		"  count of a folder", rule(s.FolderCount > 0, "more than %s", counted(s.FolderCount, "message")),
		"  folder gone or made anew", rule(s.Gone > 0, "%s or more", counted(s.Gone, "message")),
		"  share of the link", rule(s.LinkShare > 0, "more than %d %%, and at least %s", s.LinkShare, counted(s.LinkMinimum, "message")),
		"  only on the target", "1 message or more, always",
		"  inboxes emptied", rule(s.InboxShare > 0, "in more than %d %%, and at least %s", s.InboxShare, counted(s.InboxMinimum, "mailbox")),
		"  within", span(s.Window),
		"deleted messages", keptText(s))
}

func (c *cli) guardApprove() *cobra.Command {
	var link string
	var all bool
	cmd := plain(0, -1, &cobra.Command{
		Use:   "approve ID... | --link LINK --all",
		Short: "Let what is held be deleted from the target, now",
		Long: `Approves what was shown under the given ids, and no more: where more became due
since, the id is another one, and is asked about again. With --link and --all it
approves what waits in the link at this moment, and lists it.`,
		PreRunE: func(cmd *cobra.Command, args []string) error {
			if all != (link != "") || all == (len(args) > 0) {
				return &usageError{cmd, errors.New("give either ids, or --link and --all")}
			}
			_, err := holdIDs(cmd, args)
			return err
		},
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if all {
				holds, entries, err := ctl.ApproveAllWaiting(ctx, link)
				return c.decided(holds, entries, err)
			}
			return c.decide(ctx, ctl, args, guard.HoldApproved)
		}),
	})
	cmd.Flags().StringVar(&link, "link", "", "`link` of which all is approved")
	cmd.Flags().BoolVar(&all, "all", false, "all that waits in the link")
	_ = cmd.RegisterFlagCompletionFunc("link", c.linkNames(-1))
	return cmd
}

func (c *cli) guardRefuse() *cobra.Command {
	return plain(1, -1, &cobra.Command{
		Use:   "refuse ID...",
		Short: "Keep what is held on the target, and do not ask about it again",
		PreRunE: func(cmd *cobra.Command, args []string) error {
			_, err := holdIDs(cmd, args)
			return err
		},
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			return c.decide(ctx, ctl, args, guard.HoldRefused)
		}),
	})
}

func (c *cli) decide(ctx context.Context, ctl *control.Control, args []string, decision guard.HoldState) error {
	ids, err := holdIDs(nil, args)
	if err != nil {
		return err
	}
	holds, entries, err := ctl.DecideAllHolds(ctx, ids, decision)
	return c.decided(holds, entries, err)
}

func holdIDs(cmd *cobra.Command, args []string) ([]int64, error) {
	ids := make([]int64, len(args))
	for i, a := range args {
		id, err := strconv.ParseInt(a, 10, 64)
		if err != nil || id < 1 {
			return nil, &usageError{cmd, fmt.Errorf("%q is no id of a hold", a)}
		}
		ids[i] = id
	}
	return ids, nil
}

// decided shows what was decided on, also where a sync could not be started.
func (c *cli) decided(holds []guard.Hold, entries []guard.DirectoryHold, err error) error {
	if len(holds)+len(entries) == 0 && err != nil {
		return err
	}
	shown := c.show(bothKinds(holds, entries), func(w io.Writer) {
		if len(holds)+len(entries) == 0 {
			c.say("nothing waits")
		}
		for _, h := range entries {
			what := "the entries stay on the target"
			if h.State == guard.HoldApproved {
				what = "a run that carries them out follows"
			}
			c.say("%s of link %s (%s) %s: %s", counted(h.Changes, "change"), h.Link, h.Kind, h.State, what)
		}
		if len(holds) == 0 {
			return
		}
		t := c.newTable("WHAT", "LINK", "MAILBOX", "FOLDER", ">MESSAGES", ">OF")
		messages := 0
		for _, h := range holds {
			t.row(h.State, h.Link, h.Number, h.Folder, h.Messages, h.Target)
			messages += h.Messages
		}
		t.write(w)
		c.say("%s in %s %s; the syncs start at once, or when the mirror is resumed", counted(messages, "message"), counted(len(holds), "folder"), holds[0].State)
	})
	return errors.Join(err, shown)
}

func (c *cli) guardSet() *cobra.Command {
	var wanted guard.Settings
	var defaults bool
	var keep keepFlags
	var directory directoryGuardFlags
	window := daysValue(0)
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "set LINK",
		Short: "Change the limits of a link's guard",
		Long: `Changes the limits beyond which deletions wait; those that are not given stay as
they are. A share or count of 0 switches its rule off.`,
		Example: "  mailmirror guard set dr --folder-share 30 --folder-count 200",
	})
	f := cmd.Flags()
	f.SortFlags = false
	limits := map[string]func(*guard.Settings) *int{}
	add := func(name, text string, field func(*guard.Settings) *int) {
		f.IntVar(field(&wanted), name, 0, text)
		limits[name] = field
	}
	add("folder-share", "more than so many `percent` of a folder's messages ...", func(s *guard.Settings) *int { return &s.FolderShare })
	add("folder-minimum", "... and at least so many `messages`", func(s *guard.Settings) *int { return &s.FolderMinimum })
	add("folder-count", "more than so many `messages` of a folder", func(s *guard.Settings) *int { return &s.FolderCount })
	add("gone", "so many `messages` or more of a folder that is gone or was made anew", func(s *guard.Settings) *int { return &s.Gone })
	add("link-share", "more than so many `percent` of all messages of the link ...", func(s *guard.Settings) *int { return &s.LinkShare })
	add("link-minimum", "... and at least so many `messages`", func(s *guard.Settings) *int { return &s.LinkMinimum })
	add("inbox-share", "the inbox emptied in more than so many `percent` of the mailboxes ...", func(s *guard.Settings) *int { return &s.InboxShare })
	add("inbox-minimum", "... and in at least so many `mailboxes`", func(s *guard.Settings) *int { return &s.InboxMinimum })
	f.Var(&window, "window", "`time` within which deletions are added up")
	f.BoolVar(&defaults, "defaults", false, "take the defaults for all limits that are not given")
	keep.add(f)
	directory.add(f)
	needsFlag(cmd, "no limit is given")
	cmd.RunE = c.asOne(cmd, nil, func(ctx context.Context, ctl *control.Control, args []string) error {
		s, err := ctl.EditGuard(ctx, args[0], func(s *guard.Settings) {
			if defaults {
				s.Limits = guard.DefaultSettings().Limits
			}
			for name, field := range limits {
				if f.Changed(name) {
					*field(s) = *field(&wanted)
				}
			}
			if f.Changed("window") {
				s.Window = time.Duration(window)
			}
			keep.apply(s)
		})
		if err != nil {
			return err
		}
		if !directory.given() && !defaults {
			return c.show(s, func(w io.Writer) { c.writeLimits(w, s) })
		}
		d, err := ctl.EditDirectorySettings(ctx, args[0], func(d *dirsync.Settings) {
			if defaults {
				d.Limits = dirsync.DefaultSettings().Limits
			}
			directory.apply(d)
		})
		if err != nil {
			return err
		}
		shown := struct {
			guard.Settings
			Directory dirsync.Settings `json:"directory"`
		}{s, d}
		return c.show(shown, func(w io.Writer) {
			c.writeLimits(w, s)
			c.writeDirectoryLimits(w, d)
		})
	})
	return cmd
}
