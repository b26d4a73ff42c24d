// Package dirsim runs the engine of directory runs over two simulated directories, a
// record and time: seeded, so that a failing run is reproduced by its number, and inside
// a testing/synctest bubble, so that hours of it take milliseconds.
//
// A seed chooses what users, administrators and the operator do meanwhile, and where a
// worker crashes, pauses, loses a connection, an answer or its lease. Every write to the
// target is checked as it lands: none without a lease or after a suspension was
// acknowledged, no removal that the guard did not permit, nothing that is not mapped.
// What is recorded is checked as it is recorded.
package dirsim
