-- name: DropMatched :exec
DELETE FROM directory_matched WHERE run_id = @run_id;

-- name: DropDirectoryChanges :exec
DELETE FROM directory_changes WHERE run_id = @run_id;

-- CompareStaged compares both sides of what is staged and writes the changes, and
-- which entries were found to belong together.
--
-- Entries pair up by what is recorded first, and by number then. An entry is
-- ambiguous whose number another of its side has, or that has no number: nothing
-- is done to it nor to the entry that it would pair up with. The same holds for an
-- entry that could not be read, which has no cells. If the names of a side are not all
-- known (partial), nothing is removed. A staged entry is protected by its own side's
-- mapping, or as its number is by the target's. The entry of a mailbox that another link
-- mirrors from the target's server to the source's is not changed either, nor is an
-- entry that a link which was added before mirrors from the target to the source: that
-- shows by the servers' own ids of both entries, whatever the addresses are.
-- name: CompareStaged :exec
WITH run AS MATERIALIZED (
    SELECT run_id, link FROM directory_runs WHERE run_id = @run_id
),
s AS MATERIALIZED (
    SELECT d.n, d.id, d.dn, d.version, d.number, d.cells, d.protected,
        CASE WHEN d.id <> '' THEN 's' || d.id ELSE 'n' || d.number END COLLATE "C" AS key,
        cardinality(d.cells) = 0 AS unread,
        (
            d.number = ''
            OR cardinality(d.cells) = 0
            OR d.number IN (SELECT x.number FROM directory_staged x WHERE x.run_id = @run_id AND x.side = 'source' GROUP BY x.number HAVING count(*) > 1)
        ) AS ambiguous
    FROM directory_staged d
    WHERE d.run_id = @run_id AND d.side = 'source'
),
t AS MATERIALIZED (
    SELECT d.n, d.id, d.dn, d.version, d.number, d.cells, d.protected,
        CASE WHEN d.id <> '' THEN 's' || d.id ELSE 'n' || d.number END COLLATE "C" AS key,
        cardinality(d.cells) = 0 AS unread,
        (
            d.number = ''
            OR cardinality(d.cells) = 0
            OR d.number IN (SELECT x.number FROM directory_staged x WHERE x.run_id = @run_id AND x.side = 'target' GROUP BY x.number HAVING count(*) > 1)
        ) AS ambiguous
    FROM directory_staged d
    WHERE d.run_id = @run_id AND d.side = 'target'
),
theirs AS MATERIALIZED (
    SELECT DISTINCT f.account
    FROM run
    JOIN links l ON l.name = run.link
    JOIN stores a ON a.name = l.source
    JOIN stores b ON b.name = l.target
    JOIN flows f ON f.source_server = b.server AND f.target_server = a.server
),
back AS MATERIALIZED (
    SELECT p.source_key, p.target_key
    FROM run
    JOIN links l ON l.name = run.link
    JOIN links o ON (o.created_at, o.name) < (l.created_at, l.name)
    JOIN directory_pairs p ON p.link = o.name AND p.source_key <> p.target_key
),
pair AS MATERIALIZED (
    SELECT p.source_key, p.target_key FROM run JOIN directory_pairs p ON p.link = run.link
),
recorded AS MATERIALIZED (
    SELECT s.n AS sn, t.n AS tn
    FROM pair
    JOIN s ON s.key = pair.source_key AND (s.id <> '' OR NOT s.ambiguous)
    JOIN t ON t.key = pair.target_key AND (t.id <> '' OR NOT t.ambiguous)
),
matched AS MATERIALIZED (
    SELECT sn, tn FROM recorded
    UNION ALL
    SELECT s.n, t.n
    FROM s
    JOIN t ON t.number = s.number
    WHERE NOT s.ambiguous AND NOT t.ambiguous
        AND NOT EXISTS (SELECT FROM recorded r WHERE r.sn = s.n)
        AND NOT EXISTS (SELECT FROM recorded r WHERE r.tn = t.n)
),
both_sides AS MATERIALIZED (
    SELECT s.n AS sn, s.id AS source_id, s.dn AS source_dn, s.version AS source_version, s.key AS source_key, s.number, s.cells AS source_cells,
        t.id AS target_id, t.dn AS target_dn, t.version AS target_version, t.key AS target_key, t.number AS old_number,
        t.cells AS target_cells, s.protected OR t.protected AS protected
    FROM matched m
    JOIN s ON s.n = m.sn
    JOIN t ON t.n = m.tn
    WHERE NOT s.ambiguous AND NOT t.ambiguous
),
found_together AS (
    INSERT INTO directory_matched (run_id, source_key, target_key, number)
    SELECT run.run_id, b.source_key, b.target_key, b.number
    FROM run CROSS JOIN both_sides b
    WHERE b.number = b.old_number
        AND NOT EXISTS (
            SELECT FROM directory_pairs p
            WHERE p.link = run.link AND p.source_key = b.source_key AND p.target_key = b.target_key AND p.number = b.number
        )
),
change AS (
    SELECT CASE WHEN b.number <> b.old_number THEN 'renumber' ELSE 'alter' END AS kind,
        b.source_key AS key, b.number, b.old_number, b.protected,
        b.source_id, b.source_dn, b.source_version, b.target_id, b.target_dn, b.target_version, b.source_cells, b.target_cells
    FROM both_sides b
    WHERE b.number <> b.old_number OR b.source_cells <> b.target_cells
    UNION ALL
    SELECT 'create', s.key, s.number, '', s.protected, s.id, s.dn, s.version, '', '', '', s.cells, NULL
    FROM s
    WHERE NOT s.ambiguous
        AND NOT EXISTS (SELECT FROM matched m WHERE m.sn = s.n)
        AND NOT EXISTS (SELECT FROM t WHERE t.number = s.number AND t.ambiguous)
    UNION ALL
    SELECT CASE WHEN p.target_key IS NULL THEN 'unknown' ELSE 'remove' END,
        't' || t.key, t.number, t.number, t.protected, '', '', '', t.id, t.dn, t.version, NULL, t.cells
    FROM t
    LEFT JOIN pair p ON p.target_key = t.key
    WHERE NOT t.ambiguous AND NOT @partial::boolean
        AND NOT EXISTS (SELECT FROM matched m WHERE m.tn = t.n)
        AND NOT EXISTS (SELECT FROM s WHERE s.number = t.number AND s.ambiguous)
    UNION ALL
    SELECT CASE WHEN s.unread THEN 'unread' ELSE 'duplicate' END, s.key, s.number, s.number, false, s.id, s.dn, s.version, '', '', '', NULL, NULL
    FROM s WHERE s.ambiguous
    UNION ALL
    SELECT CASE WHEN t.unread THEN 'unread' ELSE 'duplicate' END, 't' || t.key, t.number, t.number, false, '', '', '', t.id, t.dn, t.version, NULL, NULL
    FROM t WHERE t.ambiguous
),
owned AS (
    SELECT c.*, composed(lower(c.number)) IN (SELECT x.account FROM theirs x)
        OR composed(lower(c.old_number)) IN (SELECT x.account FROM theirs x)
        OR (c.source_id <> '' AND ('s' || c.target_id, c.key) IN (SELECT x.source_key, x.target_key FROM back x)) AS of_source
    FROM change c
),
judged AS (
    SELECT c.*, CASE
            WHEN c.kind NOT IN ('duplicate', 'unread') AND (c.protected OR c.of_source) THEN 'protected'
            ELSE c.kind
        END AS as_kind,
        coalesce((
            SELECT array_agg(name.column_name ORDER BY name.i)
            FROM unnest(@names::text[]) WITH ORDINALITY AS name (column_name, i)
            WHERE c.source_cells[name.i] IS DISTINCT FROM c.target_cells[name.i]
                AND c.kind IN ('renumber', 'alter')
        ), '{}')::text[] AS columns,
        coalesce((
            SELECT array_agg(name.column_name ORDER BY name.i)
            FROM unnest(@names::text[]) WITH ORDINALITY AS name (column_name, i)
            WHERE c.source_cells[name.i] IS NULL AND c.target_cells[name.i] IS NOT NULL
                AND c.kind IN ('renumber', 'alter')
        ), '{}')::text[] AS blank,
        sha256(convert_to(concat_ws('/', c.kind, c.number, c.old_number, c.source_cells::text, c.target_cells::text), 'UTF8')) AS same,
        run.link
    FROM owned c CROSS JOIN run
    -- What is protected and never ours would only be removed where unknown
    -- entries are.
    WHERE NOT (c.kind = 'unknown' AND c.protected AND NOT @remove_unknown::boolean)
)
INSERT INTO directory_changes (run_id, seq, key, kind, number, old_number, source_id, source_dn, source_version,
    target_id, target_dn, target_version, columns, blank, same, state, approved, error, hint, failures)
