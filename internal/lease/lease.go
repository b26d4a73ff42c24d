package lease

import (
	"time"

	"mailmirror/internal/mailbox"
)

// Kind is what a lease permits.
type Kind string

// The kinds of leases.
const (
	// Mailbox permits to mirror a mailbox to the target of its link.
	Mailbox Kind = "mailbox"
	// Directory permits to mirror the directory to the target of its link.
	Directory Kind = "directory"
	// Restore permits to add messages to a mailbox of the source of its link.
	Restore Kind = "restore"
)

// Resource is what a lease permits to write to. The number of a directory is "".
type Resource struct {
	Kind Kind
	mailbox.Key
}

// OfMailbox is the mirror of a mailbox.
func OfMailbox(key mailbox.Key) Resource { return Resource{Mailbox, key} }

// OfDirectory is the mirror of a link's directory.
func OfDirectory(link string) Resource { return Resource{Directory, mailbox.Key{Link: link}} }

// OfRestore is the restore into a mailbox of the link's source.
func OfRestore(key mailbox.Key) Resource { return Resource{Restore, key} }

// String names the resource in messages. It holds no content.
func (r Resource) String() string {
	switch r.Kind {
	case Directory:
		return "the directory of link " + r.Link
	case Restore:
		return "the restore of mailbox " + string(r.Number)
	default:
		return "mailbox " + string(r.Number)
	}
}

// Times are how long a lease lasts.
type Times struct {
	// TTL is how long it lasts unless it is renewed. It bounds how long a mailbox
	// waits after its worker was killed.
	TTL time.Duration
	// Fence is how long a write may land after its connection died.
	Fence time.Duration
}

// WithDefaults sets what is not set: 15 s and 2 s. The fence is some ten times what
// was measured with 39 MB.
func (t Times) WithDefaults() Times {
	if t.TTL <= 0 {
		t.TTL = 15 * time.Second
	}
	if t.Fence <= 0 {
		t.Fence = 2 * time.Second
	}
	return t
}

// Lease is the permission to write to a resource. It is the holder's until Deadline
// and no longer.
type Lease struct {
	Resource
	Epoch int64
	// Deadline is on the local monotonic clock: the instant before the lease
	// was asked for, plus its time to live.
	Deadline time.Time
}

// HeldError says that somebody else may still write. It is a fault.Conflict.
type HeldError struct {
	Resource
	// Wait is how long it lasts at most, unless the other lease is renewed.
	Wait time.Duration
}

func (e *HeldError) Error() string {
	return "take write lease of " + e.Resource.String() + ": another writer holds it"
}

// SuspendedError says that nothing may be written before the mirror, or the link if
// one is named, is resumed. It is a fault.Conflict.
type SuspendedError struct{ Link string }

func (e *SuspendedError) Error() string {
	if e.Link != "" {
		return "link " + e.Link + " is suspended"
	}
	return "the mirror is suspended"
}

// RunningError says that a restore needs its link suspended. It is a fault.Conflict.
type RunningError struct{ Link string }

func (e *RunningError) Error() string { return "link " + e.Link + " is not suspended" }
