// Package copiersim runs the copy engine over simulated stores, ledger and
// time: seeded, so that a failing run is reproduced by its number, and inside
// a testing/synctest bubble, so that hours of it take milliseconds.
//
// A seed chooses what the stores can do, what the users on both sides do
// meanwhile, and where a worker crashes, pauses, loses its connection or its
// lease. In some seeds everything or a link is suspended now and then, and messages are
// restored to the source and to the target. The leases are given by the rules of
// internal/lease. Every write to the target is checked as it lands: no message twice, none
// expunged that the source has, none without a lease, none after a lease that rejects it
// was given, and none of what is suspended.
package copiersim
