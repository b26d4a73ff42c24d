package watch

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// ErrOccupied is in the chain of the error of a connection that listens to a mailbox if
// it ended, or could not be opened, since sessions of Mailmirror use the connections
// that the store allows. That is no trouble: a sync sees every change.
var ErrOccupied = errors.New("sessions of Mailmirror use the connections that the store allows")

// Source is the store that is listened to. Errors have their fault kind; what
// is wrong with one mailbox alone is Permanent.
type Source interface {
	// Offer finds out the best way of listening that the store offers and says
	// why it is that. The mailbox is acted for where the trusted account cannot
	// be asked by itself.
	Offer(ctx context.Context, sample mailbox.Number) (site.ListenMode, string, error)
	// Notify opens a connection that hears of all given mailboxes that the
	// trusted account sees. errors.ErrUnsupported where the store has none.
	Notify(ctx context.Context, numbers []mailbox.Number) (Conn, error)
	// Idle opens a connection that hears of one mailbox; its other folders are
	// read every `review`.
	Idle(ctx context.Context, number mailbox.Number, review time.Duration) (Conn, error)
	// Poll reads the folders of mailboxes and reports each whole. If one list of
	// everything does that, Poll also reports those of heard, mailboxes that a
	// connection hears of: Dovecot never announces a change by NOTIFY if the trusted
	// account lists all mailboxes within the half second after the change. A mailbox
	// that cannot be read is handed to failed; an error is returned where
	// nothing could go on. After some mailboxes were handed over, spent gets their
	// number and how long the server was busy with them: without what Poll waits
	// for because Mailmirror bounds its own load. The next mailboxes are read when
	// spent has returned.
	Poll(ctx context.Context, numbers, heard []mailbox.Number, report func(Report), failed func(mailbox.Number, error),
		spent func(mailboxes int, took time.Duration)) error
	// PollEach is Poll by a login to each mailbox, whatever the store offers.
	PollEach(ctx context.Context, numbers []mailbox.Number, report func(Report), failed func(mailbox.Number, error),
		spent func(mailboxes int, took time.Duration)) error
}

// Conn is one listening connection.
type Conn interface {
	// Heard lists the mailboxes that it hears of.
	Heard() []mailbox.Number
	// Listen reports what it hears until the connection or ctx ends, and
	// returns why. It first reads the state, Resumed. It calls alive at least
	// every minute while the server is known to be there.
	Listen(ctx context.Context, report func(Report), alive func()) error
	// Close lets go of the connection; it may be called at any time.
	Close()
}

// Plan is what a shard is to do.
type Plan struct {
	// Gone is true where the link does not exist any more, and Reshard where
	// the link should have another number of shards.
	Gone, Reshard bool

	Mode site.ListenMode
	// Why says why the store is listened to in less of a way than it offers, "" if
	// it is not.
	Why string
	// Shards is how many shards listen for the link. They read in turn at the same
	// time, and share the time that reading may take; 0 counts as 1.
	Shards    int
	IdleLimit int           // connections of Idle in this shard
	PollEvery time.Duration // also how often what Idle does not hear is read
	Greetings mailbox.Patterns
	Exclude   mailbox.Patterns
	Numbers   []mailbox.Number
	// First are those of Numbers that wait to be mirrored for the first time.
	First map[mailbox.Number]bool
	// LinkFirst is how many of the LinkMailboxes mailboxes of the link wait so.
	LinkFirst, LinkMailboxes int
	// LastEvents tells when something last happened, as far as that is known.
	LastEvents map[mailbox.Number]time.Time
	Source     Source
	// Version changes with everything that makes connections worthless: another
	// address, password, way of listening.
	Version string
}

// Roster knows whom a shard is to listen to.
type Roster interface {
	// Plan returns whom to listen to now; a NotFound fault where the link is gone.
	Plan(ctx context.Context) (Plan, error)
	// Changes calls changed when the plan may have changed since the last call,
	// also without reason, and once at the beginning. It returns when it cannot
	// tell any more.
	Changes(ctx context.Context, changed func()) error
}

// Journal is the database.
type Journal interface {
	// Known returns what is on record of mailboxes.
	Known(ctx context.Context, numbers []mailbox.Number) (map[mailbox.Number]Known, error)
	// Mark raises the dirty generation of mailboxes and returns those that are
	// to be woken: not those that wait out a failure.
	Mark(ctx context.Context, marks []Mark) ([]mailbox.Number, error)
	// Save keeps how the shard does.
	Save(ctx context.Context, h site.Health) error
}

// Waker wakes the sync of a mailbox.
type Waker interface {
	// Wake returns once the wake-up cannot be lost.
	Wake(ctx context.Context, number mailbox.Number) error
}

// Ports are what a Watcher works over.
type Ports struct {
	Roster  Roster
	Journal Journal
	Waker   Waker
}
