package control

import (
	"context"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// A method of a port to the database fails with the errors that its comment, or that of
// the port, names. It may also fail with an error of the database itself, which has
// fault.ErrDatabase in its chain. test/conformance checks what the comments say.

// Stores is the record of stores. A name that is not known is a NotFound fault that
// says what was looked for; a name that exists already and a store that is still in use
// are a Conflict that says by what.
type Stores interface {
	// AddStore adds a store. A value that the schema does not know is a Config fault.
	AddStore(ctx context.Context, s site.Store) error
	// UpdateStore replaces a store. It rejects what AddStore rejects. It also rejects, as
	// a Conflict, what would make the two stores of a link one server, or would give a
	// mailbox a second writer.
	UpdateStore(ctx context.Context, s site.Store) error
	// Store returns one store, Stores all of them, by name.
	Store(ctx context.Context, name string) (site.Store, error)
	Stores(ctx context.Context) ([]site.Store, error)
	// RemoveStore forgets a store that no link uses.
	RemoveStore(ctx context.Context, name string) error
	// StoreLoad is what the processes learned of the load on a store; empty if they
	// learned nothing.
	StoreLoad(ctx context.Context, name string) (quota.Load, error)
}

// Links is the record of links, with the faults of Stores.
type Links interface {
	// AddLink rejects, as a Config fault, two stores that are one server. It rejects,
	// as a Conflict, a link that would mirror a directory back to where it comes from.
	AddLink(ctx context.Context, l site.Link) error
	// SetLinkDirectory replaces Link.Directory; it rejects what AddLink rejects.
	SetLinkDirectory(ctx context.Context, link string, d site.LinkDirectory) error
	// Link returns one link, Links all of them, by name.
	Link(ctx context.Context, name string) (site.Link, error)
	Links(ctx context.Context) ([]site.Link, error)
	// SetBandwidth replaces the bandwidth of the link.
	SetBandwidth(ctx context.Context, l site.Link) error
	// RemoveLink forgets the link with its mailboxes, ledger and leases; history stays.
	// If a sync may still write under the link, that is a Conflict.
	RemoveLink(ctx context.Context, name string) error
}

// Mailboxes is the record of the mailboxes of links, with the faults of Stores.
type Mailboxes interface {
	// AddMailboxes makes mailboxes participate, dirty from the start; those
	// that do already are left as they are. It returns how many are new. An account
	// has one writer at most and is never its own source, over any number of links
	// and by whatever names of its server: what would break that is a Conflict, and
	// then none is added.
	AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	// ReverseMailboxes does the same, and forgets first from where the mailboxes were
	// mirrored before: they may be mirrored back to there.
	ReverseMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	// RemoveMailboxes ends the participation of mailboxes and returns how many took part.
	// If a sync may still write to one of them, that is a Conflict, and none is removed.
	RemoveMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	// Mailbox returns a mailbox of a link.
	Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error)
	// Mailboxes lists by ascending number, those after `after` ("" from the
	// start), at most limit (0 means all).
	Mailboxes(ctx context.Context, link string, after mailbox.Number, limit int) ([]site.Mailbox, error)
	// MarkDirty raises the dirty generation, lets the next attempt be now, and
	// returns the new generation.
	MarkDirty(ctx context.Context, key mailbox.Key) (int64, error)
}

// Records is what was done, and how things stand. A link, a mailbox or a run of which
// nothing is known is a NotFound fault. A link that was removed has its history still.
type Records interface {
	// Status tells how links stand, by name; "" means every link.
	Status(ctx context.Context, link string) ([]site.LinkStatus, error)
	// History lists newest first, at most limit (0 means all); number "" means the whole
	// link.
	History(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error)
	// HistoryWithArchive lists what was moved to the archive, too.
	HistoryWithArchive(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error)
	// Errors lists current failures and lasting differences, mailbox by mailbox; "" means
	// every link.
	Errors(ctx context.Context, link string) ([]site.ErrorEntry, error)
	// CompareRun returns a compare or a rebuild with the sum of its pages.
	CompareRun(ctx context.Context, runID string) (site.CompareRun, error)
	// Watchers tells how the listeners do, by link and shard; "" means every link.
	Watchers(ctx context.Context, link string) ([]site.Watcher, error)
	// Background returns the signs of life of the background work.
	Background(ctx context.Context) (background.State, error)
}

