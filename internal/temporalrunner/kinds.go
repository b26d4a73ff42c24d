package temporalrunner

import (
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"mailmirror/activities"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/site"
	"mailmirror/workflows"
)

// schedule is one schedule as it is built in. A further one is an entry of
// linkSchedules or commonSchedules; all else follows from it.
type schedule struct {
	// id names it, for Temporal and for the operator.
	id string
	// link is whose it is; "" for one that serves all links.
	link string
	// what it does, in a line.
	what string
	// spec is when it runs unless an operator set something else.
	spec site.ScheduleSpec
	// jitter delays each run by a random part of itself, so that those of many
	// links do not start at one moment.
	jitter time.Duration
	// catchup is how late a run that could not be started when it was due, as
	// Temporal was down, is still started. 0 means half the interval, so that a
	// run is made good unless the next one is as near, and an hour where there
	// is no interval. What is later than that is counted as missed.
	catchup time.Duration
	// workflow is the type of what it starts, runs the id of that, to which
	// Temporal appends the time, and input its argument.
	workflow string
	runs     string
	input    any
	// directory is true for one that only links have of which both stores have a
	// directory.
	directory bool
}

// linkSchedules are the schedules that a link may have.
func (r *Runner) linkSchedules(link string) []schedule {
	return []schedule{
		{
			id: workflows.CompareID(link), link: link, what: "compare every mailbox of link " + link,
			spec: site.ScheduleSpec{Every: r.opts.CompareEvery}, jitter: r.opts.CompareJitter,
			workflow: workflows.TypeScheduledCompare, runs: workflows.ScheduledCompareID(link),
			input: r.compareState(link, activities.TriggerSchedule),
		},
		{
			id: workflows.RebuildID(link), link: link, what: "rebuild the ledger of link " + link,
			// At night, as it reads the headers of both stores.
			spec: site.ScheduleSpec{At: []string{"01:30"}}, jitter: rebuildJitter,
			workflow: workflows.TypeScheduledRebuild, runs: workflows.ScheduledRebuildID(link),
			input: r.compareState(link, activities.TriggerRebuild),
		},
		{
			id: workflows.DirectoryID(link), link: link, what: "mirror the directory of link " + link, directory: true,
			// Four times a day, as administrators are used to, and beside the compares.
			spec: site.ScheduleSpec{At: []string{"00:45", "06:45", "12:45", "18:45"}}, jitter: directoryJitter,
			workflow: workflows.TypeScheduledDirectory, runs: workflows.ScheduledDirectoryID(link),
			input: r.directoryState(link, dirsync.TriggerSchedule),
		},
	}
}

// commonSchedules are those of which there is one for all links.
func (r *Runner) commonSchedules() []schedule {
	return []schedule{
		{
			id: workflows.SweepID, what: "start what is due and not running",
			spec: site.ScheduleSpec{Every: r.opts.SweepEvery},
			// Sweeps that were missed need not be made good: one finds everything.
			catchup:  shortestCatchup,
			workflow: workflows.TypeSweep, runs: workflows.SweepID,
			input: activities.SweepInput{Limit: r.opts.SweepLimit, Window: sweepWindow},
		},
		{
			id: workflows.RetentionID, what: "archive and drop what was recorded long ago",
			spec: site.ScheduleSpec{At: []string{"00:30"}}, catchup: retentionCatchup,
			workflow: workflows.TypeRetention, runs: workflows.RetentionID,
		},
	}
}

const (
	// sweepWindow is how many workflows a sweep is starting at a time: enough
	// to hide the round trip, too few to crowd out what is running.
	sweepWindow = 8
	// shortestCatchup is the least that Temporal allows.
	shortestCatchup = 10 * time.Second
	// rebuildJitter spreads the rebuilds of many links over the night's first
	// hours.
	rebuildJitter = time.Hour
	// directoryJitter keeps the runs of many links apart.
	directoryJitter = 2 * time.Minute
	// retentionCatchup: a purge is due on any day, however late.
	retentionCatchup = 23 * time.Hour
	// plainCatchup is for schedules without an interval.
	plainCatchup = time.Hour
)

// options are what Temporal makes of a schedule that runs by spec. What is
// still running is not overtaken: the run that is due meanwhile is skipped.
func (r *Runner) options(s schedule, spec site.ScheduleSpec) client.ScheduleOptions {
	action := &client.ScheduleWorkflowAction{
		ID: s.runs, Workflow: s.workflow, TaskQueue: r.opts.TaskQueue, StaticSummary: s.what,
	}
	if s.input != nil {
		action.Args = []any{s.input}
	}
	if s.link != "" {
		action.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.LinkAttribute.ValueSet(s.link))
	}
	return client.ScheduleOptions{
		ID: s.id, Spec: temporalSpec(spec, s.jitter), Action: action,
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: s.catchupWindow(spec),
	}
}

func (s schedule) catchupWindow(spec site.ScheduleSpec) time.Duration {
	switch {
	case s.catchup > 0:
		return s.catchup
	case spec.Every > 0:
		return max(spec.Every/2, shortestCatchup)
	default:
		return plainCatchup
	}
}

func temporalSpec(spec site.ScheduleSpec, jitter time.Duration) client.ScheduleSpec {
	t := client.ScheduleSpec{Jitter: jitter, TimeZoneName: spec.Timezone}
	switch {
	case spec.Every > 0:
		t.Intervals = []client.ScheduleIntervalSpec{{Every: spec.Every}}
		// Never as late as the next run is due.
		t.Jitter = min(jitter, spec.Every/2)
	case spec.Cron != "":
		t.CronExpressions = []string{spec.Cron}
	}
	for _, at := range spec.At {
		var hour, minute int
		if _, err := fmt.Sscanf(at, "%d:%d", &hour, &minute); err == nil { // Validate has seen it
			t.Calendars = append(t.Calendars, client.ScheduleCalendarSpec{
				Hour: []client.ScheduleRange{{Start: hour}}, Minute: []client.ScheduleRange{{Start: minute}},
			})
		}
	}
	return t
}
