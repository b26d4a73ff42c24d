-- ClaimSupervision gives the supervision to one worker at a time: to the first one
-- that asks after the interval is over.
-- name: ClaimSupervision :execrows
WITH gone AS (
    DELETE FROM background b WHERE b.link <> '' AND NOT EXISTS (SELECT FROM links l WHERE l.name = b.link)
        OR b.loop = ANY(@own::text[]) AND b.started_at < clock_timestamp() - interval '1 hour'
)
INSERT INTO background AS b (loop, item, link, worker, started_at)
VALUES (@loop, '', '', @worker, clock_timestamp())
ON CONFLICT (loop, item) DO UPDATE SET worker = excluded.worker, started_at = excluded.started_at
WHERE b.started_at IS NULL OR b.started_at <= clock_timestamp() - sqlc.arg(every)::interval;

-- name: BeginBackground :exec
INSERT INTO background AS b (loop, item, link, worker, started_at)
VALUES (@loop, @item, @link, @worker, clock_timestamp())
ON CONFLICT (loop, item) DO UPDATE SET worker = excluded.worker, started_at = excluded.started_at;

-- EndBackground records how a loop ended. One that goes on failing keeps the moment
-- since which it does.
-- name: EndBackground :exec
INSERT INTO background AS b (loop, item, link, worker, ok_at, failed_at, error_kind, error, hint)
VALUES (@loop, @item, @link, @worker, CASE WHEN @ok::boolean THEN clock_timestamp() END,
    CASE WHEN NOT @ok::boolean THEN clock_timestamp() END, @error_kind, @error, @hint)
ON CONFLICT (loop, item) DO UPDATE
SET worker = excluded.worker, ok_at = coalesce(excluded.ok_at, b.ok_at),
    failed_at = CASE WHEN @ok::boolean THEN NULL ELSE coalesce(b.failed_at, excluded.failed_at) END,
    error_kind = excluded.error_kind, error = excluded.error, hint = excluded.hint;

-- name: NoteRestart :exec
INSERT INTO background AS b (loop, item, link, restarts, restarted_at)
VALUES (@loop, @item, @link, 1, clock_timestamp())
ON CONFLICT (loop, item) DO UPDATE SET restarts = b.restarts + 1, restarted_at = excluded.restarted_at;

-- NoteSchedule records when a schedule last started a run, and when the next one is
-- due. A moment that is over stays until a run has started after it: that it was
-- missed must not be forgotten for the one after it.
-- name: NoteSchedule :exec
INSERT INTO background AS b (loop, item, link, started_at, due_at, spec)
VALUES (@loop, @item, @link, sqlc.narg(started_at), sqlc.narg(due_at), @spec)
ON CONFLICT (loop, item) DO UPDATE
SET started_at = excluded.started_at, spec = excluded.spec,
    due_at = CASE
        WHEN excluded.spec = b.spec AND excluded.due_at IS NOT NULL AND b.due_at < excluded.due_at
            AND (excluded.started_at IS NULL OR excluded.started_at < b.due_at - interval '1 second') THEN b.due_at
        ELSE excluded.due_at
    END;

-- name: ListBackground :many
SELECT b.*, clock_timestamp()::timestamptz AS now
FROM background b
WHERE b.link = '' OR EXISTS (SELECT FROM links l WHERE l.name = b.link)
ORDER BY b.loop, b.item;
