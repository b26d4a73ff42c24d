package pgstore

import (
	"context"
	"time"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// ScheduleSpecs implements temporalrunner.Book.
func (s *Store) ScheduleSpecs(ctx context.Context) (map[string]site.ScheduleSpec, error) {
	rows, err := s.q.ListScheduleSpecs(ctx)
	specs := make(map[string]site.ScheduleSpec, len(rows))
	for _, row := range rows {
		specs[row.Name] = site.ScheduleSpec{Every: row.Every, Cron: row.Cron, At: orNil(row.AtTimes), Timezone: row.Timezone}
	}
	return specs, classify("read schedules", err)
}

// SetScheduleSpec implements control.ScheduleRecords; the last one counts.
func (s *Store) SetScheduleSpec(ctx context.Context, name string, spec site.ScheduleSpec, who string) error {
	p := sqlcgen.SetScheduleSpecParams{Name: name, Every: spec.Every, Cron: spec.Cron, AtTimes: listOrEmpty(spec.At), Timezone: spec.Timezone, Who: plain(who)}
	err := s.inAuditedTx(ctx, func(q *sqlcgen.Queries) error { return q.SetScheduleSpec(ctx, p) })
	return classify("record schedule "+name, err)
}

// DropScheduleSpec implements control.ScheduleRecords.
func (s *Store) DropScheduleSpec(ctx context.Context, name string) error {
	return s.inTx(ctx, "record schedule "+name, func(q *sqlcgen.Queries) error { return q.DropScheduleSpec(ctx, name) })
}

// NoteMisses implements control.ScheduleRecords.
func (s *Store) NoteMisses(ctx context.Context, name string, missed int) (time.Time, error) {
	seen, err := s.q.NoteMisses(ctx, sqlcgen.NoteMissesParams{Name: name, Missed: int64(missed)})
	return seen, classify("record missed runs of schedule "+name, err)
}
