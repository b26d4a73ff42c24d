-- One write lease for everything that writes to a store: the mirror of a mailbox, the
-- mirror of a directory, and a restore. One table holds the leases, one trigger has the
-- rules. internal/lease/doc.go explains them.

-- +goose Up

-- The tables of the releases before become the parts of the new table, so that their
-- statements hold their rows to the new rules. number is '' for a directory. store is
-- the store that the lease permits to write to: the source of the link for a restore,
-- else its target. The trigger sets it when a lease begins.
CREATE TABLE write_leases (
    kind       text NOT NULL,
    store      text COLLATE "C" NOT NULL DEFAULT '',
    link       text COLLATE "C" NOT NULL,
    number     text COLLATE "C" NOT NULL DEFAULT '',
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    clean      boolean NOT NULL,
    fence      interval NOT NULL DEFAULT '2 seconds'
) PARTITION BY LIST (kind);

DROP TRIGGER leases_running ON leases;
DROP TRIGGER leases_epoch ON leases;
DROP TRIGGER leases_one_writer ON leases;
DROP TRIGGER directory_leases_running ON directory_leases;
DROP TRIGGER directory_leases_epoch ON directory_leases;
DROP TRIGGER directory_leases_way ON directory_leases;
DROP FUNCTION lease_needs_running, lease_epoch, lease_needs_one_writer, directory_lease_needs_way;

ALTER TABLE leases
    ADD COLUMN kind text NOT NULL DEFAULT 'mailbox',
    ADD COLUMN store text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE directory_leases
    ADD COLUMN kind text NOT NULL DEFAULT 'directory',
    ADD COLUMN store text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN number text COLLATE "C" NOT NULL DEFAULT '' CONSTRAINT directory_leases_number CHECK (number = '');
ALTER TABLE write_leases ATTACH PARTITION leases FOR VALUES IN ('mailbox');
ALTER TABLE write_leases ATTACH PARTITION directory_leases FOR VALUES IN ('directory');

-- A restore may write to a mailbox that is not one of the link's.
CREATE TABLE restore_leases PARTITION OF write_leases (
    CONSTRAINT restore_leases_key PRIMARY KEY (link, number),
    CONSTRAINT restore_leases_link FOREIGN KEY (link) REFERENCES links (name) ON DELETE CASCADE
) FOR VALUES IN ('restore') WITH (fillfactor = 50);
CREATE INDEX restore_leases_held ON restore_leases (expires_at) WHERE NOT clean;

-- Which links are suspended by themselves. A link without a row never was. The proof of
-- the table suspension holds for this table as well: it says that the server has not
-- been started, restored or replaced since.
CREATE TABLE link_suspensions (
    link         text COLLATE "C" PRIMARY KEY CONSTRAINT link_suspensions_link REFERENCES links (name) ON DELETE CASCADE,
    state        text NOT NULL CHECK (state IN ('running', 'suspending', 'suspended')),
    epoch        bigint NOT NULL,
    reason       text NOT NULL,
    who          text NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    suspended_at timestamptz
);

-- What a restore writes to: the account of the source of its link. id is the one that
-- the server reported for it, '' if it is not known.
-- +goose StatementBegin
CREATE FUNCTION restored_account(of_link text, of_number text)
    RETURNS TABLE (server text, server_id text, account text, id text) LANGUAGE sql STABLE AS
$$
    SELECT s.server, s.server_id, coalesce(m.account, composed(lower(of_number))), coalesce(m.source_account, '')
    FROM links l
    JOIN stores s ON s.name = l.source
    LEFT JOIN mailboxes m ON m.link = l.name AND m.number = of_number
    WHERE l.name = of_link
$$;
-- +goose StatementEnd

-- lease_rival says for how long another lease rejects this one, NULL if none does. A
-- link is mirrored or restored, never both at once, and one mailbox of one server has
-- one writer.
-- +goose StatementBegin
CREATE FUNCTION lease_rival(of_kind text, of_link text, of_number text, of_fence interval) RETURNS interval LANGUAGE plpgsql STABLE AS
$$
DECLARE
    until timestamptz;
