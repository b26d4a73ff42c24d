-- LockLinks lets one transaction at a time add mailboxes, among links that stay
-- as they are meanwhile. It is in the way of nothing that a sync or a compare
-- does.
-- name: LockLinks :exec
LOCK TABLE links IN SHARE ROW EXCLUSIVE MODE;

-- name: InsertMailboxes :one
WITH added AS (
    INSERT INTO mailboxes (link, number, account)
    SELECT @link, unnest(@numbers::text[]), unnest(@accounts::text[])
    ON CONFLICT (link, number) DO NOTHING
    RETURNING link, number
), leased AS (
    INSERT INTO write_leases (kind, link, number, epoch, expires_at, clean)
    SELECT 'mailbox', link, number, 0, now(), true FROM added
)
SELECT count(*) FROM added;

-- ForgetFormer forgets where mailboxes came from.
-- name: ForgetFormer :exec
DELETE FROM former_mailboxes f
WHERE f.account IN (SELECT composed(account) FROM unnest(@accounts::text[]) AS account);

-- WriterConflicts are the mailboxes that must not be written to.
-- name: WriterConflicts :many
SELECT c.link, c.number, c.conflict::text AS conflict
FROM (SELECT m.link, m.number, writer_conflict(m.link, m.number) AS conflict FROM mailboxes m) c
WHERE c.conflict IS NOT NULL
ORDER BY c.link, c.number;

-- ClaimAccounts records which accounts a sync opened.
-- name: ClaimAccounts :one
SELECT claim_accounts(@link, @number, @source, @target);

-- name: DeleteMailboxes :execrows
DELETE FROM mailboxes WHERE link = @link AND number = ANY (@numbers::text[]);

-- name: GetMailbox :one
SELECT * FROM mailboxes WHERE link = @link AND number = @number;

-- ListMailboxes pages by number; max_rows 0 means all.
-- name: ListMailboxes :many
SELECT * FROM mailboxes
WHERE link = @link AND number > @after
ORDER BY number
LIMIT nullif(@max_rows::bigint, 0);

-- name: NumbersPage :many
SELECT number FROM mailboxes
WHERE link = @link AND number > @after
ORDER BY number
LIMIT nullif(@max_rows::bigint, 0);

-- PageEnd adds up what the mailboxes of a page cost: one that is settled 1,
-- any other due_cost.
-- name: PageEnd :one
SELECT coalesce(max(page.number), '')::text AS last
FROM (
    SELECT m.number, sum(CASE WHEN m.state IN ('equal', 'differing') THEN 1 ELSE @due_cost::bigint END) OVER (ORDER BY m.number) AS cost
    FROM mailboxes m
    WHERE m.link = @link AND m.number > @after
    ORDER BY m.number
    LIMIT @budget::bigint
) page
WHERE page.cost <= @budget::bigint;

-- name: CountMailboxes :one
SELECT count(*) FROM mailboxes WHERE link = @link;

-- MarkDirty keeps the place in the queue of a mailbox that is due already, so
-- that one that changes all the time is not put off for ever.
-- name: MarkDirty :one
UPDATE mailboxes
SET dirty_generation = dirty_generation + 1,
    dirty_since = CASE WHEN dirty_generation > clean_generation THEN dirty_since ELSE clock_timestamp() END,
    next_attempt_at = CASE
        WHEN dirty_generation > clean_generation THEN least(next_attempt_at, clock_timestamp())
        ELSE clock_timestamp()
    END
WHERE link = @link AND number = @number
RETURNING dirty_generation;

