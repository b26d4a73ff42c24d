-- What the mirror put on a target, beyond the pairs that are still pairs, and
-- what only a target has.

-- +goose Up

-- former: UIDs of the target, in IMAP's sequence-set syntax, that were in a pair
-- and are in none now. The guard holds every other message that only the target has.
ALTER TABLE ledger_folders ADD COLUMN former text NOT NULL DEFAULT '';

-- target_only is how many of the messages the mirror did not put on the target.
ALTER TABLE guard_holds ADD COLUMN target_only bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE guard_holds DROP COLUMN target_only;
ALTER TABLE ledger_folders DROP COLUMN former;
