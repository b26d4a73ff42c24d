package pgstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"mailmirror/internal/pgstore/sqlcgen"
	"mailmirror/internal/quota"
	"mailmirror/internal/throttle"
)

var (
	_ throttle.Table = (*Store)(nil)
	_ throttle.Pace  = (*Store)(nil)
)

// ShareConnections implements throttle.Table: a transaction for each store, in
// which the store's row is locked, so that one process at a time is given its
// share.
func (s *Store) ShareConnections(ctx context.Context, holder string, claims []throttle.Claim, ttl time.Duration) (map[string]throttle.Grant, error) {
	grants := make(map[string]throttle.Grant, len(claims))
	inOrder := slices.SortedFunc(slices.Values(claims), func(a, b throttle.Claim) int { return strings.Compare(a.Store, b.Store) })
	for _, claim := range inOrder {
		err := s.inTx(ctx, "share connections of store "+claim.Store, func(q *sqlcgen.Queries) error {
			grant, err := shareOne(ctx, q, holder, claim, ttl)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // the store is gone
			}
			grants[claim.Store] = grant
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return grants, nil
}

func shareOne(ctx context.Context, q *sqlcgen.Queries, holder string, claim throttle.Claim, ttl time.Duration) (throttle.Grant, error) {
	most, err := q.LockStore(ctx, claim.Store)
	if err != nil {
		return throttle.Grant{}, err
	}
	if claim.Wanted == 0 && claim.InUse == 0 {
		return throttle.Grant{Most: int(most)}, q.DropConnectionShare(ctx, sqlcgen.DropConnectionShareParams{Store: claim.Store, Holder: holder})
	}
	if err := q.DropExpiredShares(ctx, claim.Store); err != nil {
		return throttle.Grant{}, err
	}
	rows, err := q.ConnectionShares(ctx, claim.Store)
	if err != nil {
		return throttle.Grant{}, err
	}
	me := quota.Claim{Holder: holder, InUse: claim.InUse, Wanted: claim.Wanted, Turn: time.Now()}
	var others []quota.Claim
	for _, r := range rows {
		if r.Holder == holder {
			me.Held, me.Turn = int(r.Held), r.Turn
			continue
		}
		others = append(others, quota.Claim{Holder: r.Holder, Held: int(r.Held), InUse: int(r.InUse), Wanted: int(r.Wanted), Turn: r.Turn})
	}
	grant := throttle.Grant{Most: int(most), Held: claim.Wanted}
	if most > 0 {
		grant.Held = quota.Share(int(most), me, others)
	}
	return grant, q.PutConnectionShare(ctx, sqlcgen.PutConnectionShareParams{Store: claim.Store, Holder: holder,
		Held: int64(grant.Held), InUse: int64(claim.InUse), Wanted: int64(claim.Wanted), Ttl: ttl})
}

// LeaveConnections implements throttle.Table.
func (s *Store) LeaveConnections(ctx context.Context, holder string) error {
	return classify("give connections back", s.q.DropConnectionShares(ctx, holder))
}

// ReserveBandwidth implements throttle.Pace.
func (s *Store) ReserveBandwidth(ctx context.Context, link string, span time.Duration) (time.Duration, error) {
	wait, err := s.q.ReserveBandwidth(ctx, sqlcgen.ReserveBandwidthParams{Link: link, Span: span})
	if violates(err, foreignKeyViolation, "") {
		return 0, unknownLink(link)
	}
	return max(wait, 0), classify("reserve bandwidth of link "+link, err)
}
