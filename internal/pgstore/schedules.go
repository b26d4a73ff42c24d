package pgstore

import (
	"context"
	"time"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// ScheduleSpecs implements control.ScheduleRecords.
func (s *Store) ScheduleSpecs(ctx context.Context) (map[string]site.ScheduleSpec, error) {
	rows, err := s.q.ListScheduleSpecs(ctx)
	specs := make(map[string]site.ScheduleSpec, len(rows))
	for _, row := range rows {
		spec := site.ScheduleSpec{Every: row.Every, Cron: row.Cron, Timezone: row.Timezone}
		if len(row.AtTimes) > 0 {
			spec.At = row.AtTimes
		}
		specs[row.Name] = spec
	}
	return specs, classify("read schedules", err)
}

// SetScheduleSpec implements control.ScheduleRecords; the last one counts.
func (s *Store) SetScheduleSpec(ctx context.Context, name string, spec site.ScheduleSpec, who string) error {
	at := spec.At
	if at == nil {
		at = []string{}
	}
	err := s.q.SetScheduleSpec(ctx, sqlcgen.SetScheduleSpecParams{
		Name: name, Every: spec.Every, Cron: spec.Cron, AtTimes: at, Timezone: spec.Timezone, Who: plain(who),
	})
	return classify("record schedule "+name, err)
}

// DropScheduleSpec implements control.ScheduleRecords. What is not there is no
// error.
func (s *Store) DropScheduleSpec(ctx context.Context, name string) error {
	return classify("record schedule "+name, s.q.DropScheduleSpec(ctx, name))
}

// NoteMisses implements control.ScheduleRecords.
func (s *Store) NoteMisses(ctx context.Context, name string, missed int) (time.Time, error) {
	seen, err := s.q.NoteMisses(ctx, sqlcgen.NoteMissesParams{Name: name, Missed: int64(missed)})
	return seen, classify("record missed runs of schedule "+name, err)
}

// RecordEvent implements control.ScheduleRecords; the time is the database's.
func (s *Store) RecordEvent(ctx context.Context, e suspension.Event) error {
	err := s.q.InsertControlEvent(ctx, sqlcgen.InsertControlEventParams{
		Event: e.Event, Subject: e.Subject, Who: plain(e.Who), Reason: plain(e.Reason),
	})
	return classify("record "+e.Event, err)
}
