package temporalrunner

import (
	"context"
	"errors"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/workflows"
)

// suspensionMark begins the note of a schedule that is paused since the mirror
// is suspended; those are the ones that go on with the mirror.
const suspensionMark = "mirror suspended"

func suspensionNote(s suspension.Suspension) string {
	note := suspensionMark
	if s.Link != "" {
		note += " for link " + s.Link
	}
	if s.Who != "" {
		note += " by " + s.Who
	}
	if s.Reason != "" {
		note += ": " + s.Reason
	}
	return note
}

func bySuspension(state client.ScheduleState) bool {
	return state.Paused && strings.HasPrefix(state.Note, suspensionMark)
}

// pauseMark begins the note of a schedule that a command of Mailmirror paused.
const pauseMark = "paused"

// PauseReasoned implements supervise.Runner.
func (r *Runner) PauseReasoned(note string) bool {
	return strings.HasPrefix(note, pauseMark) || strings.HasPrefix(note, suspensionMark)
}

// stateUnder is what becomes of a schedule's state by the mirror's.
func stateUnder(state client.ScheduleState, s suspension.Suspension) client.ScheduleState {
	switch {
	case s.Unconfirmed: // whether the mirror is suspended is not known yet
	case s.Still() && !state.Paused:
		state.Paused, state.Note = true, suspensionNote(s)
	case !s.Still() && bySuspension(state):
		state.Paused, state.Note = false, "mirror resumed"
		if s.Who != "" {
			state.Note += " by " + s.Who
		}
	}
	return state
}

func (r *Runner) specs(ctx context.Context) (map[string]site.ScheduleSpec, error) {
	if r.opts.Book == nil {
		return nil, nil
	}
	return r.opts.Book.ScheduleSpecs(ctx)
}

// suspension is what a schedule is subject to: that of its link, or of everything.
func (r *Runner) suspension(ctx context.Context, schedule string) (suspension.Suspension, error) {
	if r.opts.Book == nil {
		return suspension.Suspension{State: suspension.Running}, nil
	}
	all, err := r.opts.Book.Suspensions(ctx)
	for _, s := range all {
		if s.Link == "" || !s.Still() {
			continue
		}
		for _, of := range r.linkSchedules(s.Link) {
			if of.id == schedule {
				return all.Of(s.Link), err
			}
		}
	}
	return all.Own(""), err
}

// specIn is when the schedule runs: as an operator set it, or as it is built in.
func (s schedule) specIn(set map[string]site.ScheduleSpec) site.ScheduleSpec {
	if spec, ok := set[s.id]; ok {
		return spec
	}
	return s.spec
}

// all lists the schedules of all links first, then link by link.
func (r *Runner) all(ctx context.Context, links []string) ([]schedule, error) {
	list := r.commonSchedules()
	for _, link := range links {
		of, _, err := r.schedulesOf(ctx, link)
		if err != nil {
			return nil, err
		}
		list = append(list, of...)
	}
	return list, nil
}

// schedulesOf returns those that a link has, and those that it has not.
func (r *Runner) schedulesOf(ctx context.Context, link string) (has, lacks []schedule, err error) {
	directory := false
	if r.opts.Book != nil {
		if directory, err = r.opts.Book.HasDirectory(ctx, link); err != nil {
			return nil, nil, err
		}
	}
	for _, s := range r.linkSchedules(link) {
		if s.directory && !directory {
			lacks = append(lacks, s)
		} else {
			has = append(has, s)
		}
	}
	return has, lacks, nil
}

// describe asks Temporal for a schedule; nil where there is none.
func (r *Runner) describe(ctx context.Context, op, id string) (*client.ScheduleDescription, error) {
	d, err := r.client.ScheduleClient().GetHandle(ctx, id).Describe(ctx)
	switch {
	case is[*serviceerror.NotFound](err):
		return nil, nil
	case is[*serviceerror.DeadlineExceeded](err), errors.Is(err, context.DeadlineExceeded):
		// The client tries to connect for as long as it may.
		return nil, fault.New(fault.Transient, op, errors.New("no answer"), "is Temporal running, and is its address right?")
	case err != nil:
		return nil, classify(op, err)
	}
	return d, nil
}

// Schedules implements control.ScheduleRunner.
func (r *Runner) Schedules(ctx context.Context, links []string) ([]site.ScheduleInfo, error) {
	set, err := r.specs(ctx)
	if err != nil {
		return nil, err
	}
	all, err := r.all(ctx, links)
	if err != nil {
		return nil, err
	}
	var list []site.ScheduleInfo
	for _, s := range all {
		spec := s.specIn(set)
		_, isSet := set[s.id]
		info := site.ScheduleInfo{Name: s.id, Link: s.link, What: s.what, Spec: spec, When: spec.String(), Set: isSet}
		d, err := r.describe(ctx, "ask Temporal for schedule "+s.id, s.id)
		if err != nil {
			return nil, err
		}
		if d != nil {
			fill(&info, d)
		}
		list = append(list, info)
	}
	return list, nil
}

