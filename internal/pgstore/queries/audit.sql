-- name: InsertAudit :one
INSERT INTO audit (actor, way, command, link, store, subject, detail, outcome)
VALUES (@actor, @way, @command, @link, @store, @subject, @detail, @outcome)
RETURNING id;

-- name: SetAuditOutcome :exec
UPDATE audit SET outcome = @outcome WHERE id = @id;

-- ListAudit leaves out, if a link is named, what is about other links, or about stores
-- that the link does not have.
-- name: ListAudit :many
SELECT * FROM audit
WHERE @for_link::text = ''
    OR link IN ('', @for_link)
    AND (store = '' OR EXISTS (SELECT FROM links l WHERE l.name = @for_link AND audit.store IN (l.source, l.target)))
ORDER BY id DESC
LIMIT nullif(@max_rows::bigint, 0);
