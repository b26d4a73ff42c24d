// Package reader reads and writes IMAP stores on its own, to prove what the
// mirror did. It owns a small IMAP client over a plain connection, its own
// literal parsing, its own modified UTF-7 and its own idea of equality: per
// folder a multiset of body digest, flags and INTERNALDATE.
//
// It must share no code with the mirror, nor with the IMAP library that the
// mirror uses, so that one error cannot hide in both. It is for tests, the
// demonstration and the benchmark; it trusts the server more than a product
// may.
package reader
