-- New mail of a parked mailbox.

-- +goose Up

-- parked_until is when a mailbox that failed is due again by itself;
-- next_attempt_at is earlier if something changed. early_at is the first moment
-- at which a change makes a parked mailbox due. It is null if the store was
-- the reason: a change then finds no store that could be written to.
ALTER TABLE mailboxes ADD COLUMN parked_until timestamptz, ADD COLUMN early_at timestamptz;

-- early_distance is the time between two tries that changes lead to, by how long
-- the mailbox has been failing.
-- +goose StatementBegin
CREATE FUNCTION early_distance(failing_since timestamptz) RETURNS interval
    LANGUAGE sql VOLATILE AS $$
    SELECT least(interval '5 minutes', greatest(interval '5 seconds', (clock_timestamp() - failing_since) / 10))
$$;
-- +goose StatementEnd

-- +goose Down
ALTER TABLE mailboxes DROP COLUMN parked_until, DROP COLUMN early_at;
DROP FUNCTION early_distance(timestamptz);
