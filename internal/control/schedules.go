package control

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// Schedules lists every schedule: those of all links first, then link by link.
func (c *Control) Schedules(ctx context.Context) ([]site.ScheduleInfo, error) {
	const op = "list schedules"
	links, err := c.linkList(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.ports.Scheduler.Schedules(ctx, links)
	if err != nil {
		return nil, fault.Wrap(err, op)
	}
	for i, s := range list {
		if s.Missed == 0 {
			continue
		}
		if list[i].MissedSeen, err = c.ports.Schedules.NoteMisses(ctx, s.Name, s.Missed); err != nil {
			return nil, fault.Wrap(err, op)
		}
	}
	return list, nil
}

func (c *Control) linkList(ctx context.Context) ([]string, error) {
	links, err := c.ports.Links.Links(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(links))
	for i, l := range links {
		names[i] = l.Name
	}
	return names, nil
}

// schedule finds one by its name.
func (c *Control) schedule(ctx context.Context, op, name string) (site.ScheduleInfo, []string, error) {
	links, err := c.linkList(ctx)
	if err != nil {
		return site.ScheduleInfo{}, nil, err
	}
	list, err := c.ports.Scheduler.Schedules(ctx, links)
	if err != nil {
		return site.ScheduleInfo{}, nil, fault.Wrap(err, op)
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, links, nil
		}
		names = append(names, s.Name)
	}
	return site.ScheduleInfo{}, nil, fault.New(fault.NotFound, op+": there is no schedule "+name, nil,
		"there are "+strings.Join(names, ", "))
}

// SetSchedule says when a schedule runs, from now on and whatever restarts; the
// empty spec makes it run as it is built in and configured.
func (c *Control) SetSchedule(ctx context.Context, name string, spec site.ScheduleSpec) (_ site.ScheduleInfo, err error) {
	op := "set schedule " + name
	reset := spec.Empty()
	entry := audit.Entry{Command: "schedule set", Subject: name, Detail: spec.String()}
	if reset {
		entry.Detail = "default"
	}
	ctx, end, err := c.begin(ctx, entry)
	if err != nil {
		return site.ScheduleInfo{}, err
	}
	defer end(&err)
	if !reset {
		if err := malformed(op, []error{spec.Validate()}); err != nil {
			return site.ScheduleInfo{}, err
		}
	}
	before, links, err := c.schedule(ctx, op, name)
	if err != nil {
		return site.ScheduleInfo{}, err
	}
	audit.From(ctx).Link = before.Link
	// The database comes first: a schedule that could not be brought to it now
	// is when a worker starts.
	if err := c.recordSpec(ctx, name, spec, reset); err != nil {
		return site.ScheduleInfo{}, fault.Wrap(err, op)
	}
	if err := c.ports.Scheduler.ApplySchedule(ctx, name, links); err != nil {
		if errors.Is(err, site.ErrSpecRejected) {
			// Temporal knows no such zone, or makes no sense of the cron line: it
			// would refuse that at every start, too.
			undoing, cancel := ending(ctx)
			defer cancel()
			undo := c.recordSpec(undoing, name, before.Spec, !before.Set)
			if undo != nil {
				return site.ScheduleInfo{}, fmt.Errorf("%s: %w (and it stays recorded: %w)", op, err, undo)
			}
		}
		return site.ScheduleInfo{}, fault.Wrap(err, op)
	}
	after, _, err := c.schedule(ctx, op, name)
	return after, err
}

func (c *Control) recordSpec(ctx context.Context, name string, spec site.ScheduleSpec, reset bool) error {
	if reset {
		return c.ports.Schedules.DropScheduleSpec(ctx, name)
	}
	return c.ports.Schedules.SetScheduleSpec(ctx, name, spec, c.actor.Name)
}

// PauseSchedule keeps a schedule from starting runs until it is resumed. The reason,
// which may be empty, is shown with it.
func (c *Control) PauseSchedule(ctx context.Context, name, reason string) (site.ScheduleInfo, error) {
	return c.changeSchedule(ctx, "schedule pause", name, reason, func(ctx context.Context) error {
		note := "paused by " + c.actor.Name
		if reason != "" {
			note += ": " + reason
		}
		return c.ports.Scheduler.PauseSchedule(ctx, name, note)
	})
}

// ResumeSchedule lets a schedule start runs again; while the mirror is
// suspended it waits for that to end.
func (c *Control) ResumeSchedule(ctx context.Context, name string) (site.ScheduleInfo, error) {
	return c.changeSchedule(ctx, "schedule resume", name, "", func(ctx context.Context) error {
		return c.ports.Scheduler.UnpauseSchedule(ctx, name, "resumed by "+c.actor.Name)
	})
}

// RunSchedule starts a run of a schedule now. The mirror must not be suspended.
func (c *Control) RunSchedule(ctx context.Context, name string) (site.ScheduleInfo, error) {
	return c.changeSchedule(ctx, "schedule run-now", name, "", func(ctx context.Context) error {
		return c.ports.Scheduler.RunSchedule(ctx, name)
	})
}

// changeSchedule changes one by a command, and returns how it is then.
func (c *Control) changeSchedule(ctx context.Context, command, name, reason string, change func(context.Context) error) (_ site.ScheduleInfo, err error) {
	op := command + " " + name
	ctx, end, err := c.begin(ctx, audit.Entry{Command: command, Subject: name, Detail: reason})
	if err != nil {
		return site.ScheduleInfo{}, err
	}
	defer end(&err)
	if command == "schedule run-now" {
		_, link, _ := strings.Cut(name, "/")
		if err := c.writing(ctx, op, link); err != nil {
			return site.ScheduleInfo{}, err
		}
	}
	if err := malformed(op, []error{c.request("", reason).Validate()}); err != nil {
		return site.ScheduleInfo{}, err
	}
	before, _, err := c.schedule(ctx, op, name)
	if err != nil {
		return site.ScheduleInfo{}, err
	}
	audit.From(ctx).Link = before.Link
	if err := c.ask(ctx); err != nil {
		return site.ScheduleInfo{}, fault.Wrap(err, op)
	}
	if err := change(ctx); err != nil {
		return site.ScheduleInfo{}, fault.Wrap(err, op)
	}
	after, _, err := c.schedule(ctx, op, name)
	return after, err
}
