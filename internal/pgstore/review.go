package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// ReviewStates implements activities.ReviewRecords, in one round trip. An intent that
// cannot be read comes as an empty one: Begin looks closer.
func (s *Store) ReviewStates(ctx context.Context, link string, list []mailbox.Number) (map[mailbox.Number]site.ReviewState, error) {
	var b pgx.Batch
	states := make(map[mailbox.Number]site.ReviewState, len(list))
	b.Queue(sqlcgen.ReviewFolders, link, strs(list)).Query(func(rows pgx.Rows) error {
		return reviewFolders(rows, states)
	})
	b.Queue(sqlcgen.ReviewDifferences, link, strs(list)).Query(func(rows pgx.Rows) error {
		return reviewDifferences(rows, states)
	})
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, classify("read states of mailboxes of link "+link, err)
	}
	return states, nil
}

func reviewFolders(rows pgx.Rows, states map[mailbox.Number]site.ReviewState) error {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sqlcgen.ReviewFoldersRow])
	for _, f := range found {
		state := states[mailbox.Number(f.Number)]
		state.Generation = f.DirtyGeneration
		if f.Folder != "" {
			intent, ok := intentOf(f.IntentUidnext, f.IntentSources)
			if !ok {
				intent = &copier.Intent{}
			}
			state.Folders = append(state.Folders, copier.FolderState{
				Name:           mailbox.FolderName(f.Folder),
				SourceValidity: uint32(f.SourceValidity), TargetValidity: uint32(f.TargetValidity),
				SourceAt: counters(f.SourceAtValidity, f.SourceAtUidnext, f.SourceAtMessages, f.SourceAtModseq),
				TargetAt: counters(f.TargetAtValidity, f.TargetAtUidnext, f.TargetAtMessages, f.TargetAtModseq),
				Intent:   intent,
			})
		}
		states[mailbox.Number(f.Number)] = state
	}
	return err
}

// reviewDifferences adds differences to folders that were read before. One of
// a folder that is new since then is left out: its state is of before too.
func reviewDifferences(rows pgx.Rows, states map[mailbox.Number]site.ReviewState) error {
	var number, folder, kind, detail string
	var uid int64
	_, err := pgx.ForEachRow(rows, []any{&number, &folder, &uid, &kind, &detail}, func() error {
		folders := states[mailbox.Number(number)].Folders
		for i := range folders {
			if folders[i].Name == mailbox.FolderName(folder) {
				folders[i].Differences = append(folders[i].Differences, difference(uid, kind, detail))
			}
		}
		return nil
	})
	return err
}

// RecordReviewed implements activities.ReviewRecords, in one statement.
func (s *Store) RecordReviewed(ctx context.Context, link string, reviewed []site.Reviewed) error {
	if len(reviewed) == 0 {
		return nil
	}
	p := sqlcgen.RecordReviewedParams{Link: link}
	for _, r := range reviewed {
		p.Numbers = append(p.Numbers, string(r.Number))
		p.Generations = append(p.Generations, r.Generation)
		p.Messages = append(p.Messages, int64(r.Messages))
		p.Greetings = append(p.Greetings, int64(r.Greetings))
	}
	return classify("record review of mailboxes of link "+link, s.q.RecordReviewed(ctx, p))
}

// RecordFailure implements activities.Mailboxes. If the mailbox was parked and the sync
// began before its next try was due, neither the count nor that moment changes. If the
// report says InPart, changes of a parked mailbox make it due earlier.
func (s *Store) RecordFailure(ctx context.Context, report copier.Report, retryAfter time.Duration) error {
	op := "record failure of mailbox " + string(report.Key.Number)
	err := s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		n, err := q.InsertHistory(ctx, historyRow(report))
		if err != nil || n == 0 {
			return err
		}
		n, err = q.RecordFailed(ctx, sqlcgen.RecordFailedParams{
			Link: report.Key.Link, Number: string(report.Key.Number), RetryAfter: retryAfter,
			InPart: report.InPart, Lasted: max(time.Since(report.Started), 0), Generation: report.Generation,
			ErrorKind: report.ErrKind, Error: plain(report.Err), Hint: plain(report.Hint),
		})
		if err == nil && n == 0 {
			return errGone
		}
		return err
	})
	if errors.Is(err, errGone) {
		return s.unknownMailbox(ctx, report.Key)
	}
	return err
}

var errGone = errors.New("mailbox does not participate any more")
