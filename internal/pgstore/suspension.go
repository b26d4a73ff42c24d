package pgstore

import (
	"context"
	"time"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/suspension"
)

// Suspension implements control.SuspensionRecords.
func (s *Store) Suspension(ctx context.Context) (suspension.Suspension, error) {
	return readSuspension(ctx, s.q, "read whether the mirror is suspended")
}

func readSuspension(ctx context.Context, q *sqlcgen.Queries, op string) (suspension.Suspension, error) {
	row, err := q.GetSuspension(ctx)
	if err != nil {
		return suspension.Suspension{}, classify(op, err)
	}
	return suspension.Suspension{
		State: suspension.State(row.State), Epoch: row.Epoch, Reason: row.Reason, Who: row.Who, Since: row.Since,
		SuspendedAt: orZero(row.SuspendedAt), Waiting: int(row.Waiting), Remaining: max(row.Remaining, 0),
		Unconfirmed: row.Unconfirmed,
	}, nil
}

// SuspensionProof implements supervise.Records.
func (s *Store) SuspensionProof(ctx context.Context) (suspension.Proof, error) {
	const op = "read whether the suspension's row is the last one"
	var proof suspension.Proof
	err := s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		row, err := q.GetSuspensionProof(ctx)
		if err != nil {
			return err
		}
		proof = suspension.Proof{Confirmed: row.Confirmed, Mark: row.Mark, LeaseTime: row.LeaseTime, Used: row.Used}
		proof.Suspension, err = readSuspension(ctx, q, op)
		return err
	})
	return proof, err
}

// ConfirmSuspension implements supervise.Records.
func (s *Store) ConfirmSuspension(ctx context.Context, proof suspension.Proof, lease time.Duration) error {
	return s.inTx(ctx, "confirm the suspension's row", func(q *sqlcgen.Queries) error {
		n, err := q.ConfirmSuspension(ctx, sqlcgen.ConfirmSuspensionParams{Mark: proof.Mark, LeaseTime: lease})
		if err == nil && n > 0 && !proof.Used {
			err = q.EndQuiet(ctx)
		}
		return err
	})
}

// Suspend implements control.SuspensionRecords. Every transaction that has
// taken or renewed a lease is committed when it returns, so that each lease
// there is stands in its row, and none is taken or renewed after that.
func (s *Store) Suspend(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, "record suspension", func(q *sqlcgen.Queries) error {
		if err := q.LockSuspension(ctx); err != nil {
			return err
		}
		_, err := q.Suspend(ctx, sqlcgen.SuspendParams{Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		return err
	})
}

// ConfirmSuspended implements control.SuspensionRecords.
func (s *Store) ConfirmSuspended(ctx context.Context, epoch int64) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, "record that the mirror is still", func(q *sqlcgen.Queries) error {
		if err := q.ConfirmStill(ctx); err != nil {
			return err
		}
		_, err := q.ConfirmSuspended(ctx, epoch)
		return err
	})
}

// Resume implements activities.SuspensionRecords.
func (s *Store) Resume(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, "record resumption", func(q *sqlcgen.Queries) error {
		_, err := q.Resume(ctx, sqlcgen.ResumeParams{Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		return err
	})
}

// changeSuspension changes the row and returns what it is then.
func (s *Store) changeSuspension(ctx context.Context, op string, change func(*sqlcgen.Queries) error) (after suspension.Suspension, err error) {
	err = s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := change(q); err != nil {
			return err
		}
		after, err = readSuspension(ctx, q, op)
		return err
	})
	return after, err
}
