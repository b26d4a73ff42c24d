--
-- PostgreSQL database dump
--

\restrict QS3egxwA7BaXMsXhthKz0XcM64kYWGmsqFtXgYPoTgzz5wnMLfhPLE1PCv1LORT

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: accounts_end_with_address(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.accounts_end_with_address() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    UPDATE mailboxes m
    SET source_account = CASE WHEN l.source = NEW.name THEN '' ELSE m.source_account END,
        target_account = CASE WHEN l.target = NEW.name THEN '' ELSE m.target_account END
    FROM links l
    WHERE m.link = l.name AND NEW.name IN (l.source, l.target) AND (m.source_account <> '' OR m.target_account <> '');
    RETURN NULL;
END
$$;


--
-- Name: bases_overlap(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bases_overlap(a text, b text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT ',' IN (x.dn, y.dn) OR right(x.dn, length(y.dn)) = y.dn OR right(y.dn, length(x.dn)) = x.dn
    FROM (SELECT ',' || lower(regexp_replace(trim(coalesce(a, '')), '\s*([,=+])\s*', '\1', 'g')) AS dn) x,
        (SELECT ',' || lower(regexp_replace(trim(coalesce(b, '')), '\s*([,=+])\s*', '\1', 'g')) AS dn) y
$$;


--
-- Name: claim_accounts(text, text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.claim_accounts(of_link text, of_number text, source_is text, target_is text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: composed(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.composed(spelled text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN getdatabaseencoding() = 'UTF8' THEN normalize(spelled, NFKC) ELSE spelled END
$$;


--
-- Name: directory_conflict(text, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.directory_conflict(of_link text, only_earlier boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    AS $$
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


--
-- Name: directory_lease_needs_way(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.directory_lease_needs_way() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: directory_refusal(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.directory_refusal(of_link text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE WHEN l.directory = 'off' THEN 'the directory of link ' || l.name || ' is switched off'
        ELSE directory_conflict(l.name, true) END
    FROM links l WHERE l.name = of_link
$$;


--
-- Name: early_distance(timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.early_distance(failing_since timestamp with time zone) RETURNS interval
    LANGUAGE sql
    AS $$
    SELECT least(interval '5 minutes', greatest(interval '5 seconds', (clock_timestamp() - failing_since) / 10))
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: links; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.links (
    name text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    exclude text[] NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    bandwidth bigint DEFAULT 0 NOT NULL,
    bandwidth_windows text[] DEFAULT '{}'::text[] NOT NULL,
    bandwidth_timezone text DEFAULT ''::text NOT NULL,
    directory text DEFAULT ''::text NOT NULL,
    CONSTRAINT links_bandwidth_check CHECK ((bandwidth >= 0)),
    CONSTRAINT links_directory CHECK ((directory = ANY (ARRAY[''::text, 'off'::text, 'reverse'::text]))),
    CONSTRAINT links_two_stores CHECK ((source <> target))
);


--
-- Name: mailboxes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mailboxes (
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    dirty_generation bigint DEFAULT 1 NOT NULL,
    clean_generation bigint DEFAULT 0 NOT NULL,
    dirty_since timestamp with time zone DEFAULT now(),
    next_attempt_at timestamp with time zone DEFAULT now() NOT NULL,
    last_equal_at timestamp with time zone,
    last_review_at timestamp with time zone,
    failures bigint DEFAULT 0 NOT NULL,
    failing_since timestamp with time zone,
    error_kind text DEFAULT ''::text NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    hint text DEFAULT ''::text NOT NULL,
    error_at timestamp with time zone,
    messages bigint DEFAULT 0 NOT NULL,
    greetings bigint DEFAULT 0 NOT NULL,
    differences bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    held bigint DEFAULT 0 NOT NULL,
    state text GENERATED ALWAYS AS (
CASE
    WHEN ((failures > 3) OR ((failures > 0) AND (error_kind = ANY (ARRAY['permanent'::text, 'config'::text])))) THEN 'parked'::text
    WHEN (last_review_at IS NULL) THEN 'new'::text
    WHEN (held > 0) THEN 'held'::text
    WHEN (dirty_generation > clean_generation) THEN 'dirty'::text
    WHEN (differences > 0) THEN 'differing'::text
    ELSE 'equal'::text
END) STORED NOT NULL,
    account text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    source_account text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    target_account text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    parked_until timestamp with time zone,
    early_at timestamp with time zone
)
WITH (fillfactor='70');


--
-- Name: stores; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.stores (
    name text NOT NULL COLLATE pg_catalog."C",
    imap_address text NOT NULL,
    imap_security text NOT NULL,
    ca_file text NOT NULL,
    login text NOT NULL,
    separator text NOT NULL,
    trusted_name text NOT NULL,
    sealed_password bytea NOT NULL,
    greetings text[] NOT NULL,
    minimum_release text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    events text DEFAULT 'auto'::text NOT NULL,
    idle_limit bigint DEFAULT 500 NOT NULL,
    poll_every interval DEFAULT '00:01:00'::interval NOT NULL,
    max_connections bigint DEFAULT 0 NOT NULL,
    logins_version bigint DEFAULT 0 NOT NULL,
    server text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    server_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    reported_id text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    login_case text DEFAULT 'fold'::text NOT NULL,
    max_sessions bigint DEFAULT 0 NOT NULL,
    max_listings bigint DEFAULT 0 NOT NULL,
    max_logins bigint DEFAULT 0 NOT NULL,
    CONSTRAINT stores_events_check CHECK ((events = ANY (ARRAY['auto'::text, 'notify'::text, 'idle'::text, 'poll'::text]))),
    CONSTRAINT stores_idle_limit_check CHECK ((idle_limit >= 0)),
    CONSTRAINT stores_imap_security_check CHECK ((imap_security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text]))),
    CONSTRAINT stores_login_case CHECK ((login_case = ANY (ARRAY['fold'::text, 'exact'::text]))),
    CONSTRAINT stores_login_check CHECK ((login = ANY (ARRAY['authzid'::text, 'separator'::text]))),
    CONSTRAINT stores_max_connections_check CHECK ((max_connections >= 0)),
    CONSTRAINT stores_max_listings_check CHECK ((max_listings >= 0)),
    CONSTRAINT stores_max_logins_check CHECK ((max_logins >= 0)),
    CONSTRAINT stores_max_sessions_check CHECK ((max_sessions >= 0))
);


--
-- Name: flows; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.flows AS
 SELECT m.link,
    m.number,
    m.account,
    l.source,
    l.target,
    s.server AS source_server,
    t.server AS target_server,
    m.source_account,
    m.target_account,
    s.server_id AS source_id,
    t.server_id AS target_id,
    s.login_case AS source_case,
    t.login_case AS target_case
   FROM (((public.mailboxes m
     JOIN public.links l ON ((l.name = m.link)))
     JOIN public.stores s ON ((s.name = l.source)))
     JOIN public.stores t ON ((t.name = l.target)));


--
-- Name: flows_of(text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.flows_of(of_account text, of_source text, of_target text) RETURNS SETOF public.flows
    LANGUAGE sql STABLE
    AS $$
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


--
-- Name: group_servers(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.group_servers() RETURNS void
    LANGUAGE sql
    AS $$
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


--
-- Name: history_month(timestamp with time zone); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.history_month(of_time timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: lease_epoch(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lease_epoch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.epoch := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1024 + floor(random() * 1024)::bigint;
    IF TG_OP = 'UPDATE' THEN
        NEW.epoch := greatest(NEW.epoch, OLD.epoch + 1);
    END IF;
    RETURN NEW;
END
$$;


--
-- Name: lease_needs_one_writer(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lease_needs_one_writer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: lease_needs_running(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.lease_needs_running() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: ledger_lease(text, text, bigint, boolean); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.ledger_lease(of_link text, of_number text, of_epoch bigint, durable boolean) RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    PERFORM 1 FROM leases WHERE link = of_link AND number = of_number AND epoch = of_epoch FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease lost' USING ERRCODE = 'ML001';
    END IF;
    IF NOT durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
END
$$;


--
-- Name: link_conflict(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.link_conflict(of_source text, of_target text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    SELECT format('stores %s and %s are the same server: %s', s.name, t.name, CASE
        WHEN s.server_id <> '' AND s.server_id = t.server_id THEN 'both have the server id ' || s.server_id
        WHEN s.reported_id <> '' AND s.reported_id = t.reported_id THEN 'both report the server id ' || s.reported_id
        ELSE coalesce('both have the address ' || (
            SELECT min(x.address) FROM store_addresses x JOIN store_addresses y ON y.address = x.address
            WHERE x.store = s.name AND y.store = t.name), 'a third store is the same server as both') END)
    FROM stores s, stores t
    WHERE s.name = of_source AND t.name = of_target AND s.server = t.server
$$;


--
-- Name: link_has_one_way(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.link_has_one_way() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: link_has_two_servers(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.link_has_two_servers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: logins_changed(text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.logins_changed(store text) RETURNS void
    LANGUAGE sql
    AS $_$
    UPDATE stores s SET logins_version = greatest(s.logins_version + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
    WHERE s.name = $1
$_$;


--
-- Name: logins_end_with_rule(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.logins_end_with_rule() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: mailbox_gets_account(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.mailbox_gets_account() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.account := composed(CASE WHEN NEW.account = '' THEN lower(NEW.number) ELSE NEW.account END);
    RETURN NEW;
END
$$;


--
-- Name: mailboxes_have_one_writer(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.mailboxes_have_one_writer() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: notify_roster(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.notify_roster() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF TG_TABLE_NAME = 'mailboxes' THEN
        PERFORM pg_notify('mailmirror_roster', c.link) FROM (SELECT DISTINCT link FROM changed) c;
    ELSE
        PERFORM pg_notify('mailmirror_roster', '');
    END IF;
    RETURN NULL;
END
$$;


--
-- Name: regroup_servers(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.regroup_servers() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    LOCK TABLE links IN SHARE ROW EXCLUSIVE MODE;
    PERFORM group_servers();
    RETURN NULL;
END
$$;


--
-- Name: remember_directory(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.remember_directory() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: remember_mailboxes(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.remember_mailboxes() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: same_account(text, text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.same_account(a text, a_server text, b text, b_server text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
    SELECT a <> '' AND a = b AND (a_server = '' OR b_server = '' OR a_server = b_server)
$$;


--
-- Name: same_directory(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.same_directory(a text, b text) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT a = b
        OR EXISTS (SELECT FROM stores x JOIN stores y ON y.server = x.server WHERE x.name = a AND y.name = b AND x.server <> '')
        OR EXISTS (
            SELECT FROM directory_addresses x
            JOIN directory_addresses y ON y.address = x.address
            JOIN directory_stores s ON s.store = x.store
            JOIN directory_stores t ON t.store = y.store
            WHERE x.store = a AND y.store = b AND bases_overlap(s.mapping ->> 'base_dn', t.mapping ->> 'base_dn'))
$$;


--
-- Name: same_server(public.stores, public.stores); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.same_server(a public.stores, b public.stores) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    SELECT CASE
        WHEN a.server_id <> '' AND b.server_id <> '' THEN a.server_id = b.server_id
        WHEN a.reported_id <> '' AND b.reported_id <> '' THEN a.reported_id = b.reported_id
        ELSE EXISTS (SELECT FROM store_addresses x JOIN store_addresses y ON y.address = x.address
            WHERE x.store = a.name AND y.store = b.name)
    END
$$;


--
-- Name: suspension_awaits_directories(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.suspension_awaits_directories() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF EXISTS (SELECT FROM directory_leases l WHERE NOT l.clean AND l.expires_at + l.fence > clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;


--
-- Name: suspension_awaits_unknown_leases(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.suspension_awaits_unknown_leases() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM suspension_now s WHERE s.confirmed AND s.quiet_until <= clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;


--
-- Name: suspension_written(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.suspension_written() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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


--
-- Name: writer_conflict(text, text, text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.writer_conflict(of_link text, of_number text, new_source text DEFAULT NULL::text, new_target text DEFAULT NULL::text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET enable_seqscan TO 'off'
    AS $$
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


--
-- Name: background; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.background (
    loop text NOT NULL COLLATE pg_catalog."C",
    item text NOT NULL COLLATE pg_catalog."C",
    link text NOT NULL COLLATE pg_catalog."C",
    worker text DEFAULT ''::text NOT NULL,
    started_at timestamp with time zone,
    ok_at timestamp with time zone,
    failed_at timestamp with time zone,
    error_kind text DEFAULT ''::text NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    hint text DEFAULT ''::text NOT NULL,
    due_at timestamp with time zone,
    spec text DEFAULT ''::text NOT NULL,
    restarts bigint DEFAULT 0 NOT NULL,
    restarted_at timestamp with time zone
)
WITH (fillfactor='50');


--
-- Name: compare_pages; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.compare_pages (
    run_id text NOT NULL COLLATE pg_catalog."C",
    page bigint NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    reviewed bigint NOT NULL,
    unchanged bigint NOT NULL,
    synced bigint NOT NULL,
    differing bigint NOT NULL,
    failed bigint NOT NULL,
    busy bigint NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    due_messages bigint NOT NULL,
    due_bytes bigint NOT NULL
);


--
-- Name: compare_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.compare_runs (
    run_id text NOT NULL COLLATE pg_catalog."C",
    link text NOT NULL COLLATE pg_catalog."C",
    trigger text NOT NULL,
    mailboxes bigint NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    kind text DEFAULT 'compare'::text NOT NULL,
    CONSTRAINT compare_runs_kind_check CHECK ((kind = ANY (ARRAY['compare'::text, 'rebuild'::text])))
);


--
-- Name: compare_totals; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.compare_totals AS
 SELECT r.run_id,
    r.link,
    r.trigger,
    r.mailboxes,
    r.started_at,
    r.finished_at,
    GREATEST(r.updated_at, p.updated_at) AS updated_at,
    p.reviewed,
    p.unchanged,
    p.synced,
    p.differing,
    p.failed,
    p.busy,
    p.messages_appended,
    p.messages_bytes,
    p.messages_flags_changed,
    p.messages_expunged,
    p.greetings_appended,
    p.greetings_bytes,
    p.greetings_flags_changed,
    p.greetings_expunged,
    p.due_messages,
    p.due_bytes,
    r.kind
   FROM (public.compare_runs r
     CROSS JOIN LATERAL ( SELECT max(compare_pages.updated_at) AS updated_at,
            (COALESCE(sum(compare_pages.reviewed), (0)::numeric))::bigint AS reviewed,
            (COALESCE(sum(compare_pages.unchanged), (0)::numeric))::bigint AS unchanged,
            (COALESCE(sum(compare_pages.synced), (0)::numeric))::bigint AS synced,
            (COALESCE(sum(compare_pages.differing), (0)::numeric))::bigint AS differing,
            (COALESCE(sum(compare_pages.failed), (0)::numeric))::bigint AS failed,
            (COALESCE(sum(compare_pages.busy), (0)::numeric))::bigint AS busy,
            (COALESCE(sum(compare_pages.messages_appended), (0)::numeric))::bigint AS messages_appended,
            (COALESCE(sum(compare_pages.messages_bytes), (0)::numeric))::bigint AS messages_bytes,
            (COALESCE(sum(compare_pages.messages_flags_changed), (0)::numeric))::bigint AS messages_flags_changed,
            (COALESCE(sum(compare_pages.messages_expunged), (0)::numeric))::bigint AS messages_expunged,
            (COALESCE(sum(compare_pages.greetings_appended), (0)::numeric))::bigint AS greetings_appended,
            (COALESCE(sum(compare_pages.greetings_bytes), (0)::numeric))::bigint AS greetings_bytes,
            (COALESCE(sum(compare_pages.greetings_flags_changed), (0)::numeric))::bigint AS greetings_flags_changed,
            (COALESCE(sum(compare_pages.greetings_expunged), (0)::numeric))::bigint AS greetings_expunged,
            (COALESCE(sum(compare_pages.due_messages), (0)::numeric))::bigint AS due_messages,
            (COALESCE(sum(compare_pages.due_bytes), (0)::numeric))::bigint AS due_bytes
           FROM public.compare_pages
          WHERE (compare_pages.run_id = r.run_id)) p);


--
-- Name: connection_shares; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.connection_shares (
    store text NOT NULL COLLATE pg_catalog."C",
    holder text NOT NULL,
    held bigint NOT NULL,
    in_use bigint NOT NULL,
    wanted bigint NOT NULL,
    turn timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');


--
-- Name: control_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.control_events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    event text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    who text NOT NULL,
    reason text NOT NULL
);


--
-- Name: control_events_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.control_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.control_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: differences; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.differences (
    folder_id bigint NOT NULL,
    source_uid bigint NOT NULL,
    kind text NOT NULL,
    detail text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: directory_addresses; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_addresses (
    store text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: directory_changes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_changes (
    run_id text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    number text NOT NULL COLLATE pg_catalog."C",
    old_number text NOT NULL COLLATE pg_catalog."C",
    via text DEFAULT ''::text NOT NULL,
    source_id text NOT NULL,
    source_dn bytea NOT NULL,
    source_version text NOT NULL,
    target_id text NOT NULL,
    target_dn bytea NOT NULL,
    target_version text NOT NULL,
    columns text[] NOT NULL,
    blank text[] NOT NULL,
    same bytea NOT NULL,
    state text NOT NULL,
    approved boolean DEFAULT false NOT NULL,
    needs bigint DEFAULT 0 NOT NULL,
    error text DEFAULT ''::text NOT NULL,
    hint text DEFAULT ''::text NOT NULL,
    failures bigint DEFAULT 0 NOT NULL,
    counted boolean DEFAULT false NOT NULL,
    CONSTRAINT directory_changes_state_check CHECK ((state = ANY (ARRAY['planned'::text, 'held'::text, 'refused'::text, 'done'::text, 'failed'::text, 'given_up'::text, 'told'::text])))
);


--
-- Name: directory_departed; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_departed (
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    run_id text NOT NULL COLLATE pg_catalog."C",
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: directory_failures; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_failures (
    link text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    same bytea NOT NULL,
    failures bigint NOT NULL,
    error text NOT NULL,
    hint text NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: directory_held; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_held (
    link text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    seq bigint NOT NULL,
    number text NOT NULL COLLATE pg_catalog."C",
    source_id text NOT NULL,
    source_dn bytea NOT NULL,
    source_version text NOT NULL,
    target_id text NOT NULL,
    target_dn bytea NOT NULL,
    target_version text NOT NULL,
    columns text[] NOT NULL,
    blank text[] NOT NULL
);


--
-- Name: guard_hold_ids; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.guard_hold_ids
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: directory_holds; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_holds (
    link text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    id bigint DEFAULT nextval('public.guard_hold_ids'::regclass) NOT NULL,
    run_id text NOT NULL COLLATE pg_catalog."C",
    source_entries bigint NOT NULL,
    target_entries bigint NOT NULL,
    reasons text[] NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    decided_by text DEFAULT ''::text NOT NULL,
    decided_at timestamp with time zone,
    CONSTRAINT directory_holds_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'approved'::text, 'refused'::text])))
);


--
-- Name: directory_leases; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_leases (
    link text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    clean boolean NOT NULL,
    fence interval NOT NULL
)
WITH (fillfactor='50');


--
-- Name: directory_matched; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.directory_matched (
    run_id text NOT NULL COLLATE pg_catalog."C",
    source_key text NOT NULL COLLATE pg_catalog."C",
    target_key text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: directory_pairs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_pairs (
    link text NOT NULL COLLATE pg_catalog."C",
    source_key text NOT NULL COLLATE pg_catalog."C",
    target_key text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: directory_rejected; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_rejected (
    run_id text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: directory_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_runs (
    run_id text NOT NULL COLLATE pg_catalog."C",
    link text NOT NULL COLLATE pg_catalog."C",
    trigger text NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    phase text DEFAULT 'extract'::text NOT NULL,
    started_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    finished_at timestamp with time zone,
    reasons text[] DEFAULT '{}'::text[] NOT NULL,
    hint text DEFAULT ''::text NOT NULL,
    columns text[] NOT NULL,
    protected text[] NOT NULL,
    source_extract jsonb,
    target_extract jsonb,
    source_entries bigint DEFAULT 0 NOT NULL,
    target_entries bigint DEFAULT 0 NOT NULL,
    joined bigint DEFAULT 0 NOT NULL,
    departed bigint DEFAULT 0 NOT NULL,
    counts jsonb,
    CONSTRAINT directory_runs_state_check CHECK ((state = ANY (ARRAY['running'::text, 'held'::text, 'done'::text, 'failed'::text])))
);


--
-- Name: directory_settings; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_settings (
    link text NOT NULL COLLATE pg_catalog."C",
    settings jsonb NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: directory_staged; Type: TABLE; Schema: public; Owner: -
--

CREATE UNLOGGED TABLE public.directory_staged (
    run_id text NOT NULL COLLATE pg_catalog."C",
    side text NOT NULL COLLATE pg_catalog."C",
    n bigint NOT NULL,
    id text NOT NULL COLLATE pg_catalog."C",
    dn bytea NOT NULL,
    version text NOT NULL,
    number text NOT NULL COLLATE pg_catalog."C",
    protected boolean NOT NULL,
    cells bytea[] NOT NULL,
    login text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C"
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='10000');


--
-- Name: directory_stores; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.directory_stores (
    store text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL,
    security text NOT NULL,
    ca_file text NOT NULL,
    bind_dn text NOT NULL,
    sealed_password bytea NOT NULL,
    mapping jsonb NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT directory_stores_security_check CHECK ((security = ANY (ARRAY['none'::text, 'starttls'::text, 'tls'::text])))
);


--
-- Name: former_directories; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.former_directories (
    link text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    began_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: former_mailboxes; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.former_mailboxes (
    link text NOT NULL COLLATE pg_catalog."C",
    source text NOT NULL COLLATE pg_catalog."C",
    target text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    source_account text NOT NULL COLLATE pg_catalog."C",
    target_account text NOT NULL COLLATE pg_catalog."C",
    ended_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: goose_db_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.goose_db_version (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now() NOT NULL
);


--
-- Name: goose_db_version_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.goose_db_version ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.goose_db_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: guard_decisions; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.guard_decisions (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    who text NOT NULL,
    decision text NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    folder text NOT NULL COLLATE pg_catalog."C",
    hold_id bigint NOT NULL,
    messages bigint NOT NULL,
    reasons text[] NOT NULL
);


--
-- Name: guard_decisions_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.guard_decisions ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.guard_decisions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: guard_holds; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.guard_holds (
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    folder text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL,
    id bigint DEFAULT nextval('public.guard_hold_ids'::regclass) NOT NULL,
    target_validity bigint NOT NULL,
    uids text NOT NULL,
    messages bigint NOT NULL,
    target_messages bigint NOT NULL,
    source_messages bigint NOT NULL,
    vanished boolean NOT NULL,
    empties boolean NOT NULL,
    rules text[] NOT NULL,
    reasons text[] NOT NULL,
    since timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    asked_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    decided_by text DEFAULT ''::text NOT NULL,
    decided_at timestamp with time zone,
    target_only bigint DEFAULT 0 NOT NULL,
    CONSTRAINT guard_holds_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'approved'::text, 'refused'::text])))
);


--
-- Name: guard_reserved; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.guard_reserved (
    id bigint NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    folder text NOT NULL COLLATE pg_catalog."C",
    target_validity bigint NOT NULL,
    uids text NOT NULL,
    messages bigint NOT NULL,
    empties boolean NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: guard_reserved_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.guard_reserved ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.guard_reserved_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: guard_settings; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.guard_settings (
    link text NOT NULL COLLATE pg_catalog."C",
    folder_share bigint NOT NULL,
    folder_minimum bigint NOT NULL,
    folder_count bigint NOT NULL,
    gone bigint NOT NULL,
    span interval NOT NULL,
    link_share bigint NOT NULL,
    link_minimum bigint NOT NULL,
    inbox_share bigint NOT NULL,
    inbox_minimum bigint NOT NULL,
    keep_deleted interval NOT NULL,
    deleted_folder text NOT NULL,
    set_by text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: history_ids; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.history_ids
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: history; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history (
    id bigint DEFAULT nextval('public.history_ids'::regclass) NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
)
PARTITION BY RANGE (started_at);


--
-- Name: history_202611; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_202611 (
    id bigint DEFAULT NULL NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: history_202612; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_202612 (
    id bigint DEFAULT NULL NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: history_202701; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_202701 (
    id bigint DEFAULT NULL NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: history_202702; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_202702 (
    id bigint DEFAULT NULL NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: history_archive; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_archive (
    id bigint NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
)
PARTITION BY RANGE (started_at);


--
-- Name: history_rest; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_rest (
    id bigint DEFAULT nextval('public.history_ids'::regclass) NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    started_at timestamp with time zone NOT NULL,
    run_id text NOT NULL,
    trigger text NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    outcome text NOT NULL,
    messages_appended bigint NOT NULL,
    messages_bytes bigint NOT NULL,
    messages_flags_changed bigint NOT NULL,
    messages_expunged bigint NOT NULL,
    greetings_appended bigint NOT NULL,
    greetings_bytes bigint NOT NULL,
    greetings_flags_changed bigint NOT NULL,
    greetings_expunged bigint NOT NULL,
    folders_created bigint NOT NULL,
    folders_deleted bigint NOT NULL,
    folders_renamed bigint NOT NULL,
    folders_subscribed bigint NOT NULL,
    differences bigint NOT NULL,
    source_messages bigint NOT NULL,
    source_greetings bigint NOT NULL,
    generation bigint NOT NULL,
    error_kind text NOT NULL,
    error text NOT NULL,
    hint text NOT NULL
);


--
-- Name: intents; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.intents (
    folder_id bigint NOT NULL,
    target_uidnext bigint NOT NULL,
    sources text NOT NULL
);


--
-- Name: lease_epochs; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.lease_epochs
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: leases; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.leases (
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    clean boolean NOT NULL,
    fence interval DEFAULT '00:00:02'::interval NOT NULL
)
WITH (fillfactor='50');


--
-- Name: ledger_folders; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger_folders (
    id bigint NOT NULL,
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    folder text NOT NULL COLLATE pg_catalog."C",
    source_validity bigint NOT NULL,
    target_validity bigint NOT NULL,
    source_at_validity bigint NOT NULL,
    source_at_uidnext bigint NOT NULL,
    source_at_messages bigint NOT NULL,
    source_at_modseq bigint NOT NULL,
    target_at_validity bigint NOT NULL,
    target_at_uidnext bigint NOT NULL,
    target_at_messages bigint NOT NULL,
    target_at_modseq bigint NOT NULL,
    recreated boolean DEFAULT false NOT NULL,
    former text DEFAULT ''::text NOT NULL
)
WITH (fillfactor='70');


--
-- Name: ledger_folders_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.ledger_folders ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.ledger_folders_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: ledger_runs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger_runs (
    folder_id bigint NOT NULL,
    source_uid bigint NOT NULL,
    target_uid bigint NOT NULL,
    length bigint NOT NULL
);


--
-- Name: ledger_witnesses; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.ledger_witnesses (
    folder_id bigint NOT NULL,
    first_uid bigint NOT NULL,
    data bytea NOT NULL
);


--
-- Name: link_pace; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.link_pace (
    link text NOT NULL COLLATE pg_catalog."C",
    free_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');


--
-- Name: load_shares; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.load_shares (
    store text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    holder text NOT NULL,
    held bigint NOT NULL,
    in_use bigint NOT NULL,
    wanted bigint NOT NULL,
    turn timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');


--
-- Name: login_pace; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.login_pace (
    store text NOT NULL COLLATE pg_catalog."C",
    free_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');


--
-- Name: logins; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.logins (
    store text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    login text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: mailbox_events; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mailbox_events (
    link text NOT NULL COLLATE pg_catalog."C",
    number text NOT NULL COLLATE pg_catalog."C",
    last_at timestamp with time zone NOT NULL,
    last_kind text NOT NULL,
    events bigint NOT NULL
)
WITH (fillfactor='50');


--
-- Name: moves; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.moves (
    folder_id bigint NOT NULL,
    to_folder text NOT NULL,
    to_validity bigint NOT NULL,
    to_uidnext bigint NOT NULL,
    uids text NOT NULL,
    copied text DEFAULT ''::text NOT NULL
);


--
-- Name: schedule_misses; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schedule_misses (
    name text NOT NULL COLLATE pg_catalog."C",
    missed bigint NOT NULL,
    noticed_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: schedule_specs; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schedule_specs (
    name text NOT NULL COLLATE pg_catalog."C",
    every interval NOT NULL,
    cron text NOT NULL,
    at_times text[] NOT NULL,
    timezone text NOT NULL,
    who text NOT NULL,
    set_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: store_addresses; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.store_addresses (
    store text NOT NULL COLLATE pg_catalog."C",
    address text NOT NULL COLLATE pg_catalog."C"
);


--
-- Name: store_load; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.store_load (
    store text NOT NULL COLLATE pg_catalog."C",
    learned jsonb NOT NULL
)
WITH (fillfactor='50');


--
-- Name: suspension; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.suspension (
    one boolean DEFAULT true NOT NULL,
    state text NOT NULL,
    epoch bigint NOT NULL,
    reason text NOT NULL,
    who text NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL,
    suspended_at timestamp with time zone,
    written_by bigint DEFAULT '-1'::integer NOT NULL,
    server_start timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    lease_time interval DEFAULT '00:00:17'::interval NOT NULL,
    quiet_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT suspension_one_check CHECK (one),
    CONSTRAINT suspension_state_check CHECK ((state = ANY (ARRAY['running'::text, 'suspending'::text, 'suspended'::text])))
);


--
-- Name: suspension_now; Type: VIEW; Schema: public; Owner: -
--

CREATE VIEW public.suspension_now AS
 SELECT s.one,
    s.state,
    s.epoch,
    s.reason,
    s.who,
    s.since,
    s.suspended_at,
    s.written_by,
    s.server_start,
    s.lease_time,
    s.quiet_until,
    ((s.written_by = ((s.xmin)::text)::bigint) AND (s.server_start = pg_postmaster_start_time()) AND (s.quiet_until <= (clock_timestamp() + s.lease_time))) AS confirmed,
    (((s.xmin)::text || ' '::text) || (pg_postmaster_start_time())::text) AS mark
   FROM public.suspension s;


--
-- Name: watch_shards; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.watch_shards (
    link text NOT NULL COLLATE pg_catalog."C",
    shards bigint NOT NULL,
    CONSTRAINT watch_shards_shards_check CHECK ((shards > 0))
);


--
-- Name: watchers; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.watchers (
    link text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    worker text NOT NULL,
    mode text NOT NULL,
    why text NOT NULL,
    connections bigint NOT NULL,
    wanted bigint NOT NULL,
    connected_since timestamp with time zone,
    listened bigint NOT NULL,
    polled bigint NOT NULL,
    events bigint NOT NULL,
    per_minute bigint NOT NULL,
    last_event_at timestamp with time zone,
    last_kind text NOT NULL,
    unannounced bigint NOT NULL,
    trouble text NOT NULL,
    hint text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    poll_every interval DEFAULT '00:00:00'::interval NOT NULL
)
WITH (fillfactor='50');


--
-- Name: history_202611; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history ATTACH PARTITION public.history_202611 FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00');


--
-- Name: history_202612; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history ATTACH PARTITION public.history_202612 FOR VALUES FROM ('2026-12-01 00:00:00+00') TO ('2027-01-01 00:00:00+00');


--
-- Name: history_202701; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history ATTACH PARTITION public.history_202701 FOR VALUES FROM ('2027-01-01 00:00:00+00') TO ('2027-02-01 00:00:00+00');


--
-- Name: history_202702; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history ATTACH PARTITION public.history_202702 FOR VALUES FROM ('2027-02-01 00:00:00+00') TO ('2027-03-01 00:00:00+00');


--
-- Name: history_rest; Type: TABLE ATTACH; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history ATTACH PARTITION public.history_rest DEFAULT;


--
-- Data for Name: background; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.background (loop, item, link, worker, started_at, ok_at, failed_at, error_kind, error, hint, due_at, spec, restarts, restarted_at) FROM stdin;
suspension control			21847@host	\N	2026-11-30 18:22:03.902391+00	\N				\N		0	\N
suspension	undecided		21847@host	\N	2026-11-30 18:22:03.909804+00	\N				\N		0	\N
suspension			21847@host	\N	2026-11-30 18:22:03.964998+00	\N				\N		0	\N
schedule	sweep		21847@host	\N	2026-11-30 18:22:04.016653+00	\N				2026-11-30 18:23:00+00	every 1m	0	\N
schedule	retention		21847@host	\N	2026-11-30 18:22:04.0577+00	\N				2026-12-01 00:30:00+00	at 00:30 UTC	0	\N
supervision			21847@host	2026-11-30 18:22:03.873766+00	2026-11-30 18:22:04.058228+00	\N				\N		0	\N
compare	site	site	21847@host	\N	2026-11-30 18:22:11.795176+00	\N				\N		0	\N
sweep			21847@host	2026-11-30 18:22:13.135785+00	2026-11-30 18:22:13.145852+00	\N				\N		0	\N
\.


--
-- Data for Name: compare_pages; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.compare_pages (run_id, page, updated_at, reviewed, unchanged, synced, differing, failed, busy, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, due_messages, due_bytes) FROM stdin;
01a22db1-603b-791e-8d61-0b27c99e8be0	0	2026-11-30 18:22:10.605405+00	12	7	1	1	4	0	0	0	0	0	0	0	0	0	0	0
01a22db1-675f-7461-91ac-c2ffc1ef597f	0	2026-11-30 18:22:11.770178+00	12	2	6	5	4	0	0	0	1	2	0	0	0	0	0	0
\.


--
-- Data for Name: compare_runs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.compare_runs (run_id, link, trigger, mailboxes, started_at, finished_at, updated_at, kind) FROM stdin;
01a22db1-603b-791e-8d61-0b27c99e8be0	site	compare	12	2026-11-30 18:22:08.989259+00	2026-11-30 18:22:10.665734+00	2026-11-30 18:22:10.665734+00	compare
01a22db1-675f-7461-91ac-c2ffc1ef597f	site	compare	12	2026-11-30 18:22:10.807257+00	2026-11-30 18:22:11.793603+00	2026-11-30 18:22:11.793603+00	compare
\.


--
-- Data for Name: connection_shares; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.connection_shares (store, holder, held, in_use, wanted, turn, expires_at) FROM stdin;
\.


--
-- Data for Name: control_events; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.control_events (id, at, event, subject, who, reason) FROM stdin;
1	2026-11-30 18:22:05.093459+00	schedule set	full-compare/site	operator	every 2h
2	2026-11-30 18:22:05.329603+00	schedule set	retention	operator	at 02:15, 14:15 Europe/Berlin
3	2026-11-30 18:22:05.420522+00	schedule pause	ledger-rebuild/site	operator	not tonight
4	2026-11-30 18:22:12.744495+00	suspend		operator	storage maintenance
5	2026-11-30 18:22:12.848964+00	suspended		operator	storage maintenance
6	2026-11-30 18:22:12.900595+00	resume		operator	
7	2026-11-30 18:22:13.538584+00	suspend		operator	the data of a release
8	2026-11-30 18:22:13.709703+00	suspended		operator	the data of a release
\.


--
-- Data for Name: differences; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.differences (folder_id, source_uid, kind, detail, since) FROM stdin;
10	4	postponed	store dr: append messages: the server refuses it: [OVERQUOTA] (61505 bytes); the mailbox is full on this store; raise its quota there	2026-11-30 18:22:11.198114+00
\.


--
-- Data for Name: directory_addresses; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_addresses (store, address) FROM stdin;
production	127.0.0.1 38829
dr	127.0.0.1 42579
\.


--
-- Data for Name: directory_changes; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_changes (run_id, seq, key, kind, number, old_number, via, source_id, source_dn, source_version, target_id, target_dn, target_version, columns, blank, same, state, approved, needs, error, hint, failures, counted) FROM stdin;
01a22db1-5439-732b-9836-081dab589f7d	3000000001	sb0c7f12e-8136-1041-8285-d308fc6a6ec7	create	5001			b0c7f12e-8136-1041-8285-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.530297Z#000000#000#000000	b150e876-8136-1041-85ca-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.427915Z#000000#000#000000	{}	{}	\\x78e28ffefb1f65e37a9c748b756f4053186c93835bf027d2e88da33dffd1b838	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000002	sb0c8059c-8136-1041-8286-d308fc6a6ec7	create	5002			b0c8059c-8136-1041-8286-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.530836Z#000000#000#000000	b1525fa8-8136-1041-85cb-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.437536Z#000000#000#000000	{}	{}	\\xaab02fd1b3e6bbf992e17aa71cbf768fa4ff231a07171952cac84e14853c293d	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000003	sb0c80b78-8136-1041-8287-d308fc6a6ec7	create	5003			b0c80b78-8136-1041-8287-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030332c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.530988Z#000000#000#000000	b152a2a6-8136-1041-85cc-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030332c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.439253Z#000000#000#000000	{}	{}	\\xfa890745d1ef1d8ee923d42c549ae7aaaaa56e4a119351b03762f5dbecc882a8	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000004	sb0c814b0-8136-1041-8288-d308fc6a6ec7	create	5004			b0c814b0-8136-1041-8288-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030342c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531223Z#000000#000#000000	b152d460-8136-1041-85cd-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030342c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.440526Z#000000#000#000000	{}	{}	\\x7008851d459d6bd37ad3819c7cf57fcef627f15316815625dfb198b8666bd670	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000005	sb0c818d4-8136-1041-8289-d308fc6a6ec7	create	5005			b0c818d4-8136-1041-8289-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030352c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531329Z#000000#000#000000	b1543526-8136-1041-85ce-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030352c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.449554Z#000000#000#000000	{}	{}	\\xc6e363eadb400bb33a2854f5a4199f55299003d767eeeb197a80f2a032e447ed	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000006	sb0c81ce4-8136-1041-828a-d308fc6a6ec7	create	5006			b0c81ce4-8136-1041-828a-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030362c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531433Z#000000#000#000000	b155f88e-8136-1041-85cf-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030362c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.461111Z#000000#000#000000	{}	{}	\\x96229a10650fe307ff5270b3c57f791363a8be423299b35a22d18cd22f906090	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000007	sb0c82068-8136-1041-828b-d308fc6a6ec7	create	5007			b0c82068-8136-1041-828b-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030372c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531523Z#000000#000#000000	b156485c-8136-1041-85d0-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030372c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.463155Z#000000#000#000000	{}	{}	\\x65b221a2c712945492a0b1735b7a708cc67f90232fdd32201fdfaf1eaf67c127	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000008	sb0c8246e-8136-1041-828c-d308fc6a6ec7	create	5008			b0c8246e-8136-1041-828c-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030382c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531626Z#000000#000#000000	b15672be-8136-1041-85d1-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353030382c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.464241Z#000000#000#000000	{}	{}	\\xdf768909f287af9f1c0afbae09df1ad4a8db47e4f9f8a0162bacccb705087489	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000009	sb0c8272a-8136-1041-828d-d308fc6a6ec7	create	5009			b0c8272a-8136-1041-828d-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030392c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531697Z#000000#000#000000		\\x		{}	{}	\\xc4c368a5b4a2ec202ef28309ec9bf307f2bc617263dba17f7bd9b818021ee4f3	failed	f	0	directory of store dr: add an entry: insufficient access rights (50)	give the bind DN the right to write below the base DN	1	t
01a22db1-5439-732b-9836-081dab589f7d	3000000010	sb0c829dc-8136-1041-828e-d308fc6a6ec7	create	5010			b0c829dc-8136-1041-828e-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353031302c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531766Z#000000#000#000000	b157dc12-8136-1041-85d3-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031302c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.473488Z#000000#000#000000	{}	{}	\\x7d7b91bdd8d91f46d61af07d4f22ddad1f74f75438441631ba3f6303c2ff9a74	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000011	sb0c82cac-8136-1041-828f-d308fc6a6ec7	create	5011			b0c82cac-8136-1041-828f-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353031312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531838Z#000000#000#000000	b1661908-8136-1041-85d4-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.566799Z#000000#000#000000	{}	{}	\\x8cfeedcb9186695620b0e957b52197cf6b8ab8869279e0ae51bddb723858da43	done	f	0			0	f
01a22db1-5439-732b-9836-081dab589f7d	3000000012	sb0c82f54-8136-1041-8290-d308fc6a6ec7	create	5012			b0c82f54-8136-1041-8290-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353031322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531905Z#000000#000#000000	b1664b94-8136-1041-85d5-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.568096Z#000000#000#000000	{}	{}	\\x204160e062544109eb7efd126a7fcf5c2fd864b9aca77a291aadefd2b48fbc48	done	f	0			0	f
01a22db1-6dbb-710d-b456-29f6ebaa14c4	4000000001	tsb1661908-8136-1041-85d4-6fd57f6cd247	remove	5011	5011			\\x		b1661908-8136-1041-85d4-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.566799Z#000000#000#000000	{}	{}	\\x8342e95a823de6981f8554ce8c901a5cbc654ab1e6be3e038e4cc19b515ad865	held	f	0			0	f
01a22db1-6dbb-710d-b456-29f6ebaa14c4	4000000002	tsb1664b94-8136-1041-85d5-6fd57f6cd247	remove	5012	5012			\\x		b1664b94-8136-1041-85d5-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.568096Z#000000#000#000000	{}	{}	\\x9e62fe38d3e0297216c9854fadcb41c6d6371f7f9a026cd944c2b4f4840070b6	held	f	0			0	f
01a22db1-6dbb-710d-b456-29f6ebaa14c4	2000000001	sb0c829dc-8136-1041-828e-d308fc6a6ec7	alter	5010	5010		b0c829dc-8136-1041-828e-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353031302c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182212.373298Z#000000#000#000000	b157dc12-8136-1041-85d3-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031302c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182212.581961Z#000000#000#000000	{cn}	{}	\\xc2a7e1c064710ef0480664d4ba236d80d6b75b0e60386b7b7d3b26c1bc48cf6a	done	f	0			0	f
01a22db1-6dbb-710d-b456-29f6ebaa14c4	3000000001	sb0c8272a-8136-1041-828d-d308fc6a6ec7	create	5009			b0c8272a-8136-1041-828d-d308fc6a6ec7	\\x4d61696c626f784e756d6265723d353030392c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182205.531697Z#000000#000#000000		\\x		{}	{}	\\xc4c368a5b4a2ec202ef28309ec9bf307f2bc617263dba17f7bd9b818021ee4f3	failed	f	0	directory of store dr: add an entry: insufficient access rights (50)	give the bind DN the right to write below the base DN	1	t
\.


--
-- Data for Name: directory_departed; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_departed (link, number, run_id, at) FROM stdin;
\.


--
-- Data for Name: directory_failures; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_failures (link, key, number, same, failures, error, hint, since, run_id) FROM stdin;
site	sb0c8272a-8136-1041-828d-d308fc6a6ec7	5009	\\xc4c368a5b4a2ec202ef28309ec9bf307f2bc617263dba17f7bd9b818021ee4f3	1	directory of store dr: add an entry: insufficient access rights (50)	give the bind DN the right to write below the base DN	2026-11-30 18:22:06.595106+00	01a22db1-6dbb-710d-b456-29f6ebaa14c4
\.


--
-- Data for Name: directory_held; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_held (link, key, kind, state, seq, number, source_id, source_dn, source_version, target_id, target_dn, target_version, columns, blank) FROM stdin;
site	tsb1661908-8136-1041-85d4-6fd57f6cd247	remove	waiting	4000000001	5011		\\x		b1661908-8136-1041-85d4-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031312c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.566799Z#000000#000#000000	{}	{}
site	tsb1664b94-8136-1041-85d5-6fd57f6cd247	remove	waiting	4000000002	5012		\\x		b1664b94-8136-1041-85d5-6fd57f6cd247	\\x4d61696c626f784e756d6265723d353031322c6f753d6d61696c626f7865732c64633d6578616d706c65	20261130182206.568096Z#000000#000#000000	{}	{}
\.


--
-- Data for Name: directory_holds; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_holds (link, kind, state, id, run_id, source_entries, target_entries, reasons, since, updated_at, decided_by, decided_at) FROM stdin;
site	remove	waiting	10	01a22db1-6dbb-710d-b456-29f6ebaa14c4	10	11	{"2 entries would be removed from the target, more than 1"}	2026-11-30 18:22:12.523188+00	2026-11-30 18:22:12.523188+00		\N
\.


--
-- Data for Name: directory_leases; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_leases (link, epoch, expires_at, clean, fence) FROM stdin;
site	1839168443024444901	2026-11-30 18:22:12.641015+00	t	00:00:02
\.


--
-- Data for Name: directory_matched; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_matched (run_id, source_key, target_key, number) FROM stdin;
\.


--
-- Data for Name: directory_pairs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_pairs (link, source_key, target_key, number, since) FROM stdin;
site	sb0c7f12e-8136-1041-8285-d308fc6a6ec7	sb150e876-8136-1041-85ca-6fd57f6cd247	5001	2026-11-30 18:22:06.43158+00
site	sb0c8059c-8136-1041-8286-d308fc6a6ec7	sb1525fa8-8136-1041-85cb-6fd57f6cd247	5002	2026-11-30 18:22:06.595685+00
site	sb0c80b78-8136-1041-8287-d308fc6a6ec7	sb152a2a6-8136-1041-85cc-6fd57f6cd247	5003	2026-11-30 18:22:06.595697+00
site	sb0c814b0-8136-1041-8288-d308fc6a6ec7	sb152d460-8136-1041-85cd-6fd57f6cd247	5004	2026-11-30 18:22:06.5957+00
site	sb0c818d4-8136-1041-8289-d308fc6a6ec7	sb1543526-8136-1041-85ce-6fd57f6cd247	5005	2026-11-30 18:22:06.595702+00
site	sb0c81ce4-8136-1041-828a-d308fc6a6ec7	sb155f88e-8136-1041-85cf-6fd57f6cd247	5006	2026-11-30 18:22:06.595704+00
site	sb0c82068-8136-1041-828b-d308fc6a6ec7	sb156485c-8136-1041-85d0-6fd57f6cd247	5007	2026-11-30 18:22:06.595722+00
site	sb0c8246e-8136-1041-828c-d308fc6a6ec7	sb15672be-8136-1041-85d1-6fd57f6cd247	5008	2026-11-30 18:22:06.595724+00
site	sb0c82cac-8136-1041-828f-d308fc6a6ec7	sb1661908-8136-1041-85d4-6fd57f6cd247	5011	2026-11-30 18:22:06.595727+00
site	sb0c82f54-8136-1041-8290-d308fc6a6ec7	sb1664b94-8136-1041-85d5-6fd57f6cd247	5012	2026-11-30 18:22:06.595729+00
site	sb0c829dc-8136-1041-828e-d308fc6a6ec7	sb157dc12-8136-1041-85d3-6fd57f6cd247	5010	2026-11-30 18:22:12.585502+00
\.


--
-- Data for Name: directory_rejected; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_rejected (run_id, number, error, hint) FROM stdin;
\.


--
-- Data for Name: directory_runs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_runs (run_id, link, trigger, state, phase, started_at, finished_at, reasons, hint, columns, protected, source_extract, target_extract, source_entries, target_entries, joined, departed, counts) FROM stdin;
01a22db1-5439-732b-9836-081dab589f7d	site	operator	done		2026-11-30 18:22:05.968299+00	2026-11-30 18:22:08.625939+00	{"1 of the changes failed: directory of store dr: add an entry: insufficient access rights (50)"}	give the bind DN the right to write below the base DN	{mailbox_number,password,find_me_enabled,recorded_name,community,class_of_service,ascii_name,cn,last_name,first_name,phone,numeric_address,misc1,misc2,misc3,misc4}	{}	{"rule": "\\"{MailboxNumber}\\" of \\"MailboxNumber\\" in \\"ou=mailboxes,dc=example\\" \\"sub\\" \\"umMailbox\\" \\"\\"", "having": {"cn": 12, "misc1": 0, "misc2": 0, "misc3": 0, "misc4": 0, "phone": 0, "password": 12, "community": 0, "last_name": 12, "ascii_name": 0, "first_name": 0, "recorded_name": 12, "mailbox_number": 12, "find_me_enabled": 0, "numeric_address": 12, "class_of_service": 12}, "logins": 12, "entries": 12}	{"rule": "\\"{NumericAddress}\\" of \\"MailboxNumber\\" in \\"ou=mailboxes,dc=example\\" \\"sub\\" \\"umMailbox\\" \\"\\"", "having": {"cn": 0, "misc1": 0, "misc2": 0, "misc3": 0, "misc4": 0, "phone": 0, "password": 0, "community": 0, "last_name": 0, "ascii_name": 0, "first_name": 0, "recorded_name": 0, "mailbox_number": 0, "find_me_enabled": 0, "numeric_address": 0, "class_of_service": 0}, "entries": 0}	12	0	11	0	{"due": 12, "held": 0, "left": 0, "failed": 1, "joined": 11, "source": 12, "target": 0, "unread": 0, "altered": 0, "created": 11, "refused": 0, "removed": 0, "unknown": 0, "given_up": 0, "duplicate": 0, "protected": 0, "renumbered": 0}
01a22db1-6dbb-710d-b456-29f6ebaa14c4	site	operator	held		2026-11-30 18:22:12.434106+00	2026-11-30 18:22:12.7057+00	{"2 entries would be removed from the target, more than 1","1 of the changes failed: directory of store dr: add an entry: insufficient access rights (50)"}	mailmirror guard list site	{mailbox_number,password,find_me_enabled,recorded_name,community,class_of_service,ascii_name,cn,last_name,first_name,phone,numeric_address,misc1,misc2,misc3,misc4}	{}	{"rule": "\\"{MailboxNumber}\\" of \\"MailboxNumber\\" in \\"ou=mailboxes,dc=example\\" \\"sub\\" \\"umMailbox\\" \\"\\"", "having": {"cn": 10, "misc1": 0, "misc2": 0, "misc3": 0, "misc4": 0, "phone": 0, "password": 10, "community": 0, "last_name": 10, "ascii_name": 0, "first_name": 0, "recorded_name": 10, "mailbox_number": 10, "find_me_enabled": 0, "numeric_address": 10, "class_of_service": 10}, "logins": 10, "entries": 10}	{"rule": "\\"{NumericAddress}\\" of \\"MailboxNumber\\" in \\"ou=mailboxes,dc=example\\" \\"sub\\" \\"umMailbox\\" \\"\\"", "having": {"cn": 11, "misc1": 0, "misc2": 0, "misc3": 0, "misc4": 0, "phone": 0, "password": 11, "community": 0, "last_name": 11, "ascii_name": 0, "first_name": 0, "recorded_name": 11, "mailbox_number": 11, "find_me_enabled": 0, "numeric_address": 11, "class_of_service": 11}, "logins": 11, "entries": 11}	10	11	0	0	{"due": 2, "held": 2, "left": 0, "failed": 1, "joined": 0, "source": 10, "target": 11, "unread": 0, "altered": 1, "created": 0, "refused": 0, "removed": 0, "unknown": 0, "given_up": 0, "duplicate": 0, "protected": 0, "renumbered": 0}
\.


--
-- Data for Name: directory_settings; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_settings (link, settings, set_at) FROM stdin;
site	{"give_up": 10, "participate": "all", "change_count": 2000, "change_share": 50, "remove_count": 1, "remove_share": 10, "shrink_share": 10, "share_minimum": 5, "remove_unknown": false}	2026-11-30 18:22:04.794281+00
\.


--
-- Data for Name: directory_staged; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_staged (run_id, side, n, id, dn, version, number, protected, cells, login) FROM stdin;
\.


--
-- Data for Name: directory_stores; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.directory_stores (store, address, security, ca_file, bind_dn, sealed_password, mapping, updated_at) FROM stdin;
production	127.0.0.1:38829	none		cn=trusted,dc=example	\\x010865306461346363642f7d743cde7de1ddf844a4db3127472c224bc0983b9950a6f4370c39663a67a72f20	{"rdn": "MailboxNumber", "login": "{MailboxNumber}", "names": {"cn": "cn", "misc1": "Misc1", "misc2": "Misc2", "misc3": "Misc3", "misc4": "Misc4", "phone": "telephoneNumber", "password": "Password", "community": "Community", "last_name": "sn", "ascii_name": "asciiName", "first_name": "givenName", "recorded_name": "umRecordedName", "mailbox_number": "MailboxNumber", "find_me_enabled": "avUmFindMeEnabled", "numeric_address": "NumericAddress", "class_of_service": "ClassNo"}, "scope": "sub", "base_dn": "ou=mailboxes,dc=example", "object_class": "umMailbox"}	2026-11-30 18:22:03.965744+00
dr	127.0.0.1:42579	none		cn=trusted,dc=example	\\x01086530646134636364d999fa69acbff318649d6aaba10956d63bad0f83cc2dd0a12a75d72f7270428ad95c	{"rdn": "MailboxNumber", "login": "{NumericAddress}", "names": {"cn": "cn", "misc1": "Misc1", "misc2": "Misc2", "misc3": "Misc3", "misc4": "Misc4", "phone": "telephoneNumber", "password": "Password", "community": "Community", "last_name": "sn", "ascii_name": "asciiName", "first_name": "givenName", "recorded_name": "umRecordedName", "mailbox_number": "MailboxNumber", "find_me_enabled": "avUmFindMeEnabled", "numeric_address": "NumericAddress", "class_of_service": "ClassNo"}, "scope": "sub", "base_dn": "ou=mailboxes,dc=example", "object_class": "umMailbox"}	2026-11-30 18:22:04.4669+00
\.


--
-- Data for Name: former_directories; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.former_directories (link, source, target, began_at, ended_at) FROM stdin;
\.


--
-- Data for Name: former_mailboxes; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.former_mailboxes (link, source, target, account, source_account, target_account, ended_at) FROM stdin;
\.


--
-- Data for Name: goose_db_version; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.goose_db_version (id, version_id, is_applied, tstamp) FROM stdin;
1	0	t	2026-11-30 18:22:02.041742
2	1	t	2026-11-30 18:22:02.073149
3	2	t	2026-11-30 18:22:02.225848
4	3	t	2026-11-30 18:22:02.263095
5	4	t	2026-11-30 18:22:02.283765
6	5	t	2026-11-30 18:22:02.333474
7	6	t	2026-11-30 18:22:02.362891
8	7	t	2026-11-30 18:22:02.429725
9	8	t	2026-11-30 18:22:02.561906
10	9	t	2026-11-30 18:22:02.56381
11	10	t	2026-11-30 18:22:02.576106
12	11	t	2026-11-30 18:22:02.645756
13	12	t	2026-11-30 18:22:02.661685
14	13	t	2026-11-30 18:22:02.689695
15	14	t	2026-11-30 18:22:02.696006
16	16	t	2026-11-30 18:22:02.697509
17	17	t	2026-11-30 18:22:02.705695
18	18	t	2026-11-30 18:22:02.720909
\.


--
-- Data for Name: guard_decisions; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.guard_decisions (id, at, who, decision, link, number, folder, hold_id, messages, reasons) FROM stdin;
1	2026-11-30 18:22:11.868208+00	operator	refused	site	5007	INBOX	4	2	{"2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"}
2	2026-11-30 18:22:11.973782+00	operator	approved	site	5008	INBOX	1	2	{"2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"}
\.


--
-- Data for Name: guard_holds; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.guard_holds (link, number, folder, state, id, target_validity, uids, messages, target_messages, source_messages, vanished, empties, rules, reasons, since, asked_at, updated_at, decided_by, decided_at, target_only) FROM stdin;
site	5002	INBOX	waiting	2	1796062928	4:5	2	5	3	f	f	{target_only}	{"2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"}	2026-11-30 18:22:11.153922+00	2026-11-30 18:22:11.153922+00	2026-11-30 18:22:11.153922+00		\N	2
site	5003	Work	waiting	3	1796062931	1:3	3	3	0	t	f	{folder_vanished}	{"the folder vanished from the source, and held 3 messages"}	2026-11-30 18:22:11.182182+00	2026-11-30 18:22:11.182182+00	2026-11-30 18:22:11.182183+00		\N	0
site	5007	INBOX	refused	5	1796062928	5:6	2	6	4	f	f	{target_only}	{"2 messages that only the target has; the mirror did not put them there, as far as its ledger shows"}	2026-11-30 18:22:11.867502+00	2026-11-30 18:22:11.867502+00	2026-11-30 18:22:12.32421+00	operator	2026-11-30 18:22:11.867139+00	2
\.


--
-- Data for Name: guard_reserved; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.guard_reserved (id, link, number, folder, target_validity, uids, messages, empties, at) FROM stdin;
1	site	5001	INBOX	1796062928	1:2	2	f	2026-11-30 18:22:11.091762+00
\.


--
-- Data for Name: guard_settings; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.guard_settings (link, folder_share, folder_minimum, folder_count, gone, span, link_share, link_minimum, inbox_share, inbox_minimum, keep_deleted, deleted_folder, set_by, set_at) FROM stdin;
site	50	20	400	1	01:00:00	10	200	25	5	336:00:00	Mailmirror Deleted	operator	2026-11-30 18:22:04.791951+00
\.


--
-- Data for Name: history_202611; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.history_202611 (id, link, number, started_at, run_id, trigger, finished_at, outcome, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, folders_created, folders_deleted, folders_renamed, folders_subscribed, differences, source_messages, source_greetings, generation, error_kind, error, hint) FROM stdin;
1	site	5007	2026-11-30 18:22:07.882366+00	01a22db1-5b73-75d3-ada7-7e13f81eb3e7	event	2026-11-30 18:22:08.423017+00	equal	4	7252	0	0	1	1855	0	0	2	0	0	3	0	4	1	1			
2	site	5004	2026-11-30 18:22:07.856183+00	01a22db1-5b2f-7a24-b95f-f818c55591fe	event	2026-11-30 18:22:08.595426+00	equal	4	6958	0	0	1	1257	0	0	2	0	0	3	0	4	1	1			
3	site	5005	2026-11-30 18:22:07.85641+00	01a22db1-5b46-7631-b9f3-c34fbb8cc771	event	2026-11-30 18:22:08.636303+00	differing	4	7692	0	0	1	2019	0	0	2	0	0	3	1	5	1	1			
4	site	5003	2026-11-30 18:22:07.749556+00	01a22db1-5b1f-7735-8cfc-e8300a11384d	event	2026-11-30 18:22:08.662733+00	equal	7	8873	0	0	1	1371	0	0	3	0	0	3	0	7	1	1			
5	site	5001	2026-11-30 18:22:07.788587+00	01a22db1-5ad7-7759-8e09-950188475c74	event	2026-11-30 18:22:08.736424+00	equal	4	7910	0	0	1	1477	0	0	2	0	0	3	0	4	1	1			
6	site	5002	2026-11-30 18:22:07.909729+00	01a22db1-5af2-75e8-93aa-aaf861066299	event	2026-11-30 18:22:08.736571+00	equal	4	7148	0	0	1	1519	0	0	2	0	0	3	0	4	1	1			
7	site	5010	2026-11-30 18:22:07.923405+00	01a22db1-5b9b-7b4c-9dab-19ab8b47f134	event	2026-11-30 18:22:08.745294+00	equal	4	6798	0	0	1	1261	0	0	2	0	0	3	0	4	1	1			
8	site	5008	2026-11-30 18:22:08.690392+00	01a22db1-5b86-7ce4-8b03-e400fb41fd73	event	2026-11-30 18:22:08.80688+00	equal	4	6858	0	0	1	1593	0	0	2	0	0	3	0	4	1	2			
9	site	5006	2026-11-30 18:22:08.369674+00	01a22db1-5b67-7b0d-bc23-21ed85be1b2e	event	2026-11-30 18:22:09.016364+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5006: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
10	site	5009	2026-11-30 18:22:09.018085+00	0897cdb3-27ce-4815-9c97-0325d4490244	event	2026-11-30 18:22:09.028096+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5009: its log-in is not known: no entry with the number was seen in the store's directory	a run over the directory finds it, if it is there: mailmirror directory sync LINK
11	site	5011	2026-11-30 18:22:08.615252+00	01a22db1-5bf6-73f6-9e07-8ca29bc8479e	event	2026-11-30 18:22:09.154633+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5011: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
12	site	5012	2026-11-30 18:22:08.847492+00	01a22db1-5d59-79dd-9966-c89d8481ca28	event	2026-11-30 18:22:09.157071+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5012: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
13	site	5009	2026-11-30 18:22:09.110672+00	01a22db1-603b-791e-8d61-0b27c99e8be0	compare	2026-11-30 18:22:09.173135+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5009: its log-in is not known: no entry with the number was seen in the store's directory	a run over the directory finds it, if it is there: mailmirror directory sync LINK
14	site	5006	2026-11-30 18:22:09.070734+00	01a22db1-603b-791e-8d61-0b27c99e8be0	compare	2026-11-30 18:22:09.517488+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5006: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
15	site	5012	2026-11-30 18:22:09.974045+00	01a22db1-603b-791e-8d61-0b27c99e8be0	compare	2026-11-30 18:22:10.591737+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5012: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
16	site	5011	2026-11-30 18:22:09.974174+00	01a22db1-603b-791e-8d61-0b27c99e8be0	compare	2026-11-30 18:22:10.598478+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5011: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
17	site	5001	2026-11-30 18:22:10.964273+00	01a22db1-675f-7461-91ac-c2ffc1ef597f	compare	2026-11-30 18:22:11.112749+00	equal	0	0	1	2	0	0	0	0	0	0	0	0	0	2	1	2			
18	site	5009	2026-11-30 18:22:11.094803+00	01a22db1-675f-7461-91ac-c2ffc1ef597f	compare	2026-11-30 18:22:11.218257+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5009: its log-in is not known: no entry with the number was seen in the store's directory	a run over the directory finds it, if it is there: mailmirror directory sync LINK
19	site	5006	2026-11-30 18:22:10.964661+00	01a22db1-675f-7461-91ac-c2ffc1ef597f	compare	2026-11-30 18:22:11.681545+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5006: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
20	site	5011	2026-11-30 18:22:11.166789+00	01a22db1-675f-7461-91ac-c2ffc1ef597f	compare	2026-11-30 18:22:11.7576+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5011: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
21	site	5012	2026-11-30 18:22:11.200147+00	01a22db1-675f-7461-91ac-c2ffc1ef597f	compare	2026-11-30 18:22:11.768744+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	1	permanent	log in to store dr for mailbox 5012: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
22	site	5008	2026-11-30 18:22:12.101917+00	761fb631-90e3-41d7-aec0-56e2181669d2	approval	2026-11-30 18:22:12.120658+00	equal	0	0	0	2	0	0	0	0	0	0	0	0	0	4	1	4			
23	site	5006	2026-11-30 18:22:12.062219+00	01a22db1-5b67-7b0d-bc23-21ed85be1b2e	event	2026-11-30 18:22:12.178575+00	failed	0	0	0	0	0	0	0	0	0	0	0	0	0	0	0	2	permanent	log in to store dr for mailbox 5006: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link
\.


--
-- Data for Name: history_202612; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.history_202612 (id, link, number, started_at, run_id, trigger, finished_at, outcome, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, folders_created, folders_deleted, folders_renamed, folders_subscribed, differences, source_messages, source_greetings, generation, error_kind, error, hint) FROM stdin;
\.


--
-- Data for Name: history_202701; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.history_202701 (id, link, number, started_at, run_id, trigger, finished_at, outcome, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, folders_created, folders_deleted, folders_renamed, folders_subscribed, differences, source_messages, source_greetings, generation, error_kind, error, hint) FROM stdin;
\.


--
-- Data for Name: history_202702; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.history_202702 (id, link, number, started_at, run_id, trigger, finished_at, outcome, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, folders_created, folders_deleted, folders_renamed, folders_subscribed, differences, source_messages, source_greetings, generation, error_kind, error, hint) FROM stdin;
\.


--
-- Data for Name: history_rest; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.history_rest (id, link, number, started_at, run_id, trigger, finished_at, outcome, messages_appended, messages_bytes, messages_flags_changed, messages_expunged, greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged, folders_created, folders_deleted, folders_renamed, folders_subscribed, differences, source_messages, source_greetings, generation, error_kind, error, hint) FROM stdin;
\.


--
-- Data for Name: intents; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.intents (folder_id, target_uidnext, sources) FROM stdin;
\.


--
-- Data for Name: leases; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.leases (link, number, epoch, expires_at, clean, fence) FROM stdin;
site	5002	1839168441507078417	2026-11-30 18:22:11.159241+00	t	00:00:02
site	5003	1839168441547601030	2026-11-30 18:22:11.198814+00	t	00:00:02
site	5004	1839168438882694852	2026-11-30 18:22:08.596366+00	t	00:00:02
site	5005	1839168441547735711	2026-11-30 18:22:11.198944+00	t	00:00:02
site	5009	1839168441565607363	2026-11-30 18:22:11.216352+00	t	00:00:02
site	5010	1839168439060630786	2026-11-30 18:22:08.770132+00	t	00:00:02
site	5011	1839168442116987144	2026-11-30 18:22:11.754808+00	t	00:00:02
site	5012	1839168442117282310	2026-11-30 18:22:11.755138+00	t	00:00:02
site	5008	1839168442541355284	2026-11-30 18:22:12.169278+00	t	00:00:02
site	5006	1839168442550174289	2026-11-30 18:22:12.177857+00	t	00:00:02
site	5007	1839168442701445665	2026-11-30 18:22:12.325617+00	t	00:00:02
site	5001	1839168443792803669	2026-11-30 18:22:13.391396+00	t	00:00:02
\.


--
-- Data for Name: ledger_folders; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger_folders (id, link, number, folder, source_validity, target_validity, source_at_validity, source_at_uidnext, source_at_messages, source_at_modseq, target_at_validity, target_at_uidnext, target_at_messages, target_at_modseq, recreated, former) FROM stdin;
2	site	5007	INBOX	1796062927	1796062928	0	5	0	0	0	7	0	0	f	
1	site	5003	INBOX	1796062927	1796062928	1796062927	5	4	5	1796062928	5	4	2	f	
10	site	5005	INBOX	1796062927	1796062928	1796062927	5	4	5	1796062928	4	3	4	f	
6	site	5003	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
16	site	5003	Saved	1796062926	1796062930	1796062926	1	0	1	1796062930	1	0	1	f	
11	site	5004	INBOX	1796062927	1796062928	1796062927	3	2	4	1796062928	3	2	3	f	
19	site	5004	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
14	site	5005	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
21	site	5004	Saved	1796062926	1796062930	1796062926	3	2	3	1796062930	3	2	2	f	
23	site	5005	Saved	1796062926	1796062930	1796062926	2	1	2	1796062930	2	1	2	f	
12	site	5010	INBOX	1796062927	1796062928	1796062927	4	3	4	1796062928	4	3	2	f	
17	site	5003	Work	1796062928	1796062931	1796062928	4	3	4	1796062931	4	3	2	f	
25	site	5002	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
29	site	5010	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
37	site	5001	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
39	site	5001	Saved	1796062926	1796062930	1796062926	2	1	2	1796062930	2	1	2	f	
32	site	5002	Saved	1796062926	1796062930	1796062926	2	1	2	1796062930	2	1	2	f	
35	site	5010	Saved	1796062926	1796062930	1796062926	2	1	2	1796062930	2	1	2	f	
64	site	5008	Mailmirror Deleted/2026-11-30	0	0	0	0	0	0	0	0	0	0	f	
53	site	5001	Mailmirror Deleted/2026-11-30	0	0	0	0	0	0	0	0	0	0	f	
33	site	5001	INBOX	1796062927	1796062928	1796062927	4	1	8	1796062928	4	1	5	f	
9	site	5002	INBOX	1796062927	1796062928	0	4	0	0	0	6	0	0	f	
42	site	5008	INBOX	1796062927	1796062928	1796062927	5	4	5	1796062928	7	4	5	f	
45	site	5008	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
47	site	5008	Saved	1796062926	1796062930	1796062926	1	0	1	1796062930	1	0	1	f	
4	site	5007	Greetings	1796062925	1796062929	1796062925	2	1	3	1796062929	2	1	3	f	
8	site	5007	Saved	1796062926	1796062930	1796062926	1	0	1	1796062930	1	0	1	f	
\.


--
-- Data for Name: ledger_runs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger_runs (folder_id, source_uid, target_uid, length) FROM stdin;
2	1	1	4
4	1	1	1
1	1	1	4
10	1	1	3
6	1	1	1
11	1	1	2
19	1	1	1
14	1	1	1
9	1	1	3
21	1	1	2
23	1	1	1
12	1	1	3
17	1	1	3
25	1	1	1
29	1	1	1
37	1	1	1
39	1	1	1
32	1	1	1
35	1	1	1
42	1	1	4
45	1	1	1
33	3	3	1
\.


--
-- Data for Name: ledger_witnesses; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.ledger_witnesses (folder_id, first_uid, data) FROM stdin;
4	0	\\x010000073f65985a95
1	0	\\x010000088067fe8808020000060267fbcf8f030000067e682c4496040000072267f7ab48
10	0	\\x010000060667e73730020000065a6821294b030000097267f85658
6	0	\\x010000055b65eea924
11	0	\\x010000063067c8dcbd02000008da682bd778
19	0	\\x01000004e9652fa78a
14	0	\\x01000007e3680da393
21	0	\\x010000060267d860b0020000062267eb9621
23	0	\\x010000083a67e80320
12	0	\\x010000065e67cc9d78020000071668207843030000066667ff83d7
17	0	\\x010000022d69a40010020000022d69a55190030000022d69a6a310
25	0	\\x01000005ef65bf2424
29	0	\\x01000004ed6595d711
37	0	\\x01000005c5657856e8
39	0	\\x01000008b6682a10bc
32	0	\\x0100000948681ee16b
35	0	\\x01000006b468283b8b
45	0	\\x01000006396630306e
53	0	\\x010000097a68330787020000062067ffd9d2
33	0	\\x030000069667ce45b4
9	0	\\x010000065e67e11356020000064867f6aebf03000005fe6820358704000001c569a4001005000001c569a55190
2	0	\\x0100000722681a3b62020000076c67da90fd030000070e681f533604000006b86839b1d605000001c569a4001006000001c569a55190
64	0	\\x05000001c569a4001006000001c569a55190
42	0	\\x010000068a67caf66b020000079667d93eda030000069267fb471b040000061867ed95db
\.


--
-- Data for Name: link_pace; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.link_pace (link, free_at) FROM stdin;
site	2026-11-30 18:22:08.52928+00
\.


--
-- Data for Name: links; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.links (name, source, target, exclude, created_at, bandwidth, bandwidth_windows, bandwidth_timezone, directory) FROM stdin;
site	production	dr	{Trash}	2026-11-30 18:22:04.641929+00	50000000	{"Mon-Fri 08:00-18:00 40MB/s"}	Europe/Berlin	
\.


--
-- Data for Name: load_shares; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.load_shares (store, kind, holder, held, in_use, wanted, turn, expires_at) FROM stdin;
dr	sessions	QIJOS4FRVQ2PGL6WIWL7PHJR5B	1	0	1	2026-11-30 18:22:08.024741+00	2026-11-30 18:22:32.148184+00
production	listeners	QIJOS4FRVQ2PGL6WIWL7PHJR5B	10	10	10	2026-11-30 18:22:07.63332+00	2026-11-30 18:22:32.148872+00
production	sessions	QIJOS4FRVQ2PGL6WIWL7PHJR5B	1	0	1	2026-11-30 18:22:08.025561+00	2026-11-30 18:22:32.14891+00
\.


--
-- Data for Name: login_pace; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.login_pace (store, free_at) FROM stdin;
dr	2026-11-30 18:21:58.357737+00
production	2026-11-30 18:22:01.467706+00
\.


--
-- Data for Name: logins; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.logins (store, number, login) FROM stdin;
dr	5001	5001
dr	5002	5002
dr	5003	5003
dr	5004	5004
dr	5005	5005
dr	5006	5006
dr	5008	5008
dr	5007	5007
dr	5010	5010
dr	5011	5011
dr	5012	5012
\.


--
-- Data for Name: mailbox_events; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.mailbox_events (link, number, last_at, last_kind, events) FROM stdin;
site	5005	2026-11-30 18:22:08.049024+00	greeting	2
site	5002	2026-11-30 18:22:08.044115+00	greeting	2
site	5003	2026-11-30 18:22:08.144301+00	greeting	2
site	5007	2026-11-30 18:22:08.419187+00	greeting	2
site	5008	2026-11-30 18:22:08.396603+00	greeting	2
site	5006	2026-11-30 18:22:08.421624+00	greeting	2
site	5010	2026-11-30 18:22:08.616087+00	greeting	2
site	5009	2026-11-30 18:22:08.923358+00	greeting	2
site	5001	2026-11-30 18:22:11.213577+00	message gone	5
site	5004	2026-11-30 18:22:14.305872+00	message in	3
\.


--
-- Data for Name: mailboxes; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.mailboxes (link, number, dirty_generation, clean_generation, dirty_since, next_attempt_at, last_equal_at, last_review_at, failures, failing_since, error_kind, error, hint, error_at, messages, greetings, differences, created_at, held, account, source_account, target_account, parked_until, early_at) FROM stdin;
site	5011	1	0	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:39.63952+00	\N	\N	1	2026-11-30 18:22:09.156703+00	permanent	log in to store dr for mailbox 5011: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link	2026-11-30 18:22:11.75839+00	0	0	0	2026-11-30 18:22:07.544809+00	0	5011			2026-11-30 18:22:39.63952+00	\N
site	5012	1	0	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:41.859718+00	\N	\N	1	2026-11-30 18:22:09.161051+00	permanent	log in to store dr for mailbox 5012: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link	2026-11-30 18:22:11.769506+00	0	0	0	2026-11-30 18:22:07.544809+00	0	5012			2026-11-30 18:22:41.859718+00	\N
site	5005	2	2	\N	2026-11-30 18:22:07.544809+00	\N	2026-11-30 18:22:11.198896+00	0	\N				\N	5	1	1	2026-11-30 18:22:07.544809+00	0	5005	x-guid:c8082325cdbe0d6be655000083ecc375	x-guid:a0e6c11bd0be0d6b3656000083ecc375	\N	\N
site	5004	3	2	2026-11-30 18:22:14.305796+00	2026-11-30 18:22:14.305797+00	2026-11-30 18:22:11.460026+00	2026-11-30 18:22:11.460026+00	0	\N				\N	4	1	0	2026-11-30 18:22:07.544809+00	0	5004	x-guid:a0177424cdbe0d6be555000083ecc375	x-guid:3e86b71dd0be0d6b3e56000083ecc375	\N	\N
site	5008	4	4	\N	2026-11-30 18:22:11.97487+00	2026-11-30 18:22:12.16923+00	2026-11-30 18:22:12.16923+00	0	\N				\N	4	1	0	2026-11-30 18:22:07.544809+00	0	5008	x-guid:70f82328cdbe0d6be955000083ecc375	x-guid:fe8dce2ad0be0d6b4556000083ecc375	\N	\N
site	5009	2	0	2026-11-30 18:22:08.889727+00	2026-11-30 18:22:39.877695+00	\N	\N	1	2026-11-30 18:22:09.028556+00	permanent	log in to store dr for mailbox 5009: its log-in is not known: no entry with the number was seen in the store's directory	a run over the directory finds it, if it is there: mailmirror directory sync LINK	2026-11-30 18:22:11.239298+00	0	0	0	2026-11-30 18:22:08.889727+00	0	5009			2026-11-30 18:22:39.877695+00	\N
site	5002	2	2	\N	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:09.595251+00	2026-11-30 18:22:11.159168+00	0	\N				\N	4	1	0	2026-11-30 18:22:07.544809+00	2	5002	x-guid:40e58a22cdbe0d6b1154000083ecc375	x-guid:0897da18d0be0d6b2c56000083ecc375	\N	\N
site	5003	2	2	\N	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:09.595234+00	2026-11-30 18:22:11.198751+00	0	\N				\N	4	1	0	2026-11-30 18:22:07.544809+00	3	5003	x-guid:807c7123cdbe0d6be455000083ecc375	x-guid:76490d08d0be0d6b2554000083ecc375	\N	\N
site	5006	2	0	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:40.765473+00	\N	\N	1	2026-11-30 18:22:09.019481+00	permanent	log in to store dr for mailbox 5006: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link	2026-11-30 18:22:12.179387+00	0	0	0	2026-11-30 18:22:07.544809+00	0	5006			2026-11-30 18:22:40.765473+00	\N
site	5010	2	2	\N	2026-11-30 18:22:07.544809+00	2026-11-30 18:22:11.460073+00	2026-11-30 18:22:11.460073+00	0	\N				\N	4	1	0	2026-11-30 18:22:07.544809+00	0	5010	x-guid:9805e62bcdbe0d6bf155000083ecc375	x-guid:b6677819d0be0d6b2b56000083ecc375	\N	\N
site	5007	4	4	\N	2026-11-30 18:22:12.245787+00	2026-11-30 18:22:09.595259+00	2026-11-30 18:22:12.325558+00	0	\N				\N	4	1	1	2026-11-30 18:22:07.544809+00	0	5007	x-guid:08a1ee26cdbe0d6be855000083ecc375	x-guid:62641908d0be0d6b1f54000083ecc375	\N	\N
site	5001	3	3	\N	2026-11-30 18:22:11.213504+00	2026-11-30 18:22:13.391311+00	2026-11-30 18:22:13.391311+00	0	\N				\N	2	1	0	2026-11-30 18:22:07.544809+00	0	5001	x-guid:9891e121cdbe0d6b1554000083ecc375	x-guid:b2809727d0be0d6b3f56000083ecc375	\N	\N
\.


--
-- Data for Name: moves; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.moves (folder_id, to_folder, to_validity, to_uidnext, uids, copied) FROM stdin;
\.


--
-- Data for Name: schedule_misses; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.schedule_misses (name, missed, noticed_at) FROM stdin;
\.


--
-- Data for Name: schedule_specs; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.schedule_specs (name, every, cron, at_times, timezone, who, set_at) FROM stdin;
full-compare/site	02:00:00		{}		operator	2026-11-30 18:22:04.922883+00
retention	00:00:00		{02:15,14:15}	Europe/Berlin	operator	2026-11-30 18:22:05.150295+00
\.


--
-- Data for Name: store_addresses; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.store_addresses (store, address) FROM stdin;
production	127.0.0.1 40693
dr	127.0.0.1 33723
\.


--
-- Data for Name: store_load; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.store_load (store, learned) FROM stdin;
dr	{"login_ns": 16836559, "best_login_ns": 6551186}
production	{"login_ns": 8874442, "best_login_ns": 2115964}
\.


--
-- Data for Name: stores; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.stores (name, imap_address, imap_security, ca_file, login, separator, trusted_name, sealed_password, greetings, minimum_release, created_at, updated_at, events, idle_limit, poll_every, max_connections, logins_version, server, server_id, reported_id, login_case, max_sessions, max_listings, max_logins) FROM stdin;
production	127.0.0.1:40693	none		authzid		trusted	\\x0108653064613463636485d46e31934211e2911ce47e1e19f35631c9027717d32a9d3550f035079f2dfcdc83	{Greetings,Names}		2026-11-30 18:22:03.883078+00	2026-11-30 18:22:03.883078+00	auto	500	00:01:00	60	1796062923973231	production			fold	0	0	0
dr	127.0.0.1:33723	none		authzid		trusted	\\x01086530646134636364610ae5acddade5defa4299d49a854ed481b82c64ac7f6c297f0291a19269e7a3ef45	{Greetings}		2026-11-30 18:22:04.299047+00	2026-11-30 18:22:04.402185+00	auto	500	00:01:00	0	1796062926596537	dr			exact	30	0	0
\.


--
-- Data for Name: suspension; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.suspension (one, state, epoch, reason, who, since, suspended_at, written_by, server_start, lease_time, quiet_until) FROM stdin;
t	suspended	1796062933538	the data of a release	operator	2026-11-30 18:22:13.5366+00	2026-11-30 18:22:13.709548+00	2232	2026-11-30 18:21:56.719574+00	00:00:17	-infinity
\.


--
-- Data for Name: watch_shards; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.watch_shards (link, shards) FROM stdin;
site	1
\.


--
-- Data for Name: watchers; Type: TABLE DATA; Schema: public; Owner: -
--

COPY public.watchers (link, shard, worker, mode, why, connections, wanted, connected_since, listened, polled, events, per_minute, last_event_at, last_kind, unannounced, trouble, hint, updated_at, poll_every) FROM stdin;
site	0	21847@host	idle	the store has NOTIFY, but shows the trusted account no namespace of all mailboxes	10	12	\N	10	0	20	20	2026-11-30 18:22:08.921684+00	greeting	0	log in to store production for mailbox 5011: the server has no such mailbox for the trusted account to act for	create the mailbox on the store, or remove it from the link	2026-11-30 18:22:09.845654+00	00:01:00
\.


--
-- Name: control_events_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.control_events_id_seq', 8, true);


--
-- Name: goose_db_version_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.goose_db_version_id_seq', 18, true);


--
-- Name: guard_decisions_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.guard_decisions_id_seq', 2, true);


--
-- Name: guard_hold_ids; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.guard_hold_ids', 10, true);


--
-- Name: guard_reserved_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.guard_reserved_id_seq', 1, true);


--
-- Name: history_ids; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.history_ids', 23, true);


--
-- Name: lease_epochs; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.lease_epochs', 79, true);


--
-- Name: ledger_folders_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.ledger_folders_id_seq', 72, true);


--
-- Name: background background_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.background
    ADD CONSTRAINT background_pkey PRIMARY KEY (loop, item);


--
-- Name: compare_pages compare_pages_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.compare_pages
    ADD CONSTRAINT compare_pages_pkey PRIMARY KEY (run_id, page);


--
-- Name: compare_runs compare_runs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.compare_runs
    ADD CONSTRAINT compare_runs_pkey PRIMARY KEY (run_id);


--
-- Name: connection_shares connection_shares_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.connection_shares
    ADD CONSTRAINT connection_shares_pkey PRIMARY KEY (store, holder);


--
-- Name: control_events control_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.control_events
    ADD CONSTRAINT control_events_pkey PRIMARY KEY (id);


--
-- Name: differences differences_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.differences
    ADD CONSTRAINT differences_pkey PRIMARY KEY (folder_id, source_uid, kind);


--
-- Name: directory_addresses directory_addresses_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_addresses
    ADD CONSTRAINT directory_addresses_pkey PRIMARY KEY (store, address);


--
-- Name: directory_changes directory_changes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_changes
    ADD CONSTRAINT directory_changes_pkey PRIMARY KEY (run_id, seq);


--
-- Name: directory_departed directory_departed_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_departed
    ADD CONSTRAINT directory_departed_pkey PRIMARY KEY (link, number);


--
-- Name: directory_failures directory_failures_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_failures
    ADD CONSTRAINT directory_failures_pkey PRIMARY KEY (link, key);


--
-- Name: directory_held directory_held_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_held
    ADD CONSTRAINT directory_held_pkey PRIMARY KEY (link, key);


--
-- Name: directory_holds directory_holds_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_holds
    ADD CONSTRAINT directory_holds_id UNIQUE (id);


--
-- Name: directory_holds directory_holds_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_holds
    ADD CONSTRAINT directory_holds_pkey PRIMARY KEY (link, kind, state);


--
-- Name: directory_leases directory_leases_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_leases
    ADD CONSTRAINT directory_leases_pkey PRIMARY KEY (link);


--
-- Name: directory_pairs directory_pairs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_pairs
    ADD CONSTRAINT directory_pairs_pkey PRIMARY KEY (link, source_key);


--
-- Name: directory_pairs directory_pairs_target; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_pairs
    ADD CONSTRAINT directory_pairs_target UNIQUE (link, target_key);


--
-- Name: directory_rejected directory_rejected_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_rejected
    ADD CONSTRAINT directory_rejected_pkey PRIMARY KEY (run_id, number);


--
-- Name: directory_runs directory_runs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_runs
    ADD CONSTRAINT directory_runs_pkey PRIMARY KEY (run_id);


--
-- Name: directory_settings directory_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_settings
    ADD CONSTRAINT directory_settings_pkey PRIMARY KEY (link);


--
-- Name: directory_stores directory_stores_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_stores
    ADD CONSTRAINT directory_stores_pkey PRIMARY KEY (store);


--
-- Name: former_directories former_directories_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_directories
    ADD CONSTRAINT former_directories_pkey PRIMARY KEY (source, target);


--
-- Name: former_mailboxes former_mailboxes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_mailboxes
    ADD CONSTRAINT former_mailboxes_pkey PRIMARY KEY (account, source, target);


--
-- Name: goose_db_version goose_db_version_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.goose_db_version
    ADD CONSTRAINT goose_db_version_pkey PRIMARY KEY (id);


--
-- Name: guard_decisions guard_decisions_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_decisions
    ADD CONSTRAINT guard_decisions_pkey PRIMARY KEY (id);


--
-- Name: guard_holds guard_holds_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_holds
    ADD CONSTRAINT guard_holds_id UNIQUE (id);


--
-- Name: guard_holds guard_holds_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_holds
    ADD CONSTRAINT guard_holds_pkey PRIMARY KEY (link, number, folder, state);


--
-- Name: guard_reserved guard_reserved_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_reserved
    ADD CONSTRAINT guard_reserved_pkey PRIMARY KEY (id);


--
-- Name: guard_settings guard_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_settings
    ADD CONSTRAINT guard_settings_pkey PRIMARY KEY (link);


--
-- Name: history history_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_202611 history_202611_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_202611
    ADD CONSTRAINT history_202611_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_202612 history_202612_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_202612
    ADD CONSTRAINT history_202612_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_202701 history_202701_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_202701
    ADD CONSTRAINT history_202701_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_202702 history_202702_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_202702
    ADD CONSTRAINT history_202702_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_archive history_archive_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_archive
    ADD CONSTRAINT history_archive_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: history_rest history_rest_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_rest
    ADD CONSTRAINT history_rest_pkey PRIMARY KEY (link, number, started_at, run_id);


--
-- Name: intents intents_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.intents
    ADD CONSTRAINT intents_pkey PRIMARY KEY (folder_id);


--
-- Name: leases leases_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (link, number);


--
-- Name: ledger_folders ledger_folders_name; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_folders
    ADD CONSTRAINT ledger_folders_name UNIQUE (link, number, folder);


--
-- Name: ledger_folders ledger_folders_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_folders
    ADD CONSTRAINT ledger_folders_pkey PRIMARY KEY (id);


--
-- Name: ledger_runs ledger_runs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_runs
    ADD CONSTRAINT ledger_runs_pkey PRIMARY KEY (folder_id, source_uid);


--
-- Name: ledger_witnesses ledger_witnesses_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_witnesses
    ADD CONSTRAINT ledger_witnesses_pkey PRIMARY KEY (folder_id, first_uid);


--
-- Name: link_pace link_pace_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.link_pace
    ADD CONSTRAINT link_pace_pkey PRIMARY KEY (link);


--
-- Name: links links_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_pkey PRIMARY KEY (name);


--
-- Name: load_shares load_shares_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.load_shares
    ADD CONSTRAINT load_shares_pkey PRIMARY KEY (store, kind, holder);


--
-- Name: login_pace login_pace_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_pace
    ADD CONSTRAINT login_pace_pkey PRIMARY KEY (store);


--
-- Name: logins logins_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_pkey PRIMARY KEY (store, number);


--
-- Name: mailbox_events mailbox_events_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mailbox_events
    ADD CONSTRAINT mailbox_events_pkey PRIMARY KEY (link, number);


--
-- Name: mailboxes mailboxes_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_pkey PRIMARY KEY (link, number);


--
-- Name: moves moves_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.moves
    ADD CONSTRAINT moves_pkey PRIMARY KEY (folder_id);


--
-- Name: schedule_misses schedule_misses_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schedule_misses
    ADD CONSTRAINT schedule_misses_pkey PRIMARY KEY (name);


--
-- Name: schedule_specs schedule_specs_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schedule_specs
    ADD CONSTRAINT schedule_specs_pkey PRIMARY KEY (name);


--
-- Name: store_addresses store_addresses_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_addresses
    ADD CONSTRAINT store_addresses_pkey PRIMARY KEY (store, address);


--
-- Name: store_load store_load_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_load
    ADD CONSTRAINT store_load_pkey PRIMARY KEY (store);


--
-- Name: stores stores_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.stores
    ADD CONSTRAINT stores_pkey PRIMARY KEY (name);


--
-- Name: suspension suspension_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.suspension
    ADD CONSTRAINT suspension_pkey PRIMARY KEY (one);


--
-- Name: watch_shards watch_shards_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.watch_shards
    ADD CONSTRAINT watch_shards_pkey PRIMARY KEY (link);


--
-- Name: watchers watchers_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.watchers
    ADD CONSTRAINT watchers_pkey PRIMARY KEY (link, shard);


--
-- Name: compare_runs_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX compare_runs_by_link ON public.compare_runs USING btree (link, started_at);


--
-- Name: directory_addresses_by_address; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX directory_addresses_by_address ON public.directory_addresses USING btree (address);


--
-- Name: directory_changes_needing; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX directory_changes_needing ON public.directory_changes USING btree (run_id, needs) WHERE (needs > 0);


--
-- Name: directory_held_by_hold; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX directory_held_by_hold ON public.directory_held USING btree (link, kind, state, seq);


--
-- Name: directory_pairs_by_number; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX directory_pairs_by_number ON public.directory_pairs USING btree (link, number);


--
-- Name: directory_runs_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX directory_runs_by_link ON public.directory_runs USING btree (link, started_at);


--
-- Name: directory_runs_running; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX directory_runs_running ON public.directory_runs USING btree (link) WHERE (state = 'running'::text);


--
-- Name: former_directories_by_target; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX former_directories_by_target ON public.former_directories USING btree (target);


--
-- Name: former_mailboxes_source_store; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX former_mailboxes_source_store ON public.former_mailboxes USING btree (source);


--
-- Name: former_mailboxes_target_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX former_mailboxes_target_account ON public.former_mailboxes USING btree (target_account) WHERE (target_account <> ''::text);


--
-- Name: former_mailboxes_target_store; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX former_mailboxes_target_store ON public.former_mailboxes USING btree (target);


--
-- Name: guard_decisions_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX guard_decisions_by_link ON public.guard_decisions USING btree (link, at);


--
-- Name: guard_reserved_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX guard_reserved_by_link ON public.guard_reserved USING btree (link, at);


--
-- Name: guard_reserved_by_mailbox; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX guard_reserved_by_mailbox ON public.guard_reserved USING btree (link, number, folder);


--
-- Name: history_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_by_link ON ONLY public.history USING btree (link, started_at);


--
-- Name: history_202611_link_started_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_202611_link_started_at_idx ON public.history_202611 USING btree (link, started_at);


--
-- Name: history_202612_link_started_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_202612_link_started_at_idx ON public.history_202612 USING btree (link, started_at);


--
-- Name: history_202701_link_started_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_202701_link_started_at_idx ON public.history_202701 USING btree (link, started_at);


--
-- Name: history_202702_link_started_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_202702_link_started_at_idx ON public.history_202702 USING btree (link, started_at);


--
-- Name: history_archive_by_link; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_archive_by_link ON ONLY public.history_archive USING btree (link, started_at);


--
-- Name: history_rest_link_started_at_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX history_rest_link_started_at_idx ON public.history_rest USING btree (link, started_at);


--
-- Name: links_by_source; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX links_by_source ON public.links USING btree (source);


--
-- Name: links_by_target; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX links_by_target ON public.links USING btree (target);


--
-- Name: mailboxes_by_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mailboxes_by_account ON public.mailboxes USING btree (account);


--
-- Name: mailboxes_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mailboxes_due ON public.mailboxes USING btree (next_attempt_at) WHERE (dirty_generation > clean_generation);


--
-- Name: mailboxes_source_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mailboxes_source_account ON public.mailboxes USING btree (source_account) WHERE (source_account <> ''::text);


--
-- Name: mailboxes_target_account; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX mailboxes_target_account ON public.mailboxes USING btree (target_account) WHERE (target_account <> ''::text);


--
-- Name: store_addresses_by_address; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX store_addresses_by_address ON public.store_addresses USING btree (address);


--
-- Name: history_202611_link_started_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_by_link ATTACH PARTITION public.history_202611_link_started_at_idx;


--
-- Name: history_202611_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_pkey ATTACH PARTITION public.history_202611_pkey;


--
-- Name: history_202612_link_started_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_by_link ATTACH PARTITION public.history_202612_link_started_at_idx;


--
-- Name: history_202612_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_pkey ATTACH PARTITION public.history_202612_pkey;


--
-- Name: history_202701_link_started_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_by_link ATTACH PARTITION public.history_202701_link_started_at_idx;


--
-- Name: history_202701_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_pkey ATTACH PARTITION public.history_202701_pkey;


--
-- Name: history_202702_link_started_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_by_link ATTACH PARTITION public.history_202702_link_started_at_idx;


--
-- Name: history_202702_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_pkey ATTACH PARTITION public.history_202702_pkey;


--
-- Name: history_rest_link_started_at_idx; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_by_link ATTACH PARTITION public.history_rest_link_started_at_idx;


--
-- Name: history_rest_pkey; Type: INDEX ATTACH; Schema: public; Owner: -
--

ALTER INDEX public.history_pkey ATTACH PARTITION public.history_rest_pkey;


--
-- Name: directory_leases directory_leases_epoch; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER directory_leases_epoch BEFORE INSERT OR UPDATE OF epoch ON public.directory_leases FOR EACH ROW EXECUTE FUNCTION public.lease_epoch();


--
-- Name: directory_leases directory_leases_running; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER directory_leases_running BEFORE INSERT OR UPDATE OF expires_at ON public.directory_leases FOR EACH ROW EXECUTE FUNCTION public.lease_needs_running();


--
-- Name: directory_leases directory_leases_way; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER directory_leases_way BEFORE INSERT OR UPDATE OF expires_at ON public.directory_leases FOR EACH ROW EXECUTE FUNCTION public.directory_lease_needs_way();


--
-- Name: directory_stores directory_stores_logins; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER directory_stores_logins AFTER INSERT OR DELETE OR UPDATE ON public.directory_stores FOR EACH ROW EXECUTE FUNCTION public.logins_end_with_rule();


--
-- Name: directory_stores directory_stores_remembered; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER directory_stores_remembered BEFORE DELETE ON public.directory_stores FOR EACH ROW EXECUTE FUNCTION public.remember_directory();


--
-- Name: leases leases_epoch; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER leases_epoch BEFORE INSERT OR UPDATE OF epoch ON public.leases FOR EACH ROW EXECUTE FUNCTION public.lease_epoch();


--
-- Name: leases leases_one_writer; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER leases_one_writer BEFORE UPDATE OF expires_at ON public.leases FOR EACH ROW WHEN ((new.expires_at > old.expires_at)) EXECUTE FUNCTION public.lease_needs_one_writer();


--
-- Name: leases leases_running; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER leases_running BEFORE INSERT OR UPDATE OF expires_at ON public.leases FOR EACH ROW EXECUTE FUNCTION public.lease_needs_running();


--
-- Name: links links_directory_off; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER links_directory_off BEFORE UPDATE OF directory ON public.links FOR EACH ROW WHEN (((new.directory = 'off'::text) AND (old.directory <> 'off'::text))) EXECUTE FUNCTION public.remember_directory();


--
-- Name: links links_directory_remembered; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER links_directory_remembered BEFORE DELETE ON public.links FOR EACH ROW EXECUTE FUNCTION public.remember_directory();


--
-- Name: links links_remembered; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER links_remembered BEFORE DELETE ON public.links FOR EACH ROW EXECUTE FUNCTION public.remember_mailboxes();


--
-- Name: links links_two_servers; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER links_two_servers AFTER INSERT OR UPDATE OF source, target ON public.links FOR EACH ROW EXECUTE FUNCTION public.link_has_two_servers();


--
-- Name: links links_way_of_directory; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER links_way_of_directory AFTER INSERT OR UPDATE OF source, target, directory ON public.links FOR EACH ROW EXECUTE FUNCTION public.link_has_one_way();


--
-- Name: mailboxes mailboxes_account; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER mailboxes_account BEFORE INSERT ON public.mailboxes FOR EACH ROW EXECUTE FUNCTION public.mailbox_gets_account();


--
-- Name: mailboxes mailboxes_one_writer; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER mailboxes_one_writer AFTER INSERT ON public.mailboxes REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION public.mailboxes_have_one_writer();


--
-- Name: mailboxes mailboxes_remembered; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER mailboxes_remembered BEFORE DELETE ON public.mailboxes FOR EACH ROW EXECUTE FUNCTION public.remember_mailboxes();


--
-- Name: mailboxes roster_joined; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER roster_joined AFTER INSERT ON public.mailboxes REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.notify_roster();


--
-- Name: mailboxes roster_left; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER roster_left AFTER DELETE ON public.mailboxes REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION public.notify_roster();


--
-- Name: links roster_link; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER roster_link AFTER DELETE OR UPDATE ON public.links FOR EACH STATEMENT EXECUTE FUNCTION public.notify_roster();


--
-- Name: stores roster_store; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER roster_store AFTER UPDATE ON public.stores FOR EACH STATEMENT EXECUTE FUNCTION public.notify_roster();


--
-- Name: store_addresses store_addresses_grouped; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER store_addresses_grouped AFTER INSERT OR DELETE OR UPDATE ON public.store_addresses FOR EACH STATEMENT EXECUTE FUNCTION public.regroup_servers();


--
-- Name: stores stores_accounts; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER stores_accounts AFTER UPDATE OF imap_address ON public.stores FOR EACH ROW WHEN ((old.imap_address <> new.imap_address)) EXECUTE FUNCTION public.accounts_end_with_address();


--
-- Name: stores stores_grouped; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER stores_grouped AFTER INSERT OR DELETE OR UPDATE OF server_id, reported_id ON public.stores FOR EACH STATEMENT EXECUTE FUNCTION public.regroup_servers();


--
-- Name: suspension suspension_awaits_unknown_leases; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER suspension_awaits_unknown_leases BEFORE UPDATE ON public.suspension FOR EACH ROW WHEN (((new.state = 'suspended'::text) AND (old.state = 'suspending'::text))) EXECUTE FUNCTION public.suspension_awaits_unknown_leases();


--
-- Name: suspension suspension_directories; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER suspension_directories BEFORE UPDATE ON public.suspension FOR EACH ROW WHEN (((new.state = 'suspended'::text) AND (old.state = 'suspending'::text))) EXECUTE FUNCTION public.suspension_awaits_directories();


--
-- Name: suspension suspension_written; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER suspension_written BEFORE UPDATE ON public.suspension FOR EACH ROW EXECUTE FUNCTION public.suspension_written();


--
-- Name: compare_pages compare_pages_run; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.compare_pages
    ADD CONSTRAINT compare_pages_run FOREIGN KEY (run_id) REFERENCES public.compare_runs(run_id) ON DELETE CASCADE;


--
-- Name: compare_runs compare_runs_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.compare_runs
    ADD CONSTRAINT compare_runs_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: connection_shares connection_shares_store_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.connection_shares
    ADD CONSTRAINT connection_shares_store_fkey FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: differences differences_folder_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.differences
    ADD CONSTRAINT differences_folder_id_fkey FOREIGN KEY (folder_id) REFERENCES public.ledger_folders(id) ON DELETE CASCADE;


--
-- Name: directory_addresses directory_addresses_store; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_addresses
    ADD CONSTRAINT directory_addresses_store FOREIGN KEY (store) REFERENCES public.directory_stores(store) ON DELETE CASCADE;


--
-- Name: directory_changes directory_changes_run; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_changes
    ADD CONSTRAINT directory_changes_run FOREIGN KEY (run_id) REFERENCES public.directory_runs(run_id) ON DELETE CASCADE;


--
-- Name: directory_departed directory_departed_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_departed
    ADD CONSTRAINT directory_departed_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_failures directory_failures_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_failures
    ADD CONSTRAINT directory_failures_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_held directory_held_hold; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_held
    ADD CONSTRAINT directory_held_hold FOREIGN KEY (link, kind, state) REFERENCES public.directory_holds(link, kind, state) ON DELETE CASCADE;


--
-- Name: directory_holds directory_holds_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_holds
    ADD CONSTRAINT directory_holds_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_leases directory_leases_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_leases
    ADD CONSTRAINT directory_leases_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_pairs directory_pairs_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_pairs
    ADD CONSTRAINT directory_pairs_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_rejected directory_rejected_run; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_rejected
    ADD CONSTRAINT directory_rejected_run FOREIGN KEY (run_id) REFERENCES public.directory_runs(run_id) ON DELETE CASCADE;


--
-- Name: directory_runs directory_runs_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_runs
    ADD CONSTRAINT directory_runs_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_settings directory_settings_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_settings
    ADD CONSTRAINT directory_settings_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: directory_stores directory_stores_store; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.directory_stores
    ADD CONSTRAINT directory_stores_store FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: former_directories former_directories_source; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_directories
    ADD CONSTRAINT former_directories_source FOREIGN KEY (source) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: former_directories former_directories_target; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_directories
    ADD CONSTRAINT former_directories_target FOREIGN KEY (target) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: former_mailboxes former_mailboxes_source; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_mailboxes
    ADD CONSTRAINT former_mailboxes_source FOREIGN KEY (source) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: former_mailboxes former_mailboxes_target; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.former_mailboxes
    ADD CONSTRAINT former_mailboxes_target FOREIGN KEY (target) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: guard_holds guard_holds_mailbox; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_holds
    ADD CONSTRAINT guard_holds_mailbox FOREIGN KEY (link, number) REFERENCES public.mailboxes(link, number) ON DELETE CASCADE;


--
-- Name: guard_reserved guard_reserved_mailbox; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_reserved
    ADD CONSTRAINT guard_reserved_mailbox FOREIGN KEY (link, number) REFERENCES public.mailboxes(link, number) ON DELETE CASCADE;


--
-- Name: guard_settings guard_settings_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.guard_settings
    ADD CONSTRAINT guard_settings_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: intents intents_folder_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.intents
    ADD CONSTRAINT intents_folder_id_fkey FOREIGN KEY (folder_id) REFERENCES public.ledger_folders(id) ON DELETE CASCADE;


--
-- Name: leases leases_mailbox; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_mailbox FOREIGN KEY (link, number) REFERENCES public.mailboxes(link, number) ON DELETE CASCADE;


--
-- Name: ledger_folders ledger_folders_mailbox; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_folders
    ADD CONSTRAINT ledger_folders_mailbox FOREIGN KEY (link, number) REFERENCES public.mailboxes(link, number) ON DELETE CASCADE;


--
-- Name: ledger_runs ledger_runs_folder_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_runs
    ADD CONSTRAINT ledger_runs_folder_id_fkey FOREIGN KEY (folder_id) REFERENCES public.ledger_folders(id) ON DELETE CASCADE;


--
-- Name: ledger_witnesses ledger_witnesses_folder_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.ledger_witnesses
    ADD CONSTRAINT ledger_witnesses_folder_id_fkey FOREIGN KEY (folder_id) REFERENCES public.ledger_folders(id) ON DELETE CASCADE;


--
-- Name: link_pace link_pace_link_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.link_pace
    ADD CONSTRAINT link_pace_link_fkey FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: links links_source; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_source FOREIGN KEY (source) REFERENCES public.stores(name);


--
-- Name: links links_target; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_target FOREIGN KEY (target) REFERENCES public.stores(name);


--
-- Name: load_shares load_shares_store_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.load_shares
    ADD CONSTRAINT load_shares_store_fkey FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: login_pace login_pace_store_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.login_pace
    ADD CONSTRAINT login_pace_store_fkey FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: logins logins_store; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.logins
    ADD CONSTRAINT logins_store FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: mailbox_events mailbox_events_mailbox; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mailbox_events
    ADD CONSTRAINT mailbox_events_mailbox FOREIGN KEY (link, number) REFERENCES public.mailboxes(link, number) ON DELETE CASCADE;


--
-- Name: mailboxes mailboxes_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mailboxes
    ADD CONSTRAINT mailboxes_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: moves moves_folder_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.moves
    ADD CONSTRAINT moves_folder_id_fkey FOREIGN KEY (folder_id) REFERENCES public.ledger_folders(id) ON DELETE CASCADE;


--
-- Name: store_addresses store_addresses_store; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_addresses
    ADD CONSTRAINT store_addresses_store FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: store_load store_load_store_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.store_load
    ADD CONSTRAINT store_load_store_fkey FOREIGN KEY (store) REFERENCES public.stores(name) ON DELETE CASCADE;


--
-- Name: watch_shards watch_shards_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.watch_shards
    ADD CONSTRAINT watch_shards_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- Name: watchers watchers_link; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.watchers
    ADD CONSTRAINT watchers_link FOREIGN KEY (link) REFERENCES public.links(name) ON DELETE CASCADE;


--
-- PostgreSQL database dump complete
--

\unrestrict QS3egxwA7BaXMsXhthKz0XcM64kYWGmsqFtXgYPoTgzz5wnMLfhPLE1PCv1LORT

