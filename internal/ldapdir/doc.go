// Package ldapdir reads and writes the mailboxes' entries of one store's
// directory by LDAP (RFC 4511), on go-ldap, which is never used bare: every wait
// on the network has a deadline, a cancelled context closes the connection, an
// extract is complete or an error, and what a server sends is bounded and checked
// before the library receives any of it.
//
// It owns the connection, the translation between attributes and columns, and
// the classification of the server's answers. It must not know of Temporal or
// PostgreSQL, nor decide what is to be written.
package ldapdir
