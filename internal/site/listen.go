package site

import (
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
)

// EventKind says what happened to a mailbox.
type EventKind string

// The kinds of events, as the database keeps them.
const (
	EventMessageIn   EventKind = "message in"
	EventMessageGone EventKind = "message gone"
	EventFlags       EventKind = "flags"
	EventGreeting    EventKind = "greeting" // any change of a greetings folder
	EventFolder      EventKind = "folder"   // one came, went, or was made anew
	// EventUnknown is a mailbox that may have changed: the store's counters cannot
	// prove that it did not.
	EventUnknown EventKind = "unknown"
)

// ListenMode is a way of listening.
type ListenMode string

// The ways of listening. ListenAuto stands in settings only: it takes the best that
// the store offers.
const (
	ListenAuto   ListenMode = "auto"
	ListenNotify ListenMode = "notify" // one connection hears of every mailbox (RFC 5465)
	ListenIdle   ListenMode = "idle"   // one connection per mailbox (RFC 2177)
	ListenPoll   ListenMode = "poll"   // the counters are read in turn
)

// Health is how a shard does.
type Health struct {
	Mode ListenMode `json:"mode"`
	Why  string     `json:"why,omitempty"`
	// Connections of those Wanted are open, all of them since ConnectedSince;
	// zero while one is missing.
	Connections    int       `json:"connections"`
	Wanted         int       `json:"wanted"`
	ConnectedSince time.Time `json:"connected_since,omitzero"`
	Listened       int       `json:"listened"`
	Polled         int       `json:"polled"`
	// PollEvery is how often all of Polled are read: as configured, or less often if
	// that costs too much.
	PollEvery time.Duration `json:"poll_every_ns,omitempty"`
	Events    int64         `json:"events"`
	PerMinute int           `json:"events_per_minute"`
	LastEvent time.Time     `json:"last_event,omitzero"`
	LastKind  EventKind     `json:"last_kind,omitempty"`
	// Unannounced counts changes that were found by reading while a connection
	// should have heard of them.
	Unannounced int64  `json:"unannounced,omitempty"`
	Trouble     string `json:"trouble,omitempty"`
	Hint        string `json:"hint,omitempty"`
}

// Roster is what there is to be listened to for a link.
type Roster struct {
	Link    Link
	Source  Store
	Shards  int        // into which the link is cut; 0 where it was not yet
	Chosen  ListenMode // the way of listening in use; "" where none is known
	Numbers []mailbox.Number
	// First are those that wait to be mirrored or looked at for the first time, parked
	// ones not among them.
	First []mailbox.Number
	// LastEvents tells when mailboxes last changed, of those that did.
	LastEvents map[mailbox.Number]time.Time
	// Load is what is known of the load that the source bears.
	Load quota.Load
}

// Watcher is how the listeners of one shard of a link do.
type Watcher struct {
	Link  string `json:"link"`
	Shard int    `json:"shard"`
	// Worker names the process that it runs in.
	Worker    string    `json:"worker"`
	UpdatedAt time.Time `json:"updated_at"`
	// Shards is into how many the link is cut.
	Shards int `json:"-"`
	Health
}

// WatcherSilence is how long a shard goes without news until its listeners
// count as lost: it tells how it does at least every ten seconds.
const WatcherSilence = 45 * time.Second
