package control

import (
	"context"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// DirectoryHolds is the record of what the directory's guard keeps.
type DirectoryHolds interface {
	// DirectoryHolds lists what waits, is approved and not carried out, or was
	// refused, by link and kind; "" means every link.
	DirectoryHolds(ctx context.Context, link string) ([]guard.DirectoryHold, error)
	// DirectoryHoldChanges lists the changes of a hold, those after seq.
	DirectoryHoldChanges(ctx context.Context, id, after int64, limit int) ([]dirsync.Change, error)
	// DecideDirectoryHolds records a decision, on all of them or none, about the
	// very changes that are shown: by entry, not by run. guard.NoHold where one is no
	// more or is another by now.
	DecideDirectoryHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.DirectoryHold, error)
}

// DirectoryRepository is what directory runs need of the database.
type DirectoryRepository interface {
	DirectoryConfig
	DirectoryRuns
	DirectoryHolds
}

// DirectoryConfig is what operators set.
type DirectoryConfig interface {
	// site.Directory returns a store's directory; false where it has none.
	DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error)
	// PutDirectoryStore rejects, as a Conflict, what would mirror a directory back to
	// where it comes from.
	PutDirectoryStore(ctx context.Context, d site.Directory) error
	RemoveDirectoryStore(ctx context.Context, store string) error
	// Logins returns by which IMAP log-ins a store knows its mailboxes, and their
	// version: while Store.LoginsVersion is the same, they are.
	Logins(ctx context.Context, store string) (*directory.Logins, int64, error)
	// dirsync.Settings returns a link's settings, the defaults where none are set.
	DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error)
	SetDirectorySettings(ctx context.Context, link string, s dirsync.Settings) error
	// dirsync.Refusal is why no run over the directory of a link may begin, a Config
	// fault; nil if one may. It does not look whether both stores have a directory.
	DirectoryRefusal(ctx context.Context, link string) error
}

// DirectoryRuns is the record of runs. Every method may be repeated with the
// same arguments without another effect.
type DirectoryRuns interface {
	// BeginDirectoryRun records a run. One of the link that is recorded as running
	// still was broken off, and ends as failed: the workflow's id lets one run at
	// a time. A run that DirectoryConfig.DirectoryRefusal rejects is recorded as failed,
	// and the refusal is returned.
	BeginDirectoryRun(ctx context.Context, runID, link, trigger string) error
	// StageDirectory replaces what is staged of one side of a run by what next
	// yields until io.EOF, by COPY in one transaction: all of it or nothing.
	StageDirectory(ctx context.Context, runID string, side dirsync.Side, next func() (directory.Record, error)) error
	// LastExtracts returns the entry counts of the link's last run that was not
	// failed in extracting; false where there was none.
	LastExtracts(ctx context.Context, link string) (source, target directory.Extracted, known bool, err error)
	SaveExtracts(ctx context.Context, runID string, source, target directory.Extracted) error
	// CompareDirectory compares what is staged, replaces the run's changes and
	// returns how many there are of each kind. Changes are Planned, Told or
	// GivenUp; those that an operator approved or refused before are known again.
	// dirsync.ErrStagedLost is in the chain of its error where not all is staged that was
	// read.
	CompareDirectory(ctx context.Context, runID string, s dirsync.Settings) (directory.Tally, error)
	// HoldDirectoryChanges makes planned changes of kinds held, for reasons, but
	// for those that were approved. Holds of the link of which nothing is held any
	// more are over.
	HoldDirectoryChanges(ctx context.Context, runID string, kinds []directory.ChangeKind, reasons []string) (held int, err error)
	// DirectoryChanges lists a run's changes in the order of carrying them out,
	// those after seq, at most limit; no states means all.
	DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error)
	// SampleDirectoryChanges picks changes of one state, those after seq, at most
	// limit, by chance: first one of each kind of them, with the same columns and of
	// the same parent, then a second, and so on. Left out is what takes or frees a
	// number, which has to wait for its turn.
	SampleDirectoryChanges(ctx context.Context, runID string, after int64, limit int, state dirsync.ChangeState) ([]dirsync.Change, error)
	// SaveDirectoryChanges records what became of changes, and of their pairs:
	// a done Create, Alter or Renumber makes the pair of Source and Target as they
	// stand there, a done Remove or Unknown ends it. A change that failed has one
	// failure more than CompareDirectory gave it.
	SaveDirectoryChanges(ctx context.Context, runID string, changes []dirsync.Change) error
	// DirectoryRefusals tells of a run's changes that failed what they failed of, at
	// most limit of it, that of most changes first.
	DirectoryRefusals(ctx context.Context, runID string, limit int) ([]dirsync.Refusal, error)
	// SaveDirectoryPhase records how far a run is.
	SaveDirectoryPhase(ctx context.Context, runID, phase string) error
	// ForgetDirectoryFailures lets what was given up in a link be tried again: the
	// entries of a number, "" all. It returns how many there were.
	ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error)
	// FinishDirectoryRun ends a run and drops what is staged of it.
	FinishDirectoryRun(ctx context.Context, runID string, state dirsync.State, reasons []string, hint string) error
	DirectoryRun(ctx context.Context, runID string) (dirsync.Run, error)
	// DirectoryRunsOf lists newest first; "" means every link.
	DirectoryRunsOf(ctx context.Context, link string, limit int) ([]dirsync.Run, error)
	// DirectoryMembers returns the participating mailboxes that a run adds to the
	// link, and those that leave it: of the pairs by the rule of its settings.
	DirectoryMembers(ctx context.Context, runID string, s dirsync.Settings) (join, leave []mailbox.Number, err error)
	// LeaveLink ends the mirroring of mailboxes and records in their history, as
	// dirsync.LeftLink, what was last known of them. Those that do not take part are left
	// out of the count.
	LeaveLink(ctx context.Context, runID, link string, numbers []mailbox.Number) (int, error)
	// SaveDirectoryMembers records how many mailboxes joined and left by a run, and
	// which could not join.
	SaveDirectoryMembers(ctx context.Context, runID string, joined, left int, rejected []dirsync.Rejection) error
	// DirectoryRejections lists the mailboxes that could not join by a run, by number.
	DirectoryRejections(ctx context.Context, runID string) ([]dirsync.Rejection, error)

	// Taker gives the lease of a directory: a Config fault if DirectoryRefusal rejects
	// a run.
	lease.Taker
}
