package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/copier"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/pgstore/sqlcgen"
)

// TakeDirectoryLease implements control.DirectoryRuns. That the mirror is not
// suspended is checked where the row is written, by a trigger.
func (s *Store) TakeDirectoryLease(ctx context.Context, link string, ttl, fence time.Duration) (dirsync.Lease, error) {
	op := "take write lease of the directory of link " + link
	lease := dirsync.Lease{Link: link, Deadline: time.Now().Add(ttl)}
	epoch, err := s.q.TakeDirectoryLease(ctx, sqlcgen.TakeDirectoryLeaseParams{Link: link, Ttl: ttl, Fence: fence})
	switch {
	case violates(err, foreignKeyViolation, "directory_leases_link"):
		return dirsync.Lease{}, unknownLink(link)
	case errors.Is(err, pgx.ErrNoRows):
		wait, err := s.q.DirectoryLeaseWait(ctx, sqlcgen.DirectoryLeaseWaitParams{Link: link, Fence: fence})
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return dirsync.Lease{}, classify(op, err)
		}
		return dirsync.Lease{}, fault.New(fault.Conflict, op,
			&copier.LeaseHeldError{Key: mailbox.Key{Link: link}, Wait: max(wait, 0)}, "")
	case err != nil:
		return dirsync.Lease{}, classify(op, err)
	}
	lease.Epoch = epoch
	return lease, nil
}

// RenewDirectoryLease implements control.DirectoryRuns. It does not revive a
// lease that has expired.
func (s *Store) RenewDirectoryLease(ctx context.Context, l dirsync.Lease, ttl time.Duration) (dirsync.Lease, error) {
	op := "renew write lease of the directory of link " + l.Link
	asked := time.Now()
	n, err := s.q.RenewDirectoryLease(ctx, sqlcgen.RenewDirectoryLeaseParams{Ttl: ttl, Link: l.Link, Epoch: l.Epoch})
	if err != nil {
		return dirsync.Lease{}, classify(op, err)
	}
	if n == 0 {
		return dirsync.Lease{}, lostDirectory(op)
	}
	l.Deadline = asked.Add(ttl)
	return l, nil
}

// EndDirectoryLease implements control.DirectoryRuns. A lease that was lost is a
// Conflict, and the one that took its place stays as it is.
func (s *Store) EndDirectoryLease(ctx context.Context, l dirsync.Lease, clean bool) error {
	op := "end write lease of the directory of link " + l.Link
	n, err := s.q.EndDirectoryLease(ctx, sqlcgen.EndDirectoryLeaseParams{Clean: clean, Link: l.Link, Epoch: l.Epoch})
	if err == nil && n == 0 {
		return lostDirectory(op)
	}
	return classify(op, err)
}

func lostDirectory(op string) error {
	return fault.New(fault.Conflict, op+": the write lease was lost to another run", nil, "")
}

// refuseLiveDirectory fails where somebody may still write to the directory of a
// link that is about to go.
func refuseLiveDirectory(ctx context.Context, q *sqlcgen.Queries, op, link string) error {
	live, err := q.LiveDirectoryLease(ctx, link)
	if err != nil || len(live) == 0 {
		return err
	}
	return fault.New(fault.Conflict, op+": its directory is being written to", nil,
		fmt.Sprintf("try again when the run has ended; a run that died is over in %v", live[0].Round(time.Second)))
}
