package control

import (
	"context"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
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
	// DirectoryStore returns a store's directory; false where it has none.
	DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error)
	// PutDirectoryStore rejects, as a Conflict, what would mirror a directory back to
	// where it comes from.
	PutDirectoryStore(ctx context.Context, d site.Directory) error
	RemoveDirectoryStore(ctx context.Context, store string) error
	// Logins returns by which IMAP log-ins a store knows its mailboxes, and their
	// version: while Store.LoginsVersion is the same, they are.
	Logins(ctx context.Context, store string) (*directory.Logins, int64, error)
	// DirectorySettings returns a link's settings, the defaults where none are set.
	DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error)
	SetDirectorySettings(ctx context.Context, link string, s dirsync.Settings) error
	// DirectoryRefusal is why no run over the directory of a link may begin, a Config
	// fault; nil if one may. It does not look whether both stores have a directory.
	DirectoryRefusal(ctx context.Context, link string) error
}

// DirectoryRuns is the record of runs over directories.
type DirectoryRuns interface {
	DirectoryRun(ctx context.Context, runID string) (dirsync.Run, error)
	// DirectoryRunsOf lists newest first; "" means every link.
	DirectoryRunsOf(ctx context.Context, link string, limit int) ([]dirsync.Run, error)
	// DirectoryChanges lists a run's changes in the order of carrying them out,
	// those after seq, at most limit; no states means all.
	DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error)
	// ForgetDirectoryFailures lets what was given up in a link be tried again: the
	// entries of a number, "" all. It returns how many there were.
	ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error)
	// DirectoryRejections lists the mailboxes that could not join by a run, by number.
	DirectoryRejections(ctx context.Context, runID string) ([]dirsync.Rejection, error)
}
