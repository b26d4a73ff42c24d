package pgstore

import (
	"context"
	"fmt"
	"slices"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/pgstore/sqlcgen"
)

// hold holds changes of a run by their kinds and returns how many. What needs a number
// that a held change would free is held with it, approved or not. The reasons are those
// of the run as well.
func hold(ctx context.Context, q *sqlcgen.Queries, run sqlcgen.DirectoryRun, kinds []directory.ChangeKind, reasons []string) (held int, err error) {
	runID := run.RunID
	if err := q.HoldDirectoryChanges(ctx, sqlcgen.HoldDirectoryChangesParams{RunID: runID, Kinds: strs(kinds)}); err != nil {
		return 0, err
	}
	for more := int64(1); more > 0; {
		if err := q.HoldDependents(ctx, runID); err != nil {
			return 0, err
		}
		if more, err = q.HoldHalves(ctx, runID); err != nil {
			return 0, err
		}
	}
	rows, err := q.CountHeldChanges(ctx, runID)
	if err != nil {
		return 0, err
	}
	said := plainAll(reasons)
	if err := q.SetDirectoryReasons(ctx, sqlcgen.SetDirectoryReasonsParams{RunID: runID, Reasons: said}); err != nil {
		return 0, err
	}
	for _, row := range rows {
		held += int(row.Changes)
		why := []string{"the number is not free before other changes that are held are made"}
		if slices.Contains(kinds, directory.ChangeKind(row.Kind)) {
			why = said
		}
		err := q.PutDirectoryHold(ctx, sqlcgen.PutDirectoryHoldParams{RunID: runID, Kind: row.Kind, Reasons: why})
		if err != nil {
			return 0, err
		}
		if err := q.PutDirectoryHeld(ctx, sqlcgen.PutDirectoryHeldParams{RunID: runID, Kind: row.Kind}); err != nil {
			return 0, err
		}
	}
	if err := q.HeldOver(ctx, sqlcgen.HeldOverParams{Link: run.Link, RunID: runID}); err != nil {
		return 0, err
	}
	return held, q.HoldsSettled(ctx, run.Link)
}

// DirectoryHolds implements control.DirectoryHolds.
func (s *Store) DirectoryHolds(ctx context.Context, link string) ([]guard.DirectoryHold, error) {
	rows, err := s.q.ListDirectoryHolds(ctx, link)
	return listOf(rows, func(row sqlcgen.ListDirectoryHoldsRow) guard.DirectoryHold {
		return directoryHoldOf(row.DirectoryHold, row.Changes)
	}, "list holds of directories", err)
}

// DirectoryHoldChanges implements control.DirectoryHolds; limit 0 means all.
func (s *Store) DirectoryHoldChanges(ctx context.Context, id, after int64, limit int) ([]dirsync.Change, error) {
	rows, err := s.q.ListDirectoryHeld(ctx, sqlcgen.ListDirectoryHeldParams{ID: id, After: after, MaxRows: int64(limit)})
	return listOf(rows, func(row sqlcgen.DirectoryHeld) dirsync.Change {
		state := dirsync.ChangeHeld
		switch guard.HoldState(row.State) {
		case guard.HoldRefused:
			state = dirsync.ChangeRefused
		case guard.HoldApproved:
			state = dirsync.ChangePlanned
		case guard.HoldWaiting:
		}
		return dirsync.Change{Seq: row.Seq, State: state, Change: directory.Change{
			Kind: directory.ChangeKind(row.Kind), Number: row.Number,
			Source:  directory.Ref{ID: row.SourceID, DN: string(row.SourceDn), Version: row.SourceVersion},
			Target:  directory.Ref{ID: row.TargetID, DN: string(row.TargetDn), Version: row.TargetVersion},
			Columns: columnList(row.Columns), Blank: columnList(row.Blank)}}
	}, fmt.Sprintf("list changes of hold %d", id), err)
}

// ApprovedDirectories implements activities.Approvals.
func (s *Store) ApprovedDirectories(ctx context.Context) ([]string, error) {
	links, err := s.q.ApprovedDirectories(ctx, dirsync.TriggerDryRun)
	return links, classify("look for approved changes of directories", err)
}

// DecideDirectoryHolds implements control.DirectoryHolds, in one transaction.
func (s *Store) DecideDirectoryHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.DirectoryHold, error) {
	var decided []guard.DirectoryHold
	err := s.inTx(ctx, "decide on holds of directories", func(q *sqlcgen.Queries) error {
		decided = nil
		rows, err := q.LockDirectoryHolds(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.ContainsFunc(rows, func(h sqlcgen.DirectoryHold) bool { return h.ID == id }) {
				return guard.NoHold(id)
			}
		}
		for _, h := range rows {
			hold, err := decideDirectory(ctx, q, h, decision, who)
			if err != nil {
				return err
			}
			decided = append(decided, hold)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return decided, nil
}

// decideDirectory makes the changes of a hold those of another state.
func decideDirectory(ctx context.Context, q *sqlcgen.Queries, h sqlcgen.DirectoryHold, decision guard.HoldState, who string) (guard.DirectoryHold, error) {
	n, err := q.CountDirectoryHeld(ctx, sqlcgen.CountDirectoryHeldParams{Link: h.Link, Kind: h.Kind, State: h.State})
	hold := directoryHoldOf(h, n)
	if err != nil || h.State == string(decision) {
		return hold, err
	}
	row, err := q.DecideDirectoryHold(ctx, sqlcgen.DecideDirectoryHoldParams{ID: h.ID, Decision: string(decision), Who: plain(who)})
	if err != nil {
		return hold, err
	}
	_, err = q.MoveDirectoryHeld(ctx, sqlcgen.MoveDirectoryHeldParams{Link: h.Link, Kind: h.Kind, State: h.State, Decision: string(decision)})
	if err != nil {
		return hold, err
	}
	if err := q.DropDirectoryHold(ctx, h.ID); err != nil {
		return hold, err
	}
	hold.State, hold.DecidedBy, hold.DecidedAt = decision, row.DecidedBy, orZero(row.DecidedAt)
	// The guard's log tells changes of a directory by their kind in the place of
	// a folder, and by no mailbox.
	return hold, q.InsertGuardDecision(ctx, sqlcgen.InsertGuardDecisionParams{Who: plain(who), Decision: string(decision), Link: h.Link,
		Folder: "directory: " + h.Kind, HoldID: h.ID, Messages: n, Reasons: h.Reasons})
}

func directoryHoldOf(h sqlcgen.DirectoryHold, changes int64) guard.DirectoryHold {
	return guard.DirectoryHold{ID: h.ID, State: guard.HoldState(h.State), Link: h.Link, RunID: h.RunID,
		Kind: directory.ChangeKind(h.Kind), Changes: int(changes), Source: int(h.SourceEntries), Target: int(h.TargetEntries),
		Reasons: slices.Clone(h.Reasons), Since: h.Since, UpdatedAt: h.UpdatedAt, DecidedBy: h.DecidedBy, DecidedAt: orZero(h.DecidedAt)}
}
