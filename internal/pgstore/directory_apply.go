package pgstore

import (
	"context"
	"slices"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/lease"
	"mailmirror/internal/pgstore/sqlcgen"
)

// DirectoryChanges implements dirsync.ChangeRecords; limit 0 means all.
func (s *Store) DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	rows, err := s.q.ListDirectoryChanges(ctx, sqlcgen.ListDirectoryChangesParams{RunID: runID, After: after, MaxRows: int64(limit),
		States: strs(states)})
	return listOf(rows, changeOf, "list changes of directory run "+runID, err)
}

// SampleDirectoryChanges implements dirsync.ChangeRecords.
func (s *Store) SampleDirectoryChanges(ctx context.Context, runID string, after int64, limit int, state dirsync.ChangeState) ([]dirsync.Change, error) {
	rows, err := s.q.SampleDirectoryChanges(ctx, sqlcgen.SampleDirectoryChangesParams{RunID: runID, After: after, State: string(state), MaxRows: int64(limit)})
	return listOf(rows, changeOf, "pick changes of directory run "+runID, err)
}

// DirectoryRefusals implements dirsync.RunRecords.
func (s *Store) DirectoryRefusals(ctx context.Context, runID string, limit int) ([]dirsync.Refusal, error) {
	rows, err := s.q.DirectoryRefusals(ctx, sqlcgen.DirectoryRefusalsParams{RunID: runID, MaxRows: int64(limit)})
	return listOf(rows, func(row sqlcgen.DirectoryRefusalsRow) dirsync.Refusal {
		return dirsync.Refusal{Error: row.Error, Hint: row.Hint, Changes: int(row.Changes)}
	}, "count failures of directory run "+runID, err)
}

func changeOf(row sqlcgen.DirectoryChange) dirsync.Change {
	return dirsync.Change{Seq: row.Seq, State: dirsync.ChangeState(row.State), Error: row.Error, Hint: row.Hint,
		Failures: int(row.Failures), Change: directory.Change{
			Kind: directory.ChangeKind(row.Kind), Number: row.Number, Via: row.Via,
			Source:  directory.Ref{ID: row.SourceID, DN: string(row.SourceDn), Version: row.SourceVersion},
			Target:  directory.Ref{ID: row.TargetID, DN: string(row.TargetDn), Version: row.TargetVersion},
			Columns: columnList(row.Columns), Blank: columnList(row.Blank)}}
}

func columnList(names []string) []directory.Column {
	var out []directory.Column
	for _, name := range names {
		out = append(out, directory.Column(name))
	}
	return out
}

// SaveDirectoryChanges implements dirsync.ChangeRecords. What needed a number
// that a change of the list did not free fails with it.
func (s *Store) SaveDirectoryChanges(ctx context.Context, l lease.Lease, runID string, changes []dirsync.Change) error {
	if len(changes) == 0 {
		return nil
	}
	op := "record changes of directory run " + runID
	return s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		n, err := q.LockLease(ctx, sqlcgen.LockLeaseParams{Kind: string(l.Kind), Link: l.Link, Number: string(l.Number), Epoch: l.Epoch})
		if err == nil && n == 0 {
			err = lost(op)
		}
		if err != nil {
			return err
		}
		run, err := running(ctx, q, runID)
		if err != nil {
			return err
		}
		p := sqlcgen.SaveDirectoryChangesParams{RunID: runID}
		bySeq := map[int64]dirsync.Change{}
		for _, c := range changes {
			if _, twice := bySeq[c.Seq]; !twice {
				p.Seqs = append(p.Seqs, c.Seq)
			}
			bySeq[c.Seq] = c
		}
		for _, seq := range p.Seqs {
			c := bySeq[seq]
			p.States, p.Errors, p.Hints = append(p.States, string(c.State)), append(p.Errors, plain(c.Error)), append(p.Hints, plain(c.Hint))
			p.OfServer = append(p.OfServer, c.OfServer)
			p.SourceIds, p.SourceDns = append(p.SourceIds, plain(c.Source.ID)), append(p.SourceDns, []byte(c.Source.DN))
			p.TargetIds, p.TargetDns = append(p.TargetIds, plain(c.Target.ID)), append(p.TargetDns, []byte(c.Target.DN))
			p.SourceVersions = append(p.SourceVersions, plain(c.Source.Version))
			p.TargetVersions = append(p.TargetVersions, plain(c.Target.Version))
		}
		rows, err := q.SaveDirectoryChanges(ctx, p)
		if err != nil {
			return err
		}
		if err := q.FailDependents(ctx, sqlcgen.FailDependentsParams{RunID: runID, Seqs: p.Seqs}); err != nil {
			return err
		}
		err = q.RecordDirectoryFailures(ctx, sqlcgen.RecordDirectoryFailuresParams{RunID: runID, Seqs: p.Seqs, DryRun: dirsync.TriggerDryRun})
		if err != nil {
			return err
		}
		return recordDone(ctx, q, run.Link, runID, rows, bySeq)
	})
}

