-- Whether a message of the target is still the one that the ledger knows by its UID.

-- +goose Up

-- What the target told of a folder's messages, in blocks of 256 UIDs: first_uid is a
-- multiple of 256. data holds 9 bytes for each message: its UID minus first_uid, and
-- then the lowest 32 bits of its size in bytes and of its INTERNALDATE in Unix
-- seconds, the highest byte first.
CREATE TABLE ledger_witnesses (
    folder_id bigint NOT NULL REFERENCES ledger_folders ON DELETE CASCADE,
    first_uid bigint NOT NULL,
    data      bytea NOT NULL,
    PRIMARY KEY (folder_id, first_uid)
);

-- Nothing is known of the messages that are in the ledger by now. Without the target's
-- counters, but for a UIDNEXT that might go back, the next compare looks at all of
-- them, and what it finds equal on both sides is known from then on.
UPDATE ledger_folders SET target_at_validity = 0, target_at_messages = 0, target_at_modseq = 0;

-- +goose Down
DROP TABLE ledger_witnesses;
