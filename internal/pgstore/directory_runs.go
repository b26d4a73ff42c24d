package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

const (
	// keptChanges and keptRuns are of how many runs of a link before the present
	// one the changes, and the runs themselves, are kept.
	keptChanges = 20
	keptRuns    = 500
)

// BeginDirectoryRun implements dirsync.RunRecords. It writes down which
// columns the mappings of both stores have in common.
func (s *Store) BeginDirectoryRun(ctx context.Context, runID, link, trigger string) error {
	op := "begin directory run of link " + link
	var refused error
	err := s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		others, err := q.OtherDirectoryRuns(ctx, sqlcgen.OtherDirectoryRunsParams{Link: link, RunID: runID})
		if err != nil {
			return err
		}
		why, err := q.DirectoryRefusal(ctx, link)
		if err != nil {
			return err
		}
		if why != "" {
			refused = refusedDirectory(op, why)
		}
		switch _, err := q.GetDirectoryRun(ctx, runID); {
		case errors.Is(err, pgx.ErrNoRows):
			if err := beginRun(ctx, q, runID, link, trigger, others); err != nil {
				return err
			}
		case err != nil:
			return err
		}
		if refused == nil {
			return nil
		}
		return finish(ctx, q, runID, dirsync.Failed, []string{why}, fault.HintOf(refused))
	})
	if err != nil {
		return err
	}
	return refused
}

// beginRun records a run that is not recorded yet, and ends the others of the link.
func beginRun(ctx context.Context, q *sqlcgen.Queries, runID, link, trigger string, others []string) error {
	for _, other := range others {
		if err := finish(ctx, q, other, dirsync.Failed, []string{"it was broken off"}, ""); err != nil {
			return err
		}
	}
	source, target, err := mappings(ctx, q, link)
	if err != nil {
		return err
	}
	p := sqlcgen.InsertDirectoryRunParams{RunID: runID, Link: link, Trigger: trigger, Columns: []string{}, Protected: []string{}}
	for _, a := range target.Mirrored(source) {
		p.Columns = append(p.Columns, string(a.Column))
	}
	for _, text := range target.Protected {
		if !strings.HasPrefix(text, "(") {
			p.Protected = append(p.Protected, plain(text))
		}
	}
	if err := q.InsertDirectoryRun(ctx, p); err != nil {
		return err
	}
	if err := q.PruneDirectoryChanges(ctx, sqlcgen.PruneDirectoryChangesParams{Link: link, Keep: keptChanges}); err != nil {
		return err
	}
	return q.PruneDirectoryRuns(ctx, sqlcgen.PruneDirectoryRunsParams{Link: link, Keep: keptRuns})
}

// running locks a run for the rest of the transaction. One that has ended is a
// Conflict.
func running(ctx context.Context, q *sqlcgen.Queries, runID string) (sqlcgen.DirectoryRun, error) {
	run, err := q.LockDirectoryRun(ctx, runID)
	if errors.Is(err, pgx.ErrNoRows) {
		return run, unknownRun("directory run", runID)
	}
	if err == nil && run.State != string(dirsync.Running) {
		return run, ended(runID)
	}
	return run, err
}

func ended(runID string) error {
	return fault.New(fault.Conflict, "directory run "+runID+" has ended", nil, "")
}

// SaveDirectoryPhase implements dirsync.RunRecords.
func (s *Store) SaveDirectoryPhase(ctx context.Context, runID, phase string) error {
	n, err := s.q.SetDirectoryPhase(ctx, sqlcgen.SetDirectoryPhaseParams{RunID: runID, Phase: phase})
	return classify("record phase of directory run "+runID, hits(n, err, ended(runID)))
}

