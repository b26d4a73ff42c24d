-- What lets several workers share an installation for a long time: epochs that
-- survive a restore, rebuilds of the ledger, bounds on connections and on
-- bandwidth. Everything is added; the release before goes on working beside it.

-- +goose Up
-- A rebuild of the ledger is recorded like a compare, page by page.
ALTER TABLE compare_runs ADD COLUMN kind text NOT NULL DEFAULT 'compare' CHECK (kind IN ('compare', 'rebuild'));

CREATE OR REPLACE VIEW compare_totals AS
SELECT r.run_id, r.link, r.trigger, r.mailboxes, r.started_at, r.finished_at,
    greatest(r.updated_at, p.updated_at)::timestamptz AS updated_at,
    p.reviewed, p.unchanged, p.synced, p.differing, p.failed, p.busy,
    p.messages_appended, p.messages_bytes, p.messages_flags_changed, p.messages_expunged,
    p.greetings_appended, p.greetings_bytes, p.greetings_flags_changed, p.greetings_expunged,
    p.due_messages, p.due_bytes, r.kind
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

-- An epoch that was valid once must never be again, or a worker that was cut
-- off could go on writing under the lease of another. A sequence does not give
-- that: it goes back with the database that is restored from a backup, and on a
-- standby that takes over before the last transactions reached it. So every
-- epoch that anybody sets is replaced by the time, in microseconds times 1024
-- plus chance, and by no less than one more than the row's last: it ascends, and
-- two databases that went apart do not give out the same one. It is a trigger
-- and not part of the statements, so that it holds for every release that runs
-- beside this one. The numbers last until the year 2255.
-- +goose StatementBegin
CREATE FUNCTION lease_epoch() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    NEW.epoch := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint;
    IF TG_OP = 'UPDATE' THEN
        NEW.epoch := greatest(NEW.epoch, OLD.epoch + 1);
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER leases_epoch BEFORE INSERT OR UPDATE OF epoch ON leases
    FOR EACH ROW EXECUTE FUNCTION lease_epoch();

-- How many connections to a store all workers together may hold; 0 is as many
-- as they like.
ALTER TABLE stores ADD COLUMN max_connections bigint NOT NULL DEFAULT 0 CHECK (max_connections >= 0);

-- The share of a store's connections that each process holds, until it expires.
-- turn is when the process got its first connection, or began to wait for one:
-- the oldest comes first where there are fewer connections than processes.
CREATE TABLE connection_shares (
    store      text COLLATE "C" NOT NULL REFERENCES stores (name) ON DELETE CASCADE,
    holder     text NOT NULL,
    held       bigint NOT NULL,
    in_use     bigint NOT NULL,
    wanted     bigint NOT NULL,
    turn       timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (store, holder)
) WITH (fillfactor = 50);

-- The bandwidth of a link, bytes per second, 0 without a bound; the windows in
-- which another one holds, and the time zone that they are in.
ALTER TABLE links
    ADD COLUMN bandwidth bigint NOT NULL DEFAULT 0 CHECK (bandwidth >= 0),
    ADD COLUMN bandwidth_windows text[] NOT NULL DEFAULT '{}',
    ADD COLUMN bandwidth_timezone text NOT NULL DEFAULT '';

-- Up to when the bandwidth of a link is given away.
CREATE TABLE link_pace (
    link    text COLLATE "C" PRIMARY KEY REFERENCES links (name) ON DELETE CASCADE,
    free_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE link_pace;
ALTER TABLE links DROP COLUMN bandwidth, DROP COLUMN bandwidth_windows, DROP COLUMN bandwidth_timezone;
DROP TABLE connection_shares;
ALTER TABLE stores DROP COLUMN max_connections;
DROP TRIGGER leases_epoch ON leases;
DROP FUNCTION lease_epoch;
DROP VIEW compare_totals;
DELETE FROM compare_runs WHERE kind <> 'compare';
ALTER TABLE compare_runs DROP COLUMN kind;
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
