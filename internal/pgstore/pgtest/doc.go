// Package pgtest gives each test a database of its own, with the schema in it,
// on a private PostgreSQL server.
//
// A package under test calls Main from its TestMain: it starts a server from
// the installed binaries (as the user postgres where the test runs as root),
// or uses the one that the environment variable MAILMIRROR_TEST_DATABASE names,
// and stops what it started. The server listens on a socket in a directory
// that only its user may enter, and it dies with the test process. Its data is
// not worth a disk's wait: fsync is off.
//
// It is for tests alone; no binary may import it.
package pgtest
