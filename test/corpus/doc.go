// Package corpus makes the mail that tests, demonstration and benchmark work
// with: voice messages and greetings as a voice mail system stores them, and
// every oddity of message, flag, date and folder name that a mirror must
// survive. All of it follows from a seed, so that a failure can be repeated.
//
// It knows what the tested servers do with each oddity, and its tests hold
// that against the servers themselves. It must not know the mirror.
package corpus
