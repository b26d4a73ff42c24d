// Package watch listens to a store for changes of its mailboxes: whom to
// listen to in which way, when to connect again, what an event is, and when
// the sync of a mailbox is to be woken.
//
// A Watcher runs one shard of a link. It keeps the listening connections that
// its Source opens, holds what they report against what it saw before, has
// every change marked in the database, and wakes the mailbox. What was marked
// is never lost; a wake-up is only a hint. Whenever listening begins, or
// begins again, the state is read after it, so that what happened in between
// is found by comparing.
//
// It must not know IMAP, SQL or Temporal, and not what a sync does.
package watch
