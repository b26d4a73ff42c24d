package site

import (
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// RunKind says what a run is for: over all mailboxes of a link, or another that
// somebody may wait for.
type RunKind string

const (
	// RunCompare is a full compare.
	RunCompare RunKind = "compare"
	// RunRebuild is a rebuild of the ledger.
	RunRebuild RunKind = "rebuild"
	// RunVerify is a verification of a link.
	RunVerify RunKind = "verify"
	// RunCheck is a check of a store.
	RunCheck RunKind = "check"
	// RunDirectory is a run over the directory of a link.
	RunDirectory RunKind = "directory"
	// RunSuspension is what MirrorControl does, or the LinkControl of a link.
	RunSuspension RunKind = "suspension"
	// RunSync is the syncs of one mailbox.
	RunSync RunKind = "sync"
)

// Run names work of a worker that somebody waits for.
type Run struct {
	Kind RunKind
	// Of is the link or the store, "" for the suspension of everything; Number the mailbox of a RunSync.
	Of     string
	Number mailbox.Number
	// ID is the run's id; "" for a RunSync and a RunSuspension.
	ID string
}

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
