-- The row of the suspension proves that it is the last one that was written. A
-- database that was restored, or a standby that lacks the last transactions, may lack
-- a suspension: Mailmirror believes the row that says "running" only with this proof.

-- +goose Up

-- written_by is the transaction that wrote the row, by its last 32 bits: a row that
-- pg_restore wrote has another xmin. server_start is when the server started that wrote
-- it: a copy of the data directory, an earlier moment of it and a standby run under
-- another postmaster.
--
-- lease_time is how long a write may land under a lease at most (lease.ttl and
-- lease.fence of the workers). Until quiet_until writes may land under leases that the
-- row's database does not have.
ALTER TABLE suspension
    ADD COLUMN written_by bigint NOT NULL DEFAULT -1,
    ADD COLUMN server_start timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN lease_time interval NOT NULL DEFAULT '17 seconds',
    ADD COLUMN quiet_until timestamptz NOT NULL DEFAULT '-infinity';

-- What reads the row reads this view. confirmed is the proof, mark names the row's
-- version in this database. If the server's clock was put back, quiet_until is later than
-- it can be: the row is then to be confirmed anew, which sets it by the clock as it is.
CREATE VIEW suspension_now AS
SELECT s.*, s.written_by = s.xmin::text::bigint AND s.server_start = pg_postmaster_start_time()
        AND s.quiet_until <= clock_timestamp() + s.lease_time AS confirmed,
    s.xmin::text || ' ' || pg_postmaster_start_time()::text AS mark
FROM suspension s;

-- A new database: nothing was ever mirrored by it.
UPDATE suspension
SET written_by = (pg_current_xact_id()::text::numeric % 4294967296)::bigint, server_start = pg_postmaster_start_time()
WHERE NOT EXISTS (SELECT FROM links) AND NOT EXISTS (SELECT FROM control_events);

-- Whoever writes the row gives it the proof, releases before this one included. An
-- epoch never comes twice, also if the row went back to an earlier one.
-- +goose StatementBegin
CREATE FUNCTION suspension_written() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF NOT EXISTS (SELECT FROM suspension_now s WHERE s.confirmed) THEN
        NEW.quiet_until := clock_timestamp() + NEW.lease_time;
    END IF;
    IF NEW.epoch > OLD.epoch THEN
        NEW.epoch := greatest(NEW.epoch, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    END IF;
    NEW.written_by := (pg_current_xact_id()::text::numeric % 4294967296)::bigint;
    NEW.server_start := pg_postmaster_start_time();
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER suspension_written BEFORE UPDATE ON suspension
    FOR EACH ROW EXECUTE FUNCTION suspension_written();

-- A suspension is acknowledged only if no lease can be out of which the database does
-- not know. The statement changes no row otherwise, also that of a release before.
-- +goose StatementBegin
CREATE FUNCTION suspension_awaits_unknown_leases() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF NOT EXISTS (SELECT FROM suspension_now s WHERE s.confirmed AND s.quiet_until <= clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER suspension_awaits_unknown_leases BEFORE UPDATE ON suspension
    FOR EACH ROW WHEN (NEW.state = 'suspended' AND OLD.state = 'suspending')
    EXECUTE FUNCTION suspension_awaits_unknown_leases();

-- +goose StatementBegin
CREATE OR REPLACE FUNCTION lease_needs_running() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF NEW.expires_at > clock_timestamp() THEN
        LOCK TABLE suspension IN ROW SHARE MODE;
        IF NOT EXISTS (SELECT FROM suspension_now s
                WHERE s.state = 'running' AND s.confirmed AND s.quiet_until <= clock_timestamp()) THEN
            RAISE EXCEPTION 'mirror is suspended' USING ERRCODE = 'ML002';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION lease_needs_running() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF NEW.expires_at > clock_timestamp() THEN
        LOCK TABLE suspension IN ROW SHARE MODE;
        IF NOT EXISTS (SELECT FROM suspension WHERE state = 'running') THEN
            RAISE EXCEPTION 'mirror is suspended' USING ERRCODE = 'ML002';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
DROP TRIGGER suspension_awaits_unknown_leases ON suspension;
DROP FUNCTION suspension_awaits_unknown_leases;
DROP TRIGGER suspension_written ON suspension;
DROP FUNCTION suspension_written;
DROP VIEW suspension_now;
ALTER TABLE suspension DROP COLUMN written_by, DROP COLUMN server_start, DROP COLUMN lease_time, DROP COLUMN quiet_until;
