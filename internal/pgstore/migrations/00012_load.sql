-- Bounds for every kind of load on a store, and what the processes learn of it.

-- +goose Up
-- 0 is the default: see quota.DefaultBounds.
ALTER TABLE stores
    ADD COLUMN max_sessions bigint NOT NULL DEFAULT 0 CHECK (max_sessions >= 0),
    ADD COLUMN max_listings bigint NOT NULL DEFAULT 0 CHECK (max_listings >= 0),
    ADD COLUMN max_logins bigint NOT NULL DEFAULT 0 CHECK (max_logins >= 0);

-- The share of each kind of load that each process holds, until it expires. This
-- table replaces connection_shares, which older releases still use.
CREATE TABLE load_shares (
    store      text COLLATE "C" NOT NULL REFERENCES stores (name) ON DELETE CASCADE,
    kind       text NOT NULL,
    holder     text NOT NULL,
    held       bigint NOT NULL,
    in_use     bigint NOT NULL,
    wanted     bigint NOT NULL,
    turn       timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (store, kind, holder)
) WITH (fillfactor = 50);

-- What the processes learned of a store: quota.Load.
CREATE TABLE store_load (
    store   text COLLATE "C" PRIMARY KEY REFERENCES stores (name) ON DELETE CASCADE,
    learned jsonb NOT NULL
) WITH (fillfactor = 50);

-- Up to when the logins of a store are given away.
CREATE TABLE login_pace (
    store   text COLLATE "C" PRIMARY KEY REFERENCES stores (name) ON DELETE CASCADE,
    free_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- How often a shard reads mailboxes in turn.
ALTER TABLE watchers ADD COLUMN poll_every interval NOT NULL DEFAULT interval '0';

-- +goose Down
ALTER TABLE watchers DROP COLUMN poll_every;
DROP TABLE login_pace, store_load, load_shares;
ALTER TABLE stores DROP COLUMN max_sessions, DROP COLUMN max_listings, DROP COLUMN max_logins;
