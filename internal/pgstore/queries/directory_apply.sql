-- HoldDirectoryChanges holds what is planned of the kinds and was not approved.
-- name: HoldDirectoryChanges :exec
UPDATE directory_changes SET state = 'held'
WHERE run_id = @run_id AND state = 'planned' AND NOT approved AND kind = ANY (@kinds::text[]);

-- HoldDependents holds what needs a number that a held change would free, and
-- HoldHalves the first half of a renumbering that would end there.
-- name: HoldDependents :exec
WITH RECURSIVE waiting AS (
    SELECT c.seq FROM directory_changes c WHERE c.run_id = @run_id AND c.state = 'held'
    UNION
    SELECT c.seq FROM waiting w
    JOIN directory_changes c ON c.run_id = @run_id AND c.needs > 0 AND c.needs = w.seq AND c.state = 'planned'
)
UPDATE directory_changes c SET state = 'held'
FROM waiting w
WHERE c.run_id = @run_id AND c.seq = w.seq AND c.state = 'planned';

-- name: HoldHalves :execrows
UPDATE directory_changes c SET state = 'held'
FROM directory_changes f
WHERE c.run_id = @run_id AND c.via <> '' AND c.state = 'planned'
    AND f.run_id = c.run_id AND f.key = c.key AND f.via = '' AND f.state = 'held';

-- name: CountHeldChanges :many
SELECT kind, count(*) AS changes FROM directory_changes
WHERE run_id = @run_id AND state = 'held' AND via = '' GROUP BY kind;

-- HeldOver drops what waited and is not held any more.
-- name: HeldOver :exec
DELETE FROM directory_held h
WHERE h.link = @link AND h.state = 'waiting'
    AND NOT EXISTS (
        SELECT FROM directory_changes c
        WHERE c.run_id = @run_id AND c.via = '' AND c.key = h.key AND c.state = 'held' AND NOT c.approved
            AND c.kind = h.kind AND c.number = h.number AND c.columns = h.columns
    );

-- PutDirectoryHold makes or renews the hold of a kind; it is another one where
-- changes wait that did not before.
-- name: PutDirectoryHold :exec
INSERT INTO directory_holds AS h (link, kind, state, run_id, source_entries, target_entries, reasons)
SELECT r.link, @kind, 'waiting', r.run_id, r.source_entries, r.target_entries, @reasons
FROM directory_runs r WHERE r.run_id = @run_id
ON CONFLICT (link, kind, state) DO UPDATE
SET id = CASE WHEN EXISTS (
            SELECT FROM directory_changes c
            WHERE c.run_id = @run_id AND c.kind = @kind AND c.state = 'held' AND c.via = '' AND NOT c.approved
                AND NOT EXISTS (
                    SELECT FROM directory_held d
                    WHERE d.link = h.link AND d.key = c.key AND d.kind = c.kind AND d.number = c.number
                        AND d.columns = c.columns AND d.state = 'waiting'
                )
        ) THEN nextval('guard_hold_ids') ELSE h.id END,
    run_id = excluded.run_id, source_entries = excluded.source_entries, target_entries = excluded.target_entries,
    reasons = excluded.reasons, updated_at = clock_timestamp();

-- PutDirectoryHeld keeps what an operator decided on the same change since the run
-- compared the entries.
-- name: PutDirectoryHeld :exec
INSERT INTO directory_held AS d (link, key, kind, state, seq, number, source_id, source_dn, source_version,
    target_id, target_dn, target_version, columns, blank)
SELECT r.link, c.key, c.kind, 'waiting', c.seq, c.number, c.source_id, c.source_dn, c.source_version,
    c.target_id, c.target_dn, c.target_version, c.columns, c.blank
FROM directory_changes c
JOIN directory_runs r ON r.run_id = c.run_id
WHERE c.run_id = @run_id AND c.kind = @kind AND c.state = 'held' AND c.via = '' AND NOT c.approved
ON CONFLICT (link, key) DO UPDATE
SET kind = excluded.kind,
    state = CASE
        WHEN d.kind = excluded.kind AND d.number = excluded.number AND d.columns = excluded.columns THEN d.state
        ELSE excluded.state
    END,
    seq = excluded.seq, number = excluded.number,
    source_id = excluded.source_id, source_dn = excluded.source_dn, source_version = excluded.source_version,
    target_id = excluded.target_id, target_dn = excluded.target_dn, target_version = excluded.target_version,
    columns = excluded.columns, blank = excluded.blank;

-- name: ListDirectoryHolds :many
SELECT sqlc.embed(h), (SELECT count(*) FROM directory_held d WHERE d.link = h.link AND d.kind = h.kind AND d.state = h.state) AS changes
FROM directory_holds h
WHERE @link::text = '' OR h.link = @link
ORDER BY h.link, h.kind, h.state;

-- ApprovedDirectories are the links of whose directory an operator let changes go
-- since the last run began, and that are not suspended by themselves.
-- name: ApprovedDirectories :many
SELECT l.name FROM links l
WHERE NOT EXISTS (SELECT FROM link_suspensions s WHERE s.link = l.name AND s.state <> 'running')
    AND EXISTS (SELECT FROM directory_stores d WHERE d.store = l.source)
    AND EXISTS (SELECT FROM directory_stores d WHERE d.store = l.target)
    AND EXISTS (
        SELECT FROM directory_holds h
        WHERE h.link = l.name AND h.state = 'approved'
            AND NOT EXISTS (
                SELECT FROM directory_runs r
                WHERE r.link = h.link AND r.trigger <> @dry_run AND r.started_at > h.decided_at
            )
    )
ORDER BY l.name;

