-- The rules of a lease that a statement cannot express are in the trigger of
-- write_leases. Every epoch that a statement sets is replaced by a new one.

-- EnsureLease makes the row of a directory or of a restore. A mailbox has its row from
-- the start.
-- name: EnsureLease :exec
INSERT INTO write_leases (kind, link, number, epoch, expires_at, clean)
VALUES (@kind, @link, @number, 0, now(), true)
ON CONFLICT DO NOTHING;

-- TakeLease returns no row if another may still write: what it sent may land for as long
-- as its own fence says, or that of the one who asks. The time is the database's, and is
-- asked again after a wait for the row's lock.
-- name: TakeLease :one
UPDATE write_leases
SET epoch = 0, expires_at = clock_timestamp() + sqlc.arg(ttl)::interval, clean = false, fence = sqlc.arg(fence)::interval
WHERE kind = @kind AND link = @link AND number = @number
    AND (clean OR expires_at + greatest(fence, sqlc.arg(fence)::interval) <= clock_timestamp())
RETURNING epoch;

-- name: LeaseWait :one
SELECT (expires_at + greatest(fence, sqlc.arg(fence)::interval) - clock_timestamp())::interval AS wait
FROM write_leases WHERE kind = @kind AND link = @link AND number = @number;

-- RenewLease does not revive a lease that has expired: its holder's connection
-- is closed by then.
-- name: RenewLease :execrows
UPDATE write_leases SET expires_at = clock_timestamp() + sqlc.arg(ttl)::interval
WHERE kind = @kind AND link = @link AND number = @number AND epoch = @epoch AND expires_at > clock_timestamp();

-- LockLease keeps a lease from being lost for the rest of the transaction.
-- name: LockLease :execrows
SELECT FROM write_leases
WHERE kind = @kind AND link = @link AND number = @number AND epoch = @epoch
FOR UPDATE;

-- EndLease gives the lease a new epoch, so that whoever held it holds nothing any more.
-- name: EndLease :execrows
UPDATE write_leases SET epoch = 0, expires_at = clock_timestamp(), clean = @clean
WHERE kind = @kind AND link = @link AND number = @number AND epoch = @epoch;

-- LiveLeases locks the leases of mailboxes that are to go, all of the link if
-- every_number is true, in the order in which a sync locks too: lease first, mailbox
-- later. It returns those that somebody may still write under.
-- name: LiveLeases :many
WITH locked AS MATERIALIZED (
    SELECT kind, number, clean, expires_at
    FROM write_leases
    WHERE link = @link AND (@every_number::boolean OR kind <> 'directory' AND number = ANY (@numbers::text[]))
    ORDER BY kind, number
    FOR UPDATE
)
SELECT kind, number, (expires_at - clock_timestamp())::interval AS remaining
FROM locked
WHERE NOT clean AND expires_at > clock_timestamp()
ORDER BY kind DESC, number;
