-- name: GetDirectoryStore :one
SELECT * FROM directory_stores WHERE store = @store;

-- name: PutDirectoryStore :exec
INSERT INTO directory_stores (store, address, security, ca_file, bind_dn, sealed_password, mapping)
VALUES (@store, @address, @security, @ca_file, @bind_dn, @sealed_password, @mapping)
ON CONFLICT (store) DO UPDATE
SET address = excluded.address, security = excluded.security, ca_file = excluded.ca_file, bind_dn = excluded.bind_dn,
    sealed_password = excluded.sealed_password, mapping = excluded.mapping, updated_at = now();

-- DropDirectoryAddresses drops the addresses of a directory that are not among those given.
-- name: DropDirectoryAddresses :exec
DELETE FROM directory_addresses WHERE store = @store AND address <> ALL (@addresses::text[]);

-- name: AddDirectoryAddresses :execrows
INSERT INTO directory_addresses (store, address)
SELECT d.store, unnest(@addresses::text[]) FROM directory_stores d WHERE d.store = @store
ON CONFLICT DO NOTHING;

-- name: DirectoryAddresses :many
SELECT address FROM directory_addresses WHERE store = @store ORDER BY address;

-- DirectoryRefusal says why no run over the directory of a link may begin; '' if one may.
-- name: DirectoryRefusal :one
SELECT coalesce(directory_refusal(@link), '')::text AS refusal;

-- name: DeleteDirectoryStore :exec
DELETE FROM directory_stores WHERE store = @store;

-- name: GetDirectorySettings :one
SELECT settings FROM directory_settings WHERE link = @link;

-- name: SetDirectorySettings :exec
INSERT INTO directory_settings (link, settings) VALUES (@link, @settings)
ON CONFLICT (link) DO UPDATE SET settings = excluded.settings, set_at = now();

-- DirectoryMappings are those of both stores of a link, NULL where one has none.
-- name: DirectoryMappings :one
SELECT l.source, l.target, s.mapping AS source_mapping, t.mapping AS target_mapping
FROM links l
LEFT JOIN directory_stores s ON s.store = l.source
LEFT JOIN directory_stores t ON t.store = l.target
WHERE l.name = @link;

-- OtherDirectoryRuns locks the link's row of settings of runs: whoever begins a
-- run waits here for another that does, too.
-- name: OtherDirectoryRuns :many
WITH locked AS MATERIALIZED (SELECT name FROM links WHERE name = @link FOR NO KEY UPDATE)
SELECT r.run_id FROM locked JOIN directory_runs r ON r.link = locked.name
WHERE r.state = 'running' AND r.run_id <> @run_id;

-- name: InsertDirectoryRun :exec
INSERT INTO directory_runs (run_id, link, trigger, columns, protected)
VALUES (@run_id, @link, @trigger, @columns, @protected)
ON CONFLICT (run_id) DO NOTHING;

-- name: GetDirectoryRun :one
SELECT * FROM directory_runs WHERE run_id = @run_id;

-- LockDirectoryRun lets one at a time change what belongs to a run.
-- name: LockDirectoryRun :one
SELECT * FROM directory_runs WHERE run_id = @run_id FOR UPDATE;

-- name: ListDirectoryRuns :many
SELECT * FROM directory_runs WHERE @link::text = '' OR link = @link
ORDER BY started_at DESC, run_id
LIMIT nullif(@max_rows::bigint, 0);

-- PruneDirectoryChanges keeps the changes of a link's last runs only, and
-- PruneDirectoryRuns the runs.
-- name: PruneDirectoryChanges :exec
DELETE FROM directory_changes c
USING (
    SELECT r.run_id FROM directory_runs r WHERE r.link = @link AND r.state <> 'running' AND r.counts IS NOT NULL
    ORDER BY r.started_at DESC OFFSET @keep::bigint
) old
WHERE c.run_id = old.run_id;

-- name: PruneDirectoryRuns :exec
DELETE FROM directory_runs d
USING (
    SELECT r.run_id FROM directory_runs r WHERE r.link = @link AND r.state <> 'running'
    ORDER BY r.started_at DESC OFFSET @keep::bigint
) old
WHERE d.run_id = old.run_id;

-- name: SetDirectoryPhase :execrows
UPDATE directory_runs SET phase = @phase WHERE run_id = @run_id AND state = 'running';

-- name: SetDirectoryMembers :exec
UPDATE directory_runs SET joined = @joined, departed = @departed WHERE run_id = @run_id;

-- name: DropDirectoryRejected :exec
DELETE FROM directory_rejected WHERE run_id = @run_id;

-- name: PutDirectoryRejected :exec
INSERT INTO directory_rejected (run_id, number, error, hint)
SELECT @run_id, unnest(@numbers::text[]), unnest(@errors::text[]), unnest(@hints::text[]);

-- name: ListDirectoryRejected :many
SELECT number, error, hint FROM directory_rejected WHERE run_id = @run_id ORDER BY number;

-- name: SaveExtracts :exec
UPDATE directory_runs SET source_extract = @source_extract, target_extract = @target_extract WHERE run_id = @run_id;

-- LastExtracts are those of the last run that has ended, had some that were
-- believed, and was no dry run.
-- name: LastExtracts :one
SELECT source_extract, target_extract FROM directory_runs
WHERE link = @link AND state <> 'running' AND trigger <> @dry_run
    AND source_extract IS NOT NULL AND target_extract IS NOT NULL
ORDER BY started_at DESC LIMIT 1;

-- name: FinishDirectoryRun :exec
UPDATE directory_runs
SET state = @state, reasons = @reasons, hint = @hint, counts = @counts, finished_at = clock_timestamp(), phase = ''
WHERE run_id = @run_id AND state = 'running';

