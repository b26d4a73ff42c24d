package controltest

import (
	"context"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// AskSuspend implements suspension.Asker.
func (r *Runner) AskSuspend(_ context.Context, request suspension.Request) error {
	if r.OnAskSuspend == nil {
		return nil
	}
	return r.OnAskSuspend(request)
}

// AskResume implements suspension.Asker.
func (r *Runner) AskResume(_ context.Context, request suspension.Request) error {
	if r.OnAskResume == nil {
		return nil
	}
	return r.OnAskResume(request)
}

// Schedules implements control.ScheduleRunner.
func (r *Runner) Schedules(_ context.Context, links []string) ([]site.ScheduleInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.SchedulesFault != nil {
		return nil, r.SchedulesFault
	}
	var found []site.ScheduleInfo
	for _, s := range r.Infos {
		if s.Link == "" || slices.Contains(links, s.Link) {
			found = append(found, s)
		}
	}
	return found, nil
}

// ApplySchedule implements control.ScheduleRunner. SpecFault is what it says.
func (r *Runner) ApplySchedule(ctx context.Context, name string, _ []string) error {
	if r.SpecFault != nil {
		return r.SpecFault
	}
	specs, err := r.Specs(ctx)
	if err != nil {
		return err
	}
	return r.change(name, func(s *site.ScheduleInfo) {
		spec, set := specs[name]
		if set {
			s.Spec, s.When = spec, spec.String()
		}
		s.Set = set
	})
}

// PauseSchedule implements control.ScheduleRunner.
func (r *Runner) PauseSchedule(_ context.Context, name, note string) error {
	return r.change(name, func(s *site.ScheduleInfo) { s.Paused, s.Suspended, s.Note, s.Next = true, false, note, nil })
}

// UnpauseSchedule implements control.ScheduleRunner.
func (r *Runner) UnpauseSchedule(_ context.Context, name, _ string) error {
	return r.change(name, func(s *site.ScheduleInfo) { s.Paused, s.Suspended, s.Note = false, false, "" })
}

// RunSchedule implements control.ScheduleRunner.
func (r *Runner) RunSchedule(_ context.Context, name string) error {
	return r.change(name, func(s *site.ScheduleInfo) { s.Running = true })
}

func (r *Runner) change(name string, f func(*site.ScheduleInfo)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.Infos {
		if r.Infos[i].Name == name {
			f(&r.Infos[i])
			return nil
		}
	}
	return fault.Newf(fault.NotFound, "there is no schedule %s", name)
}
