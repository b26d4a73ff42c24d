package activities

import (
	"context"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
	"mailmirror/internal/site"
)

// Engine makes one mailbox of the target equal to the source.
type Engine interface {
	// Sync takes the write lease, makes the mailbox equal, and records the end
	// in the ledger. *lease.HeldError means that another sync is at work.
	// With an error the report still counts what was done.
	Sync(ctx context.Context, job copier.Job) (copier.Report, error)
	// Review looks at the counters of one mailbox and syncs it only where they
	// differ from known; true means that nothing differed and nothing was
	// recorded.
	Review(ctx context.Context, job copier.Job, known []copier.FolderState) (copier.Report, bool, error)
	// Unchanged compares counters that were fetched already. It does no I/O.
	Unchanged(job copier.Job, source, target []mailbox.Folder, known []copier.FolderState) bool
	// Summary is the report of a mailbox that Unchanged says is as it was.
	Summary(job copier.Job, source []mailbox.Folder, known []copier.FolderState) copier.Report
}

// Links finds what belongs to a link.
type Links interface {
	// Stores returns the two stores of a link, ready to be opened. A link that
	// does not exist (any more) is a NotFound fault.
	Stores(ctx context.Context, link string) (LinkStores, error)
}

// LinkStores is one link, resolved.
type LinkStores struct {
	Source, Target     copier.Store
	Exclude, Greetings mailbox.Patterns
	// Admit, where not nil, waits until one connection to each store may be
	// opened, and returns what says that they are closed.
	Admit func(context.Context) (leave func(), err error)
	// AdmitListener is the same for one connection to the source that stays open and
	// listens to one mailbox, AdmitTrunk for one that listens to many, or that asks how
	// the source can be listened to.
	AdmitListener, AdmitTrunk func(context.Context) (leave func(), err error)
	// Claim, where not nil, checks that a mailbox may be written to: see copier.Job.
	Claim func(ctx context.Context, key mailbox.Key, source, target string) error
	// Pace, where not nil, waits until so many bytes more may be copied.
	Pace func(ctx context.Context, bytes int) error
	// Limits and Keep say what may be deleted from the target, and for how long
	// it is kept.
	Limits mirror.Limits
	Keep   copier.Keep
}

// Mailboxes is the record of single mailboxes.
type Mailboxes interface {
	// Mailbox returns a participating mailbox; a NotFound fault where it is none.
	Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error)
	// RecordFailure notes a failed sync, by its mailbox, start and run: the same report
	// twice is one failure. The mailbox is due again after retryAfter. A NotFound fault if
	// it takes part no longer.
	RecordFailure(ctx context.Context, report copier.Report, retryAfter time.Duration) error
}

// CompareRecords is the record of compares and rebuilds, and of their pages. A compare that
// is not recorded is a NotFound fault.
type CompareRecords interface {
	Members
	// PageEnd returns the last mailbox of the page that begins behind `after`,
	// "" where there is none. A page holds size mailboxes; settled ones, equal
	// when they were last looked at, count only one in perDue.
	PageEnd(ctx context.Context, link string, after mailbox.Number, size, perDue int) (mailbox.Number, error)
	// StartCompare records a compare; one of the same run id is left as it is. A NotFound
	// fault if there is no such link.
	StartCompare(ctx context.Context, run site.CompareRun) error
	// AddCompareProgress replaces what is recorded of one page of a compare.
	AddCompareProgress(ctx context.Context, runID string, page int, progress site.CompareProgress) error
	// FinishCompare records the end of a compare; the first end counts.
	FinishCompare(ctx context.Context, runID string) error
}

// ReviewRecords is the record of the mailboxes of a page.
type ReviewRecords interface {
	// NumbersPage lists mailboxes by ascending number, compared byte by byte,
	// those after `after`.
	NumbersPage(ctx context.Context, link string, after mailbox.Number, limit int) ([]mailbox.Number, error)
	// ReviewStates returns what is known of mailboxes; one that participates no
	// longer is absent.
	ReviewStates(ctx context.Context, link string, numbers []mailbox.Number) (map[mailbox.Number]site.ReviewState, error)
	// RecordReviewed notes that mailboxes were found equal without a sync, up to the
	// generation of their review. One that participates no longer is passed over.
	RecordReviewed(ctx context.Context, link string, reviewed []site.Reviewed) error
	// MarkDirty makes work due on a mailbox, now; a NotFound fault if it takes no part.
	MarkDirty(ctx context.Context, key mailbox.Key) (int64, error)
}

// DueRecords knows what work is due.
type DueRecords interface {
	// DueMailboxes lists mailboxes with work due now, the longest waiting first, at most
	// limit (0 means all).
	DueMailboxes(ctx context.Context, limit int) ([]mailbox.Key, error)
}

// Starter starts workflows of mailboxes.
type Starter interface {
	// StartSync starts the MailboxSync of a mailbox unless one is running,
	// which then finds by itself what is due; false means that.
	StartSync(ctx context.Context, key mailbox.Key, trigger string) (bool, error)
}
