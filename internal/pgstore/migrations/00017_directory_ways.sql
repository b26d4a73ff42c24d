-- Which directory is written to from which: the rule of 00010_writers.sql for mailboxes,
-- for directories.

-- +goose Up

-- directory says whether a link mirrors the directories of its stores: '' if both have
-- one, 'off' never, 'reverse' also to where the directory came from before.
ALTER TABLE links ADD COLUMN directory text NOT NULL DEFAULT ''
    CONSTRAINT links_directory CHECK (directory IN ('', 'off', 'reverse'));

-- At which addresses the directory of a store is: its host name, and what that resolves
-- to, each with the port. The ports 389 and 636 of one host are both "ldap".
CREATE TABLE directory_addresses (
    store   text COLLATE "C" NOT NULL CONSTRAINT directory_addresses_store REFERENCES directory_stores (store) ON DELETE CASCADE,
    address text COLLATE "C" NOT NULL,
    PRIMARY KEY (store, address)
);
CREATE INDEX directory_addresses_by_address ON directory_addresses (address);
INSERT INTO directory_addresses (store, address)
SELECT store, lower(regexp_replace(address, '^\[?(.*?)\]?\.?:([0-9]+)$', '\1')) || ' '
    || CASE WHEN address ~ ':(389|636)$' THEN 'ldap' ELSE substring(address FROM '[0-9]+$') END
FROM directory_stores WHERE address ~ ':[0-9]+$';

-- Which directories a link wrote to before: the link was removed, or a store lost its
-- directory, or the operator switched the directory of the link off. began_at is when
-- the link was added.
CREATE TABLE former_directories (
    link     text COLLATE "C" NOT NULL,
    source   text COLLATE "C" NOT NULL CONSTRAINT former_directories_source REFERENCES stores (name) ON DELETE CASCADE,
    target   text COLLATE "C" NOT NULL CONSTRAINT former_directories_target REFERENCES stores (name) ON DELETE CASCADE,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, target)
);
CREATE INDEX former_directories_by_target ON former_directories (target);

