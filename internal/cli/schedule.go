package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

func (c *cli) scheduleCommand() *cobra.Command {
	return group(&cobra.Command{Use: "schedule", Short: "When compares, sweeps and housekeeping run by themselves"},
		c.scheduleListCommand(), c.scheduleSetCommand(), c.schedulePauseCommand(), c.scheduleResumeCommand(), c.scheduleRunCommand())
}

func (c *cli) scheduleListCommand() *cobra.Command {
	return onNothing(&cobra.Command{
		Use:   "list",
		Short: "The schedules: when they run, ran, and what was missed",
		Long: `Lists the schedules. MISSED counts runs that could not be started in time, as
Temporal was down, SKIPPED those that were due while another was going on, both
since the schedule was made. A run does the work of those that were missed.`,
		RunE: lists(c, func(ctx context.Context, ctl *control.Control, _ []string) ([]site.ScheduleInfo, error) {
			return ctl.Schedules(ctx)
		}, c.writeSchedules),
	})
}

func (c *cli) writeSchedules(w io.Writer, schedules []site.ScheduleInfo) {
	t := c.newTable("NAME", "WHEN", "NEXT", "LAST", ">MISSED", ">SKIPPED", "STATE")
	for _, s := range schedules {
		next := ""
		if len(s.Next) > 0 {
			next = c.moment(s.Next[0])
		}
		when := s.When
		if s.Set {
			when += " (set)"
		}
		t.row(s.Name, when, next, c.moment(s.LastRun), s.Missed, s.Skipped, scheduleState(s))
	}
	t.write(w)
}

func scheduleState(s site.ScheduleInfo) string {
	switch {
	case !s.Exists:
		return "not in Temporal; a worker that starts makes it"
	case s.Paused && s.Note != "":
		return "paused, " + s.Note
	case s.Paused:
		return "paused"
	case s.Running:
		return "running"
	default:
		return "waiting"
	}
}

// writeSchedule says how one schedule is now.
func (c *cli) writeSchedule(w io.Writer, s site.ScheduleInfo) {
	var next []string
	for _, at := range s.Next[:min(len(s.Next), 3)] {
		next = append(next, c.moment(at))
	}
	pairs(w, "schedule", s.Name, "what", s.What, "when", s.When, "next", strings.Join(next, ", "), "state", scheduleState(s))
}

func (c *cli) scheduleSetCommand() *cobra.Command {
	var spec site.ScheduleSpec
	var every time.Duration
	var reset bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Say when a schedule runs",
		Long: `Says when a schedule runs, from now on: by an interval, a cron line of five
fields, or times of day. Intervals are counted from midnight UTC. Cron lines and
times of day are meant in the time zone, UTC where none is given.

  mailmirror schedule set full-compare/site --every 2h
  mailmirror schedule set full-compare/site --cron '30 1 * * 6' --timezone Europe/Berlin
  mailmirror schedule set full-compare/site --at 01:00,07:00 --timezone Europe/Berlin
  mailmirror schedule set full-compare/site --default`,
		Args:              takes(1, 1),
		ValidArgsFunction: c.scheduleNames(),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			given := 0
			for _, name := range []string{"every", "cron", "at", "default"} {
				if cmd.Flags().Changed(name) {
					given++
				}
			}
			if given != 1 || (reset && spec.Timezone != "") {
				return &usageError{cmd, errors.New("want one of --every, --cron, --at and --default")}
			}
			return nil
		},
		RunE: answers(c, func(ctx context.Context, ctl *control.Control, args []string) (site.ScheduleInfo, error) {
			spec.Every = every
			if !reset && every == 0 && spec.Cron == "" && len(spec.At) == 0 {
				return site.ScheduleInfo{}, &usageError{c.last, errors.New("want when it is to run")}
			}
			return ctl.SetSchedule(ctx, args[0], spec)
		}, c.writeSchedule),
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.DurationVar(&every, "every", 0, "`interval`, such as 2h")
	f.StringVar(&spec.Cron, "cron", "", "`line` of minute, hour, day of month, month and day of week")
	f.StringSliceVar(&spec.At, "at", nil, "`times` of day, such as 01:00,07:00")
	f.StringVar(&spec.Timezone, "timezone", "", "`zone` of --cron and --at, such as Europe/Berlin")
	f.BoolVar(&reset, "default", false, "as it is built in and configured")
	c.asFlag(cmd)
	return cmd
}

func (c *cli) schedulePauseCommand() *cobra.Command {
	var reason string
	cmd := c.scheduleChange("pause NAME", "Start no more runs of a schedule",
		func(ctl *control.Control, ctx context.Context, name string) (site.ScheduleInfo, error) {
			return ctl.PauseSchedule(ctx, name, reason)
		})
	cmd.Flags().StringVar(&reason, "reason", "", "why, `text` for the record")
	return cmd
}

func (c *cli) scheduleResumeCommand() *cobra.Command {
	return c.scheduleChange("resume NAME", "Let a paused schedule start runs again", (*control.Control).ResumeSchedule)
}

func (c *cli) scheduleRunCommand() *cobra.Command {
	return c.scheduleChange("run-now NAME", "Start a run of a schedule now, unless one is going on", (*control.Control).RunSchedule)
}

// scheduleChange is a command that changes one schedule and shows how it is
// then.
func (c *cli) scheduleChange(use, short string, change func(*control.Control, context.Context, string) (site.ScheduleInfo, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args:              takes(1, 1),
		ValidArgsFunction: c.scheduleNames(),
		RunE: answers(c, func(ctx context.Context, ctl *control.Control, args []string) (site.ScheduleInfo, error) {
			return change(ctl, ctx, args[0])
		}, c.writeSchedule),
	}
	c.asFlag(cmd)
	return cmd
}
