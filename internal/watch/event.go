package watch

import (
	"time"

	"mailmirror/internal/mailbox"
)

// Kind says what happened to a mailbox.
type Kind string

// The kinds of events, as the database keeps them.
const (
	MessageIn   Kind = "message in"
	MessageGone Kind = "message gone"
	Flags       Kind = "flags"
	Greeting    Kind = "greeting" // any change of a greetings folder
	Folder      Kind = "folder"   // one came, went, or was made anew
	// Unknown is a mailbox that may have changed: the store's counters cannot
	// prove that it did not.
	Unknown Kind = "unknown"
)

// Mode is a way of listening.
type Mode string

// The ways of listening. Auto stands in settings only: it takes the best that
// the store offers.
const (
	Auto   Mode = "auto"
	Notify Mode = "notify" // one connection hears of every mailbox (RFC 5465)
	Idle   Mode = "idle"   // one connection per mailbox (RFC 2177)
	Poll   Mode = "poll"   // the counters are read in turn
)

// Report is what a connection heard of one mailbox.
type Report struct {
	Number mailbox.Number
	// Folders are those whose counters were told.
	Folders []mailbox.Folder
	// Whole is true where Folders are all that the mailbox has. The inbox may
	// be missing from it all the same: then nothing is said of it.
	Whole bool
	// Resumed is true for the first reading after listening began: before it,
	// changes may have happened that nobody heard of.
	Resumed bool
	// Kind is a change of Folder that came without counters; "" for none.
	Kind   Kind
	Folder mailbox.FolderName
}

// Known is what is on record of a mailbox's folders: the counters of the
// source at which the mailbox was last proven mirrored.
type Known map[mailbox.FolderName]mailbox.Counters

// Mark is what the database is to record: a mailbox has changed.
type Mark struct {
	Number mailbox.Number
	Kind   Kind
	// Count is how many events the mark stands for, At when the first of them
	// was heard.
	Count int
	At    time.Time
}
