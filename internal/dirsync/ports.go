package dirsync

import (
	"context"

	"mailmirror/internal/directory"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
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
	// Close ends the connection.
	Close() error
}

// SettingsRecords is what operators set for the directories of links.
type SettingsRecords interface {
	// DirectorySettings returns those of a link, or DefaultSettings if it has none.
	DirectorySettings(ctx context.Context, link string) (Settings, error)
}

// RunRecords is the record of runs. Every method may be repeated with the same arguments
// without another effect. A run that is not recorded is a NotFound fault, and a change of
// one that has ended a Conflict; FinishDirectoryRun leaves it as it is.
type RunRecords interface {
	// BeginDirectoryRun records a run. One of the link that is recorded as running
	// still was broken off, and ends as failed: the workflow's id lets one run at
	// a time. A run that the link may not have rejects is recorded as failed,
	// and the refusal is returned.
	BeginDirectoryRun(ctx context.Context, runID, link, trigger string) error
	// StageDirectory replaces what is staged of one side of a run by what next
	// yields until io.EOF: all of it or nothing. An error of next is returned as it is.
	StageDirectory(ctx context.Context, runID string, side Side, next func() (directory.Record, error)) error
	// LastExtracts returns the entry counts of the link's last run that has ended and was
	// not failed in extracting, dry runs left out; false where there was none.
	LastExtracts(ctx context.Context, link string) (source, target directory.Extracted, known bool, err error)
	// SaveExtracts records the entry counts of a run.
	SaveExtracts(ctx context.Context, runID string, source, target directory.Extracted) error
	// CompareDirectory compares what is staged, replaces the run's changes and
	// returns how many there are of each kind. Changes are Planned, Told or
	// GivenUp; those that an operator approved or refused before are known again.
	// Unless the run is a dry one, the same transaction holds what directory.Judge says,
	// but for those that were approved: nobody ever finds a change planned that has to
	// wait. ErrStagedLost is in the chain of its error where not all is staged that was
	// read.
	CompareDirectory(ctx context.Context, runID string, s Settings) (directory.Tally, error)
	// SaveDirectoryPhase records how far a run is.
	SaveDirectoryPhase(ctx context.Context, runID, phase string) error
	// FinishDirectoryRun ends a run and drops what is staged of it.
	FinishDirectoryRun(ctx context.Context, runID string, state State, reasons []string, hint string) error
	// DirectoryRun returns a run; a NotFound fault if it is not recorded.
	DirectoryRun(ctx context.Context, runID string) (Run, error)
	// DirectoryRefusals tells of a run's changes that failed what they failed of, at
	// most limit of it, that of most changes first.
	DirectoryRefusals(ctx context.Context, runID string, limit int) ([]Refusal, error)
}

// ChangeRecords is the record of the changes of runs. It may be repeated like RunRecords.
type ChangeRecords interface {
	// DirectoryChanges lists a run's changes in the order of carrying them out,
	// those after seq, at most limit; no states means all.
	DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...ChangeState) ([]Change, error)
	// SampleDirectoryChanges picks changes of one state, those after seq, at most
	// limit, by chance: first one of each kind of them, with the same columns and of
	// the same parent, then a second, and so on. Left out is what takes or frees a
	// number, which has to wait for its turn.
	SampleDirectoryChanges(ctx context.Context, runID string, after int64, limit int, state ChangeState) ([]Change, error)
	// SaveDirectoryChanges records under a lease what became of changes, and of their
	// pairs. If the lease was lost, nothing is recorded, and that is a Conflict:
	// a done Create, Alter or Renumber makes the pair of Source and Target as they
	// stand there, a done Remove or Unknown ends it. A change that failed has one
	// failure more than CompareDirectory gave it.
	SaveDirectoryChanges(ctx context.Context, l lease.Lease, runID string, changes []Change) error
}

// MemberRecords is the record of which mailboxes a run adds to its link and removes from
// it. It may be repeated like RunRecords.
type MemberRecords interface {
	// DirectoryMembers returns the participating mailboxes that a run adds to the
	// link, and those that leave it: of the pairs by the rule of its settings.
	DirectoryMembers(ctx context.Context, runID string, s Settings) (join, leave []mailbox.Number, err error)
	// LeaveLink ends the mirroring of mailboxes and records in their history, as
	// LeftLink, what was last known of them. Those that do not take part are left
	// out of the count. If a sync may still write to one, that is a Conflict, and none
	// leaves.
	LeaveLink(ctx context.Context, runID, link string, numbers []mailbox.Number) (int, error)
	// SaveDirectoryMembers records how many mailboxes joined and left by a run, and
	// which could not join.
	SaveDirectoryMembers(ctx context.Context, runID string, joined, left int, rejected []Rejection) error
	// AddMailboxes makes mailboxes participate, all or none: see Mailboxes of
	// package control.
	AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
}
