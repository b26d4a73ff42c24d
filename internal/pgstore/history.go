package pgstore

import (
	"cmp"
	"context"
	"slices"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/site"
)

// History implements control.Records.
func (s *Store) History(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	rows, err := s.liveHistory(ctx, link, number, limit)
	return s.historyOf(ctx, link, number, rows, err)
}

// HistoryWithArchive implements control.Records.
func (s *Store) HistoryWithArchive(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error) {
	// The archive comes first: what moves there in between is seen twice and
	// not missed.
	rows, err := s.archivedHistory(ctx, link, number, limit)
	if err != nil {
		return nil, classify("read archive of link "+link, err)
	}
	live, err := s.liveHistory(ctx, link, number, limit)
	rows = append(live, rows...)
	slices.SortStableFunc(rows, func(a, b sqlcgen.History) int {
		return cmp.Or(b.StartedAt.Compare(a.StartedAt), cmp.Compare(b.ID, a.ID))
	})
	rows = slices.CompactFunc(rows, func(a, b sqlcgen.History) bool { return a.ID == b.ID })
	if limit > 0 {
		rows = rows[:min(limit, len(rows))]
	}
	return s.historyOf(ctx, link, number, rows, err)
}

func (s *Store) liveHistory(ctx context.Context, link string, number mailbox.Number, limit int) ([]sqlcgen.History, error) {
	if number == "" {
		return s.q.ListLinkHistory(ctx, sqlcgen.ListLinkHistoryParams{Link: link, MaxRows: int64(limit)})
	}
	return s.q.ListMailboxHistory(ctx, sqlcgen.ListMailboxHistoryParams{Link: link, Number: string(number), MaxRows: int64(limit)})
}

func (s *Store) archivedHistory(ctx context.Context, link string, number mailbox.Number, limit int) ([]sqlcgen.History, error) {
	var rows []sqlcgen.HistoryArchive
	var err error
	if number == "" {
		rows, err = s.q.ListLinkArchive(ctx, sqlcgen.ListLinkArchiveParams{Link: link, MaxRows: int64(limit)})
	} else {
		rows, err = s.q.ListMailboxArchive(ctx, sqlcgen.ListMailboxArchiveParams{Link: link, Number: string(number), MaxRows: int64(limit)})
	}
	same := make([]sqlcgen.History, len(rows))
	for i, row := range rows {
		same[i] = sqlcgen.History(row)
	}
	return same, err
}

// historyOf turns rows into entries, and tells an empty history from that of a
// link or mailbox that there never was.
func (s *Store) historyOf(ctx context.Context, link string, number mailbox.Number, rows []sqlcgen.History, err error) ([]site.HistoryEntry, error) {
	if err != nil {
		return nil, classify("read history of link "+link, err)
	}
	if len(rows) == 0 && number != "" {
		_, err := s.Mailbox(ctx, mailbox.Key{Link: link, Number: number})
		return nil, err
	}
	if len(rows) == 0 {
		return nil, s.requireLink(ctx, link)
	}
	return listOf(rows, func(row sqlcgen.History) site.HistoryEntry {
		return site.HistoryEntry{ID: row.ID, Report: reportOf(row)}
	}, "", nil)
}

// Errors implements control.Records. What the guard holds comes last of a mailbox.
func (s *Store) Errors(ctx context.Context, link string) ([]site.ErrorEntry, error) {
	op := "list errors"
	if link != "" {
		if err := s.requireLink(ctx, link); err != nil {
			return nil, err
		}
	}
	failures, err := s.q.ListFailures(ctx, link)
	if err != nil {
		return nil, classify(op, err)
	}
	differences, err := s.q.ListDifferences(ctx, link)
	if err != nil {
		return nil, classify(op, err)
	}
	entries, _ := listOf(failures, failureOf, op, nil)
	var lost lostMessages
	for _, d := range differences {
		e := site.ErrorEntry{
			Link: d.Link, Number: mailbox.Number(d.Number), Folder: mailbox.FolderName(d.Folder),
			SourceUID: mailbox.UID(d.SourceUid), Kind: d.Kind, Text: d.Detail, Hint: undoneHint(copier.DifferenceKind(d.Kind)), Since: d.Since,
		}
		isLost := copier.DifferenceKind(d.Kind) == copier.Lost
		if !isLost || lost.first(e, len(entries)) {
			entries = append(entries, e)
		}
		if isLost {
			lost.tell(entries)
		}
	}
	holds, err := s.Holds(ctx, link)
	entries = append(entries, heldEntries(holds)...)
	slices.SortStableFunc(entries, func(a, b site.ErrorEntry) int {
		return cmp.Or(cmp.Compare(a.Link, b.Link), cmp.Compare(a.Number, b.Number))
	})
	return entries, err
}

func failureOf(f sqlcgen.ListFailuresRow) site.ErrorEntry {
	return site.ErrorEntry{
		Link: f.Link, Number: mailbox.Number(f.Number), Kind: f.ErrorKind, Text: f.Error, Hint: f.Hint,
		Since: orZero(f.FailingSince), Failures: int(f.Failures), NextAttemptAt: f.NextAttemptAt,
	}
}

// historyRow and reportOf convert between a report and its row.
func historyRow(r copier.Report) sqlcgen.InsertHistoryParams {
	return sqlcgen.InsertHistoryParams{
		Link: r.Key.Link, Number: string(r.Key.Number), StartedAt: r.Started, RunID: r.RunID, Trigger: r.Trigger,
		FinishedAt: r.Finished, Outcome: string(r.Outcome),
		MessagesAppended: int64(r.Messages.Appended), MessagesBytes: r.Messages.Bytes,
		MessagesFlagsChanged: int64(r.Messages.FlagsChanged), MessagesExpunged: int64(r.Messages.Expunged),
		GreetingsAppended: int64(r.Greetings.Appended), GreetingsBytes: r.Greetings.Bytes,
		GreetingsFlagsChanged: int64(r.Greetings.FlagsChanged), GreetingsExpunged: int64(r.Greetings.Expunged),
		FoldersCreated: int64(r.Folders.Created), FoldersDeleted: int64(r.Folders.Deleted),
		FoldersRenamed: int64(r.Folders.Renamed), FoldersSubscribed: int64(r.Folders.Subscribed),
		Differences: int64(r.Differences), SourceMessages: int64(r.SourceMessages),
		SourceGreetings: int64(r.SourceGreetings), Generation: r.Generation,
		ErrorKind: r.ErrKind, Error: plain(r.Err), Hint: plain(r.Hint),
	}
}

func reportOf(h sqlcgen.History) copier.Report {
	return copier.Report{
		Key:     mailbox.Key{Link: h.Link, Number: mailbox.Number(h.Number)},
		Trigger: h.Trigger, RunID: h.RunID, Started: h.StartedAt, Finished: h.FinishedAt, Outcome: copier.Outcome(h.Outcome),
		Messages:  workOf(h.MessagesAppended, h.MessagesBytes, h.MessagesFlagsChanged, h.MessagesExpunged),
		Greetings: workOf(h.GreetingsAppended, h.GreetingsBytes, h.GreetingsFlagsChanged, h.GreetingsExpunged),
		Folders: copier.FolderWork{
			Created: int(h.FoldersCreated), Deleted: int(h.FoldersDeleted),
			Renamed: int(h.FoldersRenamed), Subscribed: int(h.FoldersSubscribed),
		},
		Differences: int(h.Differences), SourceMessages: int(h.SourceMessages), SourceGreetings: int(h.SourceGreetings),
		Generation: h.Generation, ErrKind: h.ErrorKind, Err: h.Error, Hint: h.Hint,
	}
}
