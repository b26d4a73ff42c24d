// Package copier carries out what package mirror plans: it makes one mailbox
// of the target equal to the source's, exactly once, whatever is killed or
// cut at any step.
//
// The protocol, per mailbox: take the write lease; look at both sides; write
// an intent; append; take the answers into the ledger; look at the target
// again; plan again; record the counters once that plan is empty. Nothing is
// believed that was not seen after the last write. Messages that are on the
// target already are recognised before any is appended, so a ledger that is
// lost, late or wrong costs time and no message.
//
// The engine reaches stores, ledger and clock through the ports in ports.go
// and must not know of IMAP, SQL, Temporal or the wall clock. copiersim runs
// it over simulated ones.
package copier
