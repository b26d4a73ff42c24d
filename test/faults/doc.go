// Package faults puts a TCP proxy between the mirror and a server. The proxy
// breaks connections at a chosen byte, pattern or step of an APPEND, stalls,
// slows and refuses them, hides lines of answers, and it records which IMAP
// commands passed, so that a test can prove that a store was only ever read.
//
// It owns the connections through it. It knows IMAP just enough to tell
// commands from literals, and records no literal, no password and no message.
// It must not know what the mirror is doing.
package faults
