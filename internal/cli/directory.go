package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func (c *cli) directoryCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "directory",
		Short: "The directory of mailboxes, mirrored by LDAP: sync, diff, show, history, retry",
		Long: `Mailboxes that are created, changed or deleted in the directory of a link's
source follow on the target: names, numbers, passwords, recorded names. A run
reads both directories completely, or changes nothing; what looks like an
accident waits for you (mailmirror guard list). It runs four times a day by
itself: mailmirror schedule list.`,
	}, c.directorySync(), c.directoryDiff(), c.directoryShow(), c.directoryHistory(), c.directoryRetry())
}

func (c *cli) directorySync() *cobra.Command {
	var wait, dryRun, secrets bool
	var ldif string
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "sync LINK [--wait] [--dry-run [--ldif FILE]]",
		Short: "Make the target's directory what the source's is, now",
		Long: `Starts a run over the directory of a link, as the schedule does by itself. With
--wait it shows the progress and ends with the run: exit code 1 where it, or an
entry of it, failed, 3 where something is held or cannot be mirrored. Ctrl-C ends
only the waiting.

A dry run changes nothing, and ends with exit code 3 where something is to be
changed. It writes the changes as LDIF, those that a run would send, to a file or
with --ldif - to standard output; passwords are left out of it.`,
	})
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case ldif != "" && !dryRun:
			return &usageError{cmd, errors.New("--ldif goes with --dry-run")}
		case secrets && ldif == "":
			return &usageError{cmd, errors.New("--with-passwords goes with --ldif")}
		case ldif == "-" && c.output == outputJSON:
			return &usageError{cmd, errors.New("standard output takes either LDIF or JSON")}
		}
		return nil
	}
	cmd.RunE = c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
		start, err := ctl.SyncDirectory(ctx, args[0], dryRun)
		switch {
		case err != nil:
			return err
		case dryRun:
			return c.dryRun(ctx, ctl, start, ldif, secrets)
		case wait:
			return c.waitDirectory(ctx, ctl, start)
		}
		return c.showStart(start, start.Started, "run over the directory of link "+start.Link, "directory sync "+start.Link)
	})
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&wait, "wait", false, "show progress until it ends")
	f.BoolVar(&dryRun, "dry-run", false, "change nothing, and show what would be changed")
	f.StringVar(&ldif, "ldif", "", "`file` to write the changes to as LDIF; - for standard output")
	f.BoolVar(&secrets, "with-passwords", false, "write passwords into the LDIF, too")
	_ = cmd.MarkFlagFilename("ldif", "ldif")
	return cmd
}

// waited waits for a run, with progress.
func (c *cli) waited(ctx context.Context, ctl *control.Control, start control.DirectoryStart) (dirsync.Run, error) {
	show := c.newDisplay("directory "+start.Link, "changes")
	run, err := watched(show, func(w control.Waiting[dirsync.Run]) (dirsync.Run, error) { return ctl.WaitDirectory(ctx, start, w) },
		func(run dirsync.Run) {
			done := run.Created + run.Altered + run.Renumbers + run.Removed + run.Failed
			show.update(done, max(done, run.Due), directoryProgress(run))
		})
	return run, interrupted(ctx, err, "run", "look at it with: mailmirror directory history "+start.Link)
}

func directoryProgress(r dirsync.Run) string {
	phase := map[string]string{"extract": "reading both directories", "compare": "comparing", "apply": "writing", "verify": "looking again",
		"members": "mailboxes join and leave"}[r.Phase]
	if !r.FinishedAt.IsZero() || phase == "" {
		phase = string(r.State)
	}
	return fmt.Sprintf("%s  %d created, %d changed, %d removed, %d failed", phase, r.Created, r.Altered+r.Renumbers, r.Removed, r.Failed)
}

