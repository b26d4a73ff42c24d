// Package activities holds the steps that workflows are made of: each does
// input and output for one mailbox, or for one page of mailboxes, is safe to
// repeat, and tells Temporal by heartbeats that it is alive and how far it is.
//
// It declares the ports that it needs and is the only place that turns error
// kinds into Temporal's errors. It must not know any concrete adapter, and
// nothing but ids, counts and error texts without content leaves it.
package activities
