-- Signs of life of the work that Mailmirror does in the background.

-- +goose Up
-- One row for each loop, and for each link or schedule that the loop works on;
-- item is '' where there is one for all. A loop writes down when it last began and
-- how it last ended, so that whoever reads only this database sees that it fails,
-- or that nobody runs it any more.
CREATE TABLE background (
    loop         text COLLATE "C" NOT NULL,
    item         text COLLATE "C" NOT NULL,
    link         text COLLATE "C" NOT NULL, -- '' for one that serves all links
    worker       text NOT NULL DEFAULT '',
    started_at   timestamptz,
    ok_at        timestamptz,
    failed_at    timestamptz, -- since when it fails; NULL while it does not
    error_kind   text NOT NULL DEFAULT '',
    error        text NOT NULL DEFAULT '',
    hint         text NOT NULL DEFAULT '',
    -- due_at is when a schedule has to start its next run, by its spec.
    due_at       timestamptz,
    spec         text NOT NULL DEFAULT '',
    restarts     bigint NOT NULL DEFAULT 0,
    restarted_at timestamptz,
    PRIMARY KEY (loop, item)
) WITH (fillfactor = 50);

-- The mailboxes that a run over a directory could not let join its link, and why.
CREATE TABLE directory_rejected (
    run_id text COLLATE "C" NOT NULL CONSTRAINT directory_rejected_run REFERENCES directory_runs ON DELETE CASCADE,
    number text COLLATE "C" NOT NULL,
    error  text NOT NULL,
    hint   text NOT NULL,
    PRIMARY KEY (run_id, number)
);

-- +goose Down
DROP TABLE directory_rejected, background;