func (c *cli) waitDirectory(ctx context.Context, ctl *control.Control, start control.DirectoryStart) error {
	if !start.Started && c.output != outputJSON {
		c.warn("a run was under way already; this is how that one ends")
	}
	run, err := c.waited(ctx, ctl, start)
	if err != nil {
		return err
	}
	return c.showOutcome(run, func(w io.Writer) { c.writeDirectoryRun(w, run) }, run.State == dirsync.Failed || run.Failed > 0,
		run.Held+run.Refused+run.GivenUp+run.Duplicate+run.Unread > 0)
}

func (c *cli) writeDirectoryRun(w io.Writer, r dirsync.Run) {
	took := max(r.FinishedAt.Sub(r.StartedAt), 0)
	fmt.Fprintf(w, "run over the directory of link %s %s after %s: %s on the source, %d on the target\n",
		r.Link, endedAs(r.State), span(took), counted(r.Source, "entry"), r.Target)
	t := c.newTable(">CREATED", ">CHANGED", ">RENUMBERED", ">REMOVED", ">FAILED", ">HELD", ">REFUSED", ">GIVEN UP", ">UNKNOWN", ">DUPLICATE", ">PROTECTED", ">JOINED", ">LEFT")
	t.row(r.Created, r.Altered, r.Renumbers, r.Removed, r.Failed, r.Held, r.Refused, r.GivenUp, r.Unknown, r.Duplicate, r.Protected, r.Joined, r.Left)
	t.write(w)
	if r.Unread > 0 {
		fmt.Fprintf(w, "%s cannot be read, and nothing was done to them; see: mailmirror errors %s\n", counted(r.Unread, "entry"), r.Link)
	}
	writeReasons(w, r)
	if r.Failed+r.GivenUp+r.Duplicate+r.Unread+r.Unknown+r.Protected > 0 {
		fmt.Fprintf(w, "see which with: mailmirror directory history %s --run %s\n", r.Link, r.RunID)
	}
}

func writeReasons(w io.Writer, r dirsync.Run) {
	for _, reason := range r.Reasons {
		fmt.Fprintln(w, clean(reason))
	}
	if r.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", clean(r.Hint))
	}
}

func endedAs(s dirsync.State) string {
	switch s {
	case dirsync.Done:
		return "is done"
	case dirsync.Held:
		return "is done but for what is held,"
	case dirsync.Failed:
		return "failed"
	case dirsync.Running:
	}
	return "is running"
}

// dryRun waits for a dry run and shows what it found.
func (c *cli) dryRun(ctx context.Context, ctl *control.Control, start control.DirectoryStart, ldif string, secrets bool) error {
	run, changes, err := c.found(ctx, ctl, start)
	if err != nil {
		return err
	}
	if ldif != "" && run.State != dirsync.Failed {
		if err := c.writeLDIF(ctx, ctl, start, ldif, secrets); err != nil {
			return err
		}
	}
	shown := struct {
		dirsync.Run
		Changes []dirsync.Change `json:"changes"`
	}{run, list(changes)}
	write := func(w io.Writer) { c.writeFound(w, run, changes) }
	if ldif == "-" { // standard output is the LDIF's
		write = func(io.Writer) {}
	}
	return c.showOutcome(shown, write, run.State == dirsync.Failed, len(changes) > 0)
}

// found is what a dry run finds.
func (c *cli) found(ctx context.Context, ctl *control.Control, start control.DirectoryStart) (dirsync.Run, []dirsync.Change, error) {
	run, err := c.waited(ctx, ctl, start)
	if err != nil {
		return run, nil, err
	}
	changes, err := ctl.DirectoryRunChanges(ctx, run.RunID)
	return run, changes, err
}

func (c *cli) writeFound(w io.Writer, run dirsync.Run, changes []dirsync.Change) {
	c.writeChanges(w, changes)
	if run.State == dirsync.Failed {
		fmt.Fprintln(w, "not compared:")
	} else {
		fmt.Fprintf(w, "%s on the source, %d on the target, %s\n", counted(run.Source, "entry"), run.Target, counted(len(changes), "difference"))
		if len(run.Reasons) > 0 {
			fmt.Fprintln(w, "a run would hold, until you approve it:")
		}
	}
	writeReasons(w, run)
}

