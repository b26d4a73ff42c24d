// Package mirror decides what must be done to make a target equal to a
// source, and proves when nothing is left to do.
//
// It is the pure core: it takes what was seen on both sides and returns a
// plan. It does no I/O, reads no clock and must not know of connections, SQL
// or Temporal. PlanTree plans the folders of a mailbox, PlanFolder the
// messages of one folder, Match recognises messages that are there already.
package mirror
