package pgstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/suspension"
)

// Suspensions implements suspension.Records.
func (s *Store) Suspensions(ctx context.Context) (suspension.Scopes, error) {
	return readSuspensions(ctx, s.q, "read what is suspended")
}

func readSuspensions(ctx context.Context, q *sqlcgen.Queries, op string) (suspension.Scopes, error) {
	rows, err := q.ListSuspensions(ctx)
	if err == nil && (len(rows) == 0 || rows[0].Link != "") {
		err = pgx.ErrNoRows // somebody deleted the row: nothing is written
	}
	all := make(suspension.Scopes, len(rows))
	for i, row := range rows {
		all[i] = suspension.Suspension{
			Link: row.Link, State: suspension.State(row.State), Epoch: row.Epoch, Reason: row.Reason, Who: row.Who, Since: row.Since,
			SuspendedAt: orZero(row.SuspendedAt), Waiting: int(row.Waiting), Remaining: max(row.Remaining, 0),
			Unconfirmed: row.Unconfirmed,
		}
	}
	return all, classify(op, err)
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
		proof = suspension.Proof{Confirmed: row.Confirmed, Mark: row.Mark, LeaseTime: row.LeaseTime, Used: row.Used,
			LinksConfirmed: row.LinksConfirmed, LinksMark: row.LinksMark}
		proof.Rows, err = readSuspensions(ctx, q, op)
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

// ConfirmLinks implements supervise.Records.
func (s *Store) ConfirmLinks(ctx context.Context, proof suspension.Proof) error {
	return classify("confirm the suspensions of links", s.q.ConfirmLinks(ctx, proof.LinksMark))
}

// Suspend implements suspension.Records. Each lease that there is stands in its row then.
func (s *Store) Suspend(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, r.Link, "record suspension", func(q *sqlcgen.Queries) (err error) {
		if err := q.LockSuspension(ctx); err != nil {
			return err
		}
		if r.Link != "" {
			_, err = q.SuspendLink(ctx, sqlcgen.SuspendLinkParams{Link: r.Link, Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		} else {
			_, err = q.Suspend(ctx, sqlcgen.SuspendParams{Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		}
		return err
	})
}

// ConfirmSuspended implements suspension.Records.
func (s *Store) ConfirmSuspended(ctx context.Context, link string, epoch int64) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, link, "record that nothing is written", func(q *sqlcgen.Queries) (err error) {
		if err := q.ConfirmStill(ctx); err != nil {
			return err
		}
		if link != "" {
			_, err = q.ConfirmSuspendedLink(ctx, sqlcgen.ConfirmSuspendedLinkParams{Link: link, Epoch: epoch})
		} else {
			_, err = q.ConfirmSuspended(ctx, epoch)
		}
		return err
	})
}

// Resume implements activities.SuspensionRecords.
func (s *Store) Resume(ctx context.Context, r suspension.Request) (suspension.Suspension, error) {
	return s.changeSuspension(ctx, r.Link, "record resumption", func(q *sqlcgen.Queries) (err error) {
		if r.Link != "" {
			_, err = q.ResumeLink(ctx, sqlcgen.ResumeLinkParams{Link: r.Link, Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		} else {
			_, err = q.Resume(ctx, sqlcgen.ResumeParams{Reason: plain(r.Reason), Who: plain(r.Who), Way: string(r.Way), OfEpoch: r.Epoch})
		}
		return err
	})
}

// changeSuspension changes a row and returns what it is then.
func (s *Store) changeSuspension(ctx context.Context, link, op string, change func(*sqlcgen.Queries) error) (after suspension.Suspension, err error) {
	err = s.inTx(ctx, op, func(q *sqlcgen.Queries) error {
		if err := change(q); err != nil {
			return err
		}
		all, err := readSuspensions(ctx, q, op)
		after = all.Own(link)
		return err
	})
	return after, err
}
