-- Whether anything may be written to the targets, what operators did, and what
-- they set of the schedules.

-- +goose Up

-- The one row that says whether the mirror may write. epoch grows with every
-- suspension and every resumption, so that a request is told from an older one.
CREATE TABLE suspension (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    state        text NOT NULL CHECK (state IN ('running', 'suspending', 'suspended')),
    epoch        bigint NOT NULL,
    reason       text NOT NULL,
    who          text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    suspended_at timestamptz
);
INSERT INTO suspension (state, epoch, reason, who) VALUES ('running', 1, '', '');

-- How long a write under this lease may still land after the lease's end, as
-- its holder is configured; that of a release before this one is the default.
ALTER TABLE leases ADD COLUMN fence interval NOT NULL DEFAULT '2 seconds';

-- No lease begins or goes on while the mirror is not running, whoever asks for
-- it, releases before this one included: ML002. The lock makes that free of
-- races at the price of an entry in memory: suspending takes the table in a
-- mode that waits for every transaction which has passed here, and whoever
-- comes here meanwhile waits, and then reads what suspending has written. A row
-- lock would be written to the table with every lease.
-- +goose StatementBegin
CREATE FUNCTION lease_needs_running() RETURNS trigger
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
CREATE TRIGGER leases_running BEFORE INSERT OR UPDATE OF expires_at ON leases
    FOR EACH ROW EXECUTE FUNCTION lease_needs_running();

-- What was asked for, by whom, and when it was carried out.
CREATE TABLE control_events (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    event   text NOT NULL,
    subject text NOT NULL DEFAULT '',
    who     text NOT NULL,
    reason  text NOT NULL
);

-- When a schedule runs, where an operator set it; one without a row runs as it
-- is built in and configured.
CREATE TABLE schedule_specs (
    name     text COLLATE "C" PRIMARY KEY,
    every    interval NOT NULL,
    cron     text NOT NULL,
    at_times text[] NOT NULL,
    timezone text NOT NULL,
    who      text NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT now()
);

-- How many runs a schedule had missed when that was last looked at, and when
-- it was first seen that they are so many.
CREATE TABLE schedule_misses (
    name       text COLLATE "C" PRIMARY KEY,
    missed     bigint NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE schedule_misses, schedule_specs, control_events;
DROP TRIGGER leases_running ON leases;
DROP FUNCTION lease_needs_running;
ALTER TABLE leases DROP COLUMN fence;
DROP TABLE suspension;
