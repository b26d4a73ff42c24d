-- MarkEvents raises the generations of mailboxes that changed, in one
-- statement, in the order of their numbers. What a mailbox is dirty since stays
-- where it is dirty already; otherwise it is when the change was heard. A
-- mailbox that waits out a failure goes on waiting, and is not returned; but a
-- change makes a parked one due from its early_at on, once in early_distance.
-- name: MarkEvents :many
WITH marks AS MATERIALIZED (
    SELECT unnest(@numbers::text[]) AS number, unnest(@kinds::text[]) AS kind,
        unnest(@counts::bigint[]) AS events, unnest(@ages_ms::bigint[]) * interval '1 millisecond' AS age
), locked AS MATERIALIZED (
    SELECT m.number FROM mailboxes m JOIN marks k ON k.number = m.number
    WHERE m.link = @link
    ORDER BY m.number
    FOR UPDATE OF m
), raised AS (
    UPDATE mailboxes m
    SET dirty_generation = m.dirty_generation + 1,
        dirty_since = CASE
            WHEN m.dirty_generation > m.clean_generation THEN m.dirty_since
            ELSE clock_timestamp() - k.age
        END,
        next_attempt_at = CASE
            WHEN m.failures > 0 AND (m.state <> 'parked' OR m.early_at IS NULL) THEN m.next_attempt_at
            WHEN m.failures > 0 THEN least(m.next_attempt_at, greatest(m.early_at, clock_timestamp()))
            WHEN m.dirty_generation > m.clean_generation THEN least(m.next_attempt_at, clock_timestamp())
            ELSE clock_timestamp()
        END,
        early_at = CASE
            WHEN m.state = 'parked' AND m.early_at <= clock_timestamp() THEN clock_timestamp() + early_distance(m.failing_since)
            ELSE m.early_at
        END
    FROM marks k, locked
    WHERE m.link = @link AND m.number = k.number AND locked.number = m.number
    RETURNING m.number, (m.failures = 0 OR m.next_attempt_at <= clock_timestamp()) AS due
), noted AS (
    INSERT INTO mailbox_events AS e (link, number, last_at, last_kind, events)
    SELECT @link, k.number, clock_timestamp() - k.age, k.kind, k.events FROM marks k JOIN raised r ON r.number = k.number
    ON CONFLICT (link, number) DO UPDATE
    SET last_at = greatest(e.last_at, excluded.last_at), last_kind = excluded.last_kind, events = e.events + excluded.events
)
SELECT number FROM raised WHERE due ORDER BY number;

-- name: KnownSources :many
SELECT number, folder, source_at_validity, source_at_uidnext, source_at_messages, source_at_modseq
FROM ledger_folders
WHERE link = @link AND number = ANY (@numbers::text[]);

-- LastEvents gives the mailboxes of a link that ever had an event.
-- name: LastEvents :many
SELECT number, last_at FROM mailbox_events WHERE link = @link;

-- WatchShards is no row where a link was never cut into shards.
-- name: WatchShards :one
SELECT shards FROM watch_shards WHERE link = @link;

-- SetWatchShards tells the shards that are listening: each gives up what is another's
-- from now on, and the connections that it held for that.
-- name: SetWatchShards :exec
WITH cut AS (
    INSERT INTO watch_shards (link, shards) VALUES (@link, @shards)
    ON CONFLICT (link) DO UPDATE SET shards = excluded.shards
), gone AS (
    DELETE FROM watchers w WHERE w.link = @link AND w.shard >= @shards
)
SELECT pg_notify('mailmirror_roster', @link::text);

-- FirstDue gives the mailboxes of a link that were never mirrored or looked at, and
-- that are not parked.
-- name: FirstDue :many
SELECT number FROM mailboxes WHERE link = @link AND state = 'new' ORDER BY number;

-- name: SaveWatcher :exec
INSERT INTO watchers (link, shard, worker, mode, why, connections, wanted, connected_since, listened, polled, events,
    per_minute, last_event_at, last_kind, unannounced, trouble, hint, poll_every, updated_at)
SELECT l.name, @shard, @worker, @mode, @why, @connections, @wanted, sqlc.narg(connected_since), @listened, @polled, @events,
    @per_minute, sqlc.narg(last_event_at), @last_kind, @unannounced, @trouble, @hint, @poll_every, clock_timestamp()
FROM links l WHERE l.name = @link
ON CONFLICT (link, shard) DO UPDATE
SET worker = excluded.worker, mode = excluded.mode, why = excluded.why, connections = excluded.connections,
    wanted = excluded.wanted, connected_since = excluded.connected_since, listened = excluded.listened,
    polled = excluded.polled, events = excluded.events, per_minute = excluded.per_minute,
    last_event_at = coalesce(excluded.last_event_at, watchers.last_event_at),
    last_kind = coalesce(nullif(excluded.last_kind, ''), watchers.last_kind),
    unannounced = excluded.unannounced, trouble = excluded.trouble, hint = excluded.hint, poll_every = excluded.poll_every, updated_at = excluded.updated_at;

-- ListWatchers gives the shards of a link, of every link where it is empty.
-- name: ListWatchers :many
SELECT w.*, coalesce(s.shards, 1)::bigint AS shards
FROM watchers w LEFT JOIN watch_shards s ON s.link = w.link
WHERE @link::text = '' OR w.link = @link
ORDER BY w.link, w.shard;
