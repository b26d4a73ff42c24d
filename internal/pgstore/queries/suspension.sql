-- GetSuspension tells too how many leases somebody may still write under, and
-- until when at the latest; both only while suspending, as it costs a look at
-- every lease. A row that says "running" without the proof is unconfirmed. remaining
-- includes leases of which the database may not know, also while running.
-- name: GetSuspension :one
SELECT s.state, s.epoch, s.reason, s.who, s.since, s.suspended_at, l.waiting,
    (s.state = 'running' AND NOT s.confirmed)::boolean AS unconfirmed,
    coalesce(CASE WHEN s.state = 'suspended' OR s.quiet_until = '-infinity' THEN l.over_at ELSE greatest(l.over_at, s.quiet_until) END
        - clock_timestamp(), interval '0')::interval AS remaining
FROM suspension_now s
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, max(b.expires_at + b.fence) AS over_at
    FROM write_leases b
    WHERE s.state = 'suspending' AND NOT b.clean AND b.expires_at + b.fence > clock_timestamp()
) l;

-- LockSuspension waits for every transaction that has taken or renewed a lease
-- under the state as it was, and makes those to come wait for this one.
-- name: LockSuspension :exec
LOCK TABLE suspension IN EXCLUSIVE MODE;

-- GetSuspensionProof tells whether the row proves that it is the last one, and names
-- its version. used says whether this database ever mirrored anything.
-- name: GetSuspensionProof :one
SELECT s.confirmed::boolean AS confirmed, s.mark::text AS mark, s.lease_time,
    (EXISTS (SELECT FROM ledger_folders) OR EXISTS (SELECT FROM history) OR EXISTS (SELECT FROM write_leases WHERE kind <> 'mailbox')
        OR EXISTS (SELECT FROM audit WHERE command IN ('suspend', 'suspended', 'resume')))::boolean AS used
FROM suspension_now s;

-- ConfirmSuspension gives the version of the row that mark names the proof.
-- name: ConfirmSuspension :execrows
UPDATE suspension s SET lease_time = greatest(s.lease_time, sqlc.arg(lease_time)::interval)
FROM suspension_now n WHERE n.mark = @mark::text;

-- EndQuiet is for a database that never gave a lease.
-- name: EndQuiet :exec
UPDATE suspension SET quiet_until = '-infinity';

-- ConfirmStill gives a row that does not say "running" the proof: nothing is written
-- by it, whatever it lacks.
-- name: ConfirmStill :exec
UPDATE suspension s SET lease_time = s.lease_time
FROM suspension_now n WHERE NOT n.confirmed AND n.state <> 'running';

-- Suspend does nothing where the mirror is not running, or not of the epoch
-- that the request is about (0: whatever it is).
-- name: Suspend :execrows
WITH changed AS (
    UPDATE suspension s
    SET state = 'suspending', epoch = s.epoch + 1, reason = @reason, who = @who, since = clock_timestamp(),
        suspended_at = NULL
    WHERE s.state = 'running' AND (@of_epoch::bigint = 0 OR s.epoch = @of_epoch)
    RETURNING s.reason, s.who
)
INSERT INTO audit (command, actor, way, detail) SELECT 'suspend', who, @way, reason FROM changed;

-- ConfirmSuspended is the acknowledgement. Nobody holds a lease, and a write
-- under any of those that ended has landed.
-- name: ConfirmSuspended :execrows
WITH changed AS (
    UPDATE suspension s
    SET state = 'suspended', suspended_at = clock_timestamp()
    WHERE s.state = 'suspending' AND s.epoch = @epoch
        AND NOT EXISTS (SELECT FROM write_leases l WHERE NOT l.clean AND l.expires_at + l.fence > clock_timestamp())
    RETURNING s.reason, s.who
)
INSERT INTO audit (command, actor, way, detail) SELECT 'suspended', who, 'mailmirror', reason FROM changed;

-- Resume ends a suspension, and also that the row is unconfirmed: it is the operator's
-- word.
-- name: Resume :execrows
WITH changed AS (
    UPDATE suspension s
    SET state = 'running', epoch = s.epoch + 1, reason = '', who = @who, since = clock_timestamp(), suspended_at = NULL
    WHERE s.epoch = @of_epoch AND (s.state <> 'running' OR EXISTS (SELECT FROM suspension_now n WHERE NOT n.confirmed))
    RETURNING s.who
)
INSERT INTO audit (command, actor, way, detail) SELECT 'resume', who, @way, @reason FROM changed;
