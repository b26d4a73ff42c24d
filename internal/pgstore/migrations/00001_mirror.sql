-- What the operator configured, what the mirror knows, and what it did.
-- UIDs, UIDVALIDITYs and message counts are unsigned 32-bit numbers and stand
-- in bigint columns. Mod-sequences are unsigned 64-bit numbers in the bits of
-- a bigint (RFC 7162 keeps them below 2^63).
-- Names that are listed in order or paged through have the collation "C", so
-- that the order is the same on every server and the same as the program's.

-- +goose Up
CREATE TABLE stores (
    name            text COLLATE "C" PRIMARY KEY,
    imap_address    text NOT NULL,
    imap_security   text NOT NULL CHECK (imap_security IN ('none', 'starttls', 'tls')),
    ca_file         text NOT NULL,
    login           text NOT NULL CHECK (login IN ('authzid', 'separator')),
    separator       text NOT NULL,
    trusted_name    text NOT NULL,
    sealed_password bytea NOT NULL,
    greetings       text[] NOT NULL,
    minimum_release text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE links (
    name       text COLLATE "C" PRIMARY KEY,
    source     text COLLATE "C" NOT NULL CONSTRAINT links_source REFERENCES stores (name),
    target     text COLLATE "C" NOT NULL CONSTRAINT links_target REFERENCES stores (name),
    exclude    text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT links_two_stores CHECK (source <> target)
);
CREATE INDEX links_by_source ON links (source);
CREATE INDEX links_by_target ON links (target);

-- The row is the truth about what is due: dirty_generation above
-- clean_generation. Every compare touches every row, so there is room in the
-- pages for updates that need no new index entry.
CREATE TABLE mailboxes (
    link             text COLLATE "C" NOT NULL CONSTRAINT mailboxes_link REFERENCES links (name) ON DELETE CASCADE,
    number           text COLLATE "C" NOT NULL,
    dirty_generation bigint NOT NULL DEFAULT 1,
    clean_generation bigint NOT NULL DEFAULT 0,
    dirty_since      timestamptz DEFAULT now(),
    next_attempt_at  timestamptz NOT NULL DEFAULT now(),
    last_equal_at    timestamptz,
    last_review_at   timestamptz,
    failures         bigint NOT NULL DEFAULT 0,
    failing_since    timestamptz,
    error_kind       text NOT NULL DEFAULT '',
    error            text NOT NULL DEFAULT '',
    hint             text NOT NULL DEFAULT '',
    error_at         timestamptz,
    messages         bigint NOT NULL DEFAULT 0,
    greetings        bigint NOT NULL DEFAULT 0,
    differences      bigint NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- The one place that says what a mailbox's standing is called. Trouble
    -- that does not pass by itself parks a mailbox at once.
    state            text NOT NULL GENERATED ALWAYS AS (
        CASE
            WHEN failures > 3 OR (failures > 0 AND error_kind IN ('permanent', 'config')) THEN 'parked'
            WHEN last_review_at IS NULL THEN 'new'
            WHEN dirty_generation > clean_generation THEN 'dirty'
            WHEN differences > 0 THEN 'differing'
            ELSE 'equal'
        END
    ) STORED,
    PRIMARY KEY (link, number)
) WITH (fillfactor = 70);
CREATE INDEX mailboxes_due ON mailboxes (next_attempt_at) WHERE dirty_generation > clean_generation;

-- Every lease ever taken has an epoch of its own, also across mailboxes that
-- are removed and added again: an epoch is never valid twice.
CREATE SEQUENCE lease_epochs AS bigint;

-- Who may write to a mailbox's copy; every mailbox has its row from the start.
-- A lease is free where it was ended cleanly, or where it expired and the
-- fence after that has passed as well.
CREATE TABLE leases (
    link       text COLLATE "C" NOT NULL,
    number     text COLLATE "C" NOT NULL,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    clean      boolean NOT NULL,
    PRIMARY KEY (link, number),
    CONSTRAINT leases_mailbox FOREIGN KEY (link, number) REFERENCES mailboxes ON DELETE CASCADE
) WITH (fillfactor = 50);

-- The counters at which both sides were last proven equal are all zero where
-- they never were.
CREATE TABLE ledger_folders (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    link               text COLLATE "C" NOT NULL,
    number             text COLLATE "C" NOT NULL,
    folder             text COLLATE "C" NOT NULL,
    source_validity    bigint NOT NULL,
    target_validity    bigint NOT NULL,
    source_at_validity bigint NOT NULL,
    source_at_uidnext  bigint NOT NULL,
    source_at_messages bigint NOT NULL,
    source_at_modseq   bigint NOT NULL,
    target_at_validity bigint NOT NULL,
    target_at_uidnext  bigint NOT NULL,
    target_at_messages bigint NOT NULL,
    target_at_modseq   bigint NOT NULL,
    CONSTRAINT ledger_folders_name UNIQUE (link, number, folder),
    CONSTRAINT ledger_folders_mailbox FOREIGN KEY (link, number) REFERENCES mailboxes ON DELETE CASCADE
) WITH (fillfactor = 70);

-- length consecutive source UIDs paired with as many consecutive target UIDs.
CREATE TABLE ledger_runs (
    folder_id  bigint NOT NULL REFERENCES ledger_folders ON DELETE CASCADE,
    source_uid bigint NOT NULL,
    target_uid bigint NOT NULL,
    length     bigint NOT NULL,
    PRIMARY KEY (folder_id, source_uid)
);

-- The appends that were begun in a folder and not confirmed: source UIDs in
-- IMAP's sequence-set syntax, to be found from target_uidnext upward.
CREATE TABLE intents (
    folder_id      bigint PRIMARY KEY REFERENCES ledger_folders ON DELETE CASCADE,
    target_uidnext bigint NOT NULL,
    sources        text NOT NULL
);

CREATE TABLE differences (
    folder_id  bigint NOT NULL REFERENCES ledger_folders ON DELETE CASCADE,
    source_uid bigint NOT NULL,
    kind       text NOT NULL,
    detail     text NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (folder_id, source_uid, kind)
);

-- One row for every sync that did something or failed. It refers to nothing,
-- so that it outlives links and mailboxes; its key is what makes recording a
-- sync twice harmless, and holds the time, so that the table can be cut into
-- partitions by it.
CREATE TABLE history (
    id                      bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    link                    text COLLATE "C" NOT NULL,
    number                  text COLLATE "C" NOT NULL,
    started_at              timestamptz NOT NULL,
    run_id                  text NOT NULL,
    trigger                 text NOT NULL,
    finished_at             timestamptz NOT NULL,
    outcome                 text NOT NULL,
    messages_appended       bigint NOT NULL,
    messages_bytes          bigint NOT NULL,
    messages_flags_changed  bigint NOT NULL,
    messages_expunged       bigint NOT NULL,
    greetings_appended      bigint NOT NULL,
    greetings_bytes         bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged      bigint NOT NULL,
    folders_created         bigint NOT NULL,
    folders_deleted         bigint NOT NULL,
    folders_renamed         bigint NOT NULL,
    folders_subscribed      bigint NOT NULL,
    differences             bigint NOT NULL,
    source_messages         bigint NOT NULL,
    source_greetings        bigint NOT NULL,
    generation              bigint NOT NULL,
    error_kind              text NOT NULL,
    error                   text NOT NULL,
    hint                    text NOT NULL,
    PRIMARY KEY (link, number, started_at, run_id)
);
CREATE INDEX history_by_link ON history (link, started_at);

CREATE TABLE compare_runs (
    run_id      text COLLATE "C" PRIMARY KEY,
    link        text COLLATE "C" NOT NULL CONSTRAINT compare_runs_link REFERENCES links (name) ON DELETE CASCADE,
    trigger     text NOT NULL,
    mailboxes   bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX compare_runs_by_link ON compare_runs (link, started_at);

-- Progress page by page: a page that is reported again replaces what it
-- reported before, so that a retried page is not counted twice.
CREATE TABLE compare_pages (
    run_id                  text COLLATE "C" NOT NULL CONSTRAINT compare_pages_run REFERENCES compare_runs ON DELETE CASCADE,
    page                    bigint NOT NULL,
    updated_at              timestamptz NOT NULL DEFAULT now(),
    reviewed                bigint NOT NULL,
    unchanged               bigint NOT NULL,
    synced                  bigint NOT NULL,
    differing               bigint NOT NULL,
    failed                  bigint NOT NULL,
    busy                    bigint NOT NULL,
    messages_appended       bigint NOT NULL,
    messages_bytes          bigint NOT NULL,
    messages_flags_changed  bigint NOT NULL,
    messages_expunged       bigint NOT NULL,
    greetings_appended      bigint NOT NULL,
    greetings_bytes         bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged      bigint NOT NULL,
    due_messages            bigint NOT NULL,
    due_bytes               bigint NOT NULL,
    PRIMARY KEY (run_id, page)
);

-- compare_totals is a run with the sum of its pages.
CREATE VIEW compare_totals AS
SELECT r.run_id, r.link, r.trigger, r.mailboxes, r.started_at, r.finished_at,
    greatest(r.updated_at, p.updated_at)::timestamptz AS updated_at,
    p.reviewed, p.unchanged, p.synced, p.differing, p.failed, p.busy,
    p.messages_appended, p.messages_bytes, p.messages_flags_changed, p.messages_expunged,
    p.greetings_appended, p.greetings_bytes, p.greetings_flags_changed, p.greetings_expunged,
    p.due_messages, p.due_bytes
FROM compare_runs r
CROSS JOIN LATERAL (
    SELECT max(updated_at) AS updated_at,
        coalesce(sum(reviewed), 0)::bigint AS reviewed,
        coalesce(sum(unchanged), 0)::bigint AS unchanged,
        coalesce(sum(synced), 0)::bigint AS synced,
        coalesce(sum(differing), 0)::bigint AS differing,
        coalesce(sum(failed), 0)::bigint AS failed,
        coalesce(sum(busy), 0)::bigint AS busy,
        coalesce(sum(messages_appended), 0)::bigint AS messages_appended,
        coalesce(sum(messages_bytes), 0)::bigint AS messages_bytes,
        coalesce(sum(messages_flags_changed), 0)::bigint AS messages_flags_changed,
        coalesce(sum(messages_expunged), 0)::bigint AS messages_expunged,
        coalesce(sum(greetings_appended), 0)::bigint AS greetings_appended,
        coalesce(sum(greetings_bytes), 0)::bigint AS greetings_bytes,
        coalesce(sum(greetings_flags_changed), 0)::bigint AS greetings_flags_changed,
        coalesce(sum(greetings_expunged), 0)::bigint AS greetings_expunged,
        coalesce(sum(due_messages), 0)::bigint AS due_messages,
        coalesce(sum(due_bytes), 0)::bigint AS due_bytes
    FROM compare_pages WHERE compare_pages.run_id = r.run_id
) p;

-- ledger_lease locks a mailbox's lease for the rest of the transaction and
-- raises ML001 where the epoch is not the current one. It comes first in a
-- batch of statements that are sent together: its error undoes all of them.
-- A transaction that need not be durable when it returns says so here.
-- +goose StatementBegin
CREATE FUNCTION ledger_lease(of_link text, of_number text, of_epoch bigint, durable boolean) RETURNS void
    LANGUAGE plpgsql AS
$$
BEGIN
    PERFORM 1 FROM leases WHERE link = of_link AND number = of_number AND epoch = of_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease lost' USING ERRCODE = 'ML001';
    END IF;
    IF NOT durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION ledger_lease;
DROP VIEW compare_totals;
DROP TABLE compare_pages, compare_runs, history, differences, intents, ledger_runs, ledger_folders, leases,
    mailboxes, links, stores;
DROP SEQUENCE lease_epochs;
