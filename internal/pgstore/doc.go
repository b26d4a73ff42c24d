// Package pgstore keeps everything that Mailmirror knows in PostgreSQL: the
// stores, links and mailboxes that the operator configured, the ledger of
// message pairs with its write leases, history and the progress of compares.
//
// It owns the schema (migrations), the statements (queries, compiled into
// sqlcgen) and every transaction: none is passed up. Its methods speak the
// domain's types, and its errors are of a fault kind. It must not know of
// IMAP, HTTP or Temporal.
//
// Ways of writing:
//   - Statements of one transaction are sent together, as one batch without
//     BEGIN and COMMIT: the server runs it as one transaction, and it costs
//     one round trip.
//   - A write to a mailbox's ledger locks the lease first and the mailbox's
//     row later; so does the removal of mailboxes. Nobody waits in a circle.
//   - What can be found out again by looking at the stores is committed
//     without waiting for the disk; leases and intents are waited for.
package pgstore
