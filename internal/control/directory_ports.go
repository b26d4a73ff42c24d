package control

import (
	"context"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/site"
)

// DirectoryChecker looks at a store's directory as it is now.
type DirectoryChecker interface {
	// CheckDirectory connects, binds, reads the schema and tells what it found.
	CheckDirectory(ctx context.Context, d site.Directory) (DirectoryReport, error)
	// CheckRights finds out which attributes of the columns the trusted server may
	// write, without a change. It connects first, which may take its time, and calls
	// lease before it sends the first try: none is sent at or after the deadline of
	// the context that lease returns, and an error of lease is returned. With its error
	// it returns what was found before.
	CheckRights(ctx context.Context, d site.Directory, columns []directory.Column,
		lease func(context.Context) (context.Context, error)) (DirectoryRights, error)
}

// DirectoryReport is what a look at a directory found.
type DirectoryReport struct {
	Address string `json:"ldap"`
	// Server and Release are as the server names itself; "" where it does not.
	Server  string `json:"server,omitempty"`
	Release string `json:"release,omitempty"`
	// TLS is the version and cipher suite of the connection; "" without.
	TLS                string        `json:"tls,omitempty"`
	CertificateExpires time.Time     `json:"certificate_expires,omitzero"`
	Connect            time.Duration `json:"connect_ns,omitempty"`
	// Entries is how many mailboxes were found, at least, where AtLeast is true.
	Entries int  `json:"entries"`
	AtLeast bool `json:"at_least,omitempty"`
	// Writable are the attributes that may be written, which is tried only of what is
	// the target of a link.
	Writable []string `json:"writable,omitempty"`
	// TriedOn is the name of the entry on which that was tried.
	TriedOn string `json:"tried_on,omitempty"`
	// Faults are what keeps the directory from being mirrored, Advice is what is
	// worse than it could be: sentences for the operator.
	Faults []string `json:"faults"`
	Advice []string `json:"advice"`
}

// DirectoryRights are what was found out about writing: see DirectoryReport.
type DirectoryRights struct {
	Writable       []string
	TriedOn        string
	Faults, Advice []string
}

// DirectoryRunner is what directory runs need of Temporal.
type DirectoryRunner interface {
	// StartDirectory starts a run over the directory of a link and returns its
	// run id; where one is running already its run id is returned and started is
	// false.
	StartDirectory(ctx context.Context, link, trigger string) (runID string, started bool, err error)
	// AskDirectory sees to it that a run begins after now: one that is running is
	// followed by another.
	AskDirectory(ctx context.Context, link, trigger string) error
	// WaitDirectory waits for the end of a run.
	WaitDirectory(ctx context.Context, link, runID string) error
}