SELECT @run_id,
    -- A thousand million for each kind leaves room before the first for those
    -- that have to be carried out in an order of their own.
    array_position('{renumber,alter,create,remove,unknown,protected,duplicate,unread}'::text[], j.as_kind) * 1000000000::bigint
        + row_number() OVER (PARTITION BY j.as_kind ORDER BY j.number, j.key),
    j.key, j.as_kind, j.number, j.old_number, j.source_id, j.source_dn, j.source_version,
    j.target_id, j.target_dn, j.target_version, j.columns, j.blank, j.same,
    CASE
        WHEN j.as_kind IN ('protected', 'duplicate', 'unread') OR (j.as_kind = 'unknown' AND NOT @remove_unknown::boolean) THEN 'told'
        WHEN h.state = 'refused' THEN 'refused'
        WHEN @give_up::bigint > 0 AND f.failures >= @give_up::bigint THEN 'given_up'
        ELSE 'planned'
    END,
    coalesce(h.state = 'approved', false),
    CASE WHEN j.of_source AND j.as_kind = 'protected' THEN 'another link mirrors it from the target to the source' ELSE coalesce(f.error, '') END, coalesce(f.hint, ''), coalesce(f.failures, 0)
FROM judged j
LEFT JOIN directory_failures f ON f.link = j.link AND f.key = j.key AND f.same = j.same
LEFT JOIN directory_held h ON h.link = j.link AND h.key = j.key AND h.kind = j.as_kind AND h.number = j.number AND h.columns = j.columns;

