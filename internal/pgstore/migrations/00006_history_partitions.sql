-- History month by month, so that what is old goes by dropping a partition: the
-- live one, and an archive to which whole months move.
--
-- The table is made anew under its old name, with the same columns and the same
-- key, so that the release before goes on reading and writing it. A row whose
-- month has no partition, as when nobody made one ahead, goes to the default
-- partition: recording what was done must not fail for that.

-- +goose Up
ALTER TABLE history RENAME TO history_before;
ALTER TABLE history_before RENAME CONSTRAINT history_pkey TO history_before_pkey;
ALTER INDEX history_by_link RENAME TO history_before_by_link;
CREATE SEQUENCE history_ids AS bigint;

CREATE TABLE history (
    id                      bigint NOT NULL DEFAULT nextval('history_ids'),
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
) PARTITION BY RANGE (started_at);
CREATE INDEX history_by_link ON history (link, started_at);

CREATE TABLE history_archive (
    id                      bigint NOT NULL,
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
) PARTITION BY RANGE (started_at);
CREATE INDEX history_archive_by_link ON history_archive (link, started_at);

CREATE TABLE history_rest PARTITION OF history DEFAULT;

-- history_month makes the partition of the month, in UTC, that a moment lies in.
-- Rows of that month that the default partition took meanwhile move there. It
-- returns false where it is there already.
-- +goose StatementBegin
CREATE FUNCTION history_month(of_time timestamptz) RETURNS boolean
    LANGUAGE plpgsql AS
$$
DECLARE
    first timestamptz := date_trunc('month', of_time AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
    next timestamptz := (date_trunc('month', of_time AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    part text := 'history_' || to_char(of_time AT TIME ZONE 'UTC', 'YYYYMM');
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- In the order in which a row is written: nobody adds one meanwhile.
    LOCK TABLE history IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE history)', part);
    EXECUTE format('WITH moved AS (DELETE FROM history_rest WHERE started_at >= %L AND started_at < %L RETURNING *)
        INSERT INTO %I SELECT * FROM moved', first, next, part);
    EXECUTE format('ALTER TABLE history ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', part, first, next);
    RETURN true;
END
$$;
-- +goose StatementEnd

SELECT history_month(m) FROM (
    SELECT DISTINCT date_trunc('month', started_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS m FROM history_before
    UNION
    SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + k * interval '1 month') AT TIME ZONE 'UTC'
    FROM generate_series(0, 3) k
) months;
INSERT INTO history SELECT * FROM history_before;
SELECT setval('history_ids', coalesce((SELECT max(id) FROM history_before), 0) + 1, false);
DROP TABLE history_before;

-- +goose Down
CREATE TABLE history_before (
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
    hint                    text NOT NULL
);
INSERT INTO history_before OVERRIDING SYSTEM VALUE SELECT * FROM history UNION ALL SELECT * FROM history_archive;
SELECT setval(pg_get_serial_sequence('history_before', 'id'), coalesce((SELECT max(id) FROM history_before), 0) + 1, false);
DROP TABLE history, history_archive;
DROP SEQUENCE history_ids;
DROP FUNCTION history_month;
ALTER TABLE history_before RENAME TO history;
ALTER TABLE history ADD PRIMARY KEY (link, number, started_at, run_id);
CREATE INDEX history_by_link ON history (link, started_at);
