package control

import (
	"context"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// Repository is what control needs of the database. Unknown names are a
// NotFound fault that says what was looked for; names already taken and things
// still in use are a Conflict fault that says by what.
type Repository interface {
	GuardRepository

	AddStore(ctx context.Context, s site.Store) error
	// UpdateStore rejects, as a Conflict, what would make the two stores of a link
	// one server, or would give a mailbox a second writer.
	UpdateStore(ctx context.Context, s site.Store) error
	Store(ctx context.Context, name string) (site.Store, error)
	Stores(ctx context.Context) ([]site.Store, error)
	RemoveStore(ctx context.Context, name string) error
	// StoreLoad is what the processes learned of the load on a store.
	StoreLoad(ctx context.Context, name string) (quota.Load, error)

	// AddLink rejects, as a Config fault, two stores that are one server. It rejects,
	// as a Conflict, a link that would mirror a directory back to where it comes from.
	AddLink(ctx context.Context, l site.Link) error
	// SetLinkDirectory replaces Link.Directory; it rejects what AddLink rejects.
	SetLinkDirectory(ctx context.Context, link string, d site.LinkDirectory) error
	Link(ctx context.Context, name string) (site.Link, error)
	Links(ctx context.Context) ([]site.Link, error)
	// SetBandwidth replaces the bandwidth of the link.
	SetBandwidth(ctx context.Context, l site.Link) error
	// RemoveLink forgets the link with its mailboxes, ledger and leases;
	// history stays.
	RemoveLink(ctx context.Context, name string) error

	// AddMailboxes makes mailboxes participate, dirty from the start; those
	// that do already are left as they are. It returns how many are new. An account
	// has one writer at most and is never its own source, over any number of links
	// and by whatever names of its server: what would break that is a Conflict, and
	// then none is added.
	AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	// ReverseMailboxes does the same, and forgets first from where the mailboxes were
	// mirrored before: they may be mirrored back to there.
	ReverseMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	RemoveMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error)
	Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error)
	// Mailboxes lists by ascending number, those after `after` ("" from the
	// start), at most limit (0 means all).
	Mailboxes(ctx context.Context, link string, after mailbox.Number, limit int) ([]site.Mailbox, error)
	// MarkDirty raises the dirty generation, lets the next attempt be now, and
	// returns the new generation.
	MarkDirty(ctx context.Context, key mailbox.Key) (int64, error)

	Status(ctx context.Context, link string) ([]site.LinkStatus, error) // "" means every link
	// History lists newest first; number "" means the whole link.
	History(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error)
	// HistoryWithArchive lists what was moved to the archive, too.
	HistoryWithArchive(ctx context.Context, link string, number mailbox.Number, limit int) ([]site.HistoryEntry, error)
	// Errors lists current failures and lasting differences, mailbox by mailbox.
	Errors(ctx context.Context, link string) ([]site.ErrorEntry, error)
	CompareRun(ctx context.Context, runID string) (site.CompareRun, error)
	// Watchers tells how the listeners do, by link and shard; "" means every link.
	Watchers(ctx context.Context, link string) ([]site.Watcher, error)

	SuspensionRecords
	AuditLog
	ScheduleRecords
	BackgroundRecords
	CheckRecords
}

// Runner is what control needs of Temporal.
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
	// Schedule tells what the compare schedule of a link is going to do.
	Schedule(ctx context.Context, link string) (site.CompareSchedule, error)
	// EnsureSchedules creates or updates the schedules of a link.
	EnsureSchedules(ctx context.Context, link string) error
	RemoveSchedules(ctx context.Context, link string) error

	SuspensionRunner
	ScheduleRunner
	DirectoryRunner
	CheckRunner
}
