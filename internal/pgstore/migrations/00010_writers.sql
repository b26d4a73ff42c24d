-- Who may write to whom, by what stores and mailboxes are and not by what they are
-- called.

-- +goose Up

-- server groups the stores that are one server: it is the first name of the group.
-- server_id is the id that the operator gave the server, reported_id the one that the
-- server reports about itself. login_case says whether two spellings of a
-- login are one account.
ALTER TABLE stores
    ADD COLUMN server text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN server_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN reported_id text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN login_case text NOT NULL DEFAULT 'fold' CONSTRAINT stores_login_case CHECK (login_case IN ('fold', 'exact'));

-- At which addresses a store is: its host name, and what that resolves to, each with
-- the port. The ports 143 and 993 of one host are one server's: both are "imap".
CREATE TABLE store_addresses (
    store   text COLLATE "C" NOT NULL CONSTRAINT store_addresses_store REFERENCES stores (name) ON DELETE CASCADE,
    address text COLLATE "C" NOT NULL,
    PRIMARY KEY (store, address)
);
CREATE INDEX store_addresses_by_address ON store_addresses (address);

-- account is the number without its spelling: case and Unicode composition.
-- source_account and target_account are the ids that the servers report of the
-- accounts that a sync opened; '' where none was reported yet.
ALTER TABLE mailboxes
    ADD COLUMN account text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN source_account text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN target_account text COLLATE "C" NOT NULL DEFAULT '';

-- Who wrote to whom before: mailboxes that were mirrored and left their link. A
-- mailbox must not be mirrored back to where it came from unless the operator says so.
CREATE TABLE former_mailboxes (
    link           text COLLATE "C" NOT NULL,
    source         text COLLATE "C" NOT NULL CONSTRAINT former_mailboxes_source REFERENCES stores (name) ON DELETE CASCADE,
    target         text COLLATE "C" NOT NULL CONSTRAINT former_mailboxes_target REFERENCES stores (name) ON DELETE CASCADE,
    account        text COLLATE "C" NOT NULL,
    source_account text COLLATE "C" NOT NULL,
    target_account text COLLATE "C" NOT NULL,
    ended_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, source, target)
);
CREATE INDEX former_mailboxes_source_store ON former_mailboxes (source);
CREATE INDEX former_mailboxes_target_store ON former_mailboxes (target);
CREATE INDEX former_mailboxes_target_account ON former_mailboxes (target_account) WHERE target_account <> '';

-- +goose StatementBegin
CREATE FUNCTION composed(spelled text) RETURNS text LANGUAGE sql STABLE AS
$$
    SELECT CASE WHEN getdatabaseencoding() = 'UTF8' THEN normalize(spelled, NFKC) ELSE spelled END
$$;
-- +goose StatementEnd

INSERT INTO store_addresses (store, address)
SELECT name, lower(regexp_replace(imap_address, '^\[?(.*?)\]?\.?:([0-9]+)$', '\1')) || ' '
    || CASE WHEN imap_address ~ ':(143|993)$' THEN 'imap' ELSE substring(imap_address FROM '[0-9]+$') END
FROM stores WHERE imap_address ~ ':[0-9]+$';
UPDATE mailboxes SET account = composed(lower(number));
CREATE INDEX mailboxes_by_account ON mailboxes (account);
CREATE INDEX mailboxes_target_account ON mailboxes (target_account) WHERE target_account <> '';
CREATE INDEX mailboxes_source_account ON mailboxes (source_account) WHERE source_account <> '';

-- Different ids prove two servers, and the same id proves one. Without two ids, a
-- common address does. Anything else proves nothing.
-- +goose StatementBegin
CREATE FUNCTION same_server(a stores, b stores) RETURNS boolean LANGUAGE sql STABLE AS
$$
    SELECT CASE
        WHEN a.server_id <> '' AND b.server_id <> '' THEN a.server_id = b.server_id
        WHEN a.reported_id <> '' AND b.reported_id <> '' THEN a.reported_id = b.reported_id
        ELSE EXISTS (SELECT FROM store_addresses x JOIN store_addresses y ON y.address = x.address
            WHERE x.store = a.name AND y.store = b.name)
    END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION group_servers() RETURNS void LANGUAGE sql AS
