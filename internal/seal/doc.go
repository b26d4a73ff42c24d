// Package seal keeps secrets: a type that cannot be printed, and envelope
// encryption with keys from a file, for secrets at rest in the database.
//
// It must not know what it seals.
package seal
