// Package suspension says what it means that the mirror as a whole is suspended, and
// what asks for that. The database holds the row; MirrorControl carries it out. The
// package does no I/O.
package suspension