BEGIN
    IF of_kind = 'restore' THEN
        SELECT max(w.expires_at + greatest(w.fence, of_fence)) INTO until
        FROM restored_account(of_link, of_number) r
        CROSS JOIN LATERAL (
            SELECT l.expires_at, l.fence, l.clean
            FROM flows_of(r.account, '', r.id) f
            JOIN write_leases l ON l.kind = 'mailbox' AND l.link = f.link AND l.number = f.number
            WHERE f.account = r.account AND f.target_server = r.server
                OR same_account(f.target_account, f.target_id, r.id, r.server_id)
            UNION ALL
            SELECT l.expires_at, l.fence, l.clean
            FROM write_leases l
            CROSS JOIN LATERAL restored_account(l.link, l.number) o
            WHERE l.kind = 'restore' AND NOT l.clean AND (l.link, l.number) <> (of_link, of_number)
                AND (o.account = r.account AND o.server = r.server OR same_account(o.id, o.server_id, r.id, r.server_id))
        ) w
        WHERE NOT w.clean;
    ELSE
        SELECT max(w.expires_at + greatest(w.fence, of_fence)) INTO until
        FROM write_leases w
        WHERE w.kind = 'restore' AND NOT w.clean
            AND (w.link = of_link OR EXISTS (
                SELECT FROM restored_account(w.link, w.number) r
                JOIN flows f ON f.link = of_link AND f.number = of_number
                WHERE f.account = r.account AND f.target_server = r.server
                    OR same_account(f.target_account, f.target_id, r.id, r.server_id)));
    END IF;
    RETURN CASE WHEN until > clock_timestamp() THEN until - clock_timestamp() END;
END
$$;
-- +goose StatementEnd

-- The rules of every lease, whoever asks for it, releases before this one included.
--
-- An epoch that was valid once is never valid again: see 00005_upkeep.sql, whose rule
-- this is. To end a lease is always permitted.
--
-- To begin or to prolong one, the mirror has to be running with the proof of
-- 00018_suspension_proof.sql, and the link too: ML002. A restore needs a link that is
-- suspended, acknowledged: ML008. The lock makes that free of races: suspending takes
-- the table in a mode that waits for every transaction which has passed here, and
-- whoever comes here meanwhile waits, and then reads what suspending has written. A
-- restore takes it in that mode too: of a restore and a mirror that begin at the same
-- time, the second one sees the lease of the first: ML009.
-- +goose StatementBegin
CREATE FUNCTION write_lease() RETURNS trigger LANGUAGE plpgsql AS
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
CREATE TRIGGER write_leases_rules BEFORE INSERT OR UPDATE OF epoch, expires_at ON write_leases
    FOR EACH ROW EXECUTE FUNCTION write_lease();

-- A suspension of everything awaits every lease, of whatever kind.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION suspension_awaits_directories() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF EXISTS (SELECT FROM write_leases l WHERE NOT l.clean AND l.expires_at + l.fence > clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION suspension_awaits_directories() RETURNS trigger
    LANGUAGE plpgsql AS
$$
BEGIN
    IF EXISTS (SELECT FROM directory_leases l WHERE NOT l.clean AND l.expires_at + l.fence > clock_timestamp()) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
DROP TRIGGER write_leases_rules ON write_leases;
DROP FUNCTION write_lease, lease_rival, restored_account;
DROP TABLE link_suspensions;
ALTER TABLE write_leases DETACH PARTITION leases;
ALTER TABLE write_leases DETACH PARTITION directory_leases;
DROP TABLE write_leases;
ALTER TABLE leases DROP COLUMN kind, DROP COLUMN store;
ALTER TABLE directory_leases DROP COLUMN kind, DROP COLUMN store, DROP COLUMN number;
-- +goose StatementBegin
CREATE FUNCTION lease_epoch() RETURNS trigger LANGUAGE plpgsql AS
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
-- +goose StatementBegin
CREATE FUNCTION lease_needs_running() RETURNS trigger LANGUAGE plpgsql AS
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
CREATE TRIGGER leases_running BEFORE INSERT OR UPDATE OF expires_at ON leases
    FOR EACH ROW EXECUTE FUNCTION lease_needs_running();
CREATE TRIGGER leases_epoch BEFORE INSERT OR UPDATE OF epoch ON leases
    FOR EACH ROW EXECUTE FUNCTION lease_epoch();
CREATE TRIGGER leases_one_writer BEFORE UPDATE OF expires_at ON leases
    FOR EACH ROW WHEN (NEW.expires_at > OLD.expires_at) EXECUTE FUNCTION lease_needs_one_writer();
CREATE TRIGGER directory_leases_running BEFORE INSERT OR UPDATE OF expires_at ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION lease_needs_running();
CREATE TRIGGER directory_leases_epoch BEFORE INSERT OR UPDATE OF epoch ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION lease_epoch();
CREATE TRIGGER directory_leases_way BEFORE INSERT OR UPDATE OF expires_at ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION directory_lease_needs_way();
