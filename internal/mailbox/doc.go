// Package mailbox holds the words that every other package shares: mailbox
// numbers, folders, messages, flags, UID sets and the counters of a folder.
//
// It is pure: no I/O, no clock. It must not know of IMAP connections, SQL or
// Temporal.
package mailbox