// SaveDirectoryMembers implements dirsync.MemberRecords.
func (s *Store) SaveDirectoryMembers(ctx context.Context, runID string, joined, left int, rejected []dirsync.Rejection) error {
	p := sqlcgen.PutDirectoryRejectedParams{RunID: runID}
	for _, r := range rejected {
		p.Numbers, p.Errors, p.Hints = append(p.Numbers, string(r.Number)), append(p.Errors, plain(r.Error)), append(p.Hints, plain(r.Hint))
	}
	return s.inTx(ctx, "record members of directory run "+runID, func(q *sqlcgen.Queries) error {
		err := q.SetDirectoryMembers(ctx, sqlcgen.SetDirectoryMembersParams{RunID: runID, Joined: int64(joined), Departed: int64(left)})
		if err != nil {
			return err
		}
		if err := q.DropDirectoryRejected(ctx, runID); err != nil {
			return err
		}
		return q.PutDirectoryRejected(ctx, p)
	})
}

// DirectoryRejections implements control.DirectoryRuns.
func (s *Store) DirectoryRejections(ctx context.Context, runID string) ([]dirsync.Rejection, error) {
	rows, err := s.q.ListDirectoryRejected(ctx, runID)
	return listOf(rows, func(row sqlcgen.ListDirectoryRejectedRow) dirsync.Rejection {
		return dirsync.Rejection{Number: mailbox.Number(row.Number), Error: row.Error, Hint: row.Hint}
	}, "list mailboxes that directory run "+runID+" could not let join", err)
}

// SaveExtracts implements dirsync.RunRecords.
func (s *Store) SaveExtracts(ctx context.Context, runID string, source, target directory.Extracted) error {
	p := sqlcgen.SaveExtractsParams{RunID: runID}
	var err [2]error
	p.SourceExtract, err[0] = json.Marshal(source)
	p.TargetExtract, err[1] = json.Marshal(target)
	return classify("record extracts of directory run "+runID, errors.Join(err[0], err[1], s.q.SaveExtracts(ctx, p)))
}

// LastExtracts implements dirsync.RunRecords.
func (s *Store) LastExtracts(ctx context.Context, link string) (source, target directory.Extracted, known bool, err error) {
	op := "read last extracts of link " + link
	row, err := s.q.LastExtracts(ctx, sqlcgen.LastExtractsParams{Link: link, DryRun: dirsync.TriggerDryRun})
	if errors.Is(err, pgx.ErrNoRows) {
		return source, target, false, nil
	}
	if err != nil {
		return source, target, false, classify(op, err)
	}
	err = errors.Join(kept(op, row.SourceExtract, &source), kept(op, row.TargetExtract, &target))
	return source, target, err == nil, err
}

// FinishDirectoryRun implements dirsync.RunRecords.
func (s *Store) FinishDirectoryRun(ctx context.Context, runID string, state dirsync.State, reasons []string, hint string) error {
	return s.inTx(ctx, "end directory run "+runID, func(q *sqlcgen.Queries) error {
		return finish(ctx, q, runID, state, reasons, hint)
	})
}

// finish ends a run that runs, and leaves one that has ended as it is.
func finish(ctx context.Context, q *sqlcgen.Queries, runID string, state dirsync.State, reasons []string, hint string) error {
	run, err := q.LockDirectoryRun(ctx, runID)
	if errors.Is(err, pgx.ErrNoRows) {
		return unknownRun("directory run", runID)
	}
	if err != nil || run.State != string(dirsync.Running) {
		return err
	}
	counts, err := countChanges(ctx, q, run)
	if err != nil {
		return err
	}
	text, err := json.Marshal(counts)
	if err != nil {
		return err
	}
	err = q.FinishDirectoryRun(ctx, sqlcgen.FinishDirectoryRunParams{RunID: runID, State: string(state), Reasons: plainAll(reasons),
		Hint: plain(hint), Counts: text})
	if err != nil {
		return err
	}
	return q.DropStaged(ctx, runID)
}

func plainAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = plain(text)
	}
	return out
}

