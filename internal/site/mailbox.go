package site

import (
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

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

// ReviewState is what is known of a mailbox before its two sides are looked
// at, so that a look tells whether there is anything to do.
type ReviewState struct {
	// Generation is the dirty generation at the time of asking: changes that
	// are seen later have a higher one.
	Generation int64
	// Folders are the ledger's folders without their Pairs.
	Folders []copier.FolderState
}

// Reviewed says that a mailbox was found as it was last left.
type Reviewed struct {
	Number mailbox.Number
	// Generation is that of the ReviewState that the review began with.
	Generation int64
	// Messages and Greetings are what the source holds.
	Messages, Greetings int
}

// MailboxState is what the operator sees of a mailbox's standing.
type MailboxState string

const (
	// StateNew: never compared yet.
	StateNew MailboxState = "new"
	// StateEqual: equal when last compared, and nothing is due.
	StateEqual MailboxState = "equal"
	// StateDiffering: equal but for lasting differences.
	StateDiffering MailboxState = "differing"
	// StateHeld: equal but for deletions that wait for the operator.
	StateHeld MailboxState = "held"
	// StateDirty: work is due.
	StateDirty MailboxState = "dirty"
	// StateParked: keeps failing; tried again at NextAttemptAt and by the next
	// compare.
	StateParked MailboxState = "parked"
)

// Mailbox is one participating mailbox and its state.
type Mailbox struct {
	Link            string         `json:"link"`
	Number          mailbox.Number `json:"number"`
	State           MailboxState   `json:"state"`
	DirtyGeneration int64          `json:"dirty_generation"`
	CleanGeneration int64          `json:"clean_generation"`
	// DirtySince is the oldest moment at which a change was seen and not yet
	// mirrored; zero where nothing is due.
	DirtySince   time.Time `json:"dirty_since,omitzero"`
	LastEqualAt  time.Time `json:"last_equal_at,omitzero"`
	LastReviewAt time.Time `json:"last_review_at,omitzero"`
	// Failures is the number of failed syncs in a row.
	Failures      int       `json:"failures"`
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	ErrorKind     string    `json:"error_kind,omitempty"`
	Error         string    `json:"error,omitempty"`
	Hint          string    `json:"hint,omitempty"`
	ErrorAt       time.Time `json:"error_at,omitzero"`
	Messages      int       `json:"messages"`
	Greetings     int       `json:"greetings"`
	Differences   int       `json:"differences"`
	// Held is how many messages of the target wait to be deleted.
	Held      int       `json:"held"`
	CreatedAt time.Time `json:"created_at"`
	// SourceLogin and TargetLogin are the IMAP log-ins by which each store knows
	// it; "" where that is the number, or not known. Only Control.Mailbox tells.
	SourceLogin string `json:"source_login,omitempty"`
	TargetLogin string `json:"target_login,omitempty"`
}