-- name: ListDirectoryHeld :many
SELECT d.* FROM directory_holds h
JOIN directory_held d ON d.link = h.link AND d.kind = h.kind AND d.state = h.state
WHERE h.id = @id AND d.seq > @after
ORDER BY d.seq
LIMIT nullif(@max_rows::bigint, 0);

-- LockDirectoryHolds takes the holds in the order in which all of them are locked.
-- name: LockDirectoryHolds :many
SELECT * FROM directory_holds WHERE id = ANY (@ids::bigint[])
ORDER BY link, kind, state
FOR UPDATE;

-- DecideDirectoryHold puts the hold of the decision beside that which is decided
-- on, MoveDirectoryHeld the changes, and DropDirectoryHold what is left of it.
-- name: DecideDirectoryHold :one
INSERT INTO directory_holds AS o (link, kind, state, run_id, source_entries, target_entries, reasons, since, decided_by, decided_at)
SELECT h.link, h.kind, @decision, h.run_id, h.source_entries, h.target_entries, h.reasons, h.since, @who, clock_timestamp()
FROM directory_holds h WHERE h.id = @id
ON CONFLICT (link, kind, state) DO UPDATE
SET id = nextval('guard_hold_ids'), run_id = excluded.run_id, source_entries = excluded.source_entries,
    target_entries = excluded.target_entries, reasons = excluded.reasons, updated_at = clock_timestamp(),
    decided_by = excluded.decided_by, decided_at = excluded.decided_at
RETURNING *;

-- name: MoveDirectoryHeld :execrows
UPDATE directory_held SET state = @decision WHERE link = @link AND kind = @kind AND state = @state;

-- name: CountDirectoryHeld :one
SELECT count(*) FROM directory_held WHERE link = @link AND kind = @kind AND state = @state;

-- name: DropDirectoryHold :exec
DELETE FROM directory_holds WHERE id = @id;

-- SaveDirectoryChanges counts a failure once, however often it is told.
-- name: SaveDirectoryChanges :many
UPDATE directory_changes c
SET state = u.state, error = u.error, hint = u.hint,
    source_id = u.source_id, source_dn = u.source_dn, source_version = u.source_version,
    target_id = u.target_id, target_dn = u.target_dn, target_version = u.target_version,
    failures = CASE
        WHEN u.state <> 'failed' OR c.counted THEN c.failures
        WHEN u.of_server THEN greatest(c.failures, 1)
        ELSE c.failures + 1
    END,
    counted = c.counted OR u.state = 'failed'
FROM (
    SELECT unnest(@seqs::bigint[]) AS seq, unnest(@states::text[]) AS state, unnest(@errors::text[]) AS error, unnest(@hints::text[]) AS hint, unnest(@of_server::boolean[]) AS of_server,
        unnest(@source_ids::text[]) AS source_id, unnest(@source_dns::bytea[]) AS source_dn, unnest(@source_versions::text[]) AS source_version,
        unnest(@target_ids::text[]) AS target_id, unnest(@target_dns::bytea[]) AS target_dn, unnest(@target_versions::text[]) AS target_version
) u
WHERE c.run_id = @run_id AND c.seq = u.seq
RETURNING c.seq, c.key, c.kind, c.number, c.old_number, c.via, c.state;

-- FailDependents fails what needed a number that was not freed.
-- name: FailDependents :exec
WITH RECURSIVE stuck AS (
    SELECT c.seq, c.number FROM directory_changes c
    WHERE c.run_id = @run_id AND c.state IN ('failed', 'told') AND c.seq = ANY (@seqs::bigint[])
    UNION
    SELECT c.seq, c.number FROM stuck s
    JOIN directory_changes c ON c.run_id = @run_id AND c.needs > 0 AND c.needs = s.seq AND c.state = 'planned'
)
UPDATE directory_changes c
SET state = 'failed', error = 'the number ' || c.number || ' was not freed on the target: the change that would have done so was not made',
    hint = 'it is tried again at the next run'
FROM stuck s
WHERE c.run_id = @run_id AND c.seq = s.seq AND c.state = 'planned';

-- RecordDirectoryFailures writes down failures that were counted in their changes.
-- name: RecordDirectoryFailures :exec
INSERT INTO directory_failures AS f (link, key, number, same, failures, error, hint, run_id)
SELECT r.link, c.key, c.number, c.same, c.failures, c.error, c.hint, c.run_id
FROM directory_changes c
JOIN directory_runs r ON r.run_id = c.run_id AND r.trigger <> @dry_run
WHERE c.run_id = @run_id AND c.seq = ANY (@seqs::bigint[]) AND c.state = 'failed' AND c.counted
ON CONFLICT (link, key) DO UPDATE
SET number = excluded.number, same = excluded.same, failures = excluded.failures, error = excluded.error,
    hint = excluded.hint, run_id = excluded.run_id,
    since = CASE WHEN f.same = excluded.same THEN f.since ELSE clock_timestamp() END;

-- name: ForgetDone :exec
WITH gone AS (DELETE FROM directory_failures f WHERE f.link = @link AND f.key = ANY (@keys::text[]))
DELETE FROM directory_held h WHERE h.link = @link AND h.key = ANY (@keys::text[]);

-- name: DropPairs :exec
DELETE FROM directory_pairs
WHERE link = @link AND (source_key = ANY (@source_keys::text[]) OR target_key = ANY (@target_keys::text[]));

-- name: PutPairs :exec
INSERT INTO directory_pairs (link, source_key, target_key, number)
SELECT @link, u.source_key, u.target_key, u.number
FROM (SELECT unnest(@source_keys::text[]) AS source_key, unnest(@target_keys::text[]) AS target_key, unnest(@numbers::text[]) AS number) u;
