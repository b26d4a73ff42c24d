-- LockStore keeps others from sharing out the load on the store at the same time.
-- source is whether a link has the store as its source.
-- name: LockStore :one
SELECT s.max_connections, s.max_sessions, s.max_listings, s.max_logins, s.idle_limit,
    EXISTS (SELECT FROM links l WHERE l.source = s.name) AS source, clock_timestamp()::timestamptz AS now
FROM stores s WHERE s.name = @store FOR NO KEY UPDATE OF s;

-- name: DropExpiredShares :many
DELETE FROM load_shares WHERE store = @store AND expires_at <= clock_timestamp() RETURNING kind, in_use, turn;

-- name: LoadShares :many
SELECT kind, holder, held, in_use, wanted, turn FROM load_shares WHERE store = @store;

-- A share that is the first, or the first after none, begins a new turn; who has
-- none begins to wait with the first claim.
-- name: PutLoadShare :exec
INSERT INTO load_shares AS s (store, kind, holder, held, in_use, wanted, turn, expires_at)
VALUES (@store, @kind, @holder, @held, @in_use, @wanted, clock_timestamp(), clock_timestamp() + sqlc.arg(ttl)::interval)
ON CONFLICT (store, kind, holder) DO UPDATE
SET held = excluded.held, in_use = excluded.in_use, wanted = excluded.wanted, expires_at = excluded.expires_at,
    turn = CASE WHEN s.held = 0 AND excluded.held > 0 THEN clock_timestamp() ELSE s.turn END;

-- name: DropLoadShare :exec
DELETE FROM load_shares WHERE store = @store AND kind = @kind AND holder = @holder;

-- name: DropLoadShares :exec
DELETE FROM load_shares WHERE holder = @holder;

-- name: LearnedOfStore :one
SELECT learned FROM store_load WHERE store = @store;

-- name: PutLearned :exec
INSERT INTO store_load (store, learned) VALUES (@store, @learned)
ON CONFLICT (store) DO UPDATE SET learned = excluded.learned;

-- TellRoster tells whoever listens that how to listen may have changed.
-- name: TellRoster :exec
SELECT pg_notify('mailmirror_roster', '');

-- name: IsSource :one
SELECT EXISTS (SELECT FROM links WHERE source = @store) AS source;

-- Logins that nobody needed within the last ten seconds may come at once.
-- name: ReserveLogins :one
INSERT INTO login_pace AS p (store, free_at)
VALUES (@store, clock_timestamp() - interval '10 seconds' + sqlc.arg(span)::interval)
ON CONFLICT (store) DO UPDATE SET free_at = greatest(p.free_at, clock_timestamp() - interval '10 seconds') + sqlc.arg(span)::interval
RETURNING (free_at - sqlc.arg(span)::interval - clock_timestamp())::interval AS wait;

-- name: ReserveBandwidth :one
INSERT INTO link_pace AS p (link, free_at)
VALUES (@link, clock_timestamp() + sqlc.arg(span)::interval)
ON CONFLICT (link) DO UPDATE SET free_at = greatest(p.free_at, clock_timestamp()) + sqlc.arg(span)::interval
RETURNING (free_at - sqlc.arg(span)::interval - clock_timestamp())::interval AS wait;
