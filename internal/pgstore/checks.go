package pgstore

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/verdict"
)

// maxReport bounds what is kept of a check in bytes: most of it is what a server says of
// itself.
const maxReport = 256 << 10

// RecordStoreCheck implements activities.CheckRecords.
func (s *Store) RecordStoreCheck(ctx context.Context, run verdict.StoreRun) error {
	op := "record check of store " + run.Store
	report, err := json.Marshal(run.Report)
	if err == nil && len(report) > maxReport {
		run.Report.Capabilities = nil
		report, err = json.Marshal(run.Report)
	}
	if err == nil && len(report) > maxReport {
		err = errors.New("the report is too large")
	}
	if err != nil {
		return fault.New(fault.Permanent, op, err, "")
	}
	err = s.q.InsertStoreCheck(ctx, sqlcgen.InsertStoreCheckParams{
		RunID: run.RunID, Store: run.Store, Mailbox: string(run.Mailbox), StartedAt: run.StartedAt, Report: report,
		ErrorKind: run.ErrorKind, Error: plain(run.Error), Hint: plain(run.Hint),
	})
	if violates(err, foreignKeyViolation, "store_checks_store") {
		return unknownStore(run.Store)
	}
	return classify(op, err)
}

// StoreCheck implements control.CheckRecords.
func (s *Store) StoreCheck(ctx context.Context, runID string) (verdict.StoreRun, error) {
	row, err := s.q.GetStoreCheck(ctx, runID)
	if err != nil {
		return verdict.StoreRun{}, unlessMissing("read check "+runID, err, unknownRun("check", runID))
	}
	run := verdict.StoreRun{RunID: row.RunID, Store: row.Store, Mailbox: mailbox.Number(row.Mailbox), StartedAt: row.StartedAt,
		FinishedAt: row.FinishedAt, Failure: verdict.Failure{ErrorKind: row.ErrorKind, Error: row.Error, Hint: row.Hint}}
	return run, fault.Wrap(json.Unmarshal(row.Report, &run.Report), "read check "+runID)
}

// BeginVerify implements activities.CheckRecords.
func (s *Store) BeginVerify(ctx context.Context, run verdict.VerifyRun) error {
	err := s.q.InsertVerifyRun(ctx, sqlcgen.InsertVerifyRunParams{
		RunID: run.RunID, Link: run.Link, Deep: run.Deep, Planned: int64(run.Planned), StartedAt: run.StartedAt,
	})
	if violates(err, foreignKeyViolation, "verify_runs_link") {
		return unknownLink(run.Link)
	}
	return classify("record verification "+run.RunID, err)
}

// RecordVerified implements activities.CheckRecords.
func (s *Store) RecordVerified(ctx context.Context, runID string, m verdict.Mailbox) error {
	op := "record verification of mailbox " + string(m.Number)
	folders := []verdict.Folder{}
	if !m.Equal() && m.Folders != nil {
		folders = m.Folders
	}
	text, err := json.Marshal(folders)
	if err != nil {
		return fault.New(fault.Permanent, op, err, "")
	}
	return classify(op, s.q.InsertVerified(ctx, sqlcgen.InsertVerifiedParams{
		RunID: runID, Number: string(m.Number), Equal: m.Equal(), Bytes: m.Bytes,
		Messages: countsRow(m.Messages), Greetings: countsRow(m.Greetings), Folders: text, Omitted: int64(m.Omitted),
		ErrorKind: m.ErrorKind, Error: plain(m.Error), Hint: plain(m.Hint),
	}))
}

// Verified implements activities.CheckRecords.
func (s *Store) Verified(ctx context.Context, runID string, of []mailbox.Number) ([]mailbox.Number, error) {
	done, err := s.q.ListVerified(ctx, sqlcgen.ListVerifiedParams{RunID: runID, Numbers: strs(of)})
	return numbers(done), classify("read verification "+runID, err)
}

// Unverified implements activities.CheckRecords.
func (s *Store) Unverified(ctx context.Context, runID string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	left, err := s.q.ListUnverified(ctx, sqlcgen.ListUnverifiedParams{RunID: runID, After: string(after), MaxRows: int64(limit)})
	return numbers(left), classify("read what verification "+runID+" has left", err)
}

// EndVerify implements activities.CheckRecords; the first end counts.
func (s *Store) EndVerify(ctx context.Context, runID string, f verdict.Failure) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.q.WithTx(tx)
		running, err := q.LockVerifyRun(ctx, runID)
		if err != nil || !running {
			return err
		}
		return q.FinishVerifyRun(ctx, sqlcgen.FinishVerifyRunParams{RunID: runID, ErrorKind: f.ErrorKind, Error: plain(f.Error), Hint: plain(f.Hint)})
	})
	return unlessMissing("record end of verification "+runID, err, unknownRun("verification", runID))
}

// Verification implements control.CheckRecords.
func (s *Store) Verification(ctx context.Context, runID string) (verdict.VerifyRun, error) {
	row, err := s.q.GetVerifyRun(ctx, runID)
	if err != nil {
		return verdict.VerifyRun{}, unlessMissing("read verification "+runID, err, unknownRun("verification", runID))
	}
	return verdict.VerifyRun{
		RunID: row.RunID, Planned: int(row.Planned), StartedAt: row.StartedAt, FinishedAt: orZero(row.FinishedAt),
		Verification: verdict.Verification{
			Link: row.Link, Deep: row.Deep, Mailboxes: int(row.Equal + row.Differing + row.Failed), Equal: int(row.Equal),
			Differing: int(row.Differing), Failed: int(row.Failed), Bytes: row.Bytes,
			Messages: countsOf(row.Messages), Greetings: countsOf(row.Greetings),
		},
		Failure: verdict.Failure{ErrorKind: row.ErrorKind, Error: row.Error, Hint: row.Hint},
	}, nil
}

// VerifyResults implements control.CheckRecords.
func (s *Store) VerifyResults(ctx context.Context, runID string) ([]verdict.Mailbox, error) {
	op := "read verification " + runID
	rows, err := s.q.ListVerifyResults(ctx, runID)
	if err != nil {
		return nil, classify(op, err)
	}
	results := make([]verdict.Mailbox, len(rows))
	for i, row := range rows {
		results[i] = verdict.Mailbox{Number: mailbox.Number(row.Number), Bytes: row.Bytes, Omitted: int(row.Omitted),
			Failure: verdict.Failure{ErrorKind: row.ErrorKind, Error: row.Error, Hint: row.Hint}}
		if err := json.Unmarshal(row.Folders, &results[i].Folders); err != nil {
			return nil, fault.Wrap(err, op)
		}
	}
	return results, nil
}

// countsRow and countsOf convert between counts and their column.
func countsRow(c verdict.Counts) []int64 {
	return []int64{int64(c.Compared), int64(c.Missing), int64(c.Extra), int64(c.Flags), int64(c.Dates), int64(c.Content), int64(c.Unreadable)}
}

func countsOf(row []int64) verdict.Counts {
	return verdict.Counts{Compared: int(row[0]), Missing: int(row[1]), Extra: int(row[2]), Flags: int(row[3]), Dates: int(row[4]),
		Content: int(row[5]), Unreadable: int(row[6])}
}
