package pgstore

import (
	"context"
	"encoding/json"
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

// ShareLoad implements throttle.Table: a transaction for each store, in which the
// store's row is locked, so that one process at a time gets its share.
func (s *Store) ShareLoad(ctx context.Context, holder string, claims []throttle.Claim, ttl time.Duration) (map[throttle.Key]throttle.Grant, error) {
	grants := make(map[throttle.Key]throttle.Grant, len(claims))
	byStore := map[string][]throttle.Claim{}
	var names []string
	for _, c := range claims {
		if byStore[c.Store] == nil {
			names = append(names, c.Store)
		}
		byStore[c.Store] = append(byStore[c.Store], c)
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		err := s.inTx(ctx, "share the load on store "+name, func(q *sqlcgen.Queries) error {
			sharing, err := beginSharing(ctx, q, name)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // the store is gone
			}
			if err != nil {
				return err
			}
			for _, claim := range byStore[name] {
				grant, err := sharing.share(ctx, holder, claim, ttl)
				if err != nil {
					return err
				}
				grants[claim.Key] = grant
			}
			return sharing.end(ctx)
		})
		if err != nil {
			return nil, err
		}
	}
	return grants, nil
}

// sharing is one transaction over the shares of one store.
type sharing struct {
	q      *sqlcgen.Queries
	store  string
	bounds quota.Bounds
	before quota.Load
	load   quota.Load
	now    time.Time // the database's
	rows   []sqlcgen.LoadSharesRow
}

// beginSharing locks a store and reads what is known of its load. The error is
// pgx.ErrNoRows if there is no such store.
func beginSharing(ctx context.Context, q *sqlcgen.Queries, store string) (*sharing, error) {
	row, err := q.LockStore(ctx, store)
	if err != nil {
		return nil, err
	}
	set := quota.Bounds{Sessions: int(row.MaxSessions), Listings: int(row.MaxListings), Logins: int(row.MaxLogins),
		Listeners: int(row.IdleLimit), Connections: int(row.MaxConnections)}
	h := &sharing{q: q, store: store, bounds: set.Or(quota.DefaultBounds(row.Source)), now: row.Now}
	if h.before, err = learned(ctx, q, store); err != nil {
		return nil, err
	}
	h.load = h.before.OnTime(h.now)
	expired, err := q.DropExpiredShares(ctx, store)
	if err != nil {
		return nil, err
	}
	for _, e := range expired {
		if quota.Kind(e.Kind) == quota.Listings && e.InUse > 0 {
			// Its process is dead. The server goes on with the list.
			h.load = h.load.OnListingAbandoned(h.now.Sub(e.Turn), h.now)
		}
	}
	h.rows, err = q.LoadShares(ctx, store)
	return h, err
}

// share gives one process its share of one kind.
func (h *sharing) share(ctx context.Context, holder string, claim throttle.Claim, ttl time.Duration) (throttle.Grant, error) {
	h.learn(claim.Seen)
	if claim.Wanted == 0 && claim.InUse == 0 {
		h.rows = slices.DeleteFunc(h.rows, func(r sqlcgen.LoadSharesRow) bool { return r.Holder == holder && r.Kind == string(claim.Kind) })
		return throttle.Grant{}, h.q.DropLoadShare(ctx, sqlcgen.DropLoadShareParams{Store: h.store, Kind: string(claim.Kind), Holder: holder})
	}
	me := quota.Claim{Holder: holder, InUse: claim.InUse, Wanted: claim.Wanted, Turn: h.now}
	var others []quota.Claim
	held := map[quota.Kind]int{}
	mine := -1
	for i, r := range h.rows {
		switch {
		case r.Kind != string(claim.Kind):
			held[quota.Kind(r.Kind)] += int(r.Held)
		case r.Holder == holder:
			me.Held, me.Turn, mine = int(r.Held), r.Turn, i
		default:
			others = append(others, quota.Claim{Holder: r.Holder, Held: int(r.Held), InUse: int(r.InUse), Wanted: int(r.Wanted), Turn: r.Turn})
		}
	}
	most := quota.Most(claim.Kind, h.bounds, h.load, held, h.now)
	grant := throttle.Grant{Held: quota.Share(most, me, others)}
	if claim.Kind == quota.Listings && most == 0 {
		grant.Refused = h.load.NotWorthListing(0, h.now)
	}
	if mine < 0 {
		h.rows = append(h.rows, sqlcgen.LoadSharesRow{Kind: string(claim.Kind), Holder: holder})
		mine = len(h.rows) - 1
	}
	h.rows[mine].Held, h.rows[mine].InUse, h.rows[mine].Wanted = int64(grant.Held), int64(claim.InUse), int64(claim.Wanted)
	return grant, h.q.PutLoadShare(ctx, sqlcgen.PutLoadShareParams{Store: h.store, Kind: string(claim.Kind), Holder: holder,
		Held: int64(grant.Held), InUse: int64(claim.InUse), Wanted: int64(claim.Wanted), Ttl: ttl})
}