$$
    WITH RECURSIVE same AS (
        SELECT a.name AS a, b.name AS b FROM stores a JOIN stores b ON a.name = b.name OR same_server(a, b)
    ), reached AS (
        SELECT a, b FROM same
        UNION
        SELECT r.a, s.b FROM reached r JOIN same s ON s.a = r.b
    ), grouped AS (
        SELECT a, min(b) AS server FROM reached GROUP BY a
    )
    UPDATE stores s SET server = g.server FROM grouped g WHERE s.name = g.a AND s.server <> g.server
$$;
-- +goose StatementEnd
SELECT group_servers();

-- +goose StatementBegin
CREATE FUNCTION regroup_servers() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    LOCK TABLE links IN SHARE ROW EXCLUSIVE MODE;
    PERFORM group_servers();
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER stores_grouped AFTER INSERT OR DELETE OR UPDATE OF server_id, reported_id ON stores
    FOR EACH STATEMENT EXECUTE FUNCTION regroup_servers();
CREATE TRIGGER store_addresses_grouped AFTER INSERT OR DELETE OR UPDATE ON store_addresses
    FOR EACH STATEMENT EXECUTE FUNCTION regroup_servers();

-- flows is who writes to whom now.
CREATE VIEW flows AS
SELECT m.link, m.number, m.account, l.source, l.target, s.server AS source_server, t.server AS target_server,
    m.source_account, m.target_account, s.server_id AS source_id, t.server_id AS target_id,
    s.login_case AS source_case, t.login_case AS target_case
FROM mailboxes m
JOIN links l ON l.name = m.link
JOIN stores s ON s.name = l.source
JOIN stores t ON t.name = l.target;

-- Accounts with the same id are one account, unless the operator gave both servers ids
-- and these are different: a target that was set up from a copy of the source's disk
-- reports the ids of the source.
-- +goose StatementBegin
CREATE FUNCTION same_account(a text, a_server text, b text, b_server text) RETURNS boolean LANGUAGE sql IMMUTABLE AS
$$
    SELECT a <> '' AND a = b AND (a_server = '' OR b_server = '' OR a_server = b_server)
$$;
-- +goose StatementEnd

-- flows_of are those with an account's name or id. Each part is one scan of an index:
-- OFFSET 0 keeps the planner from going over all mailboxes of a link, which it prefers
-- as long as it believes that they are few.
-- +goose StatementBegin
CREATE FUNCTION flows_of(of_account text, of_source text, of_target text) RETURNS SETOF flows LANGUAGE sql STABLE AS
$$
    SELECT m.link, m.number, m.account, l.source, l.target, s.server, t.server,
        m.source_account, m.target_account, s.server_id, t.server_id, s.login_case, t.login_case
    FROM (
        SELECT a.* FROM (SELECT x.link, x.number, x.account, x.source_account, x.target_account FROM mailboxes x
            WHERE x.account = of_account OFFSET 0) a
        UNION
        SELECT b.* FROM (SELECT x.link, x.number, x.account, x.source_account, x.target_account FROM mailboxes x
            WHERE x.source_account <> '' AND x.source_account = of_source OFFSET 0) b
        UNION
        SELECT c.* FROM (SELECT x.link, x.number, x.account, x.source_account, x.target_account FROM mailboxes x
            WHERE x.target_account <> '' AND x.target_account = of_target OFFSET 0) c
    ) m
    JOIN links l ON l.name = m.link
    JOIN stores s ON s.name = l.source
    JOIN stores t ON t.name = l.target
$$;
-- +goose StatementEnd

-- link_conflict says why no link may be from one store to another, NULL where one may.
-- +goose StatementBegin
CREATE FUNCTION link_conflict(of_source text, of_target text) RETURNS text LANGUAGE sql STABLE AS
$$
    SELECT format('stores %s and %s are the same server: %s', s.name, t.name, CASE
        WHEN s.server_id <> '' AND s.server_id = t.server_id THEN 'both have the server id ' || s.server_id
        WHEN s.reported_id <> '' AND s.reported_id = t.reported_id THEN 'both report the server id ' || s.reported_id
        ELSE coalesce('both have the address ' || (
            SELECT min(x.address) FROM store_addresses x JOIN store_addresses y ON y.address = x.address
            WHERE x.store = s.name AND y.store = t.name), 'a third store is the same server as both') END)
    FROM stores s, stores t
    WHERE s.name = of_source AND t.name = of_target AND s.server = t.server
$$;
-- +goose StatementEnd

