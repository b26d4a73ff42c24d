-- What workers found when they checked a store or verified a link.

-- +goose Up
-- One row for each check that has ended. report is verdict.Store.
CREATE TABLE store_checks (
    run_id      text COLLATE "C" PRIMARY KEY,
    store       text COLLATE "C" NOT NULL CONSTRAINT store_checks_store REFERENCES stores (name) ON DELETE CASCADE,
    mailbox     text COLLATE "C" NOT NULL, -- '' where none was acted for
    started_at  timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    report      json NOT NULL,
    error_kind  text NOT NULL,
    error       text NOT NULL, -- '' where nothing is wrong
    hint        text NOT NULL
);
CREATE INDEX store_checks_by_store ON store_checks (store, started_at);

-- Counts are lists: compared, missing, extra, flags, dates, content, unreadable.
--
-- While a verification runs, each mailbox that was compared has a row in
-- verify_mailboxes. When it ends, those that are equal are added up in verify_runs,
-- and their rows go.
CREATE TABLE verify_runs (
    run_id      text COLLATE "C" PRIMARY KEY,
    link        text COLLATE "C" NOT NULL CONSTRAINT verify_runs_link REFERENCES links (name) ON DELETE CASCADE,
    deep        boolean NOT NULL,
    planned     bigint NOT NULL,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    error_kind  text NOT NULL DEFAULT '',
    error       text NOT NULL DEFAULT '',
    hint        text NOT NULL DEFAULT '',
    equal       bigint NOT NULL DEFAULT 0,
    bytes       bigint NOT NULL DEFAULT 0,
    messages    bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0}',
    greetings   bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0}'
);
CREATE INDEX verify_runs_by_link ON verify_runs (link, started_at);

-- folders is a list of verdict.Folder, '[]' where the mailbox is equal.
CREATE TABLE verify_mailboxes (
    run_id     text COLLATE "C" NOT NULL CONSTRAINT verify_mailboxes_run REFERENCES verify_runs ON DELETE CASCADE,
    number     text COLLATE "C" NOT NULL,
    equal      boolean NOT NULL,
    bytes      bigint NOT NULL,
    messages   bigint[] NOT NULL,
    greetings  bigint[] NOT NULL,
    folders    json NOT NULL,
    omitted    bigint NOT NULL,
    error_kind text NOT NULL,
    error      text NOT NULL, -- '' where it was compared to the end
    hint       text NOT NULL,
    PRIMARY KEY (run_id, number)
);

-- add_counts adds two lists of counts, sum_counts all of them.
CREATE FUNCTION add_counts(a bigint[], b bigint[]) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE AS
$$
SELECT ARRAY[a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4], a[5] + b[5], a[6] + b[6], a[7] + b[7]]
$$;
CREATE AGGREGATE sum_counts(bigint[]) (SFUNC = add_counts, STYPE = bigint[], INITCOND = '{0,0,0,0,0,0,0}');

-- +goose Down
DROP TABLE verify_mailboxes, verify_runs, store_checks;
DROP AGGREGATE sum_counts(bigint[]);
DROP FUNCTION add_counts;
