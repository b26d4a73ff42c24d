package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// Save implements copier.Ledger, in one round trip and one transaction. What
// makes it harmless when repeated is the lease: it is held throughout, Done
// ends it, and rows are replaced by their key.
//
// Only an update that opens an intent, or asks for it, waits for the disk. Without one, what a
// crash of the database takes away is found out again by the next sync, which
// meets the state before: pairs too few, an intent still open, a lease that
// ends by itself.
func (s *Store) Save(ctx context.Context, l lease.Lease, update copier.Update) error {
	op := "save ledger of mailbox " + string(l.Number)
	if update.Done != nil && update.Done.Outcome == copier.Failed {
		return fault.New(fault.Permanent, op+": a failed sync is recorded by RecordFailure", nil, "")
	}
	var b pgx.Batch
	w := ledgerWriter{
		q: sqlcgen.New(queue{&b}), link: l.Link, number: string(l.Number),
	}
	w.do(w.q.HoldLease(ctx, sqlcgen.HoldLeaseParams{
		Link: w.link, Number: w.number, Epoch: l.Epoch, Durable: update.Durable || opensIntent(update),
	}))
	if len(update.Drop) > 0 {
		w.do(w.q.DropFolders(ctx, sqlcgen.DropFoldersParams{Link: w.link, Number: w.number, Folders: strs(update.Drop)}))
	}
	for _, folders := range waves(update.Folders) {
		w.folders(ctx, folders)
		w.pairs(ctx, folders)
		w.witnesses(ctx, folders)
		w.differences(ctx, folders)
		w.intents(ctx, folders)
		w.moves(ctx, folders)
	}
	if update.Done != nil {
		w.do(w.q.SettleHolds(ctx, sqlcgen.SettleHoldsParams{Link: w.link, Number: w.number, Undecided: listOrEmpty(strs(update.Undecided))}))
		w.done(ctx, l, *update.Done)
	}
	if w.err != nil {
		return classify(op, w.err)
	}
	return classify(op, s.pool.SendBatch(ctx, &b).Close())
}

func opensIntent(update copier.Update) bool {
	for _, f := range update.Folders {
		if f.OpenIntent != nil || f.OpenMove != nil {
			return true
		}
	}
	return false
}

// waves cuts a list of updates, which are to be applied in their order, into
// lists that hold no folder twice and so can be applied by one statement each.
func waves(updates []copier.FolderUpdate) [][]copier.FolderUpdate {
	var out [][]copier.FolderUpdate
	start, seen := 0, map[mailbox.FolderName]bool{}
	for i, f := range updates {
		if seen[f.Name] {
			out = append(out, updates[start:i])
			start = i
			clear(seen)
		}
		seen[f.Name] = true
	}
	if start < len(updates) {
		out = append(out, updates[start:])
	}
	return out
}

// ledgerWriter queues the statements of one Save.
type ledgerWriter struct {
	q            *sqlcgen.Queries
	link, number string
	err          error
}

func (w *ledgerWriter) do(err error) { w.err = errors.Join(w.err, err) }

// folders makes the folders' rows what the updates say, after forgetting those
// whose UIDVALIDITYs are others.
func (w *ledgerWriter) folders(ctx context.Context, updates []copier.FolderUpdate) {
	up := sqlcgen.UpsertFoldersParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		up.Folders = append(up.Folders, string(f.Name))
		up.SourceValidities = append(up.SourceValidities, int64(f.SourceValidity))
		up.TargetValidities = append(up.TargetValidities, int64(f.TargetValidity))
		up.SourceAtValidities = append(up.SourceAtValidities, int64(f.SourceAt.UIDValidity))
		up.SourceAtUidnexts = append(up.SourceAtUidnexts, int64(f.SourceAt.UIDNext))
		up.SourceAtMessages = append(up.SourceAtMessages, int64(f.SourceAt.Messages))
		up.SourceAtModseqs = append(up.SourceAtModseqs, int64(f.SourceAt.HighestModSeq))
		up.TargetAtValidities = append(up.TargetAtValidities, int64(f.TargetAt.UIDValidity))
		up.TargetAtUidnexts = append(up.TargetAtUidnexts, int64(f.TargetAt.UIDNext))
		up.TargetAtMessages = append(up.TargetAtMessages, int64(f.TargetAt.Messages))
		up.TargetAtModseqs = append(up.TargetAtModseqs, int64(f.TargetAt.HighestModSeq))
		up.Recreated = append(up.Recreated, f.Recreated)
		up.Formers = append(up.Formers, f.Former.String())
	}
	w.do(w.q.DropOtherValidities(ctx, sqlcgen.DropOtherValiditiesParams{
		Link: w.link, Number: w.number, Folders: up.Folders,
		SourceValidities: up.SourceValidities, TargetValidities: up.TargetValidities,
	}))
	w.do(w.q.UpsertFolders(ctx, up))
}

