package control

import (
	"context"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
)

// Repository is what control needs of the database. Unknown names are a
// NotFound fault that says what was looked for; names already taken and things
// still in use are a Conflict fault that says by what.
type Repository interface {
	GuardRepository

	AddStore(ctx context.Context, s Store) error
	// UpdateStore rejects, as a Conflict, what would make the two stores of a link
	// one server, or would give a mailbox a second writer.
	UpdateStore(ctx context.Context, s Store) error
	Store(ctx context.Context, name string) (Store, error)
	Stores(ctx context.Context) ([]Store, error)
	RemoveStore(ctx context.Context, name string) error
	// StoreLoad is what the processes learned of the load on a store.
	StoreLoad(ctx context.Context, name string) (quota.Load, error)

	// AddLink rejects, as a Config fault, two stores that are one server. It rejects,
	// as a Conflict, a link that would mirror a directory back to where it comes from.
	AddLink(ctx context.Context, l Link) error
	// SetLinkDirectory replaces Link.Directory; it rejects what AddLink rejects.
	SetLinkDirectory(ctx context.Context, link string, d LinkDirectory) error
	Link(ctx context.Context, name string) (Link, error)
	Links(ctx context.Context) ([]Link, error)
	// SetBandwidth replaces the bandwidth of the link.
	SetBandwidth(ctx context.Context, l Link) error
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
	Mailbox(ctx context.Context, key mailbox.Key) (Mailbox, error)
	// Mailboxes lists by ascending number, those after `after` ("" from the
	// start), at most limit (0 means all).
	Mailboxes(ctx context.Context, link string, after mailbox.Number, limit int) ([]Mailbox, error)
	// MarkDirty raises the dirty generation, lets the next attempt be now, and
	// returns the new generation.
	MarkDirty(ctx context.Context, key mailbox.Key) (int64, error)

	Status(ctx context.Context, link string) ([]LinkStatus, error) // "" means every link
	// History lists newest first; number "" means the whole link.
	History(ctx context.Context, link string, number mailbox.Number, limit int) ([]HistoryEntry, error)
	// HistoryWithArchive lists what was moved to the archive, too.
	HistoryWithArchive(ctx context.Context, link string, number mailbox.Number, limit int) ([]HistoryEntry, error)
	// Errors lists current failures and lasting differences, mailbox by mailbox.
	Errors(ctx context.Context, link string) ([]ErrorEntry, error)
	CompareRun(ctx context.Context, runID string) (CompareRun, error)
	// Watchers tells how the listeners do, by link and shard; "" means every link.
	Watchers(ctx context.Context, link string) ([]Watcher, error)

	SuspensionRecords
	ScheduleRecords
	BackgroundRecords
}

// Runner is what control needs of Temporal.
type Runner interface {
	// StartCompare starts a full compare of a link now and returns its run id;
	// where one is running already its run id is returned and started is false.
	StartCompare(ctx context.Context, link string) (runID string, started bool, err error)
	// WaitCompare waits for the end of a compare.
	WaitCompare(ctx context.Context, link, runID string) error
	// StartRebuild and WaitRebuild do the same for a rebuild of the ledger.
	StartRebuild(ctx context.Context, link string) (runID string, started bool, err error)
	WaitRebuild(ctx context.Context, link, runID string) error
	// Sync starts, or wakes, the MailboxSync of one mailbox.
	Sync(ctx context.Context, key mailbox.Key, trigger string) error
	// WaitSync waits until no MailboxSync of the mailbox runs.
	WaitSync(ctx context.Context, key mailbox.Key) error
	// Schedule tells what the compare schedule of a link is going to do.
	Schedule(ctx context.Context, link string) (Schedule, error)
	// EnsureSchedules creates or updates the schedules of a link.
	EnsureSchedules(ctx context.Context, link string) error
	RemoveSchedules(ctx context.Context, link string) error

	SuspensionRunner
	ScheduleRunner
	DirectoryRunner
}

// Schedule is the compare schedule of a link as Temporal has it.
type Schedule struct {
	// NextCompare is when the next compare starts; zero where none is going to.
	NextCompare time.Time
	// Paused is true where somebody paused the schedule.
	Paused bool
	// WaitingSince is when a compare was started that no worker took up yet;
	// zero where none waits.
	WaitingSince time.Time
}

