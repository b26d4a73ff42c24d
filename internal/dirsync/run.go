package dirsync

import (
	"errors"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// ErrStagedLost says that what was read has to be read again: what is staged does
// not outlive a crash of the database.
var ErrStagedLost = errors.New("the database has lost what was read: was it restarted?")

// State is how far a run is, or how it ended.
type State string

// The states.
const (
	Running State = "running"
	Held    State = "held"   // some changes wait for the operator; all others are made
	Done    State = "done"   // equal but for entries that failed
	Failed  State = "failed" // nothing was changed, or not all
)

// Counts counts a run's changes.
type Counts struct {
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

// Run is one run over the directory of a link.
type Run struct {
	RunID      string    `json:"run_id"`
	Link       string    `json:"link"`
	Trigger    string    `json:"trigger"`
	State      State     `json:"state"`
	Phase      string    `json:"phase,omitempty"` // extract, compare, apply, verify, members
	StartedAt  time.Time `json:"started_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// Reasons are why changes are held, why the run broke off, and what most of the
	// entries were refused for; Hint is what the operator can do.
	Reasons []string `json:"reasons,omitempty"`
	Hint    string   `json:"hint,omitempty"`
	Counts
}

// Rejection is a mailbox that a run could not let join the link, and why.
type Rejection struct {
	Number      mailbox.Number
	Error, Hint string
}

// Triggers of directory runs.
const (
	TriggerOperator = "operator"
	TriggerSchedule = "schedule"
	TriggerApproval = "approval" // an operator decided on what was held
	// TriggerDryRun changes nothing, and is not among the runs that status and
	// limits go by.
	TriggerDryRun = "dry-run"
)

// LeftLink is the outcome in the history of a mailbox that left its link, as it
// is gone from the source's directory. The entry keeps what was last known of it.
const LeftLink copier.Outcome = "left"

// Side is one of the two directories of a link.
type Side string

// The sides.
const (
	SourceSide Side = "source"
	TargetSide Side = "target"
)