// recordDone writes down what changes that are done made of pairs.
func recordDone(ctx context.Context, q *sqlcgen.Queries, link, runID string, rows []sqlcgen.SaveDirectoryChangesRow, bySeq map[int64]dirsync.Change) error {
	slices.SortFunc(rows, func(a, b sqlcgen.SaveDirectoryChangesRow) int { return int(a.Seq - b.Seq) })
	drop := sqlcgen.DropPairsParams{Link: link, SourceKeys: []string{}, TargetKeys: []string{}}
	put := sqlcgen.PutPairsParams{Link: link}
	var departed, done []string
	var logins writtenLogins
	for _, row := range rows {
		if row.State != string(dirsync.ChangeDone) || row.Via != "" {
			continue
		}
		done = append(done, row.Key)
		c := bySeq[row.Seq]
		switch directory.ChangeKind(row.Kind) {
		case directory.Remove, directory.Unknown:
			// A removed entry is known by the number that it had.
			drop.TargetKeys = append(drop.TargetKeys, pairKey(c.Target.ID, row.OldNumber))
			departed = append(departed, row.OldNumber)
			logins.gone = append(logins.gone, row.OldNumber)
		case directory.Create, directory.Alter, directory.Renumber:
			source, target := pairKey(c.Source.ID, row.Number), pairKey(c.Target.ID, row.Number)
			drop.SourceKeys, drop.TargetKeys = append(drop.SourceKeys, source), append(drop.TargetKeys, target)
			put.SourceKeys, put.TargetKeys = append(put.SourceKeys, source), append(put.TargetKeys, target)
			put.Numbers = append(put.Numbers, row.Number)
			if row.OldNumber != "" && row.OldNumber != row.Number {
				departed = append(departed, row.OldNumber)
				logins.gone = append(logins.gone, row.OldNumber)
			}
			logins.put(row.Number, c.TargetLogin, c.TargetRule)
		case directory.Duplicate, directory.Protected, directory.Unreadable:
		}
	}
	if len(done) == 0 {
		return nil
	}
	if err := q.ForgetDone(ctx, sqlcgen.ForgetDoneParams{Link: link, Keys: done}); err != nil {
		return err
	}
	if err := q.HoldsSettled(ctx, link); err != nil {
		return err
	}
	if err := q.DropPairs(ctx, drop); err != nil {
		return err
	}
	if len(put.Numbers) > 0 {
		if err := q.PutPairs(ctx, put); err != nil {
			return err
		}
	}
	if err := logins.save(ctx, q, link); err != nil || len(departed) == 0 {
		return err
	}
	return q.RecordDeparted(ctx, sqlcgen.RecordDepartedParams{Link: link, RunID: runID, Numbers: departed})
}

// pairKey is how pairs name an entry: see directory_pairs.
func pairKey(id, number string) string {
	if id != "" {
		return "s" + plain(id)
	}
	return "n" + plain(number)
}

// ForgetDirectoryFailures implements control.DirectoryRuns.
func (s *Store) ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error) {
	var n int64
	err := s.inAuditedTx(ctx, func(q *sqlcgen.Queries) (err error) {
		n, err = q.ForgetDirectoryFailures(ctx, sqlcgen.ForgetDirectoryFailuresParams{Link: link, Number: number})
		return err
	})
	if err == nil && n == 0 {
		err = s.requireLink(ctx, link)
	}
	return int(n), classify("forget failures of the directory of link "+link, err)
}
