// Package audit says who may change the mirror, and what is recorded of each change.
//
// A changing command runs as an Actor. internal/control checks the actor's roles, and
// puts an Entry into the context of the command. The database writes the entry in the
// transaction of the change: if there is a row, the change was committed, and if the
// change was committed, there is a row.
package audit

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Role is what an actor may do.
type Role string

// The roles. None contains another: an actor may have several.
const (
	// Viewer may look at everything, and change nothing.
	Viewer Role = "viewer"
	// Operator may start and stop work, and decide on what is held.
	Operator Role = "operator"
	// Administrator may say what is mirrored, and how.
	Administrator Role = "administrator"
)

// Way is how a command came to Mailmirror.
type Way string

// The ways. A row that a release without ways wrote has none.
const (
	CLI      Way = "cli"
	Page     Way = "page"
	Temporal Way = "temporal"
	// Itself means that nobody gave a command: Mailmirror did it.
	Itself Way = "mailmirror"
)

// Unknown is the name of an actor who gave none.
const Unknown = "unknown"

// Actor is who gives a command.
type Actor struct {
	Name  string
	Roles []Role
	Way   Way
}

// May reports whether the actor has a role.
func (a Actor) May(r Role) bool { return slices.Contains(a.Roles, r) }

// AllRoles are the roles of who has all of them.
func AllRoles() []Role { return []Role{Viewer, Operator, Administrator} }

// ErrDenied is in the chain of the error of a command that the actor's roles do not
// allow.
var ErrDenied = errors.New("your roles do not allow this command")

// Outcome is what became of a command.
type Outcome string

const (
	// Done means that the change is made. A later step may have failed that Mailmirror
	// repeats by itself.
	Done Outcome = "done"
	// Asked means that the change is Temporal's, and that Temporal's answer is not
	// known: it did not come, or Mailmirror ended first.
	Asked Outcome = "asked"
	// Failed means that the command ended with an error after its row was written. If a
	// command makes several changes, those before the error may stay.
	Failed Outcome = "failed"
	// Denied means that the actor's roles do not allow the command.
	Denied Outcome = "denied"
)

// Entry is one row of the audit log. It holds no secret and nothing of a mailbox's
// content: no folder name, no message.
type Entry struct {
	// ID and At are the database's; ID is 0 until the row is written.
	ID int64     `json:"id"`
	At time.Time `json:"at"`
	// Actor is the name of who gave the command.
	Actor string `json:"actor"`
	Way   Way    `json:"way,omitempty"`
	// Command is the command in the words of the CLI, such as "store edit".
	Command string `json:"command"`
	// Link and Store are what the command is about; both are "" for the mirror as a
	// whole. Subject is what of it: mailboxes, holds, a schedule.
	Link    string `json:"link,omitempty"`
	Store   string `json:"store,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Detail says what was changed, or the actor's reason.
	Detail  string  `json:"detail,omitempty"`
	Outcome Outcome `json:"outcome"`
}

type contextKey struct{}

// With returns a context for the work of one command. The first change of the database
// under it writes the entry, and sets its ID.
func With(ctx context.Context, e *Entry) context.Context {
	return context.WithValue(ctx, contextKey{}, e)
}

// From returns the entry of the command that ctx belongs to; nil if there is none, as
// in the background work of Mailmirror.
func From(ctx context.Context) *Entry {
	e, _ := ctx.Value(contextKey{}).(*Entry)
	return e
}
