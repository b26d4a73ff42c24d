// Package guard says what the deletion guards keep for the operator and what the
// operator decided, for messages and for directories. The rules by which they decide
// are in packages mirror and directory. The package does no I/O.
package guard
