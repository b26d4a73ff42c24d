package control

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/directory"
	"mailmirror/internal/mailbox"
)

// ErrStagedLost says that what was read has to be read again: what is staged does
// not outlive a crash of the database.
var ErrStagedLost = errors.New("the database has lost what was read: was it restarted?")

// DirectoryStore is how a store's directory is reached, and how it holds
// mailboxes. A store without one is not part of any directory run.
type DirectoryStore struct {
	Store    string   `json:"store"`
	Address  string   `json:"ldap"` // host:port
	Security Security `json:"ldap_security"`
	CAFile   string   `json:"ldap_ca_file,omitempty"` // PEM; "" means the system's
	BindDN   string   `json:"ldap_bind_dn"`
	// SealedPassword is the bind password, sealed with the key file under the
	// identity "store/<name>/ldap_password".
	SealedPassword []byte            `json:"-"`
	Mapping        directory.Mapping `json:"mapping"`
	UpdatedAt      time.Time         `json:"updated_at"`
	// Addresses are those at which the directory was found: see ServerAddresses. Nil
	// stands for the host of Address alone.
	Addresses []string `json:"-"`
}

// Participation says which mailboxes of the directory join a link.
type Participation string

// The rules.
const (
	ParticipateAll    Participation = "all"
	ParticipateFilter Participation = "filter" // those whose numbers a pattern matches
	ParticipateManual Participation = "manual" // none by itself
)

// DirectorySettings are what an operator set for the directory of a link.
type DirectorySettings struct {
	directory.Limits
	Participate Participation    `json:"participate"`
	Numbers     mailbox.Patterns `json:"numbers,omitempty"` // for ParticipateFilter
	// RemoveUnknown removes entries of the target that were never ours.
	RemoveUnknown bool `json:"remove_unknown"`
	// GiveUp is after how many runs in which an entry failed it is left alone
	// until it changes, or an operator asks for it; 0 never.
	GiveUp int `json:"give_up"`
}

// DefaultDirectorySettings are those of a link that nobody set any for. A tenth
// of all subscribers does not leave between two runs of a day, but one or two of
// a dozen do.
func DefaultDirectorySettings() DirectorySettings {
	return DirectorySettings{
		Limits:      directory.Limits{RemoveCount: 50, RemoveShare: 10, ChangeCount: 2000, ChangeShare: 50, ShrinkShare: 10, ShareMinimum: 5},
		Participate: ParticipateAll, GiveUp: 10,
	}
}

// DirectoryState is how far a run is, or how it ended.
type DirectoryState string

// The states.
const (
	DirectoryRunning DirectoryState = "running"
	DirectoryHeld    DirectoryState = "held"   // some changes wait for the operator; all others are made
	DirectoryDone    DirectoryState = "done"   // equal but for entries that failed
	DirectoryFailed  DirectoryState = "failed" // nothing was changed, or not all
)

// DirectoryCounts counts a run's changes.
type DirectoryCounts struct {
	Source    int `json:"source"` // entries
	Target    int `json:"target"`
	Created   int `json:"created"`
	Altered   int `json:"altered"`
	Renumbers int `json:"renumbered"`
	Removed   int `json:"removed"`
	Failed    int `json:"failed"`
	Held      int `json:"held"`
	Refused   int `json:"refused"` // to be made, by an operator
	// Due is how many the run set out to carry out.
	Due       int `json:"due"`
	Unknown   int `json:"unknown"`
	Duplicate int `json:"duplicate"`
	Protected int `json:"protected"`
	GivenUp   int `json:"given_up"`
	Unread    int `json:"unread"` // cannot be read; nothing is done to them
	Joined    int `json:"joined"` // mailboxes that joined the link
	Left      int `json:"left"`
}

// DirectoryRun is one run over the directory of a link.
type DirectoryRun struct {
	RunID      string         `json:"run_id"`
	Link       string         `json:"link"`
	Trigger    string         `json:"trigger"`
	State      DirectoryState `json:"state"`
	Phase      string         `json:"phase,omitempty"` // extract, compare, apply, verify, members
	StartedAt  time.Time      `json:"started_at"`
	FinishedAt time.Time      `json:"finished_at,omitzero"`
	// Reasons are why changes are held, why the run broke off, and what most of the
	// entries were refused for; Hint is what the operator can do.
	Reasons []string `json:"reasons,omitempty"`
	Hint    string   `json:"hint,omitempty"`
	DirectoryCounts
}