// StateCounts counts mailboxes by state.
type StateCounts struct {
	New       int `json:"new"`
	Equal     int `json:"equal"`
	Differing int `json:"differing"`
	Dirty     int `json:"dirty"`
	Held      int `json:"held"`
	Parked    int `json:"parked"`
}

// LinkStatus is one link at a glance.
type LinkStatus struct {
	Link      Link        `json:"link"`
	Mailboxes int         `json:"mailboxes"`
	States    StateCounts `json:"states"`
	Messages  int64       `json:"messages"`
	Greetings int64       `json:"greetings"`
	// Lag is now minus the oldest change that was seen and is not mirrored.
	Lag         time.Duration `json:"-"`
	LastCompare *CompareRun   `json:"last_compare,omitempty"`
	// LastRebuild is the last rebuild of the link's ledger.
	LastRebuild *CompareRun `json:"last_rebuild,omitempty"`
}

// RunKind says what a run over all mailboxes of a link is for.
type RunKind string

const (
	// RunCompare is a full compare.
	RunCompare RunKind = "compare"
	// RunRebuild is a rebuild of the ledger.
	RunRebuild RunKind = "rebuild"
)

// CompareRun is one full compare or rebuild, running or ended.
type CompareRun struct {
	RunID string `json:"run_id"`
	Link  string `json:"link"`
	// Kind is RunCompare where it is empty.
	Kind       RunKind   `json:"kind,omitempty"`
	Trigger    string    `json:"trigger"`
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Mailboxes is how many are to be reviewed; Reviewed how many were.
	Mailboxes int `json:"mailboxes"`
	CompareProgress
	UpdatedAt time.Time `json:"updated_at"`
	// Error says why the last run of a link broke off, and Hint what to do; "" if it
	// went through every mailbox. Only Control.Status sets them.
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
}

// CompareProgress is what a compare has done so far; as a delta it is added.
type CompareProgress struct {
	Reviewed  int         `json:"reviewed"`
	Unchanged int         `json:"unchanged"` // of Reviewed: nothing to do
	Synced    int         `json:"synced"`    // of Reviewed: made equal
	Differing int         `json:"differing"` // of Synced: with lasting differences
	Failed    int         `json:"failed"`    // of Reviewed
	Busy      int         `json:"busy"`      // of Reviewed: another sync was at work
	Messages  copier.Work `json:"messages"`
	Greetings copier.Work `json:"greetings"`
	// DueMessages and DueBytes are what the plans made so far still have to
	// copy plus what they copied, so that a rate and an ETA can be shown.
	DueMessages int   `json:"due_messages"`
	DueBytes    int64 `json:"due_bytes"`
}

// Add returns the sum.
func (p CompareProgress) Add(o CompareProgress) CompareProgress {
	return CompareProgress{
		Reviewed: p.Reviewed + o.Reviewed, Unchanged: p.Unchanged + o.Unchanged, Synced: p.Synced + o.Synced,
		Differing: p.Differing + o.Differing, Failed: p.Failed + o.Failed, Busy: p.Busy + o.Busy,
		Messages: p.Messages.Add(o.Messages), Greetings: p.Greetings.Add(o.Greetings),
		DueMessages: p.DueMessages + o.DueMessages, DueBytes: p.DueBytes + o.DueBytes,
	}
}

// HistoryEntry is one sync that did something or failed.
type HistoryEntry struct {
	ID int64 `json:"id"`
	copier.Report
}

// ErrorEntry is one thing that is not as it should be.
type ErrorEntry struct {
	Link   string         `json:"link"`
	Number mailbox.Number `json:"number"`
	// Folder and SourceUID are set for lasting differences.
	Folder        mailbox.FolderName `json:"folder,omitempty"`
	SourceUID     mailbox.UID        `json:"source_uid,omitempty"`
	Kind          string             `json:"kind"` // a fault kind or a difference kind
	Text          string             `json:"text"`
	Hint          string             `json:"hint,omitempty"`
	Since         time.Time          `json:"since,omitzero"` // zero if it is not known
	Failures      int                `json:"failures,omitempty"`
	NextAttemptAt time.Time          `json:"next_attempt_at,omitzero"`
}
