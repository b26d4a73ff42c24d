-- The deletion guard: what waits for the operator, what was decided, what was
-- let go lately, and where deleted messages are kept.

-- +goose Up

-- recreated: the source's folder was seen to be another one than before, and
-- what is to go for that reason was not judged yet.
ALTER TABLE ledger_folders ADD COLUMN recreated boolean NOT NULL DEFAULT false;

-- The moves of deleted messages that were begun by copying and not confirmed.
CREATE TABLE moves (
    folder_id    bigint PRIMARY KEY REFERENCES ledger_folders ON DELETE CASCADE,
    to_folder    text NOT NULL,
    to_validity  bigint NOT NULL,
    to_uidnext   bigint NOT NULL,
    uids         text NOT NULL
);

-- held is how many messages of the target wait to be deleted.
ALTER TABLE mailboxes ADD COLUMN held bigint NOT NULL DEFAULT 0;
ALTER TABLE mailboxes DROP COLUMN state;
ALTER TABLE mailboxes ADD COLUMN state text NOT NULL GENERATED ALWAYS AS (
    CASE
        WHEN failures > 3 OR (failures > 0 AND error_kind IN ('permanent', 'config')) THEN 'parked'
        WHEN last_review_at IS NULL THEN 'new'
        WHEN held > 0 THEN 'held'
        WHEN dirty_generation > clean_generation THEN 'dirty'
        WHEN differences > 0 THEN 'differing'
        ELSE 'equal'
    END
) STORED;

-- What an operator set for a link; without a row the defaults hold.
CREATE TABLE guard_settings (
    link           text COLLATE "C" PRIMARY KEY CONSTRAINT guard_settings_link REFERENCES links (name) ON DELETE CASCADE,
    folder_share   bigint NOT NULL,
    folder_minimum bigint NOT NULL,
    folder_count   bigint NOT NULL,
    gone           bigint NOT NULL,
    span           interval NOT NULL,
    link_share     bigint NOT NULL,
    link_minimum   bigint NOT NULL,
    inbox_share    bigint NOT NULL,
    inbox_minimum  bigint NOT NULL,
    keep_deleted   interval NOT NULL,
    deleted_folder text NOT NULL,
    set_by         text NOT NULL,
    set_at         timestamptz NOT NULL DEFAULT now()
);

-- Messages of one folder of the target whose deletion waits, was approved and
-- is not done yet, or was refused: UIDs in IMAP's sequence-set syntax. The id is
-- that of what the operator was shown: it is another one once more waits.
CREATE SEQUENCE guard_hold_ids AS bigint;
CREATE TABLE guard_holds (
    link            text COLLATE "C" NOT NULL,
    number          text COLLATE "C" NOT NULL,
    folder          text COLLATE "C" NOT NULL,
    state           text NOT NULL CHECK (state IN ('waiting', 'approved', 'refused')),
    id              bigint NOT NULL DEFAULT nextval('guard_hold_ids') CONSTRAINT guard_holds_id UNIQUE,
    target_validity bigint NOT NULL,
    uids            text NOT NULL,
    messages        bigint NOT NULL,
    target_messages bigint NOT NULL,
    source_messages bigint NOT NULL,
    vanished        boolean NOT NULL,
    empties         boolean NOT NULL,
    rules           text[] NOT NULL,
    reasons         text[] NOT NULL,
    since           timestamptz NOT NULL DEFAULT clock_timestamp(),
    asked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_by      text NOT NULL DEFAULT '',
    decided_at      timestamptz,
    PRIMARY KEY (link, number, folder, state),
    CONSTRAINT guard_holds_mailbox FOREIGN KEY (link, number) REFERENCES mailboxes ON DELETE CASCADE
);

-- What was let go without an approval, as long as the limits look back. A sync
-- that is repeated reserves nothing twice: only UIDs that are new are added.
CREATE TABLE guard_reserved (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link            text COLLATE "C" NOT NULL,
    number          text COLLATE "C" NOT NULL,
    folder          text COLLATE "C" NOT NULL,
    target_validity bigint NOT NULL,
    uids            text NOT NULL,
    messages        bigint NOT NULL,
    empties         boolean NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT guard_reserved_mailbox FOREIGN KEY (link, number) REFERENCES mailboxes ON DELETE CASCADE
);
CREATE INDEX guard_reserved_by_link ON guard_reserved (link, at);
CREATE INDEX guard_reserved_by_mailbox ON guard_reserved (link, number, folder);

-- Who decided what, and when. It refers to nothing, so that it outlives all.
CREATE TABLE guard_decisions (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    who      text NOT NULL,
    decision text NOT NULL,
    link     text COLLATE "C" NOT NULL,
    number   text COLLATE "C" NOT NULL,
    folder   text COLLATE "C" NOT NULL,
    hold_id  bigint NOT NULL,
    messages bigint NOT NULL,
    reasons  text[] NOT NULL
);
CREATE INDEX guard_decisions_by_link ON guard_decisions (link, at);

-- +goose Down
DROP TABLE guard_decisions, guard_reserved, guard_holds, guard_settings, moves;
DROP SEQUENCE guard_hold_ids;
ALTER TABLE ledger_folders DROP COLUMN recreated;
ALTER TABLE mailboxes DROP COLUMN state;
ALTER TABLE mailboxes DROP COLUMN held;
ALTER TABLE mailboxes ADD COLUMN state text NOT NULL GENERATED ALWAYS AS (
    CASE
        WHEN failures > 3 OR (failures > 0 AND error_kind IN ('permanent', 'config')) THEN 'parked'
        WHEN last_review_at IS NULL THEN 'new'
        WHEN dirty_generation > clean_generation THEN 'dirty'
        WHEN differences > 0 THEN 'differing'
        ELSE 'equal'
    END
) STORED;
