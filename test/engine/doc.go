// Package engine tests the copy engine over real stores and a real ledger, in
// the test's own process: all that a worker does, without Temporal around it.
package engine
