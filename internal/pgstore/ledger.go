package pgstore

import (
	"cmp"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// maxPairs bounds what is believed of one folder. A single row that claims
// four thousand million pairs would otherwise take all memory.
const maxPairs = 10_000_000

// ledgerReader puts the rows of one mailbox's ledger together.
type ledgerReader struct {
	folders []sqlcgen.LedgerFoldersRow
	runs    map[int64][]storedRun
	differ  map[int64][]copier.Difference
	// witnesses by folder; each map is nobody else's.
	witnesses map[int64]map[mailbox.UID]copier.Witness
}

// storedRun is a run as it stands in the table, where it may be anything.
type storedRun struct{ source, target, length int64 }

func (r *ledgerReader) folderRows(rows pgx.Rows) (err error) {
	r.folders, err = pgx.CollectRows(rows, pgx.RowToStructByPos[sqlcgen.LedgerFoldersRow])
	return err
}

func (r *ledgerReader) runRows(rows pgx.Rows) error {
	r.runs = map[int64][]storedRun{}
	var folder int64
	var run storedRun
	_, err := pgx.ForEachRow(rows, []any{&folder, &run.source, &run.target, &run.length}, func() error {
		r.runs[folder] = append(r.runs[folder], run)
		return nil
	})
	return err
}

func (r *ledgerReader) differenceRows(rows pgx.Rows) error {
	r.differ = map[int64][]copier.Difference{}
	var folder, uid int64
	var kind, detail string
	_, err := pgx.ForEachRow(rows, []any{&folder, &uid, &kind, &detail}, func() error {
		r.differ[folder] = append(r.differ[folder], difference(uid, kind, detail))
		return nil
	})
	return err
}

// states returns what the ledger knows, and the folders of which it cannot be
// believed.
func (r *ledgerReader) states() (states []copier.FolderState, broken []mailbox.FolderName) {
	states = make([]copier.FolderState, 0, len(r.folders))
	for _, f := range r.folders {
		pairs, ok := believable(r.runs[f.ID])
		intent, parsed := intentOf(f.IntentUidnext, f.IntentSources)
		if !ok || !parsed {
			broken = append(broken, mailbox.FolderName(f.Folder))
			continue
		}
		states = append(states, copier.FolderState{
			Name:           mailbox.FolderName(f.Folder),
			SourceValidity: uint32(f.SourceValidity), TargetValidity: uint32(f.TargetValidity),
			SourceAt: counters(f.SourceAtValidity, f.SourceAtUidnext, f.SourceAtMessages, f.SourceAtModseq),
			TargetAt: counters(f.TargetAtValidity, f.TargetAtUidnext, f.TargetAtMessages, f.TargetAtModseq),
			Pairs:    pairs, Intent: intent, Differences: r.differ[f.ID],
			Recreated: f.Recreated, Moving: movingOf(f), Former: formerOf(f.Former),
			Witnesses: r.witnesses[f.ID],
		})
	}
	return states, broken
}

// believable converts runs that are sorted by source UID. It reports false
// where one holds a number that is no UID, where two of them overlap on either
// side, or where they claim more pairs than any folder has.
func believable(stored []storedRun) ([]mailbox.Run, bool) {
	if len(stored) == 0 {
		return nil, true
	}
	runs := make([]mailbox.Run, len(stored))
	var pairs, nextSource, nextTarget int64
	ascending := true
	for i, r := range stored {
		if r.source < max(nextSource, 1) || r.target < 1 || r.length < 1 ||
			r.length > maxPairs || r.source+r.length-1 > math.MaxUint32 || r.target+r.length-1 > math.MaxUint32 {
			return nil, false
		}
		ascending = ascending && r.target >= nextTarget
		nextSource, nextTarget = r.source+r.length, r.target+r.length
		if pairs += r.length; pairs > maxPairs {
			return nil, false
		}
		runs[i] = mailbox.Run{Source: mailbox.UID(r.source), Target: mailbox.UID(r.target), Length: uint32(r.length)}
	}
	if ascending {
		return runs, true // the usual case: what is copied in order needs no sorting
	}
	slices.SortFunc(stored, func(a, b storedRun) int { return cmp.Compare(a.target, b.target) })
	for i := 1; i < len(stored); i++ {
		if stored[i].target < stored[i-1].target+stored[i-1].length {
			return nil, false
		}
	}
	return runs, true
}

// intentOf returns nil where there is no intent (an intent's UIDNEXT is never
// 0), and false where there is one that cannot be read.
func intentOf(uidNext int64, sources string) (*copier.Intent, bool) {
	if uidNext == 0 && sources == "" {
		return nil, true
	}
	set, err := mailbox.ParseUIDSet(sources)
	if err != nil || uidNext < 1 || uidNext > math.MaxUint32 {
		return nil, false
	}
	return &copier.Intent{TargetUIDNext: mailbox.UID(uidNext), Sources: set}, true
}

// movingOf returns nil where no move is open. One that cannot be read is
// forgotten: what it moved is then kept twice, and not lost.
func movingOf(f sqlcgen.LedgerFoldersRow) *copier.Moving {
	uids, err := mailbox.ParseUIDSet(f.MoveUids)
	copied, errCopied := mailbox.ParseUIDSet(f.MoveCopied)
	if err != nil || errCopied != nil || len(uids)+len(copied) == 0 {
		return nil
	}
	return &copier.Moving{To: mailbox.FolderName(f.MoveFolder), Validity: uint32(f.MoveValidity),
		UIDNext: mailbox.UID(f.MoveUidnext), UIDs: uids, Copied: copied}
}

// formerOf returns the empty set for one that cannot be read: the guard then
// holds the messages.
func formerOf(text string) mailbox.UIDSet {
	set, err := mailbox.ParseUIDSet(text)
	if err != nil {
		return nil
	}
	return set
}

func difference(uid int64, kind, detail string) copier.Difference {
	return copier.Difference{Kind: copier.DifferenceKind(kind), SourceUID: mailbox.UID(uid), Detail: detail}
}
