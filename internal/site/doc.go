// Package site says what an installation consists of and how it stands: stores and
// their directories, links, mailboxes, compares, schedules, listeners, and how long
// records are kept. It does no I/O.
package site
