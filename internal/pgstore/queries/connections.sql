-- LockStore keeps others from sharing out the connections of the store at the
-- same time.
-- name: LockStore :one
SELECT max_connections FROM stores WHERE name = @store FOR NO KEY UPDATE;

-- name: DropExpiredShares :exec
DELETE FROM connection_shares WHERE store = @store AND expires_at <= clock_timestamp();

-- name: ConnectionShares :many
SELECT holder, held, in_use, wanted, turn FROM connection_shares WHERE store = @store;

-- A share that is the first, or the first after none, begins a new turn; who has
-- none begins to wait with the first claim.
-- name: PutConnectionShare :exec
INSERT INTO connection_shares AS s (store, holder, held, in_use, wanted, turn, expires_at)
VALUES (@store, @holder, @held, @in_use, @wanted, clock_timestamp(), clock_timestamp() + sqlc.arg(ttl)::interval)
ON CONFLICT (store, holder) DO UPDATE
SET held = excluded.held, in_use = excluded.in_use, wanted = excluded.wanted, expires_at = excluded.expires_at,
    turn = CASE WHEN s.held = 0 AND excluded.held > 0 THEN clock_timestamp() ELSE s.turn END;

-- name: DropConnectionShare :exec
DELETE FROM connection_shares WHERE store = @store AND holder = @holder;

-- name: DropConnectionShares :exec
DELETE FROM connection_shares WHERE holder = @holder;

-- name: ReserveBandwidth :one
INSERT INTO link_pace AS p (link, free_at)
VALUES (@link, clock_timestamp() + sqlc.arg(span)::interval)
ON CONFLICT (link) DO UPDATE SET free_at = greatest(p.free_at, clock_timestamp()) + sqlc.arg(span)::interval
RETURNING (free_at - sqlc.arg(span)::interval - clock_timestamp())::interval AS wait;
