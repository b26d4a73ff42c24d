package pgstore

import (
	"cmp"
	"context"

	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// StartCompare implements activities.CompareRecords.
func (s *Store) StartCompare(ctx context.Context, run site.CompareRun) error {
	err := s.q.InsertCompareRun(ctx, sqlcgen.InsertCompareRunParams{
		RunID: run.RunID, Link: run.Link, Trigger: run.Trigger, Mailboxes: int64(run.Mailboxes), StartedAt: run.StartedAt,
		Kind: string(cmp.Or(run.Kind, site.RunCompare)),
	})
	if violates(err, foreignKeyViolation, "compare_runs_link") {
		return unknownLink(run.Link)
	}
	return classify("record compare "+run.RunID, err)
}

// AddCompareProgress implements activities.CompareRecords.
func (s *Store) AddCompareProgress(ctx context.Context, runID string, page int, p site.CompareProgress) error {
	err := s.q.ReplaceComparePage(ctx, sqlcgen.ReplaceComparePageParams{
		RunID: runID, Page: int64(page),
		Reviewed: int64(p.Reviewed), Unchanged: int64(p.Unchanged), Synced: int64(p.Synced),
		Differing: int64(p.Differing), Failed: int64(p.Failed), Busy: int64(p.Busy),
		MessagesAppended: int64(p.Messages.Appended), MessagesBytes: p.Messages.Bytes,
		MessagesFlagsChanged: int64(p.Messages.FlagsChanged), MessagesExpunged: int64(p.Messages.Expunged),
		GreetingsAppended: int64(p.Greetings.Appended), GreetingsBytes: p.Greetings.Bytes,
		GreetingsFlagsChanged: int64(p.Greetings.FlagsChanged), GreetingsExpunged: int64(p.Greetings.Expunged),
		DueMessages: int64(p.DueMessages), DueBytes: p.DueBytes,
	})
	if violates(err, foreignKeyViolation, "compare_pages_run") {
		return unknownRun("compare", runID)
	}
	return classify("record progress of compare "+runID, err)
}

// FinishCompare implements activities.CompareRecords.
func (s *Store) FinishCompare(ctx context.Context, runID string) error {
	n, err := s.q.FinishCompareRun(ctx, runID)
	return classify("record end of compare "+runID, hits(n, err, unknownRun("compare", runID)))
}

// CompareRun implements control.Records.
func (s *Store) CompareRun(ctx context.Context, runID string) (site.CompareRun, error) {
	row, err := s.q.GetCompareRun(ctx, runID)
	return compareOf(row), unlessMissing("read compare "+runID, err, unknownRun("compare", runID))
}

// Status implements control.Records; the links come by name.
func (s *Store) Status(ctx context.Context, link string) ([]site.LinkStatus, error) {
	op := "read status"
	rows, err := s.q.LinkStatus(ctx, link)
	if err != nil {
		return nil, classify(op, err)
	}
	if len(rows) == 0 && link != "" {
		return nil, unknownLink(link)
	}
	compares, err := s.q.LastCompares(ctx, link)
	if err != nil {
		return nil, classify(op, err)
	}
	type lastOf struct {
		link string
		kind site.RunKind
	}
	last := make(map[lastOf]*site.CompareRun, len(compares))
	for _, row := range compares {
		run := compareOf(row)
		last[lastOf{row.Link, run.Kind}] = &run
	}
	status := make([]site.LinkStatus, len(rows))
	for i, row := range rows {
		status[i] = site.LinkStatus{
			Link: site.Link{
				Name: row.Name, Source: row.Source, Target: row.Target, Exclude: orNil(row.Exclude),
				CreatedAt: row.CreatedAt,
			},
			Mailboxes: int(row.Mailboxes),
			States: site.StateCounts{
				New: int(row.New), Equal: int(row.Equal), Differing: int(row.Differing),
				Dirty: int(row.Dirty), Held: int(row.Held), Parked: int(row.Parked),
			},
			Messages: row.Messages, Greetings: row.Greetings, Lag: max(row.Lag, 0),
			LastCompare: last[lastOf{row.Name, site.RunCompare}], LastRebuild: last[lastOf{row.Name, site.RunRebuild}],
		}
	}
	return status, nil
}

func compareOf(row sqlcgen.CompareTotal) site.CompareRun {
	return site.CompareRun{
		RunID: row.RunID, Link: row.Link, Kind: site.RunKind(row.Kind), Trigger: row.Trigger, StartedAt: row.StartedAt,
		FinishedAt: orZero(row.FinishedAt), Mailboxes: int(row.Mailboxes), UpdatedAt: row.UpdatedAt,
		CompareProgress: site.CompareProgress{
			Reviewed: int(row.Reviewed), Unchanged: int(row.Unchanged), Synced: int(row.Synced),
			Differing: int(row.Differing), Failed: int(row.Failed), Busy: int(row.Busy),
			Messages:    workOf(row.MessagesAppended, row.MessagesBytes, row.MessagesFlagsChanged, row.MessagesExpunged),
			Greetings:   workOf(row.GreetingsAppended, row.GreetingsBytes, row.GreetingsFlagsChanged, row.GreetingsExpunged),
			DueMessages: int(row.DueMessages), DueBytes: row.DueBytes,
		},
	}
}

func unknownRun(what, runID string) error {
	return fault.New(fault.NotFound, "there is no "+what+" "+runID, nil, "")
}
