// Package cli is the operator's command line: it parses, asks internal/control
// and shows the answer, as tables for people or as JSON for programs.
//
// It owns wording, exit codes and output formats. It must not know of SQL,
// IMAP or Temporal, and it constructs nothing: whoever calls Main says how the
// system is reached, and that happens only when a command needs it.
package cli