// countChanges counts a run's changes by what became of them.
func countChanges(ctx context.Context, q *sqlcgen.Queries, run sqlcgen.DirectoryRun) (dirsync.Counts, error) {
	c := dirsync.Counts{Source: int(run.SourceEntries), Target: int(run.TargetEntries), Joined: int(run.Joined), Left: int(run.Departed)}
	rows, err := q.CountDirectoryChanges(ctx, run.RunID)
	for _, row := range rows {
		n := int(row.Changes)
		kind := directory.ChangeKind(row.Kind)
		if setOut(kind, dirsync.ChangeState(row.State)) {
			c.Due += n
		}
		switch dirsync.ChangeState(row.State) {
		case dirsync.ChangeDone:
			switch kind { //nolint:exhaustive // the others are never carried out
			case directory.Create:
				c.Created += n
			case directory.Alter:
				c.Altered += n
			case directory.Renumber:
				c.Renumbers += n
			case directory.Remove, directory.Unknown:
				c.Removed += n
			}
		case dirsync.ChangeFailed:
			c.Failed += n
		case dirsync.ChangeHeld:
			c.Held += n
		case dirsync.ChangeRefused:
			c.Refused += n
		case dirsync.ChangeGivenUp:
			c.GivenUp += n
		case dirsync.ChangePlanned, dirsync.ChangeTold:
		}
		switch kind { //nolint:exhaustive // the others are counted by what became of them
		case directory.Unknown:
			if row.State != string(dirsync.ChangeDone) {
				c.Unknown += n
			}
		case directory.Duplicate:
			c.Duplicate += n
		case directory.Unreadable:
			c.Unread += n
		case directory.Protected:
			c.Protected += n
		}
	}
	return c, err
}

// setOut reports whether a run set out to carry a change out. One that is told
// though it is of a kind that is not was found needless when its turn came.
func setOut(kind directory.ChangeKind, state dirsync.ChangeState) bool {
	switch state {
	case dirsync.ChangePlanned, dirsync.ChangeDone, dirsync.ChangeFailed:
		return true
	case dirsync.ChangeTold:
		return slices.Contains([]directory.ChangeKind{directory.Create, directory.Alter, directory.Renumber, directory.Remove}, kind)
	case dirsync.ChangeHeld, dirsync.ChangeRefused, dirsync.ChangeGivenUp:
	}
	return false
}

// DirectoryRun implements dirsync.RunRecords.
func (s *Store) DirectoryRun(ctx context.Context, runID string) (dirsync.Run, error) {
	row, err := s.q.GetDirectoryRun(ctx, runID)
	if err != nil {
		return dirsync.Run{}, unlessMissing("read directory run "+runID, err, unknownRun("directory run", runID))
	}
	return s.directoryRunOf(ctx, row)
}

// DirectoryRunsOf implements control.DirectoryRuns; limit 0 means all.
func (s *Store) DirectoryRunsOf(ctx context.Context, link string, limit int) ([]dirsync.Run, error) {
	rows, err := s.q.ListDirectoryRuns(ctx, sqlcgen.ListDirectoryRunsParams{Link: link, MaxRows: int64(limit)})
	if err != nil {
		return nil, classify("list directory runs", err)
	}
	runs := make([]dirsync.Run, len(rows))
	for i, row := range rows {
		if runs[i], err = s.directoryRunOf(ctx, row); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

func (s *Store) directoryRunOf(ctx context.Context, row sqlcgen.DirectoryRun) (dirsync.Run, error) {
	run := dirsync.Run{RunID: row.RunID, Link: row.Link, Trigger: row.Trigger, State: dirsync.State(row.State),
		Phase: row.Phase, StartedAt: row.StartedAt, FinishedAt: orZero(row.FinishedAt), Reasons: slices.Clone(row.Reasons), Hint: row.Hint}
	op := "read directory run " + row.RunID
	if row.Counts != nil {
		err := kept(op, row.Counts, &run.Counts)
		return run, err
	}
	var err error
	run.Counts, err = countChanges(ctx, s.q, row)
	return run, classify(op, err)
}
