package copier

import (
	"time"

	"mailmirror/internal/mailbox"
)

// Work counts what a sync did to the target, for one folder role.
type Work struct {
	Appended     int   `json:"appended"`      // messages
	Bytes        int64 `json:"bytes"`         // of the appended messages
	FlagsChanged int   `json:"flags_changed"` // messages
	Expunged     int   `json:"expunged"`      // messages
}

// Add returns the sum.
func (w Work) Add(o Work) Work {
	return Work{w.Appended + o.Appended, w.Bytes + o.Bytes, w.FlagsChanged + o.FlagsChanged, w.Expunged + o.Expunged}
}

// FolderWork counts changes to the folder tree of the target.
type FolderWork struct {
	Created    int `json:"created"`
	Deleted    int `json:"deleted"`
	Renamed    int `json:"renamed"`
	Subscribed int `json:"subscribed"`
}

// Outcome is how a sync ended.
type Outcome string

// The outcomes of a sync.
const (
	// Equal: both sides were compared after the last write and are equal.
	Equal Outcome = "equal"
	// Differing: equal but for lasting differences, which are listed.
	Differing Outcome = "differing"
	// Held: equal but for deletions that wait for the operator, and perhaps for
	// lasting differences.
	Held Outcome = "held"
	// Failed: not known to be equal; the error says why.
	Failed Outcome = "failed"
)

// Report is what one sync of one mailbox did and found.
type Report struct {
	Key      mailbox.Key `json:"key"`
	Trigger  string      `json:"trigger"` // who asked: "compare", "sweep", "operator"
	RunID    string      `json:"run_id"`  // the Temporal run that did it; "" outside of Temporal
	Started  time.Time   `json:"started"`
	Finished time.Time   `json:"finished"`
	Outcome  Outcome     `json:"outcome"`
	// Messages and Greetings are counted apart, by the source folder's role.
	Messages  Work       `json:"messages"`
	Greetings Work       `json:"greetings"`
	Folders   FolderWork `json:"folders"`
	// Differences is the number of lasting differences of the mailbox.
	Differences int `json:"differences"`
	// Held is the number of messages on the target whose deletion waits for the
	// operator, Kept of those whose deletion was refused.
	Held int `json:"held,omitempty"`
	Kept int `json:"kept,omitempty"`
	// SourceMessages and SourceGreetings are what the source holds.
	SourceMessages  int `json:"source_messages"`
	SourceGreetings int `json:"source_greetings"`
	// Generation is the dirty generation that the sync set out to clean, as
	// the caller read it before the first look at the source.
	Generation int64 `json:"generation"`
	// InPart is true for a Failed sync that reached both stores and failed in a
	// folder or for a part of the folders: everything else was mirrored.
	InPart bool `json:"in_part,omitempty"`
	// ErrKind, Err and Hint describe the failure of a Failed sync.
	ErrKind string `json:"error_kind,omitempty"`
	Err     string `json:"error,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Idle reports whether the sync changed nothing on the target.
func (r Report) Idle() bool {
	return r.Messages == Work{} && r.Greetings == Work{} && r.Folders == FolderWork{}
}
