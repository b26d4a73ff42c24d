-- name: MakeHistoryMonth :one
SELECT history_month(@month);

-- HistoryRestMonths are the months of rows that found no partition.
-- name: HistoryRestMonths :many
SELECT DISTINCT (date_trunc('month', started_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC')::timestamptz AS month
FROM history_rest ORDER BY month;

-- DropOldCompares keeps the last of each kind of each link, and what runs.
-- name: DropOldCompares :execrows
DELETE FROM compare_runs r
WHERE r.started_at < @before
    AND greatest(r.updated_at, (SELECT max(p.updated_at) FROM compare_pages p WHERE p.run_id = r.run_id)) < @before
    AND EXISTS (
        SELECT FROM compare_runs later
        WHERE later.link = r.link AND later.kind = r.kind AND later.started_at > r.started_at
    );

-- name: DropStaleShares :execrows
DELETE FROM connection_shares WHERE expires_at < @before;
