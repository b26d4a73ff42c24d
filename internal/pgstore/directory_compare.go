package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/pgstore/sqlcgen"
)

// inBulk sets how statements are planned that see all of a directory, for their
// transaction: what is staged and found is new to the server, whose figures of it
// are of the run before or of none, and a plan that looks up row by row on their
// word takes hours. So does a merge by one of several columns, where an index has
// that in order, which has the others compared for every pair of rows. Hashing goes
// by all of them, and takes seconds, whatever is there.
const inBulk = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; " +
	"SET LOCAL work_mem = '64MB'"

// inBulkTx is inTx for such statements.
func (s *Store) inBulkTx(ctx context.Context, op string, fn func(*sqlcgen.Queries) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, inBulk); err != nil {
			return err
		}
		return fn(s.q.WithTx(tx))
	})
	return classify(op, err)
}

// CompareDirectory implements dirsync.RunRecords. A run of which a change was
// carried out already is a Conflict: its changes are the record of that.
func (s *Store) CompareDirectory(ctx context.Context, runID string, settings dirsync.Settings) (directory.Tally, error) {
	var tally directory.Tally
	op := "compare directories of run " + runID
	err := s.inBulkTx(ctx, op, func(q *sqlcgen.Queries) (err error) {
		var run sqlcgen.DirectoryRun
		if run, tally, err = compareStaged(ctx, q, op, runID, settings); err != nil || run.Trigger == dirsync.TriggerDryRun {
			return err
		}
		kinds, reasons := directory.Judge(settings.Limits, tally)
		tally.Held, err = hold(ctx, q, run, kinds, reasons)
		return err
	})
	return tally, err
}

// compareStaged is the compare, and holds nothing.
func compareStaged(ctx context.Context, q *sqlcgen.Queries, op, runID string, settings dirsync.Settings) (run sqlcgen.DirectoryRun, tally directory.Tally, err error) {
	if run, err = running(ctx, q, runID); err != nil {
		return run, tally, err
	}
	if err := notApplied(ctx, q, op, runID); err != nil {
		return run, tally, err
	}
	if err := whole(ctx, q, op, run); err != nil {
		return run, tally, err
	}
	c := comparer{q: q, run: run, settings: settings}
	if run.SourceExtract != nil && run.TargetExtract != nil {
		if err := errors.Join(kept(op, run.SourceExtract, &c.source), kept(op, run.TargetExtract, &c.target)); err != nil {
			return run, tally, err
		}
	}
	if err := c.compare(ctx); err != nil {
		return run, tally, err
	}
	if run.Trigger != dirsync.TriggerDryRun {
		if err := c.settle(ctx); err != nil {
			return run, tally, err
		}
	}
	tally, err = c.tally(ctx)
	return run, tally, err
}

func notApplied(ctx context.Context, q *sqlcgen.Queries, op, runID string) error {
	rows, err := q.CountDirectoryChanges(ctx, runID)
	for _, row := range rows {
		if row.State == string(dirsync.ChangeDone) || row.State == string(dirsync.ChangeFailed) {
			return fault.New(fault.Conflict, op+": its changes are being carried out", nil, "")
		}
	}
	return err
}

// whole refuses to compare what is not what was extracted. Staged entries do not
// survive a crash of the database, and a side of which nothing is left looks like
// one from which everybody is gone; two attempts at once may have staged it twice.
// An entry that was read twice while it was renamed is staged once.
func whole(ctx context.Context, q *sqlcgen.Queries, op string, run sqlcgen.DirectoryRun) error {
	if run.SourceExtract == nil || run.TargetExtract == nil {
		return nil
	}
	staged, err := q.CountStaged(ctx, run.RunID)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		name    dirsync.Side
		extract []byte
		staged  int64
	}{{dirsync.SourceSide, run.SourceExtract, staged.Source}, {dirsync.TargetSide, run.TargetExtract, staged.Target}} {
		var extract directory.Extracted
		if err := kept(op, side.extract, &extract); err != nil {
			return err
		}
		if read := int64(extract.Entries); side.staged > read || side.staged == 0 && read > 0 {
			return fault.New(fault.Permanent, op, fmt.Errorf("%w: of %d entries of the %s it has %d",
				dirsync.ErrStagedLost, read, side.name, side.staged), "nothing was changed; the next run reads everything again")
		}
	}
	return nil
}

