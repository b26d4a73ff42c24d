-- name: LedgerFolders :many
SELECT f.id, f.folder, f.source_validity, f.target_validity,
    f.source_at_validity, f.source_at_uidnext, f.source_at_messages, f.source_at_modseq,
    f.target_at_validity, f.target_at_uidnext, f.target_at_messages, f.target_at_modseq,
    coalesce(i.target_uidnext, 0) AS intent_uidnext,
    coalesce(i.sources, '') AS intent_sources,
    f.recreated,
    coalesce(m.to_folder, '') AS move_folder,
    coalesce(m.to_validity, 0) AS move_validity,
    coalesce(m.to_uidnext, 0) AS move_uidnext,
    coalesce(m.uids, '') AS move_uids,
    coalesce(m.copied, '') AS move_copied,
    f.former
FROM ledger_folders f
LEFT JOIN intents i ON i.folder_id = f.id
LEFT JOIN moves m ON m.folder_id = f.id
WHERE f.link = @link AND f.number = @number
ORDER BY f.folder;

-- name: LedgerRuns :many
SELECT r.folder_id, r.source_uid, r.target_uid, r.length
FROM ledger_folders f
JOIN ledger_runs r ON r.folder_id = f.id
WHERE f.link = @link AND f.number = @number
ORDER BY r.folder_id, r.source_uid;

-- name: LedgerDifferences :many
SELECT d.folder_id, d.source_uid, d.kind, d.detail
FROM ledger_folders f
JOIN differences d ON d.folder_id = f.id
WHERE f.link = @link AND f.number = @number
ORDER BY d.folder_id, d.source_uid, d.kind;

-- name: LedgerWitnesses :many
SELECT w.folder_id, w.first_uid, w.data
FROM ledger_folders f
JOIN ledger_witnesses w ON w.folder_id = f.id
WHERE f.link = @link AND f.number = @number;

-- HoldLease comes first in a batch; see the function in the schema.
-- name: HoldLease :exec
SELECT ledger_lease(@link, @number, @epoch, @durable);

-- name: DropFolders :exec
DELETE FROM ledger_folders WHERE link = @link AND number = @number AND folder = ANY (@folders::text[]);

-- DropOtherValidities forgets what was known of folders that are others now.
-- name: DropOtherValidities :exec
DELETE FROM ledger_folders f
USING (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@source_validities::bigint[]) AS source_validity,
        unnest(@target_validities::bigint[]) AS target_validity
) u
WHERE f.link = @link AND f.number = @number AND f.folder = u.folder
    AND (f.source_validity <> u.source_validity OR f.target_validity <> u.target_validity);

-- name: UpsertFolders :exec
INSERT INTO ledger_folders (link, number, folder, source_validity, target_validity,
    source_at_validity, source_at_uidnext, source_at_messages, source_at_modseq,
    target_at_validity, target_at_uidnext, target_at_messages, target_at_modseq, recreated, former)
SELECT @link, @number, unnest(@folders::text[]),
    unnest(@source_validities::bigint[]), unnest(@target_validities::bigint[]),
    unnest(@source_at_validities::bigint[]), unnest(@source_at_uidnexts::bigint[]),
    unnest(@source_at_messages::bigint[]), unnest(@source_at_modseqs::bigint[]),
    unnest(@target_at_validities::bigint[]), unnest(@target_at_uidnexts::bigint[]),
    unnest(@target_at_messages::bigint[]), unnest(@target_at_modseqs::bigint[]),
    unnest(@recreated::boolean[]), unnest(@formers::text[])
ON CONFLICT (link, number, folder) DO UPDATE
SET source_at_validity = excluded.source_at_validity, source_at_uidnext = excluded.source_at_uidnext,
    source_at_messages = excluded.source_at_messages, source_at_modseq = excluded.source_at_modseq,
    target_at_validity = excluded.target_at_validity, target_at_uidnext = excluded.target_at_uidnext,
    target_at_messages = excluded.target_at_messages, target_at_modseq = excluded.target_at_modseq,
    recreated = excluded.recreated, former = excluded.former;

