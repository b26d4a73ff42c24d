package guard

import (
	"fmt"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

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

// HoldState is what was decided on a hold.
type HoldState string

// The states of a hold.
const (
	HoldWaiting  HoldState = "waiting"
	HoldApproved HoldState = "approved" // and not carried out yet
	HoldRefused  HoldState = "refused"  // the messages stay on the target
)

// Hold is what the guard keeps from being deleted from one folder. It holds
// counts and no content.
type Hold struct {
	// ID is that of what is shown here: once more waits it is another one.
	ID     int64              `json:"id"`
	State  HoldState          `json:"state"`
	Link   string             `json:"link"`
	Number mailbox.Number     `json:"number"`
	Folder mailbox.FolderName `json:"folder"`
	// Messages of Target on the target would be deleted; Source are on the source.
	Messages int `json:"messages"`
	Target   int `json:"target_messages"`
	Source   int `json:"source_messages"`
	// TargetOnly of Messages are on the target alone, and the mirror did not put
	// them there.
	TargetOnly int `json:"target_only"`
	// Vanished is true where the folder itself would be deleted.
	Vanished bool            `json:"folder_vanished"`
	Reasons  []mirror.Reason `json:"reasons"`
	Since    time.Time       `json:"since"`
	// AskedAt is since when so much waits.
	AskedAt   time.Time `json:"asked_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DecidedBy string    `json:"decided_by,omitempty"`
	DecidedAt time.Time `json:"decided_at,omitzero"`
}

// NoHold is the Conflict for an id that no hold has (any more).
func NoHold(id int64) error {
	return fault.New(fault.Conflict, fmt.Sprintf("there is no hold %d (any more)", id), nil,
		"what is due may have changed since it was shown; mailmirror guard list shows what waits now")
}
