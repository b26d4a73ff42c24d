// Package imapstore reads and writes one IMAP message store. It implements the
// ports of package copier (Store, Overviewer, Reader, Session) on go-imap v2
// and is the only package that speaks IMAP.
//
// go-imap is never used bare, because used bare it loses and corrupts mail:
// three layers stand around it.
//
//	session   what the ports promise: complete answers, no command that a
//	   |      server could misread, every error classified
//	go-imap   tags, command encoding, response decoding
//	   |
//	wire      reads every response itself, within bounds, and writes anew what
//	   |      go-imap gets; hides the server's own words; puts whole messages
//	   |      into APPEND
//	link      deadlines on every read and write, the write lease, one sticky
//	          error, and a close that lets nothing more reach the server
//
// It must not know of Temporal, PostgreSQL, or who calls it.
package imapstore
