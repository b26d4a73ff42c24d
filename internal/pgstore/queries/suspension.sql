-- ListSuspensions returns that of everything first, whose link is '', and one for each
-- link. waiting is how many leases somebody may still write under; it is counted only
-- while suspending, as that costs a look at every lease. A row that says "running"
-- without the proof is unconfirmed. remaining includes leases of which the database may
-- not know, also while running.
-- name: ListSuspensions :many
SELECT s.link::text AS link, s.state, s.epoch, s.reason, s.who, s.since::timestamptz AS since, s.suspended_at, l.waiting,
    (s.state = 'running' AND NOT s.confirmed)::boolean AS unconfirmed,
    coalesce(CASE WHEN s.state = 'suspended' OR s.quiet_until = '-infinity' THEN l.over_at ELSE greatest(l.over_at, s.quiet_until) END
        - clock_timestamp(), interval '0')::interval AS remaining
FROM suspension_scopes s
CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, max(b.expires_at + b.fence) AS over_at
    FROM write_leases b
    WHERE s.state = 'suspending' AND s.link IN ('', b.link) AND NOT b.clean AND b.expires_at + b.fence > clock_timestamp()
) l
ORDER BY s.link;

-- LockSuspension waits for every transaction that has taken or renewed a lease
-- under the state as it was, and makes those to come wait for this one.
-- name: LockSuspension :exec
LOCK TABLE suspension IN EXCLUSIVE MODE;

-- GetSuspensionProof tells whether the row proves that it is the last one, and names
-- its version. used says whether this database ever mirrored anything.
-- name: GetSuspensionProof :one
SELECT s.confirmed::boolean AS confirmed, s.mark::text AS mark, s.lease_time,
    (p.written_by = p.xmin::text::bigint AND p.server_start = pg_postmaster_start_time())::boolean AS links_confirmed,
    (p.xmin::text || ' ' || pg_postmaster_start_time()::text)::text AS links_mark,
    (EXISTS (SELECT FROM ledger_folders) OR EXISTS (SELECT FROM history) OR EXISTS (SELECT FROM write_leases WHERE kind <> 'mailbox')
        OR EXISTS (SELECT FROM audit WHERE command IN ('suspend', 'suspended', 'resume')))::boolean AS used
FROM suspension_now s, link_suspension_proof p;

-- ConfirmSuspension gives the version of the row that mark names the proof.
-- name: ConfirmSuspension :execrows
UPDATE suspension s SET lease_time = greatest(s.lease_time, sqlc.arg(lease_time)::interval)
FROM suspension_now n WHERE n.mark = @mark::text;

-- ConfirmLinks gives the version of the row that mark names the proof that no link's
-- suspension is missing.
-- name: ConfirmLinks :exec
UPDATE link_suspension_proof p
SET written_by = (pg_current_xact_id()::text::numeric % 4294967296)::bigint, server_start = pg_postmaster_start_time()
WHERE p.xmin::text || ' ' || pg_postmaster_start_time()::text = @mark::text;

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

-- SuspendLink is Suspend for a link by itself. Its epoch is above the time in
-- milliseconds, so that it never comes twice.
-- name: SuspendLink :execrows
WITH changed AS (
    INSERT INTO link_suspensions AS s (link, state, epoch, reason, who)
    SELECT l.name, 'suspending', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + 1, @reason::text, @who::text
    FROM links l JOIN suspension_scopes c ON c.link = l.name
    WHERE l.name = @link AND (@of_epoch::bigint = 0 OR c.epoch = @of_epoch)
    ON CONFLICT (link) DO UPDATE
    SET state = 'suspending', epoch = greatest(s.epoch + 1, excluded.epoch), reason = excluded.reason, who = excluded.who,
        since = clock_timestamp(), suspended_at = NULL
    WHERE s.state = 'running' AND (@of_epoch::bigint = 0 OR s.epoch = @of_epoch)
    RETURNING s.link, s.reason, s.who
)
INSERT INTO audit (command, link, actor, way, detail) SELECT 'suspend', link, who, @way, reason FROM changed;

-- ConfirmSuspendedLink is ConfirmSuspended for a link by itself: the leases are the link's.
-- name: ConfirmSuspendedLink :execrows
WITH changed AS (
    UPDATE link_suspensions s
    SET state = 'suspended', suspended_at = clock_timestamp()
    FROM suspension_now n
    WHERE s.link = @link AND s.state = 'suspending' AND s.epoch = @epoch
        AND n.confirmed AND n.quiet_until <= clock_timestamp()
        AND NOT EXISTS (SELECT FROM write_leases l
            WHERE l.link = s.link AND NOT l.clean AND l.expires_at + l.fence > clock_timestamp())
    RETURNING s.link, s.reason, s.who
)
INSERT INTO audit (command, link, actor, way, detail) SELECT 'suspended', link, who, 'mailmirror', reason FROM changed;

-- ResumeLink ends the suspension of a link by itself.
-- name: ResumeLink :execrows
WITH changed AS (
    UPDATE link_suspensions s
    SET state = 'running', epoch = greatest(s.epoch + 1, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint),
        reason = '', who = @who, since = clock_timestamp(), suspended_at = NULL
    WHERE s.link = @link AND s.epoch = @of_epoch AND s.state <> 'running'
    RETURNING s.link, s.who
)
INSERT INTO audit (command, link, actor, way, detail) SELECT 'resume', link, who, @way, @reason FROM changed;

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
