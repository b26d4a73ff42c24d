// Package servers starts real IMAP and LDAP servers privately: Dovecot, Cyrus,
// OpenLDAP and 389 Directory Server from the distribution's packages, each on
// free loopback ports, below a folder of its own, as an unprivileged user. The tests, the
// demonstration and the benchmark use the same servers through it.
//
// The exception is Hostile, an IMAP server in the test's own process that does what
// no server should.
//
// It owns configuration files, processes and their end. It must not know what
// is stored on the servers nor how the mirror works; it speaks only as much
// IMAP and LDAP as it needs to see that a server is ready.
//
// A server outlives the context it was started with; it ends with Stop, with
// Kill9, or when the process that started it dies.
package servers
