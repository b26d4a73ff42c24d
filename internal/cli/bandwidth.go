package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// bandwidthFlags are the bandwidth of a link on the command line.
type bandwidthFlags struct {
	rate     rateValue
	windows  []string
	timezone string
}

func (f *bandwidthFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.Var(&f.rate, "bandwidth", "`rate` at which all workers together copy at most, such as 2MB/s; unlimited for no bound")
	s.StringArrayVar(&f.windows, "bandwidth-window", nil, "`window` in which another rate holds, such as \"Mon-Fri 08:00-18:00 1MB/s\", may be repeated; empty for none")
	s.StringVar(&f.timezone, "timezone", "", "time `zone` of the windows, such as Europe/Berlin (default UTC)")
}

// bandwidthText is empty where nothing bounds the link.
func bandwidthText(l site.Link) string {
	if l.Bandwidth == 0 && len(l.BandwidthWindows) == 0 {
		return ""
	}
	return l.BandwidthSettings()
}

// given returns the windows without the empty one that clears them.
func (f *bandwidthFlags) given() []string {
	if len(f.windows) == 1 && f.windows[0] == "" {
		return nil
	}
	return f.windows
}

// rateValue is a flag that takes a quota.Rate.
type rateValue quota.Rate

var _ pflag.Value = (*rateValue)(nil)

func (v *rateValue) String() string {
	if *v == 0 {
		return ""
	}
	return quota.Rate(*v).String()
}

func (v *rateValue) Type() string { return "rate" }

func (v *rateValue) Set(s string) error {
	rate, err := quota.ParseRate(s)
	*v = rateValue(rate)
	return err
}

func (c *cli) linkEdit() *cobra.Command {
	var f bandwidthFlags
	var keep keepFlags
	var participate participateFlags
	var mirrored linkDirectoryFlag
	cmd := c.onLink(1, 1, &cobra.Command{
		Use:   "edit NAME [flags]",
		Short: "Change the bandwidth of a link, how long deleted messages are kept, who joins it, or whether its directory is mirrored; what is not given stays",
		Example: `  mailmirror link edit dr --bandwidth 5MB/s \
      --bandwidth-window "Mon-Fri 08:00-18:00 1MB/s" --timezone Europe/Berlin
  mailmirror link edit dr --keep-deleted 14d
  mailmirror link edit dr --participate filter --participate-numbers '20*'`,
	})
	f.register(cmd)
	keep.add(cmd.Flags())
	participate.add(cmd.Flags())
	mirrored.add(cmd.Flags())
	needsFlag(cmd, "nothing to change is given")
	cmd.RunE = c.asOne(cmd, nil, func(ctx context.Context, ctl *control.Control, args []string) error {
		var e control.LinkEdit
		give(cmd, "bandwidth", &e.Bandwidth, quota.Rate(f.rate))
		give(cmd, "bandwidth-window", &e.BandwidthWindows, f.given())
		give(cmd, "timezone", &e.BandwidthTimezone, f.timezone)
		l, err := ctl.EditLink(ctx, args[0], e)
		if err != nil {
			return err
		}
		if mirrored.given() {
			if l, err = ctl.SetLinkDirectory(ctx, l.Name, mirrored.setting()); err != nil {
				return err
			}
		}
		settings, err := c.applyKeep(ctx, ctl, l.Name, keep)
		if err != nil {
			return err
		}
		var directory *dirsync.Settings
		if participate.given() {
			set, err := ctl.EditDirectorySettings(ctx, l.Name, participate.apply)
			if err != nil {
				return err
			}
			directory = &set
		}
		return c.show(linkShown{l, settings, directory}, func(io.Writer) {
			what := "bandwidth " + l.BandwidthSettings()
			switch {
			case participate.given():
				what = participationText(*directory)
			case keep.given():
				what = "deleted messages are " + keptText(settings)
			case mirrored.given():
				what = "its directory is " + mirrored.value
			}
			c.say("link %s changed: %s", l.Name, what)
		})
	})
	return cmd
}