-- DirectoryMovers are the planned changes that need a number which an entry of
-- the target has, and every renumbering. freed_by is the change by which that
-- entry would give the number up, 0 where it keeps it.
-- name: DirectoryMovers :many
SELECT c.seq, c.kind, c.number, c.old_number, (c.target_id <> '')::boolean AS steady,
    (o.n IS NOT NULL)::boolean AS taken,
    coalesce(o.dn, '')::bytea AS taken_by,
    coalesce(f.seq, 0)::bigint AS freed_by, coalesce(f.kind, '')::text AS freed_kind
FROM directory_changes c
LEFT JOIN directory_staged o ON o.run_id = c.run_id AND o.side = 'target' AND o.number = c.number
LEFT JOIN directory_changes f ON f.run_id = c.run_id AND f.target_dn = o.dn AND f.old_number = o.number
    AND f.kind IN ('renumber', 'remove', 'unknown') AND f.state = 'planned'
WHERE c.run_id = @run_id AND c.state = 'planned' AND (c.kind = 'renumber' OR (c.kind = 'create' AND o.n IS NOT NULL))
ORDER BY c.seq;

-- OrderDirectoryChanges gives changes their places.
-- name: OrderDirectoryChanges :exec
UPDATE directory_changes c
SET seq = u.seq, needs = u.needs
FROM (SELECT unnest(@was::bigint[]) AS was, unnest(@seqs::bigint[]) AS seq, unnest(@needs::bigint[]) AS needs) u
WHERE c.run_id = @run_id AND c.seq = u.was;

-- TellDirectoryChanges makes changes that cannot be carried out told.
-- name: TellDirectoryChanges :exec
UPDATE directory_changes c
SET kind = 'duplicate', state = 'told', error = u.error, hint = @hint
FROM (SELECT unnest(@seqs::bigint[]) AS seq, unnest(@errors::text[]) AS error) u
WHERE c.run_id = @run_id AND c.seq = u.seq;

