// Package bare is the ceiling that the benchmark measures everybody against:
// the same IMAP work done with nothing but the protocol. It keeps no state,
// compares nothing and survives nothing, so what it needs is what the two
// servers need, and a mirror can at best come near it.
//
// It owns a small IMAP client for trusted loopback servers, written without
// any library so that no library's cost is part of the ceiling. It must not
// know the benchmark's tables nor anything of the mirror. It is no code to
// copy into the mirror: it trusts the source's bytes and stops at the first
// surprise.
package bare
