package pgstore

import (
	"context"

	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// DirectoryMembers implements dirsync.MemberRecords. Numbers that cannot name a
// mailbox never join. A mailbox leaves, by whatever rule it joined, when the
// entry of its number was removed on both sides or has another number.
func (s *Store) DirectoryMembers(ctx context.Context, runID string, settings dirsync.Settings) (join, leave []mailbox.Number, err error) {
	op := "read members of directory run " + runID
	run, err := s.DirectoryRun(ctx, runID)
	if err != nil {
		return nil, nil, err
	}
	if settings.Participate != dirsync.ParticipateManual {
		rows, err := s.q.DirectoryJoiners(ctx, run.Link)
		if err != nil {
			return nil, nil, classify(op, err)
		}
		for _, row := range rows {
			number := mailbox.Number(row)
			// A number has no slash, so that a pattern meets all of it.
			if number.Validate() == nil && (settings.Participate != dirsync.ParticipateFilter || settings.Numbers.Match(mailbox.FolderName(row))) {
				join = append(join, number)
			}
		}
	}
	rows, err := s.q.DirectoryLeavers(ctx, run.Link)
	return join, numbers(rows), classify(op, err)
}

// LeaveLink implements dirsync.MemberRecords.
func (s *Store) LeaveLink(ctx context.Context, runID, link string, list []mailbox.Number) (int, error) {
	op := "take mailboxes out of link " + link
	var left int64
	err := s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := refuseLive(ctx, q, op, sqlcgen.LiveLeasesParams{Link: link, Numbers: strs(list)}); err != nil {
			return err
		}
		err := q.RecordDeparture(ctx, sqlcgen.RecordDepartureParams{RunID: runID, Link: link, Numbers: strs(list), Outcome: string(dirsync.LeftLink)})
		if err != nil {
			return err
		}
		if _, err := q.DeleteMailboxes(ctx, sqlcgen.DeleteMailboxesParams{Link: link, Numbers: strs(list)}); err != nil {
			return err
		}
		if err := q.ForgetDeparted(ctx, link); err != nil {
			return err
		}
		left, err = q.CountDepartures(ctx, sqlcgen.CountDeparturesParams{RunID: runID, Link: link, Numbers: strs(list), Outcome: string(dirsync.LeftLink)})
		return err
	})
	return int(left), err
}