-- writer_conflict says why a mailbox of a link must not be written to, NULL where it
-- may be. new_source and new_target are the ids of the accounts that a sync opened.
-- Its plans are made when a link is still empty, and used when it is full: without the
-- setting they read all mailboxes for each one that is added.
-- +goose StatementBegin
CREATE FUNCTION writer_conflict(of_link text, of_number text, new_source text DEFAULT NULL, new_target text DEFAULT NULL)
    RETURNS text LANGUAGE plpgsql STABLE SET enable_seqscan = off AS
$$
DECLARE
    me       flows;
    conflict text;
BEGIN
    SELECT * INTO me FROM flows f WHERE f.link = of_link AND f.number = of_number;
    IF me.link IS NULL THEN
        RETURN NULL;
    END IF;
    me.source_account := coalesce(new_source, me.source_account);
    me.target_account := coalesce(new_target, me.target_account);

    IF me.source_server = me.target_server THEN
        RETURN format('mailbox %s: %s', of_number, link_conflict(me.source, me.target));
    END IF;
    IF same_account(me.source_account, me.source_id, me.target_account, me.target_id) THEN
        RETURN format('mailbox %s: stores %s and %s open the same account: they are one server, or the disk of one was copied to the other',
            of_number, me.source, me.target);
    END IF;

    -- One account has one writer, and one spelling.
    SELECT CASE
        WHEN o.number <> of_number AND o.link = of_link THEN
            format('mailbox %s is the same account as mailbox %s of link %s', of_number, o.number, o.link)
        WHEN o.number <> of_number THEN
            format('mailbox %s is the same account as mailbox %s, which is mirrored to store %s by link %s', of_number, o.number, o.target, o.link)
        WHEN o.target = me.target THEN
            format('mailbox %s is mirrored to store %s by link %s already', of_number, o.target, o.link)
        ELSE format('mailbox %s is mirrored to store %s by link %s already, and on store %s it is the same account',
            of_number, o.target, o.link, me.target)
        END INTO conflict
    FROM flows_of(me.account, me.source_account, me.target_account) o
    WHERE (o.link, o.number) <> (of_link, of_number)
        AND (
            same_account(o.target_account, o.target_id, me.target_account, me.target_id)
            -- Two accounts of the target must not be made equal to one of the source.
            OR (o.target_server = me.target_server AND same_account(o.source_account, o.source_id, me.source_account, me.source_id))
            OR (o.account = me.account AND o.target_server = me.target_server
                AND (o.number = of_number OR o.target_case = 'fold' OR me.target_case = 'fold'
                    OR (o.source_server = me.source_server AND (o.source_case = 'fold' OR me.source_case = 'fold'))))
        )
    ORDER BY o.link, o.number
    LIMIT 1;
    IF conflict IS NOT NULL THEN
        RETURN conflict;
    END IF;

    -- Upstream from the source, over what is mirrored and what was.
    WITH RECURSIVE up AS (
        SELECT '' COLLATE "C" AS link, '' COLLATE "C" AS source, me.source_server COLLATE "C" AS server,
            me.source_account COLLATE "C" AS id, me.source_id COLLATE "C" AS server_id, NULL::timestamptz AS ended_at
        UNION
        SELECT f.link, f.source, f.source_server, f.source_account, f.source_id, f.ended_at
        FROM up
        CROSS JOIN LATERAL (
            SELECT n.link, n.source, n.source_server, n.source_account, n.source_id, NULL::timestamptz AS ended_at
            FROM flows_of(me.account, '', '') n
            WHERE n.target_server = up.server AND (n.link, n.number) <> (of_link, of_number)
            UNION ALL
            SELECT n.link, n.source, n.source_server, n.source_account, n.source_id, NULL::timestamptz
            FROM flows_of(NULL, '', up.id) n
            WHERE (n.link, n.number) <> (of_link, of_number)
                AND same_account(n.target_account, n.target_id, up.id, up.server_id)
            UNION ALL
            SELECT o.link, o.source, s.server, o.source_account, s.server_id, o.ended_at
            FROM former_mailboxes o
            JOIN stores s ON s.name = o.source
            JOIN stores t ON t.name = o.target
            WHERE o.account = me.account AND t.server = up.server
            UNION ALL
            SELECT o.link, o.source, s.server, o.source_account, s.server_id, o.ended_at
            FROM former_mailboxes o
            JOIN stores s ON s.name = o.source
            JOIN stores t ON t.name = o.target
            WHERE o.target_account <> '' AND o.target_account = up.id
                AND same_account(o.target_account, t.server_id, up.id, up.server_id)
        ) f
    )
    SELECT format('mailbox %s %s mirrored from store %s by link %s%s: it would be mirrored back to where it %s from',
        of_number, CASE WHEN up.ended_at IS NULL THEN 'is' ELSE 'was' END, up.source, up.link,
        CASE WHEN up.source = me.target THEN '' ELSE format(', and on store %s it is the same account', me.target) END,
        CASE WHEN up.ended_at IS NULL THEN 'comes' ELSE 'came' END)
    INTO conflict
    FROM up
    WHERE up.link <> '' AND (up.server = me.target_server OR same_account(up.id, up.server_id, me.target_account, me.target_id))
    ORDER BY up.ended_at NULLS FIRST, up.link
    LIMIT 1;
    RETURN conflict;
