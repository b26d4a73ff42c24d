// Package lease decides who may write to a store, and for how long. Whatever
// writes holds a write lease: the mirror of a mailbox, the mirror of a directory
// and a restore. The package holds the rules and the keeper. It has no I/O:
// PostgreSQL keeps the leases (table write_leases, one trigger).
//
//	               Take                     Renew, at each third of the TTL
//	worker A  ──────●──────────●──────────●─ ─ ─ ✕ (killed, cut off, frozen)
//	                │          │          │
//	A's Deadline    └── TTL ───┼──────────┼────────►┃ A's connection writes nothing
//	(A's own clock)            └── TTL ───┼─────►   ┃ at or after this instant
//	                                      └── TTL ─►┃
//	                                                ┃
//	row in PostgreSQL          expires_at ───────────►│◄── fence ──►│
//	                                                                │
//	worker B  ─ ─ Take: HeldError{Wait} ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ● new epoch
//	                                                                │
//	worker A  wakes up: Save and Renew of the old epoch are rejected ✕
//
// # The argument
//
// Two workers never write to one thing at the same time:
//
//  1. Only the row gives a lease. A row that another may still write under gives
//     none: Row.Wait.
//  2. The holder computes its Deadline from the instant before it asked, so the
//     Deadline is never later than the row's expires_at, whatever the clocks show.
//     Only the durations are compared between machines, never the times.
//  3. The connection itself enforces the Deadline (SetWriteDeadline, or the
//     deadline of the request's context). A worker that is frozen or cut off needs
//     no instruction to stop.
//  4. A write that was sent before the Deadline may land later, up to the fence.
//     If the holder does not say that nothing is on its way (Clean), the next one
//     waits for expires_at and the fence.
//  5. Each Take and each Release gives the row an epoch that was never valid
//     before. Whatever is recorded under a lease is recorded under its epoch, so a
//     worker that wakes up too late changes nothing.
//
// A suspension has a scope: everything, or one link. It is for the trigger what
// Scopes.Permit is:
//
//	                          mirror of the link     restore of the link
//	running                   a lease                RunningError
//	link suspending           SuspendedError{link}   RunningError
//	link suspended            SuspendedError{link}   a lease
//	everything, or unknown    SuspendedError         SuspendedError
//
// An acknowledged suspension means that no write is under way in its scope:
//
//  1. To begin and to prolong a lease, the row's transaction locks the suspensions
//     in shared mode and reads both scopes: Scopes.Permit. To suspend, a transaction
//     locks them exclusively. So each lease is either visible to the suspension or
//     rejected.
//  2. The suspension is acknowledged when every lease of its scope is Clean, or its
//     expires_at and its fence are over. The leases of other links go on.
//  3. If PostgreSQL was started again or restored, it may lack leases. It gives no
//     lease and acknowledges no suspension before those are over.
//  4. It may lack suspensions, too. It gives no lease before a worker has asked
//     Temporal about everything and about every link.
//
// A restore and a mirror never write to one mailbox of one store at the same time:
//
//  1. A restore writes to the source of its link. It needs a link whose own
//     suspension is acknowledged; the mirror needs a link that is not suspended.
//     While everything is suspended, nothing is written, and so a restore waits too.
//  2. A link that is resumed during a restore gives no mirror a lease before the
//     restore's are over: Resource.Rejects. The restore's are not prolonged any more.
//  3. Another link may mirror into the store that the restore writes to. Both
//     leases are for one mailbox of one server then, and reject one another. Servers
//     and accounts are compared: one server may be two stores, and one mailbox may
//     have two logins.
//  4. A restore locks the suspension exclusively to begin and to prolong its lease.
//     So of two that begin at the same time, the second one sees the first.
//
// # The keeper
//
// Keeper.Hold runs work under a lease and renews the lease at each third of its
// TTL: two renewals may fail before the work has to stop. One that is not answered
// before the next is due has failed. If the lease is lost, the
// connection's deadline ends first, and the context of the work after that. If
// PostgreSQL cannot be reached, the Deadline stands, and the connection closes
// itself then.
package lease
