-- name: GetLoginRule :one
SELECT s.logins_version, d.mapping
FROM stores s
LEFT JOIN directory_stores d ON d.store = s.name
WHERE s.name = @store;

-- name: StoreLogins :many
SELECT number, login FROM logins WHERE store = @store;

-- LockLogins lets one at a time change the log-ins of a store.
-- name: LockLogins :exec
SELECT FROM stores WHERE name = @store FOR NO KEY UPDATE;

-- SettleLogins makes the log-ins of a store those that a side of a run shows, and
-- returns the numbers that are concerned: those whose log-in changed, and those
-- that have, or had, one with them. An entry that is there twice has none, unless
-- both say the same. An entry that could not be read keeps the one it had.
-- name: SettleLogins :many
WITH shown AS MATERIALIZED (
    SELECT d.number, CASE WHEN min(d.login) = max(d.login) THEN min(d.login) ELSE '' END AS login
    FROM directory_staged d
    WHERE d.run_id = @run_id AND d.side = @side AND d.number <> ''
    GROUP BY d.number
), known AS MATERIALIZED (
    SELECT l.number, l.login FROM logins l WHERE l.store = @store
), changed AS MATERIALIZED (
    SELECT coalesce(s.number, k.number) AS number, k.login AS was, s.login AS now
    FROM shown s
    FULL JOIN known k ON k.number = s.number
    WHERE k.login IS DISTINCT FROM s.login
        AND NOT EXISTS (
            SELECT FROM directory_staged u
            WHERE u.run_id = @run_id AND u.side = @side AND cardinality(u.cells) = 0 AND u.number = coalesce(s.number, k.number)
        )
), gone AS (
    DELETE FROM logins l USING changed c WHERE l.store = @store AND l.number = c.number AND c.now IS NULL
), put AS (
    INSERT INTO logins (store, number, login)
    SELECT @store, c.number, c.now FROM changed c WHERE c.now IS NOT NULL
    ON CONFLICT (store, number) DO UPDATE SET login = excluded.login
)
SELECT c.number::text AS number FROM changed c
UNION
SELECT k.number::text FROM known k
JOIN (SELECT lower(c.was) AS login FROM changed c UNION SELECT lower(c.now) FROM changed c) met ON met.login = lower(k.login)
WHERE k.login <> '';

-- PutLogins records log-ins of entries that were just written, and returns the
-- numbers whose log-in changed by that.
-- name: PutLogins :many
INSERT INTO logins AS l (store, number, login)
SELECT @store, u.number, u.login
FROM (SELECT unnest(@numbers::text[]) AS number, unnest(@logins::text[]) AS login) u
ON CONFLICT (store, number) DO UPDATE SET login = excluded.login WHERE l.login <> excluded.login
RETURNING number;

-- DropLogins drops those of numbers that an entry no longer has, unless another has
-- it by now: the last of a circle of renumberings frees what was given away long ago.
-- name: DropLogins :many
DELETE FROM logins l
WHERE l.store = @store AND l.number = ANY (@numbers::text[])
    AND NOT EXISTS (SELECT FROM directory_pairs p WHERE p.link = @link AND p.number = l.number)
RETURNING l.number;

-- name: LoginsChanged :exec
SELECT logins_changed(@store);

-- DueByLogin makes work due, now, on the mailboxes of a store's links whose log-in
-- is another: what was failing for it is tried again, and what the other shows is
-- looked at.
-- name: DueByLogin :exec
WITH locked AS MATERIALIZED (
    SELECT m.link, m.number, l.source = @store AS of_source, l.target = @store AS of_target
    FROM links l
    JOIN mailboxes m ON m.link = l.name
    WHERE (l.source = @store OR l.target = @store) AND m.number = ANY (@numbers::text[])
    ORDER BY m.link, m.number
    FOR UPDATE OF m
)
UPDATE mailboxes m
SET source_account = CASE WHEN k.of_source THEN '' ELSE m.source_account END,
    target_account = CASE WHEN k.of_target THEN '' ELSE m.target_account END,
    dirty_generation = m.dirty_generation + 1,
    dirty_since = CASE WHEN m.dirty_generation > m.clean_generation THEN m.dirty_since ELSE clock_timestamp() END,
    next_attempt_at = CASE
        WHEN m.dirty_generation > m.clean_generation THEN least(m.next_attempt_at, clock_timestamp())
        ELSE clock_timestamp()
    END
FROM locked k
WHERE m.link = k.link AND m.number = k.number;
