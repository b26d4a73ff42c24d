package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailmirror/internal/fault"
)

// ScheduleInfo is one schedule as Temporal has it.
type ScheduleInfo struct {
	Name string `json:"name"`
	// Link is whose it is; "" for one that serves all links.
	Link string       `json:"link,omitempty"`
	What string       `json:"what"`
	Spec ScheduleSpec `json:"spec"`
	// When is Spec in words. Set is true where an operator set it.
	When string `json:"when"`
	Set  bool   `json:"set"`
	// Exists is false for one that Temporal does not have: a worker that starts
	// makes it.
	Exists bool `json:"exists"`
	// Next are the next runs; none while it is paused.
	Next []time.Time `json:"next,omitempty"`
	// LastRun is when a run was last started; Running is true while one goes on.
	LastRun time.Time `json:"last_run,omitzero"`
	Running bool      `json:"running"`
	Paused  bool      `json:"paused"`
	// Suspended is true where it is paused since the mirror is suspended: it
	// goes on with it.
	Suspended bool `json:"suspended"`
	// Note is why it is paused, in the words of who paused it.
	Note string `json:"note,omitempty"`
	// Missed counts the runs, since the schedule was made, that could not be
	// started in time; Skipped those that were due while another was going on.
	Missed  int `json:"missed"`
	Skipped int `json:"skipped"`
	// MissedSeen is when the last of the missed runs was first noticed.
	MissedSeen time.Time `json:"missed_seen,omitzero"`
}

// MadeGood reports whether a run was started after the last one that was
// missed. A run does all the work there is, also that of those before it.
func (s ScheduleInfo) MadeGood() bool { return s.Missed == 0 || s.LastRun.After(s.MissedSeen) }

// ScheduleRecords is what schedules need of the database.
type ScheduleRecords interface {
	// ScheduleSpecs returns what operators set, by the schedule's name.
	ScheduleSpecs(ctx context.Context) (map[string]ScheduleSpec, error)
	SetScheduleSpec(ctx context.Context, name string, spec ScheduleSpec, who string) error
	// DropScheduleSpec makes a schedule run as it is built in.
	DropScheduleSpec(ctx context.Context, name string) error
	// NoteMisses returns when it was first seen that a schedule had missed so
	// many runs.
	NoteMisses(ctx context.Context, name string, missed int) (time.Time, error)
	RecordEvent(ctx context.Context, e Event) error
}

// ErrSpecRejected means that Temporal rejects when a schedule is to run.
var ErrSpecRejected = errors.New("this schedule is rejected by Temporal")

// ScheduleRunner is what schedules need of Temporal. A name that is not one of
// a schedule is a NotFound fault.
type ScheduleRunner interface {
	// Schedules lists the schedules of all links and of the given ones, those
	// that Temporal does not have included.
	Schedules(ctx context.Context, links []string) ([]ScheduleInfo, error)
	// ApplySchedule brings a schedule to what the database says. Its error holds
	// ErrSpecRejected where Temporal was asked and rejects that.
	ApplySchedule(ctx context.Context, name string, links []string) error
	PauseSchedule(ctx context.Context, name, note string) error
	// UnpauseSchedule lets it go on, or, while the mirror is suspended, go on
	// with it.
	UnpauseSchedule(ctx context.Context, name, note string) error
	// RunSchedule starts a run now, unless one is going on.
	RunSchedule(ctx context.Context, name string) error
}

// Schedules lists every schedule: those of all links first, then link by link.
func (c *Control) Schedules(ctx context.Context) ([]ScheduleInfo, error) {
	const op = "list schedules"
	links, err := c.linkList(ctx)
	if err != nil {
		return nil, err
	}
	list, err := c.runner.Schedules(ctx, links)
	if err != nil {
		return nil, fault.Wrap(err, op)
	}
	for i, s := range list {
		if s.Missed == 0 {
			continue
		}
		if list[i].MissedSeen, err = c.repo.NoteMisses(ctx, s.Name, s.Missed); err != nil {
			return nil, fault.Wrap(err, op)
		}
	}
	return list, nil
}