-- name: DeleteRuns :exec
WITH f AS MATERIALIZED (
    SELECT id, folder FROM ledger_folders WHERE link = @link AND number = @number
)
DELETE FROM ledger_runs r
USING f, (
    SELECT unnest(@folders::text[]) AS folder, unnest(@source_uids::bigint[]) AS source_uid
) u
WHERE f.folder = u.folder AND r.folder_id = f.id AND r.source_uid = u.source_uid;

-- name: UpsertRuns :exec
WITH f AS MATERIALIZED (
    SELECT id, folder FROM ledger_folders WHERE link = @link AND number = @number
)
INSERT INTO ledger_runs (folder_id, source_uid, target_uid, length)
SELECT f.id, u.source_uid, u.target_uid, u.length
FROM (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@source_uids::bigint[]) AS source_uid,
        unnest(@target_uids::bigint[]) AS target_uid,
        unnest(@lengths::bigint[]) AS length
) u
JOIN f ON f.folder = u.folder
ON CONFLICT (folder_id, source_uid) DO UPDATE SET target_uid = excluded.target_uid, length = excluded.length;

-- name: DeleteWitnesses :exec
DELETE FROM ledger_witnesses w
USING (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@first_uids::bigint[]) AS first_uid
) u
JOIN ledger_folders f ON f.link = @link AND f.number = @number AND f.folder = u.folder
WHERE w.folder_id = f.id AND w.first_uid = u.first_uid;

-- name: UpsertWitnesses :exec
INSERT INTO ledger_witnesses (folder_id, first_uid, data)
SELECT f.id, u.first_uid, u.data
FROM (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@first_uids::bigint[]) AS first_uid,
        unnest(@data::bytea[]) AS data
) u
JOIN ledger_folders f ON f.link = @link AND f.number = @number AND f.folder = u.folder
ON CONFLICT (folder_id, first_uid) DO UPDATE SET data = excluded.data;

-- name: CloseIntents :exec
DELETE FROM intents i
USING ledger_folders f
WHERE f.link = @link AND f.number = @number AND f.folder = ANY (@folders::text[]) AND i.folder_id = f.id;

-- name: OpenIntents :exec
INSERT INTO intents (folder_id, target_uidnext, sources)
SELECT f.id, u.target_uidnext, u.sources
FROM (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@target_uidnexts::bigint[]) AS target_uidnext,
        unnest(@sources::text[]) AS sources
) u
JOIN ledger_folders f ON f.link = @link AND f.number = @number AND f.folder = u.folder
ON CONFLICT (folder_id) DO UPDATE SET target_uidnext = excluded.target_uidnext, sources = excluded.sources;

-- name: DeleteDifferences :exec
WITH f AS MATERIALIZED (
    SELECT id, folder FROM ledger_folders WHERE link = @link AND number = @number
)
DELETE FROM differences d
USING f, (
    SELECT unnest(@of_folders::text[]) AS folder,
        unnest(@source_uids::bigint[]) AS source_uid,
        unnest(@kinds::text[]) AS kind
) u
WHERE f.folder = u.folder AND d.folder_id = f.id AND d.source_uid = u.source_uid AND d.kind = u.kind;

-- UpsertDifferences keeps the time since when a difference is, where it only
-- gets another detail.
-- name: UpsertDifferences :exec
INSERT INTO differences (folder_id, source_uid, kind, detail)
SELECT DISTINCT ON (f.id, u.source_uid, u.kind) f.id, u.source_uid, u.kind, u.detail
FROM (
    SELECT unnest(@of_folders::text[]) AS folder,
        unnest(@source_uids::bigint[]) AS source_uid,
        unnest(@kinds::text[]) AS kind,
        unnest(@details::text[]) AS detail
) u
JOIN ledger_folders f ON f.link = @link AND f.number = @number AND f.folder = u.folder
ON CONFLICT (folder_id, source_uid, kind) DO UPDATE SET detail = excluded.detail;
