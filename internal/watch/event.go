package watch

import (
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
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
	Kind   site.EventKind
	Folder mailbox.FolderName
}

// Known is what is on record of a mailbox's folders: the counters of the
// source at which the mailbox was last proven mirrored.
type Known map[mailbox.FolderName]mailbox.Counters

// Mark is what the database is to record: a mailbox has changed.
type Mark struct {
	Number mailbox.Number
	Kind   site.EventKind
	// Count is how many events the mark stands for, At when the first of them
	// was heard.
	Count int
	At    time.Time
}
