-- What was copied to where deleted messages are kept, and had to stay then.

-- +goose Up
ALTER TABLE moves ADD COLUMN copied text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE moves DROP COLUMN copied;