END
$$;
-- +goose StatementEnd

-- The constraints. They hold for whoever writes the rows: the lock lets one
-- transaction at a time add mailboxes, links and servers' addresses, and what the
-- others committed before is seen.
-- +goose StatementBegin
CREATE FUNCTION mailbox_gets_account() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    NEW.account := composed(CASE WHEN NEW.account = '' THEN lower(NEW.number) ELSE NEW.account END);
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER mailboxes_account BEFORE INSERT ON mailboxes FOR EACH ROW EXECUTE FUNCTION mailbox_gets_account();

-- +goose StatementBegin
CREATE FUNCTION mailboxes_have_one_writer() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    LOCK TABLE links IN SHARE ROW EXCLUSIVE MODE;
    WITH conflicts AS (
        SELECT writer_conflict(a.link, a.number) AS found FROM added a
    ), listed AS (
        SELECT c.found, row_number() OVER (ORDER BY c.found) AS n, count(*) OVER () AS total
        FROM conflicts c WHERE c.found IS NOT NULL
    )
    SELECT string_agg(CASE WHEN l.n <= 10 THEN l.found ELSE format('and %s more', l.total - 10) END, E'\n' ORDER BY l.n)
    INTO conflict FROM listed l WHERE l.n <= 11;
    IF conflict IS NOT NULL THEN
        RAISE EXCEPTION '%', conflict USING ERRCODE = 'ML003';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER mailboxes_one_writer AFTER INSERT ON mailboxes
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION mailboxes_have_one_writer();

-- +goose StatementBegin
CREATE FUNCTION link_has_two_servers() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    conflict := link_conflict(NEW.source, NEW.target);
    IF conflict IS NOT NULL THEN
        RAISE EXCEPTION '%', conflict USING ERRCODE = 'ML004';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER links_two_servers AFTER INSERT OR UPDATE OF source, target ON links
    FOR EACH ROW EXECUTE FUNCTION link_has_two_servers();

-- If an address changed, or rows are of a release before this one, nothing is rejected
-- here, since nobody asked: no lease begins or goes on for such a mailbox.
-- +goose StatementBegin
CREATE FUNCTION lease_needs_one_writer() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    IF NEW.expires_at > clock_timestamp() THEN
        conflict := writer_conflict(NEW.link, NEW.number);
        IF conflict IS NOT NULL THEN
            RAISE EXCEPTION '%', conflict USING ERRCODE = 'ML005';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER leases_one_writer BEFORE UPDATE OF expires_at ON leases
    FOR EACH ROW WHEN (NEW.expires_at > OLD.expires_at) EXECUTE FUNCTION lease_needs_one_writer();

-- claim_accounts records which accounts a sync opened, and raises ML005 where it must
-- not write to that of the target. It returns whether anything changed.
-- +goose StatementBegin
CREATE FUNCTION claim_accounts(of_link text, of_number text, source_is text, target_is text) RETURNS boolean LANGUAGE plpgsql AS
$$
DECLARE
    conflict text;
BEGIN
    PERFORM 1 FROM mailboxes m WHERE m.link = of_link AND m.number = of_number
        AND m.source_account = source_is AND m.target_account = target_is;
    IF FOUND THEN
        RETURN false;
    END IF;
    -- One at a time: of two that open one account, the second sees the first.
    PERFORM pg_advisory_xact_lock(hashtext('mailmirror accounts'));
    conflict := writer_conflict(of_link, of_number, source_is, target_is);
    IF conflict IS NOT NULL THEN
        RAISE EXCEPTION '%', conflict USING ERRCODE = 'ML005';
    END IF;
    UPDATE mailboxes m SET source_account = source_is, target_account = target_is
    WHERE m.link = of_link AND m.number = of_number;
    RETURN true;
