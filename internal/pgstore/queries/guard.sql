-- name: GetGuardSettings :one
SELECT * FROM guard_settings WHERE link = @link;

-- name: SetGuardSettings :exec
INSERT INTO guard_settings (link, folder_share, folder_minimum, folder_count, gone, span, link_share, link_minimum,
    inbox_share, inbox_minimum, keep_deleted, deleted_folder, set_by)
VALUES (@link, @folder_share, @folder_minimum, @folder_count, @gone, @span, @link_share, @link_minimum,
    @inbox_share, @inbox_minimum, @keep_deleted, @deleted_folder, @set_by)
ON CONFLICT (link) DO UPDATE
SET folder_share = excluded.folder_share, folder_minimum = excluded.folder_minimum, folder_count = excluded.folder_count,
    gone = excluded.gone, span = excluded.span, link_share = excluded.link_share, link_minimum = excluded.link_minimum,
    inbox_share = excluded.inbox_share, inbox_minimum = excluded.inbox_minimum, keep_deleted = excluded.keep_deleted,
    deleted_folder = excluded.deleted_folder, set_by = excluded.set_by, set_at = now();

-- LockGuard lets one mailbox of a link at a time be judged, so that two that
-- are each below a limit of the link do not pass it together.
-- name: LockGuard :exec
SELECT 1 FROM links WHERE name = @link FOR NO KEY UPDATE;

-- name: FolderHolds :many
SELECT * FROM guard_holds WHERE link = @link AND number = @number AND folder = @folder;

-- name: FolderReserved :many
SELECT uids FROM guard_reserved
WHERE link = @link AND number = @number AND folder = @folder AND target_validity = @target_validity
    AND at > clock_timestamp() - sqlc.arg(span)::interval;

-- LinkPast sums up what was let go or held in a link lately. What the mirror did
-- not put on the target is no deletion of the source's. Emptied leaves the
-- given mailbox out.
-- name: LinkPast :one
SELECT (
        (
            SELECT coalesce(sum(r.messages), 0) FROM guard_reserved r
            WHERE r.link = @link AND r.at > clock_timestamp() - sqlc.arg(span)::interval
        ) + (
            SELECT coalesce(sum(h.messages - h.target_only), 0) FROM guard_holds h
            WHERE h.link = @link AND h.state = 'waiting' AND h.asked_at > clock_timestamp() - sqlc.arg(span)::interval
        )
    )::bigint AS deleted,
    (
        SELECT count(*) FROM (
            SELECT r.number FROM guard_reserved r
            WHERE r.link = @link AND r.empties AND r.number <> @number AND r.at > clock_timestamp() - sqlc.arg(span)::interval
            UNION
            SELECT h.number FROM guard_holds h
            WHERE h.link = @link AND h.empties AND h.number <> @number AND h.state = 'waiting'
                AND h.asked_at > clock_timestamp() - sqlc.arg(span)::interval
        ) e
    )::bigint AS emptied;

-- name: LinkSize :one
SELECT count(*) AS mailboxes, coalesce(sum(messages + greetings), 0)::bigint AS messages
FROM mailboxes WHERE link = @link;

-- PutHold keeps the id of what was asked about before, unless fresh says that
-- there is more to ask about.
-- name: PutHold :exec
INSERT INTO guard_holds (link, number, folder, state, target_validity, uids, messages, target_messages, source_messages,
    vanished, empties, rules, reasons, decided_by, decided_at, target_only)
VALUES (@link, @number, @folder, @state, @target_validity, @uids, @messages, @target_messages, @source_messages,
    @vanished, @empties, @rules, @reasons, @decided_by, @decided_at, @target_only)
ON CONFLICT (link, number, folder, state) DO UPDATE
SET id = CASE WHEN @fresh::boolean THEN nextval('guard_hold_ids') ELSE guard_holds.id END,
    asked_at = CASE WHEN @fresh::boolean THEN clock_timestamp() ELSE guard_holds.asked_at END,
    updated_at = clock_timestamp(),
    target_validity = excluded.target_validity, uids = excluded.uids, messages = excluded.messages,
    target_messages = excluded.target_messages, source_messages = excluded.source_messages,
    vanished = excluded.vanished, empties = excluded.empties, rules = excluded.rules, reasons = excluded.reasons,
    decided_by = excluded.decided_by, decided_at = excluded.decided_at, target_only = excluded.target_only;

