package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

func (c *cli) linkCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:   "link",
		Short: "Links from a source store to a target store: add, edit, list, show, remove",
	}, c.linkAdd(), c.linkEdit(), c.linkList(), c.linkShow(), c.linkRemove())
}

func (c *cli) linkAdd() *cobra.Command {
	var l site.Link
	var exclude []string
	var bandwidth bandwidthFlags
	var keep keepFlags
	var participate participateFlags
	var directory linkDirectoryFlag
	cmd := plain(1, 1, &cobra.Command{
		Use:   "add NAME --source STORE --target STORE",
		Short: "Mirror from one store to another",
		Example: `  mailmirror link add dr --source prod --target dr-site --exclude Trash
  mailmirror link add dr --source prod --target dr-site --participate filter --participate-numbers '20*'`,
	})
	cmd.RunE = c.asOne(cmd, func() string { return "from " + l.Source + " to " + l.Target }, func(ctx context.Context, ctl *control.Control, args []string) error {
		l.Name, l.Exclude, l.Directory = args[0], exclude, directory.setting()
		l.Bandwidth, l.BandwidthWindows, l.BandwidthTimezone = quota.Rate(bandwidth.rate), bandwidth.given(), bandwidth.timezone
		added, err := ctl.AddLink(ctx, l)
		if err != nil {
			return err
		}
		if _, err := c.applyKeep(ctx, ctl, l.Name, keep); err != nil {
			return err
		}
		if participate.given() {
			if _, err := ctl.EditDirectorySettings(ctx, l.Name, participate.apply); err != nil {
				// Nobody is to join by a rule that was not meant.
				undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
				defer cancel()
				return errors.Join(err, ctl.RemoveLink(undoing, l.Name))
			}
		}
		g, err := ctl.Guard(ctx, l.Name)
		if err != nil {
			return err
		}
		unsure, err := ctl.Undetermined(ctx, added)
		if err != nil {
			return err
		}
		return c.show(added, func(io.Writer) {
			if unsure != "" {
				c.say("%s; Mailmirror compares each account before it writes to it, where the servers report ids of accounts", unsure)
			}
			if g.Directory != nil && g.Directory.Participate != dirsync.ParticipateManual {
				c.say("link %s added; its mailboxes join by themselves with the first run over its directory: mailmirror directory sync %s --wait", added.Name, added.Name)
				return
			}
			c.say("link %s added; say which mailboxes take part with: mailmirror mailbox add %s NUMBER...", added.Name, added.Name)
		})
	})
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&l.Source, "source", "", "`store` to mirror from; it is only read")
	f.StringVar(&l.Target, "target", "", "`store` to mirror to")
	f.StringArrayVar(&exclude, "exclude", nil, "folder `pattern` that is not mirrored, may be repeated")
	bandwidth.register(cmd)
	keep.add(f)
	participate.add(f)
	directory.add(f)
	for _, name := range []string{"source", "target"} {
		_ = cmd.MarkFlagRequired(name)
		_ = cmd.RegisterFlagCompletionFunc(name, c.storeNames(-1))
	}
	return cmd
}

func (c *cli) linkList() *cobra.Command {
	return onNothing(&cobra.Command{
		Use:   "list",
		Short: "List the links",
		RunE: lists(c, func(ctx context.Context, ctl *control.Control, _ []string) ([]site.Link, error) {
			return ctl.Links(ctx)
		}, func(w io.Writer, links []site.Link) {
			if len(links) == 0 {
				c.say("no links yet; add one with: mailmirror link add")
				return
			}
			t := c.newTable("NAME", "SOURCE", "TARGET", "EXCLUDE")
			for _, l := range links {
				t.row(l.Name, l.Source, l.Target, strings.Join(l.Exclude, ", "))
			}
			t.write(w)
		}),
	})
}

func (c *cli) linkShow() *cobra.Command {
	return c.onLink(1, 1, &cobra.Command{
		Use:   "show NAME",
		Short: "Show the settings of a link",
		RunE: c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
			l, err := ctl.Link(ctx, args[0])
			if err != nil {
				return err
			}
			g, err := ctl.Guard(ctx, l.Name)
			if err != nil {
				return err
			}
			who := ""
			if g.Directory != nil {
				who = participationText(*g.Directory)
			}
			if l.Directory == site.LinkDirectoryOff {
				who = directoryOff
			}
			return c.show(linkShown{l, g.Settings, g.Directory}, func(w io.Writer) {
				pairs(w, "name", l.Name, "source", l.Source, "target", l.Target,
					"exclude", strings.Join(l.Exclude, ", "), "bandwidth", bandwidthText(l), "deleted messages", keptText(g.Settings),
					"directory", who,
					"added", c.moment(l.CreatedAt))
			})
		}),
	})
}

func (c *cli) linkRemove() *cobra.Command {
	return c.onLink(1, 1, &cobra.Command{
		Use:   "remove NAME",
		Short: "Stop mirroring and forget the link; what is on the target stays there",
		RunE:  c.removes("link", (*control.Control).RemoveLink),
	})
}

// removes removes what the argument names, a link or a store.
func (c *cli) removes(what string, remove func(*control.Control, context.Context, string) error) func(*cobra.Command, []string) error {
	return c.withControl(func(ctx context.Context, ctl *control.Control, args []string) error {
		if err := remove(ctl, ctx, args[0]); err != nil {
			return err
		}
		return c.show(map[string]string{"removed": args[0]}, func(io.Writer) { c.say("%s %s removed", what, args[0]) })
	})
}