-- DueMailboxes leaves to a compare that is under way what it is going to copy
-- for the first time: mailboxes that were there when it began and that are due
-- for no other reason than that they are new. A compare of which nothing was
-- heard for max_silence counts as dead, and holds up nobody.
--
-- A parked mailbox for which a store was the reason is due before its time if
-- another mailbox of the link was found or made equal since, so that the stores
-- answer again, or if the settings of a store were changed since. early_distance
-- keeps such tries apart, so that a store that works for some mailboxes only is not
-- flooded. A permanent failure is the mailbox's own: the store answered, and
-- rejected the mailbox.
-- name: DueMailboxes :many
WITH comparing AS MATERIALIZED (
    SELECT r.link, max(r.started_at)::timestamptz AS started_at
    FROM compare_runs r
    WHERE r.finished_at IS NULL
        AND greatest(r.updated_at, (SELECT max(p.updated_at) FROM compare_pages p WHERE p.run_id = r.run_id))
            > clock_timestamp() - sqlc.arg(max_silence)::interval
    GROUP BY r.link
), working AS MATERIALIZED (
    SELECT k.name AS link, greatest(source.updated_at, target.updated_at, b.at)::timestamptz AS at
    FROM links k
    JOIN stores source ON source.name = k.source
    JOIN stores target ON target.name = k.target
    LEFT JOIN (SELECT r.link, max(r.last_review_at) AS at FROM mailboxes r GROUP BY r.link) b ON b.link = k.name
)
SELECT m.link, m.number
FROM mailboxes m
JOIN write_leases l ON l.kind = 'mailbox' AND l.link = m.link AND l.number = m.number
LEFT JOIN comparing c ON c.link = m.link AND c.started_at >= m.created_at
JOIN working w ON w.link = m.link
WHERE m.dirty_generation > m.clean_generation
    AND (
        m.next_attempt_at <= clock_timestamp()
        OR (
            m.state = 'parked' AND m.early_at IS NULL AND m.error_kind <> 'permanent' AND w.at > m.error_at
            AND m.error_at + early_distance(m.failing_since) <= clock_timestamp()
        )
    )
    AND (l.clean OR l.expires_at <= clock_timestamp())
    AND NOT EXISTS (SELECT FROM link_suspensions s WHERE s.link = m.link AND s.state <> 'running')
    AND (c.link IS NULL OR m.last_review_at IS NOT NULL OR m.failures > 0 OR m.dirty_generation > 1)
ORDER BY m.next_attempt_at, m.link, m.number
LIMIT nullif(@max_rows::bigint, 0);

-- ReviewFolders gives one row for each folder of each mailbox, and one row
-- with no folder for a mailbox that the ledger knows nothing of.
-- name: ReviewFolders :many
SELECT m.number, m.dirty_generation,
    coalesce(f.folder, '') AS folder,
    coalesce(f.source_validity, 0) AS source_validity,
    coalesce(f.target_validity, 0) AS target_validity,
    coalesce(f.source_at_validity, 0) AS source_at_validity,
    coalesce(f.source_at_uidnext, 0) AS source_at_uidnext,
    coalesce(f.source_at_messages, 0) AS source_at_messages,
    coalesce(f.source_at_modseq, 0) AS source_at_modseq,
    coalesce(f.target_at_validity, 0) AS target_at_validity,
    coalesce(f.target_at_uidnext, 0) AS target_at_uidnext,
    coalesce(f.target_at_messages, 0) AS target_at_messages,
    coalesce(f.target_at_modseq, 0) AS target_at_modseq,
    coalesce(i.target_uidnext, 0) AS intent_uidnext,
    coalesce(i.sources, '') AS intent_sources
FROM mailboxes m
LEFT JOIN ledger_folders f ON f.link = m.link AND f.number = m.number
LEFT JOIN intents i ON i.folder_id = f.id
WHERE m.link = @link AND m.number = ANY (@numbers::text[])
ORDER BY m.number, f.folder;

-- name: ReviewDifferences :many
SELECT f.number, f.folder, d.source_uid, d.kind, d.detail
FROM ledger_folders f
JOIN differences d ON d.folder_id = f.id
WHERE f.link = @link AND f.number = ANY (@numbers::text[])
ORDER BY f.number, f.folder, d.source_uid, d.kind;