func (c *cli) writeChanges(w io.Writer, changes []dirsync.Change) {
	if len(changes) == 0 {
		return
	}
	t := c.newTable("WHAT", "MAILBOX", "STATE", "COLUMNS", "TARGET'S ENTRY", "WHY")
	for _, ch := range changes {
		columns := make([]string, len(ch.Columns))
		for i, column := range ch.Columns {
			columns[i] = string(column)
		}
		why := ch.Error
		if ch.Hint != "" {
			why += " (" + ch.Hint + ")"
		}
		t.row(ch.Kind, ch.Number, ch.State, strings.Join(columns, " "), ch.Target.DN, why)
	}
	t.write(w)
}

func kindText(k directory.ChangeKind) string {
	switch k {
	case directory.Create:
		return "creation"
	case directory.Alter:
		return "change"
	case directory.Renumber:
		return "new number"
	case directory.Remove, directory.Unknown:
		return "removal"
	case directory.Duplicate, directory.Protected, directory.Unreadable:
	}
	return string(k)
}

// writeLDIF writes the operations of a dry run. A file is readable by nobody else,
// since it tells about subscribers.
func (c *cli) writeLDIF(ctx context.Context, ctl *control.Control, start control.DirectoryStart, path string, secrets bool) (err error) {
	const op = "write LDIF"
	out := io.Writer(&c.out)
	if path != "-" {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fault.New(fault.Config, op, err, "")
		}
		defer func() {
			if closeErr := f.Close(); err == nil && closeErr != nil {
				err = fault.New(fault.Config, op, closeErr, "")
			}
		}()
		out = f
	}
	mapping, err := ctl.TargetMapping(ctx, start.Link)
	if err != nil {
		return err
	}
	options := directory.LDIFOptions{Header: true, Secrets: secrets}
	if err := directory.WriteLDIF(out, mapping, nil, options); err != nil {
		return fault.New(fault.Config, op, err, "")
	}
	options.Header = false
	return ctl.PlanDirectory(ctx, start.Link, start.RunID, func(ch dirsync.Change, look dirsync.Look) error {
		if look.Moot != "" {
			_, err := fmt.Fprintf(out, "\n# mailbox %s: %s\n", comment(ch.Number), comment(look.Moot))
			return err
		}
		if err := directory.WriteLDIF(out, mapping, look.Operations, options); err != nil {
			return fault.New(fault.Config, op, err, "")
		}
		return nil
	})
}

// comment keeps a text on its line.
func comment(text string) string { return strings.Join(strings.Fields(clean(text)), " ") }

func (c *cli) directoryDiff() *cobra.Command {
	return c.onLink(1, 1, &cobra.Command{
		Use:   "diff LINK",
		Short: "How the two directories differ, entry by entry; exit code 3 where they do",
		Long: `Reads both directories completely and shows what differs, by mailbox and column,
without values; mailmirror directory show tells those of one mailbox. Nothing is
changed.`,
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			start, err := ctl.SyncDirectory(ctx, args[0], true)
			if err != nil {
				return err
			}
			run, changes, err := c.found(ctx, ctl, start)
			if err != nil {
				return err
			}
			failed := run.State == dirsync.Failed
			err = c.showOutcome(list(changes), func(w io.Writer) { c.writeFound(w, run, changes) }, failed, len(changes) > 0)
			if _, shown := errors.AsType[outcome](err); shown && failed && c.output == outputJSON {
				return fault.New(fault.Conflict, "compare directories of link "+run.Link, errors.New(strings.Join(run.Reasons, "; ")), run.Hint)
			}
			return err
		}),
	})
}