// comparer is one compare.
type comparer struct {
	q        *sqlcgen.Queries
	run      sqlcgen.DirectoryRun
	settings dirsync.Settings
	// source and target are what the extracts tell of themselves.
	source, target directory.Extracted
}

// partial reports whether entries may be missing in what was extracted.
func (c *comparer) partial() bool { return c.source.Partial || c.target.Partial }

func (c *comparer) compare(ctx context.Context) error {
	if err := c.q.DropMatched(ctx, c.run.RunID); err != nil {
		return err
	}
	if err := c.q.DropDirectoryChanges(ctx, c.run.RunID); err != nil {
		return err
	}
	err := c.q.CompareStaged(ctx, sqlcgen.CompareStagedParams{RunID: c.run.RunID, Names: columnNames(),
		RemoveUnknown: c.settings.RemoveUnknown, GiveUp: int64(c.settings.GiveUp), Partial: c.partial()})
	if err != nil {
		return err
	}
	if err := c.tellUnread(ctx, c.source.Unread, false); err != nil {
		return err
	}
	if err := c.tellUnread(ctx, c.target.Unread, true); err != nil {
		return err
	}
	return c.order(ctx)
}

// tellUnread says why entries of a side could not be read.
func (c *comparer) tellUnread(ctx context.Context, unread []directory.Unread, target bool) error {
	if len(unread) == 0 {
		return nil
	}
	p := sqlcgen.TellUnreadParams{RunID: c.run.RunID, OfTarget: target}
	for _, u := range unread {
		p.Numbers, p.Errors, p.Hints = append(p.Numbers, plain(u.Number)), append(p.Errors, plain(u.Text)), append(p.Hints, plain(u.Hint))
	}
	return c.q.TellUnread(ctx, p)
}

// order puts what frees a number before what takes it, and tells of what takes
// one that is not freed.
func (c *comparer) order(ctx context.Context) error {
	rows, err := c.q.DirectoryMovers(ctx, c.run.RunID)
	if err != nil || len(rows) == 0 {
		return err
	}
	var moves []directory.Move
	at := map[int64]int{}
	holders := map[int64]sqlcgen.DirectoryMoversRow{}
	move := func(m directory.Move) {
		if i, known := at[m.Seq]; known {
			// Several entries have its number.
			moves[i].Blocked = moves[i].Blocked || m.Blocked
			return
		}
		at[m.Seq] = len(moves)
		moves = append(moves, m)
	}
	for _, row := range rows {
		holders[row.Seq] = row
		move(directory.Move{Seq: row.Seq, Kind: directory.ChangeKind(row.Kind), Needs: row.FreedBy,
			Blocked: row.Taken && row.FreedBy == 0, Steady: row.Steady, Old: row.OldNumber})
	}
	for _, row := range rows {
		if row.FreedBy != 0 && row.FreedKind != string(directory.Renumber) {
			move(directory.Move{Seq: row.FreedBy, Kind: directory.ChangeKind(row.FreedKind)})
		}
	}
	steps, stuck := directory.Sequence(moves)
	if err := c.tell(ctx, stuck, holders); err != nil {
		return err
	}
	return c.place(ctx, steps, moves, at)
}

func (c *comparer) tell(ctx context.Context, stuck []int64, holders map[int64]sqlcgen.DirectoryMoversRow) error {
	p := sqlcgen.TellDirectoryChangesParams{RunID: c.run.RunID, Seqs: stuck,
		Hint: "give the entry on the target another number, or remove it; the next run does the rest"}
	for _, seq := range stuck {
		p.Errors = append(p.Errors, plain(fmt.Sprintf("the number %s is taken on the target by %q and is not freed by this run",
			holders[seq].Number, holders[seq].TakenBy)))
	}
	if len(stuck) == 0 {
		return nil
	}
	return c.q.TellDirectoryChanges(ctx, p)
}