// DirectoryChange is one planned change of a run, and what became of it.
type DirectoryChange struct {
	Seq int64 `json:"seq"`
	directory.Change
	State    ChangeState `json:"state"`
	Error    string      `json:"error,omitempty"`
	Hint     string      `json:"hint,omitempty"`
	Failures int         `json:"failures,omitempty"` // runs in a row in which it failed
	// OfServer says that what it failed of may be the server's trouble and none of
	// the entry's (read-only, full, no rights, busy): it is tried by every run, and
	// counts as one failure however often it fails.
	OfServer bool `json:"-"`
	// TargetLogin is the IMAP log-in of the target's entry when it was looked at
	// last, for SaveDirectoryChanges; "" where it gives none.
	TargetLogin string `json:"-"`
	// TargetRule is the directory.Mapping.LoginRule that made it.
	TargetRule string `json:"-"`
}

// DirectoryRefusal is why changes of a run failed.
type DirectoryRefusal struct {
	Error, Hint string
	Changes     int
}

// DirectoryRejection is a mailbox that a run could not let join the link, and why.
type DirectoryRejection struct {
	Number      mailbox.Number
	Error, Hint string
}

// Triggers of directory runs.
const (
	DirectoryOperator = "operator"
	DirectorySchedule = "schedule"
	DirectoryApproval = "approval" // an operator decided on what was held
	// DirectoryDryRun changes nothing, and is not among the runs that status and
	// limits go by.
	DirectoryDryRun = "dry-run"
)

// LeftLink is the outcome in the history of a mailbox that left its link, as it
// is gone from the source's directory. The entry keeps what was last known of it.
const LeftLink copier.Outcome = "left"

// DirectoryHold is what waits, or was refused, of one kind of changes to a
// link's target directory.
type DirectoryHold struct {
	// ID is that of what is shown, among those of Hold: once others wait it is
	// another one.
	ID    int64                `json:"id"`
	State HoldState            `json:"state"`
	Link  string               `json:"link"`
	RunID string               `json:"run_id"` // the run that found it last
	Kind  directory.ChangeKind `json:"kind"`
	// Changes wait; Source and Target are how many entries the sides had.
	Changes   int       `json:"changes"`
	Source    int       `json:"source_entries"`
	Target    int       `json:"target_entries"`
	Reasons   []string  `json:"reasons"`
	Since     time.Time `json:"since"`
	UpdatedAt time.Time `json:"updated_at"`
	DecidedBy string    `json:"decided_by,omitempty"`
	DecidedAt time.Time `json:"decided_at,omitzero"`
}

// DirectoryHolds is the record of what the directory's guard keeps.
type DirectoryHolds interface {
	// DirectoryHolds lists what waits, is approved and not carried out, or was
	// refused, by link and kind; "" means every link.
	DirectoryHolds(ctx context.Context, link string) ([]DirectoryHold, error)
	// DirectoryHoldChanges lists the changes of a hold, those after seq.
	DirectoryHoldChanges(ctx context.Context, id, after int64, limit int) ([]DirectoryChange, error)
	// DecideDirectoryHolds records a decision, on all of them or none, about the
	// very changes that are shown: by entry, not by run. NoHold where one is no
	// more or is another by now.
	DecideDirectoryHolds(ctx context.Context, ids []int64, decision HoldState, who string) ([]DirectoryHold, error)
}

// ChangeState is what became of a change.
type ChangeState string

// The states. What is never carried out (unknown, duplicate, protected) is Told.
const (
	ChangePlanned ChangeState = "planned"
	ChangeHeld    ChangeState = "held"
	ChangeRefused ChangeState = "refused"
	ChangeDone    ChangeState = "done"
	ChangeFailed  ChangeState = "failed"
	ChangeGivenUp ChangeState = "given_up"
	ChangeTold    ChangeState = "told"
)

// Side is one of the two directories of a link.
type Side string

// The sides.
const (
	SourceSide Side = "source"
	TargetSide Side = "target"
)

// DirectoryRepository is what directory runs need of the database.
type DirectoryRepository interface {
	DirectoryConfig
	DirectoryRuns
	DirectoryHolds
}