// learn takes in what a process saw.
func (h *sharing) learn(seen throttle.Seen) {
	if seen.Refused > 0 {
		open := int64(0)
		for _, r := range h.rows {
			if quota.Kind(r.Kind) != quota.Listings { // a list is a session as well
				open += r.InUse
			}
		}
		// What this process has open was counted when the server refused; of the
		// others it is what they last claimed.
		h.load = h.load.OnRefusal(max(seen.Refused, int(open)-1), h.now)
	}
	h.load = h.load.OnLogins(seen.Logins, seen.Login, seen.Timeouts, h.bounds.Sessions, h.now)
	if seen.MailboxFull > 0 {
		h.load = h.load.OnMailboxFull(seen.MailboxFull, h.now)
	}
	if seen.Abandoned > 0 {
		h.load = h.load.OnListingAbandoned(seen.Abandoned, h.now)
	}
	if seen.Listed > 0 {
		h.load = h.load.OnListing(seen.Listing, seen.Listed, h.now)
	}
}

// end keeps what was learned.
func (h *sharing) end(ctx context.Context) error {
	if h.load == h.before {
		return nil
	}
	text, err := json.Marshal(h.load)
	if err != nil {
		return err
	}
	if err := h.q.PutLearned(ctx, sqlcgen.PutLearnedParams{Store: h.store, Learned: text}); err != nil {
		return err
	}
	if h.load.Capacity != h.before.Capacity || h.load.PerMailbox != h.before.PerMailbox {
		return h.q.TellRoster(ctx)
	}
	return nil
}

// learned reads what is known of the load on a store.
func learned(ctx context.Context, q *sqlcgen.Queries, store string) (quota.Load, error) {
	var l quota.Load
	text, err := q.LearnedOfStore(ctx, store)
	if errors.Is(err, pgx.ErrNoRows) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &l)
	}
	return l, err
}

// StoreLoad implements control.Stores.
func (s *Store) StoreLoad(ctx context.Context, store string) (quota.Load, error) {
	l, err := learned(ctx, s.q, store)
	return l, classify("read the load on store "+store, err)
}

// IsSource reports whether a link has the store as its source.
func (s *Store) IsSource(ctx context.Context, store string) (bool, error) {
	source, err := s.q.IsSource(ctx, store)
	return source, classify("read the links of store "+store, err)
}

// LeaveLoad implements throttle.Table.
func (s *Store) LeaveLoad(ctx context.Context, holder string) error {
	return classify("give shares of load back", s.q.DropLoadShares(ctx, holder))
}

// ReserveLogins gives away span of the time in which a store takes logins, and
// returns how long it is until that begins.
func (s *Store) ReserveLogins(ctx context.Context, store string, span time.Duration) (time.Duration, error) {
	wait, err := s.q.ReserveLogins(ctx, sqlcgen.ReserveLoginsParams{Store: store, Span: span})
	if violates(err, foreignKeyViolation, "") {
		return 0, unknownStore(store)
	}
	return max(wait, 0), classify("reserve logins of store "+store, err)
}

// ReserveBandwidth implements throttle.Pace.
func (s *Store) ReserveBandwidth(ctx context.Context, link string, span time.Duration) (time.Duration, error) {
	wait, err := s.q.ReserveBandwidth(ctx, sqlcgen.ReserveBandwidthParams{Link: link, Span: span})
	if violates(err, foreignKeyViolation, "") {
		return 0, unknownLink(link)
	}
	return max(wait, 0), classify("reserve bandwidth of link "+link, err)
}
