package control

import (
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

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