// DirectoryConfig is what operators set.
type DirectoryConfig interface {
	// DirectoryStore returns a store's directory; false where it has none.
	DirectoryStore(ctx context.Context, store string) (DirectoryStore, bool, error)
	// PutDirectoryStore rejects, as a Conflict, what would mirror a directory back to
	// where it comes from.
	PutDirectoryStore(ctx context.Context, d DirectoryStore) error
	RemoveDirectoryStore(ctx context.Context, store string) error
	// Logins returns by which IMAP log-ins a store knows its mailboxes, and their
	// version: while Store.LoginsVersion is the same, they are.
	Logins(ctx context.Context, store string) (*directory.Logins, int64, error)
	// DirectorySettings returns a link's settings, the defaults where none are set.
	DirectorySettings(ctx context.Context, link string) (DirectorySettings, error)
	SetDirectorySettings(ctx context.Context, link string, s DirectorySettings) error
	// DirectoryRefusal is why no run over the directory of a link may begin, a Config
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
	StageDirectory(ctx context.Context, runID string, side Side, next func() (directory.Record, error)) error
	// LastExtracts returns the entry counts of the link's last run that was not
	// failed in extracting; false where there was none.
	LastExtracts(ctx context.Context, link string) (source, target directory.Extracted, known bool, err error)
	SaveExtracts(ctx context.Context, runID string, source, target directory.Extracted) error
	// CompareDirectory compares what is staged, replaces the run's changes and
	// returns how many there are of each kind. Changes are Planned, Told or
	// GivenUp; those that an operator approved or refused before are known again.
	// ErrStagedLost is in the chain of its error where not all is staged that was
	// read.
	CompareDirectory(ctx context.Context, runID string, s DirectorySettings) (directory.Tally, error)
	// HoldDirectoryChanges makes planned changes of kinds held, for reasons, but
	// for those that were approved. Holds of the link of which nothing is held any
	// more are over.
	HoldDirectoryChanges(ctx context.Context, runID string, kinds []directory.ChangeKind, reasons []string) (held int, err error)
	// DirectoryChanges lists a run's changes in the order of carrying them out,
	// those after seq, at most limit; no states means all.
	DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...ChangeState) ([]DirectoryChange, error)
	// SampleDirectoryChanges picks changes of one state, those after seq, at most
	// limit, by chance: first one of each kind of them, with the same columns and of
	// the same parent, then a second, and so on. Left out is what takes or frees a
	// number, which has to wait for its turn.
	SampleDirectoryChanges(ctx context.Context, runID string, after int64, limit int, state ChangeState) ([]DirectoryChange, error)
	// SaveDirectoryChanges records what became of changes, and of their pairs:
	// a done Create, Alter or Renumber makes the pair of Source and Target as they
	// stand there, a done Remove or Unknown ends it. A change that failed has one
	// failure more than CompareDirectory gave it.
	SaveDirectoryChanges(ctx context.Context, runID string, changes []DirectoryChange) error
	// DirectoryRefusals tells of a run's changes that failed what they failed of, at
	// most limit of it, that of most changes first.
	DirectoryRefusals(ctx context.Context, runID string, limit int) ([]DirectoryRefusal, error)
	// SaveDirectoryPhase records how far a run is.
	SaveDirectoryPhase(ctx context.Context, runID, phase string) error
	// ForgetDirectoryFailures lets what was given up in a link be tried again: the
	// entries of a number, "" all. It returns how many there were.
	ForgetDirectoryFailures(ctx context.Context, link, number string) (int, error)
	// FinishDirectoryRun ends a run and drops what is staged of it.
	FinishDirectoryRun(ctx context.Context, runID string, state DirectoryState, reasons []string, hint string) error
	DirectoryRun(ctx context.Context, runID string) (DirectoryRun, error)
	// DirectoryRunsOf lists newest first; "" means every link.
	DirectoryRunsOf(ctx context.Context, link string, limit int) ([]DirectoryRun, error)
	// DirectoryMembers returns the participating mailboxes that a run adds to the
	// link, and those that leave it: of the pairs by the rule of its settings.
	DirectoryMembers(ctx context.Context, runID string, s DirectorySettings) (join, leave []mailbox.Number, err error)
	// LeaveLink ends the mirroring of mailboxes and records in their history, as
	// LeftLink, what was last known of them. Those that do not take part are left
	// out of the count.
	LeaveLink(ctx context.Context, runID, link string, numbers []mailbox.Number) (int, error)
	// SaveDirectoryMembers records how many mailboxes joined and left by a run, and
	// which could not join.
	SaveDirectoryMembers(ctx context.Context, runID string, joined, left int, rejected []DirectoryRejection) error
	// DirectoryRejections lists the mailboxes that could not join by a run, by number.
	DirectoryRejections(ctx context.Context, runID string) ([]DirectoryRejection, error)

	// TakeDirectoryLease lets one process at a time write to a link's target
	// directory, and none while the mirror is suspended; Conflict otherwise. None is
	// given or renewed while DirectoryRefusal rejects a run: a Config fault. The
	// same trigger and rules as for the leases of mailboxes hold: suspending waits
	// for its end.
	TakeDirectoryLease(ctx context.Context, link string, ttl, fence time.Duration) (DirectoryLease, error)
	RenewDirectoryLease(ctx context.Context, l DirectoryLease, ttl time.Duration) (DirectoryLease, error)
	EndDirectoryLease(ctx context.Context, l DirectoryLease, clean bool) error
}

// DirectoryLease is the right to write to a link's target directory.
type DirectoryLease struct {
	Link     string
	Epoch    int64
	Deadline time.Time // no write may be sent after it
}