-- One base has entries in common with another if it is equal to it, above it or below it.
-- +goose StatementBegin
CREATE FUNCTION bases_overlap(a text, b text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$
    SELECT ',' IN (x.dn, y.dn) OR right(x.dn, length(y.dn)) = y.dn OR right(y.dn, length(x.dn)) = x.dn
    FROM (SELECT ',' || lower(regexp_replace(trim(coalesce(a, '')), '\s*([,=+])\s*', '\1', 'g')) AS dn) x,
        (SELECT ',' || lower(regexp_replace(trim(coalesce(b, '')), '\s*([,=+])\s*', '\1', 'g')) AS dn) y
$$;
-- +goose StatementEnd

-- Two stores have the same directory if they are the same server, or if their
-- directories are at the same address and have entries in common.
-- +goose StatementBegin
CREATE FUNCTION same_directory(a text, b text) RETURNS boolean LANGUAGE sql STABLE AS
$$
    SELECT a = b
        OR EXISTS (SELECT FROM stores x JOIN stores y ON y.server = x.server WHERE x.name = a AND y.name = b AND x.server <> '')
        OR EXISTS (
            SELECT FROM directory_addresses x
            JOIN directory_addresses y ON y.address = x.address
            JOIN directory_stores s ON s.store = x.store
            JOIN directory_stores t ON t.store = y.store
            WHERE x.store = a AND y.store = b AND bases_overlap(s.mapping ->> 'base_dn', t.mapping ->> 'base_dn'))
$$;
-- +goose StatementEnd

-- directory_conflict says why a link must not write to the directory of its target, NULL
-- if it may: the target is, over any number of links, where the directory of the source
-- comes from. If only_earlier is true, only links count that were added before this one:
-- of the links of a circle, the last one is in conflict.
-- +goose StatementBegin
CREATE FUNCTION directory_conflict(of_link text, only_earlier boolean) RETURNS text LANGUAGE plpgsql STABLE AS
$$
DECLARE
    me       links;
    conflict text;
BEGIN
    SELECT l.* INTO me
    FROM links l
    JOIN directory_stores s ON s.store = l.source
    JOIN directory_stores t ON t.store = l.target
    WHERE l.name = of_link AND l.directory <> 'off';
    IF me.name IS NULL THEN
        RETURN NULL;
    END IF;
    WITH RECURSIVE ways AS (
        SELECT l.name AS link, l.source, l.target, NULL::timestamptz AS ended_at
        FROM links l
        JOIN directory_stores s ON s.store = l.source
        JOIN directory_stores t ON t.store = l.target
        WHERE l.directory <> 'off' AND l.name <> me.name
            AND (NOT only_earlier OR (l.created_at, l.name) < (me.created_at, me.name))
        UNION ALL
        SELECT f.link, f.source, f.target, f.ended_at
        FROM former_directories f
        WHERE me.directory <> 'reverse' AND (NOT only_earlier OR f.began_at < me.created_at)
    ), up AS (
        SELECT '' COLLATE "C" AS link, me.source COLLATE "C" AS source, me.source COLLATE "C" AS store, NULL::timestamptz AS ended_at
        UNION
        SELECT n.link, n.source, n.store, n.ended_at
        FROM up
        CROSS JOIN LATERAL (
            SELECT w.link, w.source, w.source AS store, w.ended_at FROM ways w WHERE w.target = up.store
            UNION ALL
            SELECT up.link, up.source, s.name, up.ended_at FROM stores s WHERE same_directory(s.name, up.store)
        ) n
    )
    SELECT CASE
        WHEN up.link = '' THEN format('stores %s and %s have the same directory', me.source, me.target)
        ELSE format('the directory of store %s %s from that of store %s by link %s%s: it would be mirrored back to where it %s from',
            me.source, CASE WHEN up.ended_at IS NULL THEN 'comes' ELSE 'came' END, up.source, up.link,
            CASE WHEN up.source = me.target THEN '' ELSE format(', and store %s has the same directory', me.target) END,
            CASE WHEN up.ended_at IS NULL THEN 'comes' ELSE 'came' END)
        END
    INTO conflict
    FROM up
    WHERE up.store = me.target
    ORDER BY up.link = '' DESC, up.ended_at NULLS FIRST, up.source = me.target DESC, up.link
    LIMIT 1;
    RETURN conflict;
END
$$;
-- +goose StatementEnd

-- directory_refusal says why no run over the directory of a link begins or goes on, NULL
-- if one may.
-- +goose StatementBegin
CREATE FUNCTION directory_refusal(of_link text) RETURNS text LANGUAGE sql STABLE AS
$$
    SELECT CASE WHEN l.directory = 'off' THEN 'the directory of link ' || l.name || ' is switched off'
        ELSE directory_conflict(l.name, true) END
    FROM links l WHERE l.name = of_link
$$;
-- +goose StatementEnd

-- The constraints. Whoever adds or changes a link, a store or a directory holds the lock
-- of links: what the others committed before is seen here.
-- +goose StatementBegin
CREATE FUNCTION link_has_one_way() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    conflict := directory_conflict(NEW.name, false);
    IF conflict IS NOT NULL THEN
        RAISE EXCEPTION 'link %: %', NEW.name, conflict USING ERRCODE = 'ML006';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER links_way_of_directory AFTER INSERT OR UPDATE OF source, target, directory ON links
    FOR EACH ROW EXECUTE FUNCTION link_has_one_way();

-- If an address changed by itself, or rows are of a release before this one, nothing is
-- rejected here, since nobody asked: no lease begins or goes on for such a directory.
-- +goose StatementBegin
CREATE FUNCTION directory_lease_needs_way() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    IF NEW.expires_at > clock_timestamp() THEN
        conflict := directory_refusal(NEW.link);
        IF conflict IS NOT NULL THEN
            RAISE EXCEPTION '%', conflict USING ERRCODE = 'ML007';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER directory_leases_way BEFORE INSERT OR UPDATE OF expires_at ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION directory_lease_needs_way();

-- What a link wrote to is remembered when it ends. A link whose runs were all rejected
-- wrote nothing.
-- +goose StatementBegin
CREATE FUNCTION remember_directory() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    INSERT INTO former_directories (link, source, target, began_at)
    SELECT l.name, l.source, l.target, l.created_at
    FROM links l
    WHERE CASE WHEN TG_TABLE_NAME = 'links' THEN l.name = to_jsonb(OLD) ->> 'name'
            ELSE to_jsonb(OLD) ->> 'store' IN (l.source, l.target) END
        AND EXISTS (
            SELECT FROM directory_runs r
            WHERE r.link = l.name AND r.trigger <> 'dry-run'
                AND (r.state <> 'failed' OR EXISTS (SELECT FROM directory_pairs p WHERE p.link = l.name)))
    ON CONFLICT (source, target) DO UPDATE SET link = excluded.link, ended_at = excluded.ended_at,
        began_at = least(former_directories.began_at, excluded.began_at);
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER links_directory_remembered BEFORE DELETE ON links FOR EACH ROW EXECUTE FUNCTION remember_directory();
CREATE TRIGGER links_directory_off BEFORE UPDATE OF directory ON links
    FOR EACH ROW WHEN (NEW.directory = 'off' AND OLD.directory <> 'off') EXECUTE FUNCTION remember_directory();
CREATE TRIGGER directory_stores_remembered BEFORE DELETE ON directory_stores FOR EACH ROW EXECUTE FUNCTION remember_directory();

-- +goose Down
DROP TRIGGER directory_stores_remembered ON directory_stores;
DROP TRIGGER links_directory_off ON links;
DROP TRIGGER links_directory_remembered ON links;
DROP FUNCTION remember_directory;
DROP TRIGGER directory_leases_way ON directory_leases;
DROP FUNCTION directory_lease_needs_way;
DROP TRIGGER links_way_of_directory ON links;
DROP FUNCTION link_has_one_way;
DROP FUNCTION directory_refusal, directory_conflict, same_directory, bases_overlap;
DROP TABLE former_directories, directory_addresses;
ALTER TABLE links DROP COLUMN directory;
