-- InsertHistory is harmless when repeated: a sync is known by its mailbox,
-- start and run.
-- name: InsertHistory :execrows
INSERT INTO history (link, number, started_at, run_id, trigger, finished_at, outcome,
    messages_appended, messages_bytes, messages_flags_changed, messages_expunged,
    greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged,
    folders_created, folders_deleted, folders_renamed, folders_subscribed,
    differences, source_messages, source_greetings, generation, error_kind, error, hint)
VALUES (@link, @number, @started_at, @run_id, @trigger, @finished_at, @outcome,
    @messages_appended, @messages_bytes, @messages_flags_changed, @messages_expunged,
    @greetings_appended, @greetings_bytes, @greetings_flags_changed, @greetings_expunged,
    @folders_created, @folders_deleted, @folders_renamed, @folders_subscribed,
    @differences, @source_messages, @source_greetings, @generation, @error_kind, @error, @hint)
ON CONFLICT DO NOTHING;

-- name: ListLinkHistory :many
SELECT * FROM history WHERE link = @link
ORDER BY started_at DESC, id DESC
LIMIT nullif(@max_rows::bigint, 0);

-- name: ListMailboxHistory :many
SELECT * FROM history WHERE link = @link AND number = @number
ORDER BY started_at DESC, id DESC
LIMIT nullif(@max_rows::bigint, 0);

-- name: ListLinkArchive :many
SELECT * FROM history_archive WHERE link = @link
ORDER BY started_at DESC, id DESC
LIMIT nullif(@max_rows::bigint, 0);

-- name: ListMailboxArchive :many
SELECT * FROM history_archive WHERE link = @link AND number = @number
ORDER BY started_at DESC, id DESC
LIMIT nullif(@max_rows::bigint, 0);

-- ListFailures gives the mailboxes whose last sync failed; link '' means all.
-- name: ListFailures :many
SELECT link, number, error_kind, error, hint, failing_since, failures, next_attempt_at
FROM mailboxes
WHERE failures > 0 AND (@link::text = '' OR link = @link)
ORDER BY link, number;

-- ListDifferences leaves out what is only counted; see copier.Undone.
-- name: ListDifferences :many
SELECT f.link, f.number, f.folder, d.source_uid, d.kind, d.detail, d.since
FROM differences d
JOIN ledger_folders f ON f.id = d.folder_id
WHERE (@link::text = '' OR f.link = @link) AND d.kind <> 'undone'
ORDER BY f.link, f.number, f.folder, d.source_uid, d.kind;

-- LinkStatus gives one row for each link; link '' means every one.
-- name: LinkStatus :many
SELECT l.name, l.source, l.target, l.exclude, l.created_at,
    count(m.number) AS mailboxes,
    count(*) FILTER (WHERE m.state = 'new') AS new,
    count(*) FILTER (WHERE m.state = 'equal') AS equal,
    count(*) FILTER (WHERE m.state = 'differing') AS differing,
    count(*) FILTER (WHERE m.state = 'dirty') AS dirty,
    count(*) FILTER (WHERE m.state = 'parked') AS parked,
    count(*) FILTER (WHERE m.state = 'held') AS held,
    coalesce(sum(m.messages), 0)::bigint AS messages,
    coalesce(sum(m.greetings), 0)::bigint AS greetings,
    coalesce(clock_timestamp() - min(m.dirty_since) FILTER (WHERE m.dirty_generation > m.clean_generation),
        interval '0')::interval AS lag
FROM links l
LEFT JOIN mailboxes m ON m.link = l.name
WHERE @link::text = '' OR l.name = @link
GROUP BY l.name
ORDER BY l.name;

-- name: LastCompares :many
SELECT t.*
FROM links l
CROSS JOIN (VALUES ('compare'), ('rebuild')) kinds (kind)
CROSS JOIN LATERAL (
    SELECT r.run_id FROM compare_runs r WHERE r.link = l.name AND r.kind = kinds.kind
    ORDER BY r.started_at DESC, r.run_id DESC
    LIMIT 1
) last
JOIN compare_totals t ON t.run_id = last.run_id
WHERE @link::text = '' OR l.name = @link;

-- name: GetCompareRun :one
SELECT * FROM compare_totals WHERE run_id = @run_id;

-- name: InsertCompareRun :exec
INSERT INTO compare_runs (run_id, link, trigger, mailboxes, started_at, kind)
VALUES (@run_id, @link, @trigger, @mailboxes, @started_at, @kind)
ON CONFLICT (run_id) DO NOTHING;

-- name: FinishCompareRun :execrows
UPDATE compare_runs SET finished_at = coalesce(finished_at, clock_timestamp()), updated_at = clock_timestamp()
WHERE run_id = @run_id;

-- name: ReplaceComparePage :exec
INSERT INTO compare_pages AS p (run_id, page, reviewed, unchanged, synced, differing, failed, busy,
    messages_appended, messages_bytes, messages_flags_changed, messages_expunged,
    greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, due_messages, due_bytes)
VALUES (@run_id, @page, @reviewed, @unchanged, @synced, @differing, @failed, @busy,
    @messages_appended, @messages_bytes, @messages_flags_changed, @messages_expunged,
    @greetings_appended, @greetings_bytes, @greetings_flags_changed, @greetings_expunged, @due_messages, @due_bytes)
ON CONFLICT (run_id, page) DO UPDATE
SET updated_at = clock_timestamp(), reviewed = excluded.reviewed, unchanged = excluded.unchanged,
    synced = excluded.synced, differing = excluded.differing, failed = excluded.failed, busy = excluded.busy,
    messages_appended = excluded.messages_appended, messages_bytes = excluded.messages_bytes,
    messages_flags_changed = excluded.messages_flags_changed, messages_expunged = excluded.messages_expunged,
    greetings_appended = excluded.greetings_appended, greetings_bytes = excluded.greetings_bytes,
    greetings_flags_changed = excluded.greetings_flags_changed, greetings_expunged = excluded.greetings_expunged,
    due_messages = excluded.due_messages, due_bytes = excluded.due_bytes;
