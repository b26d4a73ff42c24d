package pgstore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// Begin implements copier.Ledger, in one round trip and one transaction: what
// is read is what the holder before left. The commit is waited for, so that no
// crash of the database forgets that somebody may write. That the mirror is not
// suspended is checked where the row is written, by a trigger.
//
// A folder whose ledger contradicts itself, as it does when rows were altered
// by hand, is forgotten and absent from the answer.
func (s *Store) Begin(ctx context.Context, key mailbox.Key, ttl, fence time.Duration) (copier.Lease, []copier.FolderState, error) {
	op := "take write lease of mailbox " + string(key.Number)
	lease := copier.Lease{Key: key, Deadline: time.Now().Add(ttl)}
	link, number := key.Link, string(key.Number)

	var b pgx.Batch
	taken, known := false, false
	var wait time.Duration
	b.Queue(sqlcgen.TakeLease, ttl, fence, link, number).QueryRow(func(row pgx.Row) error {
		return found(row.Scan(&lease.Epoch), &taken)
	})
	b.Queue(sqlcgen.LeaseWait, fence, link, number).QueryRow(func(row pgx.Row) error {
		return found(row.Scan(&wait), &known)
	})
	var read ledgerReader
	b.Queue(sqlcgen.LedgerFolders, link, number).Query(read.folderRows)
	b.Queue(sqlcgen.LedgerRuns, link, number).Query(read.runRows)
	b.Queue(sqlcgen.LedgerDifferences, link, number).Query(read.differenceRows)
	b.Queue(sqlcgen.LedgerWitnesses, link, number).Query(read.witnessRows)

	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return copier.Lease{}, nil, classify(op, err)
	}
	switch {
	case !known:
		return copier.Lease{}, nil, s.unknownMailbox(ctx, key)
	case !taken:
		return copier.Lease{}, nil, fault.New(fault.Conflict, "", &copier.LeaseHeldError{Key: key, Wait: max(wait, 0)}, "")
	}
	states, broken := read.states()
	if len(broken) > 0 {
		if err := s.Save(ctx, lease, copier.Update{Drop: broken}); err != nil {
			return copier.Lease{}, nil, errors.Join(err, s.Release(context.WithoutCancel(ctx), lease, true))
		}
	}
	return lease, states, nil
}

// found takes the absence of a row as an answer.
func found(err error, ok *bool) error {
	*ok = err == nil
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// Renew implements copier.Ledger.
func (s *Store) Renew(ctx context.Context, lease copier.Lease, ttl time.Duration) (copier.Lease, error) {
	op := "renew write lease of mailbox " + string(lease.Key.Number)
	asked := time.Now()
	n, err := s.q.RenewLease(ctx, sqlcgen.RenewLeaseParams{
		Ttl: ttl, Link: lease.Key.Link, Number: string(lease.Key.Number), Epoch: lease.Epoch,
	})
	if err != nil {
		return copier.Lease{}, classify(op, err)
	}
	if n == 0 {
		return copier.Lease{}, lost(op)
	}
	lease.Deadline = asked.Add(ttl)
	return lease, nil
}

// Release implements copier.Ledger. A lease that was lost is a Conflict, and
// the one that took its place stays as it is.
func (s *Store) Release(ctx context.Context, lease copier.Lease, clean bool) error {
	op := "release write lease of mailbox " + string(lease.Key.Number)
	n, err := s.q.EndLease(ctx, sqlcgen.EndLeaseParams{
		Clean: clean, Link: lease.Key.Link, Number: string(lease.Key.Number), Epoch: lease.Epoch,
	})
	if err == nil && n == 0 {
		return lost(op)
	}
	return classify(op, err)
}

func lost(op string) error {
	return fault.New(fault.Conflict, op+": the write lease was lost to another sync", nil, "")
}