-- name: DropStaged :exec
DELETE FROM directory_staged WHERE run_id = @run_id;

-- name: DropStagedSide :exec
DELETE FROM directory_staged WHERE run_id = @run_id AND side = @side;

-- DropSeenTwice keeps the later of what was read of an entry that was renamed
-- while the pages were.
-- name: DropSeenTwice :exec
DELETE FROM directory_staged d
USING (
    SELECT x.id, max(x.n) AS last FROM directory_staged x
    WHERE x.run_id = @run_id AND x.side = @side AND x.id <> ''
    GROUP BY x.id HAVING count(*) > 1
) twice
WHERE d.run_id = @run_id AND d.side = @side AND d.id = twice.id AND d.n < twice.last;

-- name: SetDirectoryReasons :exec
UPDATE directory_runs SET reasons = @reasons WHERE run_id = @run_id AND state = 'running';

-- name: HasDirectory :one
SELECT EXISTS (
    SELECT FROM links l
    JOIN directory_stores s ON s.store = l.source
    JOIN directory_stores t ON t.store = l.target
    WHERE l.name = @link AND l.directory <> 'off'
);

-- name: CountStaged :one
SELECT count(*) FILTER (WHERE side = 'source') AS source, count(*) FILTER (WHERE side = 'target') AS target
FROM directory_staged WHERE run_id = @run_id;

-- name: SetDirectoryEntries :exec
UPDATE directory_runs SET source_entries = @source_entries, target_entries = @target_entries WHERE run_id = @run_id;

-- CountDirectoryChanges leaves out the first halves of renumberings that go
-- through a free number.
-- name: CountDirectoryChanges :many
SELECT kind, state, approved, count(*) AS changes FROM directory_changes
WHERE run_id = @run_id AND via = ''
GROUP BY kind, state, approved;

-- name: ListDirectoryChanges :many
SELECT * FROM directory_changes
WHERE run_id = @run_id AND seq > @after AND (cardinality(@states::text[]) = 0 OR state = ANY (@states::text[]))
ORDER BY seq
LIMIT nullif(@max_rows::bigint, 0);

-- SampleDirectoryChanges are changes by chance, of every sort one before the
-- second of any. The parent's name begins behind the first comma that is not
-- escaped (RFC 4514); encode doubles what escapes it, and makes octets of letters.
-- name: SampleDirectoryChanges :many
SELECT * FROM directory_changes c
WHERE c.run_id = @run_id AND c.seq > @after AND c.state = @state AND c.kind <> 'renumber' AND c.needs = 0
    AND NOT EXISTS (SELECT FROM directory_changes n WHERE n.run_id = c.run_id AND n.needs > 0 AND n.needs = c.seq)
ORDER BY row_number() OVER (
    PARTITION BY c.kind, c.columns, regexp_replace(encode(c.target_dn, 'escape'), '^([^,\\]|\\\\.|\\[0-7]{3})*,', '')
    ORDER BY random()
), random()
LIMIT @max_rows::bigint;

-- name: DirectoryRefusals :many
SELECT error, hint, count(*) AS changes FROM directory_changes
WHERE run_id = @run_id AND state = 'failed' AND via = ''
GROUP BY error, hint
ORDER BY changes DESC, error, hint
LIMIT @max_rows::bigint;

-- DirectoryJoiners are the numbers of pairs that do not participate.
-- name: DirectoryJoiners :many
SELECT DISTINCT p.number FROM directory_pairs p
LEFT JOIN mailboxes m ON m.link = p.link AND m.number = p.number
WHERE p.link = @link AND m.number IS NULL
ORDER BY p.number;

-- DirectoryLeavers are participating mailboxes whose numbers ended and have not
-- begun again.
-- name: DirectoryLeavers :many
SELECT d.number FROM directory_departed d
JOIN mailboxes m ON m.link = d.link AND m.number = d.number
WHERE d.link = @link
    AND NOT EXISTS (SELECT FROM directory_pairs p WHERE p.link = d.link AND p.number = d.number)
ORDER BY d.number;

-- ForgetDeparted drops the numbers that nothing is to be done about any more.
-- name: ForgetDeparted :exec
DELETE FROM directory_departed d
WHERE d.link = @link
    AND (NOT EXISTS (SELECT FROM mailboxes m WHERE m.link = d.link AND m.number = d.number)
        OR EXISTS (SELECT FROM directory_pairs p WHERE p.link = d.link AND p.number = d.number));

-- RecordDeparture writes what was last known of mailboxes that leave.
-- name: RecordDeparture :exec
INSERT INTO history (link, number, started_at, run_id, trigger, finished_at, outcome,
    messages_appended, messages_bytes, messages_flags_changed, messages_expunged,
    greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged,
    folders_created, folders_deleted, folders_renamed, folders_subscribed,
    differences, source_messages, source_greetings, generation, error_kind, error, hint)
SELECT m.link, m.number, r.started_at, r.run_id, r.trigger, clock_timestamp(), @outcome,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    m.differences, m.messages, m.greetings, m.dirty_generation, m.error_kind, m.error, m.hint
FROM directory_runs r
JOIN mailboxes m ON m.link = r.link AND m.number = ANY (@numbers::text[])
WHERE r.run_id = @run_id AND r.link = @link
ON CONFLICT DO NOTHING;

-- name: CountDepartures :one
SELECT count(*) FROM history h
JOIN directory_runs r ON r.run_id = h.run_id AND r.link = h.link AND r.started_at = h.started_at
WHERE h.link = @link AND h.number = ANY (@numbers::text[]) AND h.run_id = @run_id AND h.outcome = @outcome;

-- name: ForgetDirectoryFailures :execrows
DELETE FROM directory_failures WHERE link = @link AND (@number::text = '' OR number = @number);