// fill adds what Temporal tells.
func fill(info *site.ScheduleInfo, d *client.ScheduleDescription) {
	info.Exists = true
	if state := d.Schedule.State; state != nil && state.Paused {
		info.Paused, info.Suspended, info.Note = true, bySuspension(*state), state.Note
	}
	// Temporal goes on telling what a paused schedule would do.
	if !info.Paused {
		info.Next = d.Info.NextActionTimes
	}
	for _, action := range d.Info.RecentActions {
		if action.ActualTime.After(info.LastRun) {
			info.LastRun = action.ActualTime
		}
	}
	info.Running = len(d.Info.RunningWorkflows) > 0
	info.Missed, info.Skipped = d.Info.NumActionsMissedCatchupWindow, d.Info.NumActionsSkippedOverlap
}

// ApplySchedule implements control.ScheduleRunner.
func (r *Runner) ApplySchedule(ctx context.Context, name string, links []string) error {
	all, err := r.all(ctx, links)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.id == name {
			return r.ensureAll(ctx, []schedule{s})
		}
	}
	return fault.Newf(fault.NotFound, "there is no schedule %s", name)
}

// PauseSchedule implements control.ScheduleRunner. One that is paused since the
// mirror is suspended stays so after that.
func (r *Runner) PauseSchedule(ctx context.Context, name, note string) error {
	return classify("pause schedule "+name, r.changeState(ctx, name, func(s client.ScheduleState) client.ScheduleState {
		s.Paused, s.Note = true, note
		return s
	}))
}

// UnpauseSchedule implements control.ScheduleRunner.
func (r *Runner) UnpauseSchedule(ctx context.Context, name, note string) error {
	suspension, err := r.suspension(ctx, name)
	if err != nil {
		return err
	}
	if suspension.Still() {
		return r.PauseSchedule(ctx, name, suspensionNote(suspension))
	}
	return classify("resume schedule "+name, r.changeState(ctx, name, func(s client.ScheduleState) client.ScheduleState {
		s.Paused, s.Note = false, note
		return s
	}))
}

// changeState pauses a schedule, or lets it go on, by an update. Temporal does
// not keep the order between updates and what its own pause sends, and a pause
// that comes with an update may be lost.
func (r *Runner) changeState(ctx context.Context, name string, change func(client.ScheduleState) client.ScheduleState) error {
	return r.client.ScheduleClient().GetHandle(ctx, name).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(current client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := current.Description.Schedule
			var before client.ScheduleState
			if schedule.State != nil {
				before = *schedule.State
			}
			after := change(before)
			if after == before {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			schedule.State = &after
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
}

// RunSchedule implements control.ScheduleRunner.
func (r *Runner) RunSchedule(ctx context.Context, name string) error {
	return r.trigger(ctx, name, enums.SCHEDULE_OVERLAP_POLICY_SKIP)
}

func (r *Runner) trigger(ctx context.Context, name string, overlap enums.ScheduleOverlapPolicy) error {
	err := r.client.ScheduleClient().GetHandle(ctx, name).Trigger(ctx, client.ScheduleTriggerOptions{Overlap: overlap})
	return classify("run schedule "+name, err)
}

// SuspendSchedules implements activities.Schedules.
func (r *Runner) SuspendSchedules(ctx context.Context, links []string, s suspension.Suspension) error {
	all, err := r.all(ctx, links)
	if err != nil {
		return err
	}
	for _, schedule := range all {
		if s.Link != "" && schedule.link != s.Link {
			continue
		}
		now := s
		if !s.Still() {
			// The other scope may be suspended.
			if now, err = r.suspension(ctx, schedule.id); err != nil {
				return err
			}
		}
		err := r.changeState(ctx, schedule.id, func(state client.ScheduleState) client.ScheduleState { return stateUnder(state, now) })
		if err != nil && !is[*serviceerror.NotFound](err) {
			return classify("change schedule "+schedule.id, err)
		}
	}
	return nil
}

// ResumeSchedules implements activities.Schedules.
func (r *Runner) ResumeSchedules(ctx context.Context, links []string, s suspension.Suspension) error {
	if err := r.SuspendSchedules(ctx, links, s); err != nil {
		return err
	}
	// A sweep that is under way may be past what was marked; this one comes after.
	err := r.trigger(ctx, workflows.SweepID, enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE)
	if is[*serviceerror.NotFound](err) {
		return nil
	}
	return err
}
