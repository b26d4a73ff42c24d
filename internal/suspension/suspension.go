package suspension

import (
	"strings"
	"time"
)

// State says whether the mirror may write to its targets.
type State string

// The states of the mirror as a whole.
const (
	Running State = "running"
	// Suspending: no write lease begins or goes on, and those that were held
	// are not all over.
	Suspending State = "suspending"
	// Suspended: no write is in flight anywhere.
	Suspended State = "suspended"
)

// Suspension is how the mirror as a whole stands, or one link by itself. The database's
// row is the truth of it.
type Suspension struct {
	// Link is the link that is suspended by itself; "" is everything.
	Link  string `json:"link,omitempty"`
	State State  `json:"state"`
	// Epoch grows with every suspension and every resumption.
	Epoch int64 `json:"epoch"`
	// Reason and Who are of the suspension; of a running mirror Who resumed it.
	Reason string `json:"reason,omitempty"`
	Who    string `json:"who,omitempty"`
	// Since is when the mirror was suspended or resumed; SuspendedAt when the
	// last write had ended.
	Since       time.Time `json:"since,omitzero"`
	SuspendedAt time.Time `json:"suspended_at,omitzero"`
	// Waiting is how many mailboxes somebody may still write to.
	Waiting int `json:"waiting,omitempty"`
	// Remaining is for how long at most somebody may still write. A running mirror has
	// one after the database was started again or restored: for that long writes may
	// land under leases of before, and no lease is given.
	Remaining time.Duration `json:"remaining_ns,omitempty"`
	// Unconfirmed is true if the row says running and does not prove that it is the
	// last one: the database was started again or restored, or it is a standby that took
	// over. It may lack a suspension, so nothing is written before the supervision has
	// asked Temporal, or an operator resumes the mirror.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// Suspended reports whether the row says that the mirror is suspended, or about to be.
func (s Suspension) Suspended() bool { return s.State != Running }

// Scope names what is suspended: "the mirror" or a link.
func (s Suspension) Scope() string {
	if s.Link == "" {
		return "the mirror"
	}
	return "link " + s.Link
}

// ResumeCommand is the command that ends the suspension.
func (s Suspension) ResumeCommand() string { return strings.TrimSpace("mailmirror resume " + s.Link) }

// Still reports whether the mirror must not write.
func (s Suspension) Still() bool { return s.Suspended() || s.Unconfirmed }

// Scopes are all suspensions: that of everything first, then each link's own.
type Scopes []Suspension

// Own is the suspension of one scope by itself, "" for everything. A link that was
// removed runs, at the epoch 0.
func (all Scopes) Own(link string) Suspension {
	for _, s := range all {
		if s.Link == link {
			return s
		}
	}
	return Suspension{Link: link, State: Running}
}

// Of is the suspension that the mirror of a link is subject to: that of everything,
// unless only the link by itself is suspended, or must not write.
func (all Scopes) Of(link string) Suspension {
	everything, own := all.Own(""), all.Own(link)
	if own.Suspended() && !everything.Suspended() || own.Still() && !everything.Still() {
		return own
	}
	return everything
}

// Proof tells whether the rows of the suspensions are the last ones that were
// written.
type Proof struct {
	Rows Scopes
	// Confirmed is the proof. Mark names the version of the row in this database.
	Confirmed bool
	Mark      string
	// LeaseTime is for how long a write may land under a lease, as the row has it.
	LeaseTime time.Duration
	// LinksConfirmed and LinksMark are the same for the suspensions of links.
	LinksConfirmed bool
	LinksMark      string
	// Used is true if this database ever mirrored anything, or was ever suspended.
	Used bool
}