END
$$;
-- +goose StatementEnd

-- Which accounts were opened says nothing of another server, or by other logins.
-- +goose StatementBegin
CREATE FUNCTION accounts_end_with_address() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    UPDATE mailboxes m
    SET source_account = CASE WHEN l.source = NEW.name THEN '' ELSE m.source_account END,
        target_account = CASE WHEN l.target = NEW.name THEN '' ELSE m.target_account END
    FROM links l
    WHERE m.link = l.name AND NEW.name IN (l.source, l.target) AND (m.source_account <> '' OR m.target_account <> '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER stores_accounts AFTER UPDATE OF imap_address ON stores
    FOR EACH ROW WHEN (OLD.imap_address <> NEW.imap_address) EXECUTE FUNCTION accounts_end_with_address();

-- What was mirrored is remembered when it leaves its link, alone or with the link.
-- +goose StatementBegin
CREATE FUNCTION remember_mailboxes() RETURNS trigger LANGUAGE plpgsql AS
$$
BEGIN
    IF TG_TABLE_NAME = 'links' THEN
        INSERT INTO former_mailboxes (link, source, target, account, source_account, target_account)
        SELECT DISTINCT ON (m.account) OLD.name, OLD.source, OLD.target, m.account, m.source_account, m.target_account
        FROM mailboxes m
        WHERE m.link = OLD.name AND (m.last_review_at IS NOT NULL OR m.target_account <> ''
            OR EXISTS (SELECT FROM ledger_folders f WHERE f.link = m.link AND f.number = m.number))
        ORDER BY m.account
        ON CONFLICT (account, source, target) DO UPDATE SET link = excluded.link, ended_at = excluded.ended_at,
            source_account = excluded.source_account, target_account = excluded.target_account;
    ELSE
        INSERT INTO former_mailboxes (link, source, target, account, source_account, target_account)
        SELECT OLD.link, l.source, l.target, OLD.account, OLD.source_account, OLD.target_account
        FROM links l
        WHERE l.name = OLD.link AND (OLD.last_review_at IS NOT NULL OR OLD.target_account <> ''
            OR EXISTS (SELECT FROM ledger_folders f WHERE f.link = OLD.link AND f.number = OLD.number))
        ON CONFLICT (account, source, target) DO UPDATE SET link = excluded.link, ended_at = excluded.ended_at,
            source_account = excluded.source_account, target_account = excluded.target_account;
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER links_remembered BEFORE DELETE ON links FOR EACH ROW EXECUTE FUNCTION remember_mailboxes();
CREATE TRIGGER mailboxes_remembered BEFORE DELETE ON mailboxes FOR EACH ROW EXECUTE FUNCTION remember_mailboxes();

-- +goose Down
DROP TRIGGER mailboxes_remembered ON mailboxes;
DROP TRIGGER links_remembered ON links;
DROP FUNCTION remember_mailboxes;
DROP TRIGGER stores_accounts ON stores;
DROP FUNCTION accounts_end_with_address;
DROP FUNCTION claim_accounts;
DROP TRIGGER leases_one_writer ON leases;
DROP FUNCTION lease_needs_one_writer;
DROP TRIGGER links_two_servers ON links;
DROP FUNCTION link_has_two_servers;
DROP TRIGGER mailboxes_one_writer ON mailboxes;
DROP FUNCTION mailboxes_have_one_writer;
DROP TRIGGER mailboxes_account ON mailboxes;
DROP FUNCTION mailbox_gets_account;
DROP FUNCTION writer_conflict, link_conflict, flows_of, same_account;
DROP VIEW flows;
DROP TRIGGER store_addresses_grouped ON store_addresses;
DROP TRIGGER stores_grouped ON stores;
DROP FUNCTION regroup_servers, group_servers;
DROP FUNCTION same_server;
DROP INDEX mailboxes_source_account, mailboxes_target_account, mailboxes_by_account;
DROP FUNCTION composed;
DROP TABLE former_mailboxes, store_addresses;
ALTER TABLE mailboxes DROP COLUMN account, DROP COLUMN source_account, DROP COLUMN target_account;
ALTER TABLE stores DROP COLUMN server, DROP COLUMN server_id, DROP COLUMN reported_id, DROP COLUMN login_case;
