package dirsync

import (
	"mailmirror/internal/directory"
)

// Change is one planned change of a run, and what became of it.
type Change struct {
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

// Refusal is why changes of a run failed.
type Refusal struct {
	Error, Hint string
	Changes     int
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