// pairs removes and adds runs. A run that only grew is both removed and added,
// and is updated in place then.
func (w *ledgerWriter) pairs(ctx context.Context, updates []copier.FolderUpdate) {
	down := sqlcgen.DeleteRunsParams{Link: w.link, Number: w.number}
	up := sqlcgen.UpsertRunsParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		added := make(map[mailbox.UID]bool, len(f.AddPairs))
		for _, r := range f.AddPairs {
			added[r.Source] = true
			up.Folders = append(up.Folders, string(f.Name))
			up.SourceUids = append(up.SourceUids, int64(r.Source))
			up.TargetUids = append(up.TargetUids, int64(r.Target))
			up.Lengths = append(up.Lengths, int64(r.Length))
		}
		for _, r := range f.RemovePairs {
			if !added[r.Source] {
				down.Folders = append(down.Folders, string(f.Name))
				down.SourceUids = append(down.SourceUids, int64(r.Source))
			}
		}
	}
	if len(down.Folders) > 0 {
		w.do(w.q.DeleteRuns(ctx, down))
	}
	if len(up.Folders) > 0 {
		w.do(w.q.UpsertRuns(ctx, up))
	}
}

// differences removes and adds lasting differences, each known by its message
// and kind.
func (w *ledgerWriter) differences(ctx context.Context, updates []copier.FolderUpdate) {
	down := sqlcgen.DeleteDifferencesParams{Link: w.link, Number: w.number}
	up := sqlcgen.UpsertDifferencesParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		for _, d := range f.RemoveDifferences {
			down.OfFolders = append(down.OfFolders, string(f.Name))
			down.SourceUids = append(down.SourceUids, int64(d.SourceUID))
			down.Kinds = append(down.Kinds, string(d.Kind))
		}
		for _, d := range f.AddDifferences {
			up.OfFolders = append(up.OfFolders, string(f.Name))
			up.SourceUids = append(up.SourceUids, int64(d.SourceUID))
			up.Kinds = append(up.Kinds, string(d.Kind))
			up.Details = append(up.Details, plain(d.Detail))
		}
	}
	if len(down.OfFolders) > 0 {
		w.do(w.q.DeleteDifferences(ctx, down))
	}
	if len(up.OfFolders) > 0 {
		w.do(w.q.UpsertDifferences(ctx, up))
	}
}

func (w *ledgerWriter) intents(ctx context.Context, updates []copier.FolderUpdate) {
	var closed []string
	open := sqlcgen.OpenIntentsParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		switch {
		case f.OpenIntent != nil:
			open.Folders = append(open.Folders, string(f.Name))
			open.TargetUidnexts = append(open.TargetUidnexts, int64(f.OpenIntent.TargetUIDNext))
			open.Sources = append(open.Sources, f.OpenIntent.Sources.String())
		case f.CloseIntent:
			closed = append(closed, string(f.Name))
		}
	}
	if len(closed) > 0 {
		w.do(w.q.CloseIntents(ctx, sqlcgen.CloseIntentsParams{Link: w.link, Number: w.number, Folders: closed}))
	}
	if len(open.Folders) > 0 {
		w.do(w.q.OpenIntents(ctx, open))
	}
}

func (w *ledgerWriter) moves(ctx context.Context, updates []copier.FolderUpdate) {
	var closed []string
	open := sqlcgen.OpenMovesParams{Link: w.link, Number: w.number}
	for _, f := range updates {
		switch {
		case f.OpenMove != nil:
			open.Folders = append(open.Folders, string(f.Name))
			open.ToFolders = append(open.ToFolders, string(f.OpenMove.To))
			open.ToValidities = append(open.ToValidities, int64(f.OpenMove.Validity))
			open.ToUidnexts = append(open.ToUidnexts, int64(f.OpenMove.UIDNext))
			open.Uids = append(open.Uids, f.OpenMove.UIDs.String())
			open.Copied = append(open.Copied, f.OpenMove.Copied.String())
		case f.CloseMove:
			closed = append(closed, string(f.Name))
		}
	}
	if len(closed) > 0 {
		w.do(w.q.CloseMoves(ctx, sqlcgen.CloseMovesParams{Link: w.link, Number: w.number, Folders: closed}))
	}
	if len(open.Folders) > 0 {
		w.do(w.q.OpenMoves(ctx, open))
	}
}

// done records the end of a sync and gives the lease back.
func (w *ledgerWriter) done(ctx context.Context, l lease.Lease, report copier.Report) {
	w.do(w.q.RecordSynced(ctx, sqlcgen.RecordSyncedParams{
		Link: w.link, Number: w.number, Equal: report.Outcome == copier.Equal, Generation: report.Generation,
		StartedAt: report.Started, Messages: int64(report.SourceMessages), Greetings: int64(report.SourceGreetings),
		Differences: int64(report.Differences),
	}))
	if !report.Idle() {
		_, err := w.q.InsertHistory(ctx, historyRow(report))
		w.do(err)
	}
	_, err := w.q.EndLease(ctx, endOf(l, true))
	w.do(err)
}

// queue lets generated statements that return nothing be queued into a batch
// instead of being sent one by one.
type queue struct{ batch *pgx.Batch }

var errQueued = errors.New("a queued statement returns nothing")

func (q queue) Exec(_ context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	q.batch.Queue(sql, arguments...)
	return pgconn.CommandTag{}, nil
}

func (queue) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errQueued }

func (queue) QueryRow(context.Context, string, ...any) pgx.Row { return noRow{} }

type noRow struct{}

func (noRow) Scan(...any) error { return errQueued }
