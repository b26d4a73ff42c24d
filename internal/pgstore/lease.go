package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// taking is a lease that a batch of statements asks for. The trigger of write_leases
// decides whether the lease may begin.
type taking struct {
	s            *Store
	op           string
	lease        lease.Lease
	taken, known bool
	wait         time.Duration
}

// take puts the statements into a batch, which is one transaction: whatever is read
// after them is what the holder before left. The commit is waited for, so that no crash
// of the database forgets that somebody may write.
func (s *Store) take(b *pgx.Batch, r lease.Resource, times lease.Times) *taking {
	t := &taking{s: s, op: "take write lease of " + r.String(), lease: lease.Lease{Resource: r, Deadline: time.Now().Add(times.TTL)}}
	if r.Kind != lease.Mailbox {
		b.Queue(sqlcgen.EnsureLease, string(r.Kind), r.Link, string(r.Number))
	}
	b.Queue(sqlcgen.TakeLease, times.TTL, times.Fence, string(r.Kind), r.Link, string(r.Number)).QueryRow(func(row pgx.Row) error {
		return found(row.Scan(&t.lease.Epoch), &t.taken)
	})
	b.Queue(sqlcgen.LeaseWait, times.Fence, string(r.Kind), r.Link, string(r.Number)).QueryRow(func(row pgx.Row) error {
		return found(row.Scan(&t.wait), &t.known)
	})
	return t
}

// send carries the batch out and returns why there is no lease.
func (t *taking) send(ctx context.Context, b *pgx.Batch) error {
	err := t.s.pool.SendBatch(ctx, b).Close()
	r := t.lease.Resource
	switch {
	case violates(err, foreignKeyViolation, "directory_leases_link"), violates(err, foreignKeyViolation, "restore_leases_link"):
		return unknownLink(r.Link)
	case violates(err, leaseRival, ""):
		return fault.New(fault.Conflict, "", &lease.HeldError{Resource: r, Wait: rivalWait(err)}, "")
	case err != nil:
		return classify(t.op, err)
	case !t.known:
		return t.s.unknownMailbox(ctx, r.Key)
	case !t.taken:
		return fault.New(fault.Conflict, "", &lease.HeldError{Resource: r, Wait: max(t.wait, 0)}, "")
	}
	return nil
}

// TakeLease implements lease.Taker.
func (s *Store) TakeLease(ctx context.Context, r lease.Resource, times lease.Times) (lease.Lease, error) {
	var b pgx.Batch
	t := s.take(&b, r, times)
	if err := t.send(ctx, &b); err != nil {
		return lease.Lease{}, err
	}
	return t.lease, nil
}

// Begin implements copier.Ledger, in one round trip and one transaction.
//
// A folder whose ledger contradicts itself, as it does when rows were altered
// by hand, is forgotten and absent from the answer.
func (s *Store) Begin(ctx context.Context, key mailbox.Key, ttl, fence time.Duration) (lease.Lease, []copier.FolderState, error) {
	var b pgx.Batch
	var read ledgerReader
	t := s.take(&b, lease.OfMailbox(key), lease.Times{TTL: ttl, Fence: fence})
	link, number := key.Link, string(key.Number)
	b.Queue(sqlcgen.LedgerFolders, link, number).Query(read.folderRows)
	b.Queue(sqlcgen.LedgerRuns, link, number).Query(read.runRows)
	b.Queue(sqlcgen.LedgerDifferences, link, number).Query(read.differenceRows)
	b.Queue(sqlcgen.LedgerWitnesses, link, number).Query(read.witnessRows)
	if err := t.send(ctx, &b); err != nil {
		return lease.Lease{}, nil, err
	}
	states, broken := read.states()
	if len(broken) > 0 {
		if err := s.Save(ctx, t.lease, copier.Update{Drop: broken}); err != nil {
			return lease.Lease{}, nil, errors.Join(err, s.Release(context.WithoutCancel(ctx), t.lease, true))
		}
	}
	return t.lease, states, nil
}

// found takes the absence of a row as an answer.
func found(err error, ok *bool) error {
	*ok = err == nil
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// Renew implements lease.Records.
func (s *Store) Renew(ctx context.Context, l lease.Lease, ttl time.Duration) (lease.Lease, error) {
	op := "renew write lease of " + l.String()
	asked := time.Now()
	n, err := s.q.RenewLease(ctx, sqlcgen.RenewLeaseParams{
		Ttl: ttl, Kind: string(l.Kind), Link: l.Link, Number: string(l.Number), Epoch: l.Epoch,
	})
	if err != nil {
		return lease.Lease{}, classify(op, err)
	}
	if n == 0 {
		return lease.Lease{}, lost(op)
	}
	l.Deadline = asked.Add(ttl)
	return l, nil
}

// Release implements lease.Records.
func (s *Store) Release(ctx context.Context, l lease.Lease, clean bool) error {
	op := "release write lease of " + l.String()
	n, err := s.q.EndLease(ctx, endOf(l, clean))
	if err == nil && n == 0 {
		return lost(op)
	}
	return classify(op, err)
}

func endOf(l lease.Lease, clean bool) sqlcgen.EndLeaseParams {
	return sqlcgen.EndLeaseParams{Clean: clean, Kind: string(l.Kind), Link: l.Link, Number: string(l.Number), Epoch: l.Epoch}
}

func lost(op string) error {
	return fault.New(fault.Conflict, op+": the write lease was lost to another writer", nil, "")
}

// refuseLive locks leases that are about to be deleted and fails where one of
// them lives: a mailbox that is removed and added again while somebody still
// writes to it would have two writers.
func refuseLive(ctx context.Context, q *sqlcgen.Queries, op string, which sqlcgen.LiveLeasesParams) error {
	live, err := q.LiveLeases(ctx, which)
	if err != nil || len(live) == 0 {
		return err
	}
	var longest time.Duration
	for _, l := range live {
		longest = max(longest, l.Remaining)
	}
	first := lease.Resource{Kind: lease.Kind(live[0].Kind), Key: mailbox.Key{Link: which.Link, Number: mailbox.Number(live[0].Number)}}
	return fault.New(fault.Conflict,
		fmt.Sprintf("%s: %d being written to, the first is %s", op, len(live), first), nil,
		fmt.Sprintf("try again when that has ended; what died is over in %v", longest.Round(time.Second)))
}
