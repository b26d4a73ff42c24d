package dirsync

import (
	"context"

	"mailmirror/internal/directory"
)

// Directories finds the directories of a link.
type Directories interface {
	// Directories returns both, ready to be opened. A link that does not exist
	// (any more) is a NotFound fault; one of which a store has no directory is a
	// Config fault.
	Directories(ctx context.Context, link string) (LinkDirectories, error)
}

// LinkDirectories are the two directories of one link.
type LinkDirectories struct {
	Source, Target Directory
}

// Directory is one of them.
type Directory struct {
	Store   string
	Mapping directory.Mapping
	// Digest stands for a value that is not kept as it is.
	Digest func(directory.Column, []byte) []byte
	// Open makes a connection of its own.
	Open func(ctx context.Context) (Session, error)
}

// Session is a connection to a directory, bound as the trusted server.
// It is used by one goroutine at a time. An entry that is not there is
// directory.ErrNoEntry.
type Session interface {
	// Extract hands over every mailbox, page by page, and tells what there was.
	// With an error what was handed over is not to be believed.
	Extract(ctx context.Context, digest func(directory.Column, []byte) []byte, each func(directory.Record) error) (directory.Extracted, error)
	// Read finds an entry by its id, or by its DN where it has none.
	Read(ctx context.Context, ref directory.Ref) (directory.Entry, error)
	// Find returns all entries with a number.
	Find(ctx context.Context, number string) ([]directory.Entry, error)
	// Write sends one operation, not after the deadline of ctx. Transient means
	// that it may have been carried out, unless it is a directory.ErrBusy.
	Write(ctx context.Context, op directory.Operation) error
	Close() error
}
