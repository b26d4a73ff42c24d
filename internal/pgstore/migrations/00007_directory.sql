-- The directory of a link: how stores are reached, what runs found and did, which
-- entries belong together, what waits for the operator. Everything is added; the
-- release before goes on working beside it.

-- +goose Up
CREATE TABLE directory_stores (
    store           text COLLATE "C" PRIMARY KEY CONSTRAINT directory_stores_store REFERENCES stores (name) ON DELETE CASCADE,
    address         text NOT NULL,
    security        text NOT NULL CHECK (security IN ('none', 'starttls', 'tls')),
    ca_file         text NOT NULL,
    bind_dn         text NOT NULL,
    sealed_password bytea NOT NULL,
    mapping         jsonb NOT NULL,
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- What an operator set for a link; without a row the defaults hold.
CREATE TABLE directory_settings (
    link     text COLLATE "C" PRIMARY KEY CONSTRAINT directory_settings_link REFERENCES links (name) ON DELETE CASCADE,
    settings jsonb NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT now()
);

-- columns are the mapped ones of both sides, and protected the listed numbers of
-- the target's mapping, as they were when the run began. counts is written when
-- it ends; until then they are those of its changes.
CREATE TABLE directory_runs (
    run_id         text COLLATE "C" PRIMARY KEY,
    link           text COLLATE "C" NOT NULL CONSTRAINT directory_runs_link REFERENCES links (name) ON DELETE CASCADE,
    trigger        text NOT NULL,
    state          text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'held', 'done', 'failed')),
    phase          text NOT NULL DEFAULT 'extract',
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    reasons        text[] NOT NULL DEFAULT '{}',
    hint           text NOT NULL DEFAULT '',
    columns        text[] NOT NULL,
    protected      text[] NOT NULL,
    source_extract jsonb,
    target_extract jsonb,
    source_entries bigint NOT NULL DEFAULT 0,
    target_entries bigint NOT NULL DEFAULT 0,
    joined         bigint NOT NULL DEFAULT 0,
    departed       bigint NOT NULL DEFAULT 0,
    counts         jsonb
);
CREATE INDEX directory_runs_by_link ON directory_runs (link, started_at);
CREATE UNIQUE INDEX directory_runs_running ON directory_runs (link) WHERE state = 'running';

-- What was extracted of one side, until its run ends. A crash of the database
-- loses it, and the run that it is of fails then; so it is kept out of the log
-- that replicas follow. Each of cells is the value of a column in a form that is
-- equal where the values are: see cell in the program; NULL where the entry has
-- none, or the column is not mapped on both sides. DNs are bytes, as a server may
-- give some that are no text.
CREATE UNLOGGED TABLE directory_staged (
    run_id    text COLLATE "C" NOT NULL,
    side      text COLLATE "C" NOT NULL,
    n         bigint NOT NULL,
    id        text COLLATE "C" NOT NULL,
    dn        bytea NOT NULL,
    version   text NOT NULL,
    number    text COLLATE "C" NOT NULL,
    protected boolean NOT NULL,
    cells     bytea[] NOT NULL
);
-- A run deletes what it staged, which is all there is.
ALTER TABLE directory_staged SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

-- Entries that a compare found to belong together and that are not recorded so
-- yet; it has rows only while a compare is at work.
CREATE UNLOGGED TABLE directory_matched (
    run_id     text COLLATE "C" NOT NULL,
    source_key text COLLATE "C" NOT NULL,
    target_key text COLLATE "C" NOT NULL,
    number     text COLLATE "C" NOT NULL
);

-- Which entry of the target belongs to which of the source. A key is 's' and the
-- server's own id of the entry, or 'n' and its number where the server has none.
CREATE TABLE directory_pairs (
    link       text COLLATE "C" NOT NULL CONSTRAINT directory_pairs_link REFERENCES links (name) ON DELETE CASCADE,
    source_key text COLLATE "C" NOT NULL,
    target_key text COLLATE "C" NOT NULL,
    number     text COLLATE "C" NOT NULL,
    since      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (link, source_key),
    CONSTRAINT directory_pairs_target UNIQUE (link, target_key)
);
CREATE INDEX directory_pairs_by_number ON directory_pairs (link, number);

-- Numbers that ended with the removal or the renumbering of their entry, until
-- the mailbox has left the link or the number is given to another.
CREATE TABLE directory_departed (
    link   text COLLATE "C" NOT NULL CONSTRAINT directory_departed_link REFERENCES links (name) ON DELETE CASCADE,
    number text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (link, number)
);

-- In how many runs in a row an entry failed that is still the same: same is a
-- digest of what both sides held. key is of the source's entry, or of the
-- target's where there is no other, and says which.
CREATE TABLE directory_failures (
    link     text COLLATE "C" NOT NULL CONSTRAINT directory_failures_link REFERENCES links (name) ON DELETE CASCADE,
    key      text COLLATE "C" NOT NULL,
    number   text COLLATE "C" NOT NULL,
    same     bytea NOT NULL,
    failures bigint NOT NULL,
    error    text NOT NULL,
    hint     text NOT NULL,
    since    timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id   text COLLATE "C" NOT NULL,
    PRIMARY KEY (link, key)
);

