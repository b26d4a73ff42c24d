-- name: ListScheduleSpecs :many
SELECT * FROM schedule_specs ORDER BY name;

-- name: SetScheduleSpec :exec
INSERT INTO schedule_specs (name, every, cron, at_times, timezone, who)
VALUES (@name, @every, @cron, @at_times, @timezone, @who)
ON CONFLICT (name) DO UPDATE
SET every = excluded.every, cron = excluded.cron, at_times = excluded.at_times, timezone = excluded.timezone,
    who = excluded.who, set_at = now();

-- name: DropScheduleSpec :exec
DELETE FROM schedule_specs WHERE name = @name;

-- NoteMisses gives when it was first seen that so many runs were missed; a
-- schedule that was made anew counts from nothing again.
-- name: NoteMisses :one
INSERT INTO schedule_misses AS m (name, missed) VALUES (@name, @missed)
ON CONFLICT (name) DO UPDATE
SET missed = excluded.missed,
    noticed_at = CASE WHEN excluded.missed > m.missed THEN now() ELSE m.noticed_at END
RETURNING noticed_at;
