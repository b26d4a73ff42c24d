-- Listening for changes: how each store is listened to, what happened to each
-- mailbox last, how the listeners do.

-- +goose Up
ALTER TABLE stores
    ADD COLUMN events text NOT NULL DEFAULT 'auto' CHECK (events IN ('auto', 'notify', 'idle', 'poll')),
    ADD COLUMN idle_limit bigint NOT NULL DEFAULT 500 CHECK (idle_limit >= 0),
    ADD COLUMN poll_every interval NOT NULL DEFAULT interval '1 minute';

-- A table of its own, so that the rows that every event writes are small.
CREATE TABLE mailbox_events (
    link      text COLLATE "C" NOT NULL,
    number    text COLLATE "C" NOT NULL,
    last_at   timestamptz NOT NULL,
    last_kind text NOT NULL,
    events    bigint NOT NULL,
    PRIMARY KEY (link, number),
    CONSTRAINT mailbox_events_mailbox FOREIGN KEY (link, number) REFERENCES mailboxes ON DELETE CASCADE
) WITH (fillfactor = 50);

-- Into how many shards the mailboxes of a link are cut for listening.
CREATE TABLE watch_shards (
    link   text COLLATE "C" PRIMARY KEY CONSTRAINT watch_shards_link REFERENCES links (name) ON DELETE CASCADE,
    shards bigint NOT NULL CHECK (shards > 0)
);

CREATE TABLE watchers (
    link            text COLLATE "C" NOT NULL CONSTRAINT watchers_link REFERENCES links (name) ON DELETE CASCADE,
    shard           bigint NOT NULL,
    worker          text NOT NULL,
    mode            text NOT NULL,
    why             text NOT NULL,
    connections     bigint NOT NULL,
    wanted          bigint NOT NULL,
    connected_since timestamptz,
    listened        bigint NOT NULL,
    polled          bigint NOT NULL,
    events          bigint NOT NULL,
    per_minute      bigint NOT NULL,
    last_event_at   timestamptz,
    last_kind       text NOT NULL,
    unannounced     bigint NOT NULL,
    trouble         text NOT NULL,
    hint            text NOT NULL,
    updated_at      timestamptz NOT NULL,
    PRIMARY KEY (link, shard)
) WITH (fillfactor = 50);

-- Whoever listens is told when whom to listen to may have changed, by the name
-- of the link, or by nothing where it may be any link.
-- +goose StatementBegin
CREATE FUNCTION notify_roster() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF TG_TABLE_NAME = 'mailboxes' THEN
        PERFORM pg_notify('mailmirror_roster', c.link) FROM (SELECT DISTINCT link FROM changed) c;
    ELSE
        PERFORM pg_notify('mailmirror_roster', '');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER roster_joined AFTER INSERT ON mailboxes
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notify_roster();
CREATE TRIGGER roster_left AFTER DELETE ON mailboxes
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION notify_roster();
CREATE TRIGGER roster_store AFTER UPDATE ON stores FOR EACH STATEMENT EXECUTE FUNCTION notify_roster();
CREATE TRIGGER roster_link AFTER UPDATE OR DELETE ON links FOR EACH STATEMENT EXECUTE FUNCTION notify_roster();

-- +goose Down
DROP TRIGGER roster_link ON links;
DROP TRIGGER roster_store ON stores;
DROP TRIGGER roster_left ON mailboxes;
DROP TRIGGER roster_joined ON mailboxes;
DROP FUNCTION notify_roster;
DROP TABLE watchers, watch_shards, mailbox_events;
ALTER TABLE stores DROP COLUMN events, DROP COLUMN idle_limit, DROP COLUMN poll_every;