-- TellUnread says of the entries of a side that could not be read why, by number.
-- name: TellUnread :exec
UPDATE directory_changes c
SET error = u.error, hint = u.hint
FROM (SELECT unnest(@numbers::text[]) AS number, unnest(@errors::text[]) AS error, unnest(@hints::text[]) AS hint) u
WHERE c.run_id = @run_id AND c.kind = 'unread' AND c.number = u.number AND starts_with(c.key, 't') = @of_target::boolean;

-- AddDirectoryVia puts the first half of a renumbering before it.
-- name: AddDirectoryVia :exec
INSERT INTO directory_changes (run_id, seq, key, kind, number, old_number, via, source_id, source_dn, source_version,
    target_id, target_dn, target_version, columns, blank, same, state, approved)
SELECT c.run_id, sqlc.arg(via_seq)::bigint, c.key, c.kind, c.number, c.old_number, sqlc.arg(via)::text, c.source_id, c.source_dn, c.source_version,
    c.target_id, c.target_dn, c.target_version, c.columns, c.blank, c.same, c.state, c.approved
FROM directory_changes c
WHERE c.run_id = @run_id AND c.seq = sqlc.arg(of_seq)::bigint;

-- StagedNumbers are all numbers of both sides.
-- name: StagedNumbers :many
SELECT DISTINCT number FROM directory_staged WHERE run_id = @run_id;

-- EndPairs ends what is recorded of entries that both sides lost, and of those
-- that were found to belong to others.
-- name: EndPairs :many
DELETE FROM directory_pairs p
USING (
    SELECT q.source_key
    FROM directory_pairs q
    LEFT JOIN directory_staged s ON s.run_id = @run_id AND s.side = 'source'
        AND (CASE WHEN s.id <> '' THEN 's' || s.id ELSE 'n' || s.number END) COLLATE "C" = q.source_key
    LEFT JOIN directory_staged t ON t.run_id = @run_id AND t.side = 'target'
        AND (CASE WHEN t.id <> '' THEN 's' || t.id ELSE 'n' || t.number END) COLLATE "C" = q.target_key
    LEFT JOIN directory_matched a ON a.run_id = @run_id AND a.source_key = q.source_key
    LEFT JOIN directory_matched b ON b.run_id = @run_id AND b.target_key = q.target_key
    WHERE q.link = @link
        AND ((s.run_id IS NULL AND t.run_id IS NULL) OR a.run_id IS NOT NULL OR b.run_id IS NOT NULL)
) over
WHERE p.link = @link AND p.source_key = over.source_key
RETURNING p.number;

-- name: RecordMatched :exec
INSERT INTO directory_pairs (link, source_key, target_key, number)
SELECT @link, m.source_key, m.target_key, m.number FROM directory_matched m WHERE m.run_id = @run_id;

-- name: RecordDeparted :exec
INSERT INTO directory_departed (link, number, run_id)
SELECT DISTINCT @link::text, u.number, @run_id::text FROM (SELECT unnest(@numbers::text[]) AS number) u
ON CONFLICT (link, number) DO NOTHING;

-- FailuresSettled drops the counts of entries that changed since, or are equal.
-- name: FailuresSettled :exec
DELETE FROM directory_failures f
WHERE f.link = @link
    AND NOT EXISTS (SELECT FROM directory_changes c WHERE c.run_id = @run_id AND c.key = f.key AND c.same = f.same);

-- HeldSettled drops what was held or decided of changes that are no more, but not of
-- entries that could not be read, and HoldsSettled the holds of which nothing is left.
-- name: HeldSettled :exec
DELETE FROM directory_held h
WHERE h.link = @link
    AND NOT EXISTS (
        SELECT FROM directory_changes c
        WHERE c.run_id = @run_id AND c.key = h.key AND c.kind = h.kind AND c.number = h.number AND c.columns = h.columns
    )
    AND NOT EXISTS (SELECT FROM directory_changes c WHERE c.run_id = @run_id AND c.kind = 'unread' AND c.key = h.key)
    AND NOT EXISTS (SELECT FROM directory_changes c WHERE c.run_id = @run_id AND c.kind = 'unread' AND c.number = h.number);

-- name: HoldsSettled :exec
DELETE FROM directory_holds h
WHERE h.link = @link
    AND NOT EXISTS (SELECT FROM directory_held d WHERE d.link = h.link AND d.kind = h.kind AND d.state = h.state);
