// Package suspension says what it means that everything, or one link, is suspended, and
// what asks for that. The database holds the rows. MirrorControl and LinkControl carry
// them out. The package does no I/O.
package suspension
