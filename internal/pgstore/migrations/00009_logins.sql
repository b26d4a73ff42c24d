-- By which IMAP log-in each store knows its mailboxes, where that is not their
-- number.

-- +goose Up
-- The rows of a store are what the last extract of its directory that was believed
-- told, of every entry with a number; '' is that it told no log-in. A mailbox
-- without a row is not opened. A store whose rule makes the number the log-in has
-- no rows.
CREATE TABLE logins (
    store  text COLLATE "C" NOT NULL CONSTRAINT logins_store REFERENCES stores (name) ON DELETE CASCADE,
    number text COLLATE "C" NOT NULL,
    login  text COLLATE "C" NOT NULL,
    PRIMARY KEY (store, number)
);

-- While it is the same, what was read of a store's log-ins holds. Its changes are
-- told to whoever listens, by the trigger that tells of changed stores.
ALTER TABLE stores ADD COLUMN logins_version bigint NOT NULL DEFAULT 0;

ALTER TABLE directory_staged ADD COLUMN login text COLLATE "C" NOT NULL DEFAULT '';

-- A version never comes twice, also where a database is restored.
-- +goose StatementBegin
CREATE FUNCTION logins_changed(store text) RETURNS void LANGUAGE sql AS
$$
    UPDATE stores s SET logins_version = greatest(s.logins_version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    WHERE s.name = $1
$$;
-- +goose StatementEnd

-- What was made by another rule, or of other entries, is nobody's log-in any more.
-- +goose StatementBegin
CREATE FUNCTION logins_end_with_rule() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    was jsonb;
    now jsonb;
BEGIN
    IF TG_OP <> 'INSERT' THEN
        was := OLD.mapping;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        now := NEW.mapping;
    END IF;
    IF (was -> 'login', was #> '{names,mailbox_number}', was -> 'base_dn', was -> 'object_class', was -> 'filter', was -> 'scope')
        IS NOT DISTINCT FROM
        (now -> 'login', now #> '{names,mailbox_number}', now -> 'base_dn', now -> 'object_class', now -> 'filter', now -> 'scope')
    THEN
        RETURN NULL;
    END IF;
    -- The change comes first: it waits for whoever records log-ins at the moment.
    IF TG_OP = 'DELETE' THEN
        PERFORM logins_changed(OLD.store);
        DELETE FROM logins l WHERE l.store = OLD.store;
    ELSE
        PERFORM logins_changed(NEW.store);
        DELETE FROM logins l WHERE l.store = NEW.store;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER directory_stores_logins AFTER INSERT OR UPDATE OR DELETE ON directory_stores
    FOR EACH ROW EXECUTE FUNCTION logins_end_with_rule();

-- +goose Down
DROP TRIGGER directory_stores_logins ON directory_stores;
DROP FUNCTION logins_end_with_rule;
DROP FUNCTION logins_changed;
ALTER TABLE directory_staged DROP COLUMN login;
ALTER TABLE stores DROP COLUMN logins_version;
DROP TABLE logins;