func (c *cli) directoryShow() *cobra.Command {
	return c.onLink(2, 2, &cobra.Command{
		Use:   "show LINK NUMBER",
		Short: "One mailbox in both directories beside each other; exit code 3 where they differ",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			v, err := ctl.ShowDirectory(ctx, args[0], mailbox.Number(args[1]))
			if err != nil {
				return err
			}
			return c.showOutcome(v, func(w io.Writer) { c.writeEntry(w, v) }, false, !v.Equal)
		}),
	})
}

func (c *cli) writeEntry(w io.Writer, v control.DirectoryEntryView) {
	protected := ""
	if v.Protected {
		protected = "yes: it is never changed or removed"
	}
	none := func(dns []string) string {
		if len(dns) == 0 {
			return "none"
		}
		return strings.Join(dns, "; ")
	}
	login := func(login string, dns []string) string {
		switch {
		case login == string(v.Number), len(dns) == 0:
			return ""
		case login == "":
			return "none: the mailbox cannot be opened"
		}
		return login
	}
	lines := []any{"mailbox", string(v.Number) + " of link " + v.Link, "source", none(v.Source), "target", none(v.Target)}
	if text := login(v.SourceLogin, v.Source); text != "" {
		lines = append(lines, "source log-in", text)
	}
	if text := login(v.TargetLogin, v.Target); text != "" {
		lines = append(lines, "target log-in", text)
	}
	lines = append(lines, "protected", protected)
	for _, e := range v.Errors {
		lines = append(lines, "not mirrored", e.Text, "hint", e.Hint)
	}
	pairs(w, lines...)
	t := c.newTable("COLUMN", "SOURCE", "TARGET", "")
	for _, col := range v.Columns {
		same := "differs"
		if col.Equal {
			same = "equal"
		}
		t.row(col.Column, col.Source, col.Target, same)
	}
	t.write(w)
}

func (c *cli) directoryHistory() *cobra.Command {
	var limit int
	var runID string
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "history LINK [--run ID]",
		Short: "The runs over the directory of a link, or what one of them did, entry by entry",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			if runID != "" {
				changes, err := ctl.DirectoryRunChanges(ctx, runID)
				if err != nil {
					return err
				}
				return c.show(list(changes), func(w io.Writer) { c.writeChanges(w, changes) })
			}
			runs, err := ctl.DirectoryHistory(ctx, args[0], limit)
			if err != nil {
				return err
			}
			return c.show(list(runs), func(w io.Writer) {
				if len(runs) == 0 {
					c.say("no run yet; start one with: mailmirror directory sync %s", args[0])
					return
				}
				t := c.newTable("STARTED", "TRIGGER", "STATE", ">SOURCE", ">TARGET", ">CREATED", ">CHANGED", ">REMOVED", ">FAILED", ">HELD", ">JOINED", ">LEFT", ">TOOK", "RUN", "WHY")
				for _, r := range runs {
					took := "-"
					if !r.FinishedAt.IsZero() {
						took = span(r.FinishedAt.Sub(r.StartedAt))
					}
					t.row(c.moment(r.StartedAt), r.Trigger, r.State, r.Source, r.Target, r.Created, r.Altered+r.Renumbers, r.Removed,
						r.Failed, r.Held, r.Joined, r.Left, took, r.RunID, strings.Join(r.Reasons, "; "))
				}
				t.write(w)
			})
		}),
	})
	cmd.Flags().IntVar(&limit, "limit", 20, "at most this `number` of runs")
	cmd.Flags().StringVar(&runID, "run", "", "show the changes of the run with this `id`")
	return cmd
}

func (c *cli) directoryRetry() *cobra.Command {
	return c.onLink(1, 2, &cobra.Command{
		Use:   "retry LINK [NUMBER]",
		Short: "Let the next run try entries again that were given up",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			n, err := ctl.RetryDirectory(ctx, args[0], mailbox.Number(first(args[1:])))
			if err != nil {
				return err
			}
			return c.show(map[string]int{"retried": n}, func(io.Writer) {
				c.say("%s tried again by the next run; start one with: mailmirror directory sync %s", counted(n, "mailbox"), args[0])
			})
		}),
	})
}
