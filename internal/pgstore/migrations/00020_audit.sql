-- One log of who changed what: control_events, which had it for some commands, becomes
-- the table audit, with its rows. Each changing command writes one row, in the
-- transaction of the change.

-- +goose Up
ALTER TABLE control_events RENAME TO audit;
ALTER TABLE audit RENAME COLUMN event TO command;
ALTER TABLE audit RENAME COLUMN who TO actor;
ALTER TABLE audit RENAME COLUMN reason TO detail;

-- link and store are '' if a command is about the mirror as a whole. They refer to
-- nothing: a row outlives what it is about.
ALTER TABLE audit
    ADD COLUMN way text NOT NULL DEFAULT '',
    ADD COLUMN link text NOT NULL DEFAULT '',
    ADD COLUMN store text NOT NULL DEFAULT '',
    ADD COLUMN outcome text NOT NULL DEFAULT 'done';
UPDATE audit SET way = 'mailmirror' WHERE command IN ('suspended', 'restarted', 'suspension restored');

-- Releases before this one read and write the rows by the former names. A later release
-- drops the view.
CREATE VIEW control_events AS
SELECT id, at, command AS event, subject, actor AS who, detail AS reason FROM audit;

-- +goose Down
DROP VIEW control_events;
ALTER TABLE audit DROP COLUMN way, DROP COLUMN link, DROP COLUMN store, DROP COLUMN outcome;
ALTER TABLE audit RENAME COLUMN command TO event;
ALTER TABLE audit RENAME COLUMN actor TO who;
ALTER TABLE audit RENAME COLUMN detail TO reason;
ALTER TABLE audit RENAME TO control_events;