-- RecordReviewed records that mailboxes were found as they were last left.
-- Saying it again changes nothing but the times. A mailbox with lasting
-- differences is not equal, so its last_equal_at stays.
-- name: RecordReviewed :exec
UPDATE mailboxes m
SET last_review_at = clock_timestamp(),
    last_equal_at = CASE WHEN m.differences = 0 THEN clock_timestamp() ELSE m.last_equal_at END,
    messages = u.messages,
    greetings = u.greetings,
    clean_generation = least(m.dirty_generation, greatest(m.clean_generation, u.generation)),
    dirty_since = CASE WHEN m.dirty_generation > greatest(m.clean_generation, u.generation) THEN m.dirty_since END,
    next_attempt_at = CASE WHEN m.failures > 0 THEN clock_timestamp() ELSE m.next_attempt_at END,
    failures = 0, failing_since = NULL, error_kind = '', error = '', hint = '', error_at = NULL
FROM (
    SELECT unnest(@numbers::text[]) AS number,
        unnest(@generations::bigint[]) AS generation,
        unnest(@messages::bigint[]) AS messages,
        unnest(@greetings::bigint[]) AS greetings
) u
WHERE m.link = @link AND m.number = u.number;

-- RecordSynced is the end of a sync that left the mailbox equal, or equal but
-- for lasting differences. What became due after the sync had read its
-- generation is still due, and is no older than the sync.
-- name: RecordSynced :exec
UPDATE mailboxes
SET last_review_at = clock_timestamp(),
    last_equal_at = CASE WHEN @equal::boolean THEN clock_timestamp() ELSE last_equal_at END,
    messages = @messages,
    greetings = @greetings,
    differences = @differences,
    held = coalesce((
        SELECT sum(h.messages) FROM guard_holds h
        WHERE h.link = @link AND h.number = @number AND h.state = 'waiting'
    ), 0),
    clean_generation = least(dirty_generation, greatest(clean_generation, @generation::bigint)),
    dirty_since = CASE
        WHEN dirty_generation > greatest(clean_generation, @generation::bigint)
        THEN least(clock_timestamp(), greatest(dirty_since, @started_at::timestamptz))
    END,
    next_attempt_at = CASE WHEN failures > 0 THEN clock_timestamp() ELSE next_attempt_at END,
    failures = 0, failing_since = NULL, error_kind = '', error = '', hint = '', error_at = NULL
WHERE mailboxes.link = @link AND mailboxes.number = @number;

-- RecordFailed leaves the mailbox due, or makes it due where it was not. in_part
-- is true if the stores work and a folder is the reason. A try of a parked mailbox
-- that began before parked_until (for a change, because the stores answer again,
-- for a compare, or because an operator asked) does not count as a failure more:
-- the mailbox waits no longer than without that try. What changed since the sync
-- had read its generation is due early.
-- name: RecordFailed :execrows
WITH next AS MATERIALIZED (
    SELECT m.link, m.number, e.early,
        CASE WHEN e.early THEN m.parked_until ELSE clock_timestamp() + sqlc.arg(retry_after)::interval END AS parked_until,
        CASE WHEN @in_part::boolean
            THEN greatest(CASE WHEN m.failures > 0 THEN m.early_at END,
                clock_timestamp() + early_distance(coalesce(m.failing_since, clock_timestamp())))
        END AS early_at
    FROM mailboxes m
    CROSS JOIN LATERAL (
        SELECT coalesce(m.state = 'parked'
            AND clock_timestamp() - sqlc.arg(lasted)::interval < m.parked_until, false) AS early
    ) e
    WHERE m.link = @link AND m.number = @number
    FOR UPDATE OF m
)
UPDATE mailboxes m
SET failures = m.failures + CASE WHEN n.early THEN 0 ELSE 1 END,
    failing_since = coalesce(m.failing_since, clock_timestamp()),
    error_kind = @error_kind, error = @error, hint = @hint, error_at = clock_timestamp(),
    parked_until = n.parked_until,
    early_at = n.early_at,
    next_attempt_at = CASE
        WHEN m.dirty_generation > @generation::bigint THEN least(n.parked_until, coalesce(n.early_at, n.parked_until))
        ELSE n.parked_until
    END,
    dirty_since = CASE WHEN m.dirty_generation > m.clean_generation THEN m.dirty_since ELSE clock_timestamp() END,
    dirty_generation = CASE
        WHEN m.dirty_generation > m.clean_generation THEN m.dirty_generation
        ELSE m.dirty_generation + 1
    END
FROM next n
WHERE m.link = n.link AND m.number = n.number;