// place gives the steps their numbers, from 1. Changes that are created keep
// theirs, which are behind.
func (c *comparer) place(ctx context.Context, steps []directory.Step, moves []directory.Move, at map[int64]int) error {
	p := sqlcgen.OrderDirectoryChangesParams{RunID: c.run.RunID}
	seqs, halves := map[int64]int64{}, map[int64]int64{}
	var used directory.NumberSet
	for i, step := range steps {
		m := moves[at[step.Seq]]
		seq := int64(i + 1)
		if step.Via {
			if used == nil {
				numbers, err := c.q.StagedNumbers(ctx, c.run.RunID)
				if err != nil {
					return err
				}
				used = directory.ProtectedNumbers(c.run.Protected)
				for _, n := range numbers {
					used.Add(n)
				}
			}
			via := directory.FreeNumber(m.Old, used)
			used.Add(via)
			halves[step.Seq] = seq
			err := c.q.AddDirectoryVia(ctx, sqlcgen.AddDirectoryViaParams{RunID: c.run.RunID, ViaSeq: seq, Via: via, OfSeq: step.Seq})
			if err != nil {
				return err
			}
			continue
		}
		if m.Kind == directory.Create {
			seq = step.Seq
		}
		seqs[step.Seq] = seq
		needs := int64(0)
		if step.Needs != 0 {
			// What needed the first of a circle needs its first half.
			if half, ok := halves[step.Needs]; ok {
				needs = half
			} else {
				needs = seqs[step.Needs]
			}
		}
		p.Was, p.Seqs, p.Needs = append(p.Was, step.Seq), append(p.Seqs, seq), append(p.Needs, needs)
	}
	if len(p.Was) == 0 {
		return nil
	}
	return c.q.OrderDirectoryChanges(ctx, p)
}

// settle records which entries belong together, and drops what was noted of
// changes that are no more. If entries may be missing in what was extracted, all of
// that waits for the next run: nothing proves that an entry or a change is no more.
func (c *comparer) settle(ctx context.Context) error {
	link, runID := c.run.Link, c.run.RunID
	if c.partial() {
		return nil
	}
	numbers, err := c.q.EndPairs(ctx, sqlcgen.EndPairsParams{Link: link, RunID: runID})
	if err != nil {
		return err
	}
	if err := c.q.RecordMatched(ctx, sqlcgen.RecordMatchedParams{Link: link, RunID: runID}); err != nil {
		return err
	}
	if err := c.q.RecordDeparted(ctx, sqlcgen.RecordDepartedParams{Link: link, RunID: runID, Numbers: listOrEmpty(numbers)}); err != nil {
		return err
	}
	if err := c.q.ForgetDeparted(ctx, link); err != nil {
		return err
	}
	if err := c.q.FailuresSettled(ctx, sqlcgen.FailuresSettledParams{Link: link, RunID: runID}); err != nil {
		return err
	}
	if err := c.q.HeldSettled(ctx, sqlcgen.HeldSettledParams{Link: link, RunID: runID}); err != nil {
		return err
	}
	if err := c.settleLogins(ctx); err != nil {
		return err
	}
	return c.q.HoldsSettled(ctx, link)
}

// tally counts the changes, and what is no longer needed goes.
func (c *comparer) tally(ctx context.Context) (directory.Tally, error) {
	t := directory.Tally{Kinds: map[directory.ChangeKind]int{}, Planned: map[directory.ChangeKind]int{}, Approved: map[directory.ChangeKind]int{}}
	if err := c.q.DropMatched(ctx, c.run.RunID); err != nil {
		return t, err
	}
	staged, err := c.q.CountStaged(ctx, c.run.RunID)
	if err != nil {
		return t, err
	}
	t.Source, t.Target = int(staged.Source), int(staged.Target)
	err = c.q.SetDirectoryEntries(ctx, sqlcgen.SetDirectoryEntriesParams{RunID: c.run.RunID, SourceEntries: staged.Source, TargetEntries: staged.Target})
	if err != nil {
		return t, err
	}
	rows, err := c.q.CountDirectoryChanges(ctx, c.run.RunID)
	for _, row := range rows {
		kind, n := directory.ChangeKind(row.Kind), int(row.Changes)
		t.Kinds[kind] += n
		if row.State == string(dirsync.ChangePlanned) {
			t.Planned[kind] += n
			if row.Approved {
				t.Approved[kind] += n
			}
		}
	}
	return t, err
}
