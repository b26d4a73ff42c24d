-- name: InsertStoreCheck :exec
INSERT INTO store_checks (run_id, store, mailbox, started_at, report, error_kind, error, hint)
VALUES (@run_id, @store, @mailbox, @started_at, @report, @error_kind, @error, @hint)
ON CONFLICT (run_id) DO NOTHING;

-- name: GetStoreCheck :one
SELECT * FROM store_checks WHERE run_id = @run_id;

-- name: InsertVerifyRun :exec
INSERT INTO verify_runs (run_id, link, deep, planned, started_at)
VALUES (@run_id, @link, @deep, @planned, @started_at)
ON CONFLICT (run_id) DO NOTHING;

-- InsertVerified records nothing after the end of the run: it waits for an end that is
-- being recorded.
-- name: InsertVerified :exec
INSERT INTO verify_mailboxes (run_id, number, equal, bytes, messages, greetings, folders, omitted, error_kind, error, hint)
SELECT r.run_id, @number, @equal, @bytes, @messages::bigint[], @greetings::bigint[], @folders, @omitted, @error_kind, @error, @hint
FROM (SELECT v.run_id FROM verify_runs v WHERE v.run_id = @run_id AND v.finished_at IS NULL FOR SHARE) r
ON CONFLICT (run_id, number) DO NOTHING;

-- name: ListVerified :many
SELECT number FROM verify_mailboxes WHERE run_id = @run_id AND number = ANY(@numbers::text[]);

-- ListUnverified lists mailboxes of a running verification's link that have no result.
-- name: ListUnverified :many
SELECT m.number FROM verify_runs r JOIN mailboxes m ON m.link = r.link
WHERE r.run_id = @run_id AND r.finished_at IS NULL AND m.number > @after
    AND NOT EXISTS (SELECT FROM verify_mailboxes v WHERE v.run_id = r.run_id AND v.number = m.number)
ORDER BY m.number
LIMIT @max_rows::bigint;

-- LockVerifyRun waits for results that are being recorded.
-- name: LockVerifyRun :one
SELECT (finished_at IS NULL)::boolean AS running FROM verify_runs WHERE run_id = @run_id FOR UPDATE;

-- FinishVerifyRun comes after LockVerifyRun: it sees all results.
-- name: FinishVerifyRun :exec
WITH gone AS (
    DELETE FROM verify_mailboxes m WHERE m.run_id = @run_id AND m.equal RETURNING m.bytes, m.messages, m.greetings
)
UPDATE verify_runs r
SET finished_at = clock_timestamp(), error_kind = @error_kind, error = @error, hint = @hint,
    equal = g.n, bytes = g.bytes, messages = g.messages, greetings = g.greetings
FROM (
    SELECT count(*) AS n, coalesce(sum(gone.bytes), 0)::bigint AS bytes,
        sum_counts(gone.messages) AS messages, sum_counts(gone.greetings) AS greetings FROM gone
) g
WHERE r.run_id = @run_id;

-- GetVerifyRun returns a run with the sums of its mailboxes. Whoever waits reads it all
-- the time: here sum_counts would take fourteen times as long.
-- name: GetVerifyRun :one
SELECT r.run_id, r.link, r.deep, r.planned, r.started_at, r.finished_at, r.error_kind, r.error, r.hint,
    (r.equal + m.equal)::bigint AS equal, m.differing, m.failed, (r.bytes + m.bytes)::bigint AS bytes,
    add_counts(r.messages, m.messages)::bigint[] AS messages, add_counts(r.greetings, m.greetings)::bigint[] AS greetings
FROM verify_runs r
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE v.equal) AS equal, count(*) FILTER (WHERE NOT v.equal AND v.error = '') AS differing,
        count(*) FILTER (WHERE v.error <> '') AS failed, coalesce(sum(v.bytes), 0)::bigint AS bytes,
        ARRAY[coalesce(sum(v.messages[1]), 0)::bigint, coalesce(sum(v.messages[2]), 0)::bigint, coalesce(sum(v.messages[3]), 0)::bigint, coalesce(sum(v.messages[4]), 0)::bigint,
            coalesce(sum(v.messages[5]), 0)::bigint, coalesce(sum(v.messages[6]), 0)::bigint, coalesce(sum(v.messages[7]), 0)::bigint] AS messages,
        ARRAY[coalesce(sum(v.greetings[1]), 0)::bigint, coalesce(sum(v.greetings[2]), 0)::bigint, coalesce(sum(v.greetings[3]), 0)::bigint, coalesce(sum(v.greetings[4]), 0)::bigint,
            coalesce(sum(v.greetings[5]), 0)::bigint, coalesce(sum(v.greetings[6]), 0)::bigint, coalesce(sum(v.greetings[7]), 0)::bigint] AS greetings
    FROM verify_mailboxes v WHERE v.run_id = r.run_id
) m
WHERE r.run_id = @run_id;

-- name: ListVerifyResults :many
SELECT number, bytes, folders, omitted, error_kind, error, hint
FROM verify_mailboxes WHERE run_id = @run_id AND NOT equal
ORDER BY number;

-- DropOldChecks keeps the last of each store.
-- name: DropOldChecks :execrows
DELETE FROM store_checks c
WHERE c.finished_at < @before
    AND EXISTS (SELECT FROM store_checks later WHERE later.store = c.store AND later.started_at > c.started_at);

-- DropOldVerifies keeps the last of each link.
-- name: DropOldVerifies :execrows
DELETE FROM verify_runs r
WHERE r.started_at < @before AND (r.finished_at < @before OR r.finished_at IS NULL)
    AND EXISTS (SELECT FROM verify_runs later WHERE later.link = r.link AND later.started_at > r.started_at);