// Guard is the record of the deletion guard of messages.
type Guard interface {
	// GuardSettings returns a link's settings; the defaults where nobody set any.
	GuardSettings(ctx context.Context, link string) (guard.Settings, error)
	// SetGuardSettings replaces them; a NotFound fault if there is no such link.
	SetGuardSettings(ctx context.Context, link string, s guard.Settings) error
	// Holds lists what the guard keeps, by link, mailbox and folder; "" means
	// every link.
	Holds(ctx context.Context, link string) ([]guard.Hold, error)
	// DecideHolds records a decision on holds, all of them or none, and makes
	// work due on their mailboxes. It returns them with the ids that they had: a hold
	// that was decided on has another. A hold that is no more, or of which more became
	// due since it had this id, is a Conflict (guard.NoHold).
	DecideHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.Hold, error)
	// GuardFigures returns what the rules over the whole link count now.
	GuardFigures(ctx context.Context, link string) (guard.Counts, error)
	// GuardDecisions lists what was decided, newest first, at most limit (0 means all).
	GuardDecisions(ctx context.Context, link string, limit int) ([]guard.Decision, error)
}

// ScheduleRecords is what operators set of schedules. It rejects nothing: Temporal judges
// a schedule.
type ScheduleRecords interface {
	// SetScheduleSpec records when a schedule runs; the last record counts.
	SetScheduleSpec(ctx context.Context, name string, spec site.ScheduleSpec, who string) error
	// DropScheduleSpec makes a schedule run as it is built in.
	DropScheduleSpec(ctx context.Context, name string) error
	// NoteMisses returns when it was first seen that a schedule had missed so
	// many runs, or more.
	NoteMisses(ctx context.Context, name string, missed int) (time.Time, error)
}

// DirectoryConfig is what operators set of directories.
type DirectoryConfig interface {
	// DirectoryStore returns a store's directory; false where it has none.
	DirectoryStore(ctx context.Context, store string) (site.Directory, bool, error)
	// PutDirectoryStore sets the directory of a store; a NotFound fault if there is no such
	// store. It rejects, as a Conflict, what would mirror a directory back to where it
	// comes from.
	PutDirectoryStore(ctx context.Context, d site.Directory) error
	// RemoveDirectoryStore forgets it; a store without one is no error.
	RemoveDirectoryStore(ctx context.Context, store string) error
	// Logins returns by which IMAP logins a store knows its mailboxes, and their version:
	// while Store.LoginsVersion is the same, they are. A NotFound fault if there is no
	// such store.
	Logins(ctx context.Context, store string) (*directory.Logins, int64, error)
	dirsync.SettingsRecords
	// SetDirectorySettings replaces those of a link; a NotFound fault if there is no such
	// link.
	SetDirectorySettings(ctx context.Context, link string, s dirsync.Settings) error
	// DirectoryRefusal is why no run over the directory of a link may begin, a Config
	// fault; nil if one may. It does not look whether both stores have a directory.
	DirectoryRefusal(ctx context.Context, link string) error
}

// DirectoryRuns is the record of runs over directories.
type DirectoryRuns interface {
	// DirectoryRun returns a run; a NotFound fault if it is not recorded.
	DirectoryRun(ctx context.Context, runID string) (dirsync.Run, error)
	// DirectoryRunsOf lists newest first, at most limit (0 means all); "" means every link.
	DirectoryRunsOf(ctx context.Context, link string, limit int) ([]dirsync.Run, error)
	// DirectoryChanges lists a run's changes in the order of carrying them out,
	// those after seq, at most limit (0 means all); no states means all.
	DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error)
	// ForgetDirectoryFailures lets what was given up in a link be tried again: the
	// entries of a number, "" all. It returns how many there were. A NotFound fault if
	// there is no such link.
	ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error)
	// DirectoryRejections lists the mailboxes that could not join by a run, by number.
	DirectoryRejections(ctx context.Context, runID string) ([]dirsync.Rejection, error)
}

