// Package background says how the work does that Mailmirror does by itself, and
// judges what is wrong with it, by the signs of life that its loops leave in the
// database. It does no I/O.
package background
