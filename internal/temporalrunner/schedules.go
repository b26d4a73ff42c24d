package temporalrunner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"mailmirror/internal/site"
	"mailmirror/workflows"
)

// EnsureSchedules creates the schedules of a link, or brings them back to what
// is configured, and sees to it that the link is listened to. A schedule that
// somebody paused stays paused.
func (r *Runner) EnsureSchedules(ctx context.Context, link string) error {
	// A link may be added before any worker ran on this namespace.
	if err := r.Prepare(ctx); err != nil {
		return err
	}
	schedules, without, err := r.schedulesOf(ctx, link)
	if err != nil {
		return err
	}
	if err := r.ensureAll(ctx, schedules); err != nil {
		return err
	}
	if err := r.removeAll(ctx, without); err != nil {
		return err
	}
	return r.EnsureWatch(ctx, link)
}

// EnsureCommonSchedules does the same for the schedules that serve all links.
func (r *Runner) EnsureCommonSchedules(ctx context.Context) error {
	return r.ensureAll(ctx, r.commonSchedules())
}

func (r *Runner) ensureAll(ctx context.Context, schedules []schedule) error {
	specs, err := r.specs(ctx)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		if err := r.ensure(ctx, r.options(s, s.specIn(specs))); err != nil {
			if is[*serviceerror.InvalidArgument](err) {
				err = fmt.Errorf("%w: %w", site.ErrSpecRejected, err)
			}
			return classify("keep schedule "+s.id, err)
		}
	}
	return nil
}

// ensure creates a schedule or updates the one that exists. While the mirror is
// suspended it is paused; one that was paused for that reason goes on where the
// mirror runs again.
func (r *Runner) ensure(ctx context.Context, options client.ScheduleOptions) error {
	suspension, err := r.suspension(ctx, options.ID)
	if err != nil {
		return err
	}
	if suspension.Still() {
		options.Paused, options.Note = true, suspensionNote(suspension)
	}
	_, err = r.client.ScheduleClient().Create(ctx, options)
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	handle := r.client.ScheduleClient().GetHandle(ctx, options.ID)
	return handle.Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(current client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := current.Description.Schedule
			schedule.Spec, schedule.Action = &options.Spec, options.Action
			schedule.Policy = &client.SchedulePolicies{Overlap: options.Overlap, CatchupWindow: options.CatchupWindow}
			// Asked again, as late as can be: a suspension pauses schedules itself,
			// and what it has paused since must not be undone.
			now, err := r.suspension(ctx, options.ID)
			if err != nil {
				return nil, err
			}
			if schedule.State != nil {
				state := stateUnder(*schedule.State, now)
				schedule.State = &state
			}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
}

// Schedule implements control.ScheduleRunner. A schedule that does not exist starts
// nothing, and is no error.
func (r *Runner) Schedule(ctx context.Context, link string) (site.CompareSchedule, error) {
	d, err := r.describe(ctx, "ask Temporal for the schedule of link "+link, workflows.CompareID(link))
	if err != nil || d == nil {
		return site.CompareSchedule{}, err
	}
	s := site.CompareSchedule{Paused: d.Schedule.State != nil && d.Schedule.State.Paused, WaitingSince: waitingSince(d.Info)}
	// Temporal goes on telling what a paused schedule would do.
	if next := d.Info.NextActionTimes; !s.Paused && len(next) > 0 {
		s.NextCompare = next[0]
	}
	return s, nil
}

// waitingSince is when the schedule started a workflow that is still running.
// What it starts ends once the compare is on its way, which takes a worker a
// moment.
func waitingSince(info client.ScheduleInfo) time.Time {
	for _, running := range info.RunningWorkflows {
		for _, action := range info.RecentActions {
			if started := action.StartWorkflowResult; started != nil && started.WorkflowID == running.WorkflowID {
				return action.ActualTime
			}
		}
	}
	return time.Time{}
}

// removeAll deletes schedules; what is gone already is no error.
func (r *Runner) removeAll(ctx context.Context, schedules []schedule) error {
	for _, s := range schedules {
		err := r.client.ScheduleClient().GetHandle(ctx, s.id).Delete(ctx)
		if err != nil && !is[*serviceerror.NotFound](err) {
			return classify("remove schedule "+s.id, err)
		}
	}
	return nil
}

// RemoveSchedules deletes the schedules of a link and asks a compare, rebuild
// or directory run of it that is running to stop. What is gone already is no error.
func (r *Runner) RemoveSchedules(ctx context.Context, link string) error {
	if err := r.removeAll(ctx, r.linkSchedules(link)); err != nil {
		return err
	}
	for _, id := range []string{workflows.CompareID(link), workflows.RebuildID(link), workflows.DirectoryID(link), workflows.ControlIDOf(link)} {
		err := r.client.CancelWorkflow(ctx, id, "")
		if err != nil && !is[*serviceerror.NotFound](err) {
			return classify("stop "+id, err)
		}
	}
	return nil
}