-- name: DropHold :exec
DELETE FROM guard_holds WHERE link = @link AND number = @number AND folder = @folder AND state = @state;

-- SettleHolds ends what the guard noted of folders in which nothing is due.
-- name: SettleHolds :exec
DELETE FROM guard_holds WHERE link = @link AND number = @number AND NOT folder = ANY (@undecided::text[]);

-- CountHeld brings the mailbox's own count up to date.
-- name: CountHeld :exec
UPDATE mailboxes
SET held = (
    SELECT coalesce(sum(h.messages), 0)::bigint FROM guard_holds h
    WHERE h.link = @link AND h.number = @number AND h.state = 'waiting'
)
WHERE mailboxes.link = @link AND mailboxes.number = @number;

-- name: Reserve :exec
INSERT INTO guard_reserved (link, number, folder, target_validity, uids, messages, empties)
VALUES (@link, @number, @folder, @target_validity, @uids, @messages, @empties);

-- ForgetReserved keeps a day more than the limits look back, for a window that
-- is made longer.
-- name: ForgetReserved :exec
DELETE FROM guard_reserved
WHERE link = @link AND at < clock_timestamp() - sqlc.arg(span)::interval - interval '1 day';

-- name: ListHolds :many
SELECT * FROM guard_holds
WHERE @link::text = '' OR link = @link
ORDER BY link, number, folder, state;

-- LinksOfHolds lists the links in the order in which all of them are locked.
-- name: LinksOfHolds :many
SELECT DISTINCT link FROM guard_holds WHERE id = ANY (@ids::bigint[])
ORDER BY link;

-- LockHolds takes the holds in the order in which all of them are locked.
-- name: LockHolds :many
SELECT * FROM guard_holds WHERE id = ANY (@ids::bigint[])
ORDER BY link, number, folder, state
FOR UPDATE;

-- name: FindHold :many
SELECT * FROM guard_holds WHERE link = @link AND number = @number AND folder = @folder AND state = @state
FOR UPDATE;

-- name: InsertGuardDecision :exec
INSERT INTO guard_decisions (who, decision, link, number, folder, hold_id, messages, reasons)
VALUES (@who, @decision, @link, @number, @folder, @hold_id, @messages, @reasons);

-- name: ListGuardDecisions :many
SELECT * FROM guard_decisions
WHERE link = @link
ORDER BY at DESC, id DESC
LIMIT nullif(@max_rows::bigint, 0);

-- name: CloseMoves :exec
DELETE FROM moves m
USING ledger_folders f
WHERE f.link = @link AND f.number = @number AND f.folder = ANY (@folders::text[]) AND m.folder_id = f.id;

-- name: OpenMoves :exec
INSERT INTO moves (folder_id, to_folder, to_validity, to_uidnext, uids, copied)
SELECT f.id, u.to_folder, u.to_validity, u.to_uidnext, u.uids, u.copied
FROM (
    SELECT unnest(@folders::text[]) AS folder,
        unnest(@to_folders::text[]) AS to_folder,
        unnest(@to_validities::bigint[]) AS to_validity,
        unnest(@to_uidnexts::bigint[]) AS to_uidnext,
        unnest(@uids::text[]) AS uids,
        unnest(@copied::text[]) AS copied
) u
JOIN ledger_folders f ON f.link = @link AND f.number = @number AND f.folder = u.folder
ON CONFLICT (folder_id) DO UPDATE
SET to_folder = excluded.to_folder, to_validity = excluded.to_validity, to_uidnext = excluded.to_uidnext, uids = excluded.uids,
    copied = excluded.copied;

-- HeldTotals sums up what the guard holds, for metrics.
-- name: HeldTotals :many
SELECT link, state, coalesce(sum(messages), 0)::bigint AS messages FROM guard_holds
GROUP BY link, state;
