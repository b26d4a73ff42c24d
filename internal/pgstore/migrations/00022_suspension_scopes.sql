-- A suspension has a scope: everything (suspension), or one link by itself
-- (link_suspensions).

-- +goose Up

-- The proof that link_suspensions lacks no suspension, as in 00018_suspension_proof.sql:
-- the row was written by this server since it was started. Without the proof no lease is
-- given. Whoever gives it has asked Temporal about every link. It is a row of its own,
-- since a worker of a release before asks about everything only, and writes suspension
-- then.
CREATE TABLE link_suspension_proof (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    written_by   bigint NOT NULL DEFAULT -1,
    server_start timestamptz NOT NULL DEFAULT '-infinity'
);
-- No release before suspends a link by itself. So nothing is lacking in a database that
-- is not restored from a copy.
INSERT INTO link_suspension_proof (written_by, server_start)
SELECT (pg_current_xact_id()::text::numeric % 4294967296)::bigint, pg_postmaster_start_time()
FROM suspension_now WHERE confirmed;
INSERT INTO link_suspension_proof (one) VALUES (true) ON CONFLICT DO NOTHING;

-- suspension_scopes has a row for everything (link is '') and one for each link.
-- confirmed is the proof. The epoch of a link that was never suspended is the time when
-- it was added, in milliseconds: above that of a suspension of an earlier link of the
-- same name.
CREATE VIEW suspension_scopes AS
SELECT '' COLLATE "C" AS link, s.state, s.epoch, s.reason, s.who, s.since, s.suspended_at, s.quiet_until,
    coalesce(s.confirmed, false) AS confirmed
FROM suspension_now s
UNION ALL
SELECT k.name, coalesce(l.state, 'running'), coalesce(l.epoch, floor(extract(epoch FROM k.created_at) * 1000)::bigint),
    coalesce(l.reason, ''), coalesce(l.who, ''), coalesce(l.since, k.created_at), l.suspended_at, s.quiet_until,
    EXISTS (SELECT FROM link_suspension_proof p
        WHERE p.written_by = p.xmin::text::bigint AND p.server_start = pg_postmaster_start_time())
FROM links k
LEFT JOIN link_suspensions l ON l.link = k.name
CROSS JOIN suspension_now s;

-- The rules of 00019_write_leases.sql, with the proof of the links.
--
-- write_leases.store goes: nothing reads it. lease_rival compares servers and accounts,
-- since two stores may be one server, and two logins one mailbox.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_lease() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    last_epoch bigint := 0;
    scope      record;
    refusal    text;
    rival      interval;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        last_epoch := OLD.epoch;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.epoch <> last_epoch THEN
        NEW.epoch := greatest(last_epoch + 1,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint);
    END IF;
    IF NEW.expires_at <= clock_timestamp() THEN
        RETURN NEW;
    END IF;

    IF NEW.kind = 'restore' THEN
        LOCK TABLE suspension IN EXCLUSIVE MODE;
    ELSE
        LOCK TABLE suspension IN ROW SHARE MODE;
    END IF;
    IF NOT EXISTS (SELECT FROM suspension_now s
            WHERE s.state = 'running' AND s.confirmed AND s.quiet_until <= clock_timestamp()) THEN
        RAISE EXCEPTION 'mirror is suspended' USING ERRCODE = 'ML002';
    END IF;
    SELECT s.state, s.confirmed INTO scope FROM suspension_scopes s WHERE s.link = NEW.link;
    IF NOT scope.confirmed THEN
        RAISE EXCEPTION 'suspension is unknown' USING ERRCODE = 'ML002';
    END IF;
    IF NEW.kind <> 'restore' AND scope.state <> 'running' THEN
        RAISE EXCEPTION 'link is suspended' USING ERRCODE = 'ML002', DETAIL = NEW.link;
    END IF;
    IF NEW.kind = 'restore' AND scope.state IS DISTINCT FROM 'suspended' THEN
        RAISE EXCEPTION 'link is not suspended' USING ERRCODE = 'ML008', DETAIL = NEW.link;
    END IF;

    rival := lease_rival(NEW.kind, NEW.link, NEW.number, NEW.fence);
    IF rival IS NOT NULL THEN
        RAISE EXCEPTION 'another lease permits to write' USING ERRCODE = 'ML009',
            DETAIL = ceil(extract(epoch FROM rival) * 1000)::bigint;
    END IF;
    IF NEW.kind = 'mailbox' THEN
        refusal := writer_conflict(NEW.link, NEW.number);
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION '%', refusal USING ERRCODE = 'ML005';
        END IF;
    ELSIF NEW.kind = 'directory' THEN
        refusal := directory_refusal(NEW.link);
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION '%', refusal USING ERRCODE = 'ML007';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
ALTER TABLE write_leases DROP COLUMN store;

-- +goose Down
ALTER TABLE write_leases ADD COLUMN store text COLLATE "C" NOT NULL DEFAULT '';
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION write_lease() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    last_epoch bigint := 0;
    link_state text;
    refusal    text;
    rival      interval;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        last_epoch := OLD.epoch;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.epoch <> last_epoch THEN
        NEW.epoch := greatest(last_epoch + 1,
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint);
    END IF;
    IF NEW.expires_at <= clock_timestamp() THEN
        RETURN NEW;
    END IF;

    IF NEW.kind = 'restore' THEN
        LOCK TABLE suspension IN EXCLUSIVE MODE;
    ELSE
        LOCK TABLE suspension IN ROW SHARE MODE;
    END IF;
    IF NOT EXISTS (SELECT FROM suspension_now s
            WHERE s.state = 'running' AND s.confirmed AND s.quiet_until <= clock_timestamp()) THEN
        RAISE EXCEPTION 'mirror is suspended' USING ERRCODE = 'ML002';
    END IF;
    SELECT s.state INTO link_state FROM link_suspensions s WHERE s.link = NEW.link;
    IF NEW.kind <> 'restore' AND link_state <> 'running' THEN
        RAISE EXCEPTION 'link is suspended' USING ERRCODE = 'ML002', DETAIL = NEW.link;
    END IF;
    IF NEW.kind = 'restore' AND link_state IS DISTINCT FROM 'suspended' THEN
        RAISE EXCEPTION 'link is not suspended' USING ERRCODE = 'ML008', DETAIL = NEW.link;
    END IF;

    rival := lease_rival(NEW.kind, NEW.link, NEW.number, NEW.fence);
    IF rival IS NOT NULL THEN
        RAISE EXCEPTION 'another lease permits to write' USING ERRCODE = 'ML009',
            DETAIL = ceil(extract(epoch FROM rival) * 1000)::bigint;
    END IF;
    IF NEW.kind = 'mailbox' THEN
        refusal := writer_conflict(NEW.link, NEW.number);
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION '%', refusal USING ERRCODE = 'ML005';
        END IF;
    ELSIF NEW.kind = 'directory' THEN
        refusal := directory_refusal(NEW.link);
        IF refusal IS NOT NULL THEN
            RAISE EXCEPTION '%', refusal USING ERRCODE = 'ML007';
        END IF;
    END IF;
    IF TG_OP = 'INSERT' OR NEW.epoch <> last_epoch THEN
        SELECT CASE WHEN NEW.kind = 'restore' THEN l.source ELSE l.target END INTO NEW.store
        FROM links l WHERE l.name = NEW.link;
        NEW.store := coalesce(NEW.store, ''); -- the foreign key says that the link is gone
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
DROP VIEW suspension_scopes;
DROP TABLE link_suspension_proof;