func (c *Control) linkList(ctx context.Context) ([]string, error) {
	links, err := c.repo.Links(ctx)
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
func (c *Control) schedule(ctx context.Context, op, name string) (ScheduleInfo, []string, error) {
	links, err := c.linkList(ctx)
	if err != nil {
		return ScheduleInfo{}, nil, err
	}
	list, err := c.runner.Schedules(ctx, links)
	if err != nil {
		return ScheduleInfo{}, nil, fault.Wrap(err, op)
	}
	var names []string
	for _, s := range list {
		if s.Name == name {
			return s, links, nil
		}
		names = append(names, s.Name)
	}
	return ScheduleInfo{}, nil, fault.New(fault.NotFound, op+": there is no schedule "+name, nil,
		"there are "+strings.Join(names, ", "))
}

// SetSchedule says when a schedule runs, from now on and whatever restarts; the
// empty spec makes it run as it is built in and configured.
func (c *Control) SetSchedule(ctx context.Context, name string, spec ScheduleSpec, who string) (ScheduleInfo, error) {
	op := "set schedule " + name
	reset := spec.empty()
	if !reset {
		if err := malformed(op, []error{spec.Validate()}); err != nil {
			return ScheduleInfo{}, err
		}
	}
	before, links, err := c.schedule(ctx, op, name)
	if err != nil {
		return ScheduleInfo{}, err
	}
	// The database comes first: a schedule that could not be brought to it now
	// is when a worker starts.
	if err := c.recordSpec(ctx, name, spec, reset, who); err != nil {
		return ScheduleInfo{}, fault.Wrap(err, op)
	}
	if err := c.runner.ApplySchedule(ctx, name, links); err != nil {
		if errors.Is(err, ErrSpecRejected) {
			// Temporal knows no such zone, or makes no sense of the cron line: it
			// would refuse that at every start, too.
			undo := c.recordSpec(context.WithoutCancel(ctx), name, before.Spec, !before.Set, who)
			if undo != nil {
				return ScheduleInfo{}, fmt.Errorf("%s: %w (and it stays recorded: %w)", op, err, undo)
			}
		}
		return ScheduleInfo{}, fault.Wrap(err, op)
	}
	after, _, err := c.schedule(ctx, op, name)
	if err != nil {
		return ScheduleInfo{}, err
	}
	event := Event{Event: "schedule set", Subject: name, Who: who, Reason: after.When}
	return after, fault.Wrap(c.repo.RecordEvent(ctx, event), op)
}

func (c *Control) recordSpec(ctx context.Context, name string, spec ScheduleSpec, reset bool, who string) error {
	if reset {
		return c.repo.DropScheduleSpec(ctx, name)
	}
	return c.repo.SetScheduleSpec(ctx, name, spec, who)
}

// PauseSchedule keeps a schedule from starting runs until it is resumed.
func (c *Control) PauseSchedule(ctx context.Context, name string, r Request) (ScheduleInfo, error) {
	op := "pause schedule " + name
	return c.changeSchedule(ctx, op, name, Event{Event: "schedule pause", Subject: name, Who: r.Who, Reason: r.Reason}, func() error {
		note := "paused"
		if r.Who != "" {
			note += " by " + r.Who
		}
		if r.Reason != "" {
			note += ": " + r.Reason
		}
		return c.runner.PauseSchedule(ctx, name, note)
	})
}

// ResumeSchedule lets a schedule start runs again; while the mirror is
// suspended it waits for that to end.
func (c *Control) ResumeSchedule(ctx context.Context, name string, r Request) (ScheduleInfo, error) {
	op := "resume schedule " + name
	return c.changeSchedule(ctx, op, name, Event{Event: "schedule resume", Subject: name, Who: r.Who}, func() error {
		return c.runner.UnpauseSchedule(ctx, name, "resumed by "+r.Who)
	})
}

// RunSchedule starts a run of a schedule now. The mirror must not be suspended.
func (c *Control) RunSchedule(ctx context.Context, name string, r Request) (ScheduleInfo, error) {
	op := "run schedule " + name
	if err := c.writing(ctx, op); err != nil {
		return ScheduleInfo{}, err
	}
	return c.changeSchedule(ctx, op, name, Event{Event: "schedule run-now", Subject: name, Who: r.Who}, func() error {
		return c.runner.RunSchedule(ctx, name)
	})
}

// changeSchedule changes one, records that, and returns how it is then.
func (c *Control) changeSchedule(ctx context.Context, op, name string, event Event, change func() error) (ScheduleInfo, error) {
	r := Request{Reason: event.Reason, Who: event.Who}
	if err := malformed(op, []error{r.Validate()}); err != nil {
		return ScheduleInfo{}, err
	}
	if _, _, err := c.schedule(ctx, op, name); err != nil {
		return ScheduleInfo{}, err
	}
	if err := change(); err != nil {
		return ScheduleInfo{}, fault.Wrap(err, op)
	}
	if err := c.repo.RecordEvent(ctx, event); err != nil {
		return ScheduleInfo{}, fault.Wrap(err, op)
	}
	after, _, err := c.schedule(ctx, op, name)
	return after, err
}
