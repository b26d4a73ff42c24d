package copier

import (
	"time"

	"mailmirror/internal/mailbox"
)

// Work counts what a sync did to the target, for one folder role.
type Work struct {
	Appended     int   // messages
	Bytes        int64 // of the appended messages
	FlagsChanged int   // messages
	Expunged     int   // messages
}

// Add returns the sum.
func (w Work) Add(o Work) Work {
	return Work{w.Appended + o.Appended, w.Bytes + o.Bytes, w.FlagsChanged + o.FlagsChanged, w.Expunged + o.Expunged}
}

// FolderWork counts changes to the folder tree of the target.
type FolderWork struct {
	Created, Deleted, Renamed, Subscribed int
}

// Outcome is how a sync ended.
type Outcome string

// The outcomes of a sync.
const (
	// Equal: both sides were compared after the last write and are equal.
	Equal Outcome = "equal"
	// Differing: equal but for lasting differences, which are listed.
	Differing Outcome = "differing"
	// Failed: not known to be equal; the error says why.
	Failed Outcome = "failed"
)

// Report is what one sync of one mailbox did and found.
type Report struct {
	Key      mailbox.Key
	Trigger  string // who asked: "compare", "sweep", "operator"
	RunID    string // the Temporal run that did it; "" outside of Temporal
	Started  time.Time
	Finished time.Time
	Outcome  Outcome
	// Messages and Greetings are counted apart, by the source folder's role.
	Messages, Greetings Work
	Folders             FolderWork
	// Differences is the number of lasting differences of the mailbox.
	Differences int
	// SourceMessages and SourceGreetings are what the source holds.
	SourceMessages, SourceGreetings int
	// Generation is the dirty generation that the sync set out to clean, as
	// the caller read it before the first look at the source.
	Generation int64
	// ErrKind, Err and Hint describe the failure of a Failed sync.
	ErrKind string
	Err     string
	Hint    string
}

// Idle reports whether the sync changed nothing on the target.
func (r Report) Idle() bool {
	return r.Messages == Work{} && r.Greetings == Work{} && r.Folders == FolderWork{}
}
