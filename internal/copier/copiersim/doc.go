// Package copiersim runs the copy engine over simulated stores, ledger and
// time: seeded, so that a failing run is reproduced by its number, and inside
// a testing/synctest bubble, so that hours of it take milliseconds.
//
// A seed chooses what the stores can do, what the users on both sides do
// meanwhile, and where a worker crashes, pauses, loses its connection or its
// lease. Every write to the target is checked as it lands: no message twice,
// none expunged that the source has, none written without a lease.
package copiersim
