-- name: InsertStore :exec
INSERT INTO stores (imap_address, imap_security, ca_file, login, separator, trusted_name, sealed_password,
    greetings, minimum_release, max_connections, max_sessions, max_listings, max_logins, events, idle_limit, poll_every,
    server_id, login_case, name)
VALUES (@imap_address, @imap_security, @ca_file, @login, @separator, @trusted_name, @sealed_password,
    @greetings, @minimum_release, @max_connections, @max_sessions, @max_listings, @max_logins, @events, @idle_limit, @poll_every,
    @server_id, @login_case, @name);

-- name: UpdateStore :execrows
UPDATE stores
SET imap_address = @imap_address, imap_security = @imap_security, ca_file = @ca_file, login = @login,
    separator = @separator, trusted_name = @trusted_name, sealed_password = @sealed_password,
    greetings = @greetings, minimum_release = @minimum_release, max_connections = @max_connections,
    max_sessions = @max_sessions, max_listings = @max_listings, max_logins = @max_logins,
    events = @events, idle_limit = @idle_limit, poll_every = @poll_every,
    server_id = @server_id, login_case = @login_case, updated_at = now()
WHERE name = @name;

-- name: GetStore :one
SELECT * FROM stores WHERE name = @name;

-- name: ListStores :many
SELECT * FROM stores ORDER BY name;

-- name: DeleteStore :execrows
DELETE FROM stores WHERE name = @name;

-- name: LinksOfStore :many
SELECT name FROM links WHERE source = @store OR target = @store ORDER BY name;

-- name: InsertLink :exec
INSERT INTO links (name, source, target, exclude, bandwidth, bandwidth_windows, bandwidth_timezone, directory)
VALUES (@name, @source, @target, @exclude, @bandwidth, @bandwidth_windows, @bandwidth_timezone, @directory);

-- name: SetLinkDirectory :execrows
UPDATE links SET directory = @directory WHERE name = @name;

-- name: SetBandwidth :execrows
UPDATE links
SET bandwidth = @bandwidth, bandwidth_windows = @bandwidth_windows, bandwidth_timezone = @bandwidth_timezone
WHERE name = @name;

-- name: GetLink :one
SELECT * FROM links WHERE name = @name;

-- name: ListLinks :many
SELECT * FROM links ORDER BY name;

-- name: DeleteLink :execrows
DELETE FROM links WHERE name = @name;

-- DropAddresses drops the addresses of a store that are not among those given.
-- name: DropAddresses :execrows
DELETE FROM store_addresses WHERE store = @store AND address <> ALL (@addresses::text[]);

-- name: AddAddresses :execrows
INSERT INTO store_addresses (store, address)
SELECT @store, unnest(@addresses::text[])
ON CONFLICT DO NOTHING;

-- name: StoreAddresses :many
SELECT address FROM store_addresses WHERE store = @store ORDER BY address;

-- name: AllAddresses :many
SELECT store, address FROM store_addresses ORDER BY store, address;

-- name: ReportServer :exec
UPDATE stores SET reported_id = @reported_id WHERE name = @name AND reported_id <> @reported_id;

-- name: ServersOfStores :many
SELECT name, server, login_case FROM stores ORDER BY name;

-- LinkConflicts are the links whose two stores are one server.
-- name: LinkConflicts :many
SELECT c.name, c.conflict::text AS conflict
FROM (SELECT l.name, link_conflict(l.source, l.target) AS conflict FROM links l) c
WHERE c.conflict IS NOT NULL
ORDER BY c.name;

-- DirectoryConflicts are the links that must not write to the directory of their target.
-- name: DirectoryConflicts :many
SELECT c.name, c.conflict::text AS conflict
FROM (SELECT l.name, directory_conflict(l.name, true) AS conflict FROM links l) c
WHERE c.conflict IS NOT NULL
ORDER BY c.name;
