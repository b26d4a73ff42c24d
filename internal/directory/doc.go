// Package directory holds what is known of a mailbox's entry in a directory, and
// every decision on how the target's directory is made like the source's: which
// entries differ, whether that is plausible, and which operations make one entry
// equal. It must not know of LDAP's wire, SQL, Temporal or the clock.
package directory