-- The changes of a run. approved ones are not held again. One that takes a
-- number waits for the change that frees it: needs is that one's seq, 0 none.
CREATE TABLE directory_changes (
    run_id         text COLLATE "C" NOT NULL CONSTRAINT directory_changes_run REFERENCES directory_runs ON DELETE CASCADE,
    seq            bigint NOT NULL,
    key            text COLLATE "C" NOT NULL,
    kind           text NOT NULL,
    number         text COLLATE "C" NOT NULL,
    old_number     text COLLATE "C" NOT NULL,
    via            text NOT NULL DEFAULT '',
    source_id      text NOT NULL,
    source_dn      bytea NOT NULL,
    source_version text NOT NULL,
    target_id      text NOT NULL,
    target_dn      bytea NOT NULL,
    target_version text NOT NULL,
    columns        text[] NOT NULL,
    blank          text[] NOT NULL,
    same           bytea NOT NULL,
    state          text NOT NULL CHECK (state IN ('planned', 'held', 'refused', 'done', 'failed', 'given_up', 'told')),
    approved       boolean NOT NULL DEFAULT false,
    needs          bigint NOT NULL DEFAULT 0,
    error          text NOT NULL DEFAULT '',
    hint           text NOT NULL DEFAULT '',
    failures       bigint NOT NULL DEFAULT 0,
    counted        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, seq)
);
CREATE INDEX directory_changes_needing ON directory_changes (run_id, needs) WHERE needs > 0;

-- What waits for the operator, was approved and is not carried out yet, or was
-- refused, of one kind of changes. The id is that of what the operator was shown:
-- it is another one once another change waits.
CREATE TABLE directory_holds (
    link           text COLLATE "C" NOT NULL CONSTRAINT directory_holds_link REFERENCES links (name) ON DELETE CASCADE,
    kind           text COLLATE "C" NOT NULL,
    state          text COLLATE "C" NOT NULL CHECK (state IN ('waiting', 'approved', 'refused')),
    id             bigint NOT NULL DEFAULT nextval('guard_hold_ids') CONSTRAINT directory_holds_id UNIQUE,
    run_id         text COLLATE "C" NOT NULL,
    source_entries bigint NOT NULL,
    target_entries bigint NOT NULL,
    reasons        text[] NOT NULL,
    since          timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    decided_by     text NOT NULL DEFAULT '',
    decided_at     timestamptz,
    PRIMARY KEY (link, kind, state)
);

-- The changes of holds, one for each entry. A decision is about a change while it
-- is the same: of this kind, entry, number and columns.
CREATE TABLE directory_held (
    link           text COLLATE "C" NOT NULL,
    key            text COLLATE "C" NOT NULL,
    kind           text COLLATE "C" NOT NULL,
    state          text COLLATE "C" NOT NULL,
    seq            bigint NOT NULL,
    number         text COLLATE "C" NOT NULL,
    source_id      text NOT NULL,
    source_dn      bytea NOT NULL,
    source_version text NOT NULL,
    target_id      text NOT NULL,
    target_dn      bytea NOT NULL,
    target_version text NOT NULL,
    columns        text[] NOT NULL,
    blank          text[] NOT NULL,
    PRIMARY KEY (link, key),
    CONSTRAINT directory_held_hold FOREIGN KEY (link, kind, state) REFERENCES directory_holds ON DELETE CASCADE
);
CREATE INDEX directory_held_by_hold ON directory_held (link, kind, state, seq);

-- Who may write to the target directory of a link, by the rules of the leases of
-- mailboxes: none begins or goes on while the mirror is not running, and every
-- epoch is new.
CREATE TABLE directory_leases (
    link       text COLLATE "C" PRIMARY KEY CONSTRAINT directory_leases_link REFERENCES links (name) ON DELETE CASCADE,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    clean      boolean NOT NULL,
    fence      interval NOT NULL
) WITH (fillfactor = 50);
CREATE TRIGGER directory_leases_running BEFORE INSERT OR UPDATE OF expires_at ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION lease_needs_running();
CREATE TRIGGER directory_leases_epoch BEFORE INSERT OR UPDATE OF epoch ON directory_leases
    FOR EACH ROW EXECUTE FUNCTION lease_epoch();

-- A suspension is not complete while somebody may write to a directory. It is a
-- trigger, so that a worker of the release before, which knows of mailboxes
-- alone, does not say that it is: its statement changes no row then.
-- +goose StatementBegin
CREATE FUNCTION suspension_awaits_directories() RETURNS trigger
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
CREATE TRIGGER suspension_directories BEFORE UPDATE ON suspension
    FOR EACH ROW WHEN (NEW.state = 'suspended' AND OLD.state = 'suspending')
    EXECUTE FUNCTION suspension_awaits_directories();

-- +goose Down
DROP TRIGGER suspension_directories ON suspension;
DROP FUNCTION suspension_awaits_directories;
DROP TABLE directory_leases, directory_held, directory_holds, directory_changes, directory_failures, directory_departed,
    directory_pairs, directory_matched, directory_staged, directory_runs, directory_settings, directory_stores;