// DirectoryHolds is the record of what the directory's guard keeps.
type DirectoryHolds interface {
	// DirectoryHolds lists what waits, is approved and not carried out, or was
	// refused, by link and kind; "" means every link.
	DirectoryHolds(ctx context.Context, link string) ([]guard.DirectoryHold, error)
	// DirectoryHoldChanges lists the changes of a hold, those after seq, at most limit
	// (0 means all). A hold that is no more has none.
	DirectoryHoldChanges(ctx context.Context, id, after int64, limit int) ([]dirsync.Change, error)
	// DecideDirectoryHolds records a decision, on all of them or none, about the
	// very changes that are shown: by entry, not by run. It returns them with the ids that
	// they had: a hold that was decided on has another. A hold that is no more, or is
	// another by now, is a Conflict (guard.NoHold).
	DecideDirectoryHolds(ctx context.Context, ids []int64, decision guard.HoldState, who string) ([]guard.DirectoryHold, error)
}

// Runner starts the work of links in Temporal. Its errors, and those of the other ports
// to Temporal, are Temporal's own where a comment names none.
type Runner interface {
	// StartCompare starts a full compare of a link now and returns its run id;
	// where one is running already its run id is returned and started is false.
	StartCompare(ctx context.Context, link string) (runID string, started bool, err error)
	// StartRebuild does the same for a rebuild of the ledger.
	StartRebuild(ctx context.Context, link string) (runID string, started bool, err error)
	// WaitRun waits for the end of any run but of a mailbox's syncs. If the run did not
	// end well, the error says why.
	WaitRun(ctx context.Context, r site.Run) error
	// AwaitsWorker returns since when a run waits for a worker to take it up, by
	// Temporal's clock; zero if it does not wait, or has ended.
	AwaitsWorker(ctx context.Context, r site.Run) (time.Time, error)
	// Sync starts, or wakes, the MailboxSync of one mailbox.
	Sync(ctx context.Context, key mailbox.Key, trigger string) error
	// WaitSync waits until no MailboxSync of the mailbox runs.
	WaitSync(ctx context.Context, key mailbox.Key) error
}

// ScheduleRunner is the schedules in Temporal. A name that is not one of a schedule is
// a NotFound fault.
type ScheduleRunner interface {
	// Schedule tells what the compare schedule of a link is going to do.
	Schedule(ctx context.Context, link string) (site.CompareSchedule, error)
	// EnsureSchedules creates or updates the schedules of a link.
	EnsureSchedules(ctx context.Context, link string) error
	// RemoveSchedules removes them and ends the runs of the link. What is not there is no
	// error.
	RemoveSchedules(ctx context.Context, link string) error
	// Schedules lists the schedules of all links and of the given ones, those
	// that Temporal does not have included.
	Schedules(ctx context.Context, links []string) ([]site.ScheduleInfo, error)
	// ApplySchedule brings a schedule to what the database says. Its error holds
	// site.ErrSpecRejected where Temporal was asked and rejects that.
	ApplySchedule(ctx context.Context, name string, links []string) error
	// PauseSchedule keeps a schedule from starting runs; note says why.
	PauseSchedule(ctx context.Context, name, note string) error
	// UnpauseSchedule lets it go on, or, while the mirror is suspended, go on
	// with it.
	UnpauseSchedule(ctx context.Context, name, note string) error
	// RunSchedule starts a run now, unless one is going on.
	RunSchedule(ctx context.Context, name string) error
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
}
