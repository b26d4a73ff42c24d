package control

import (
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
	"mailmirror/internal/watch"
)

// WatchRoster is what there is to be listened to for a link.
type WatchRoster struct {
	Link    Link
	Source  Store
	Shards  int        // into which the link is cut; 0 where it was not yet
	Chosen  watch.Mode // the way of listening in use; "" where none is known
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
	watch.Health
}

// WatcherSilence is how long a shard goes without news until its listeners
// count as lost: it tells how it does at least every ten seconds.
const WatcherSilence = 45 * time.Second

// The defaults of how a store is listened to.
const (
	DefaultIdleLimit = 500
	DefaultPollEvery = time.Minute
)

// eventFaults lists what cannot be right in how a store is listened to.
func eventFaults(s Store) []error {
	var faults []error
	switch s.Events {
	case watch.Auto, watch.Notify, watch.Idle, watch.Poll:
	default:
		faults = append(faults, fmt.Errorf("events %q: want auto, notify, idle or poll", s.Events))
	}
	if s.IdleLimit < 0 {
		faults = append(faults, errors.New("max idle: must not be negative"))
	}
	if s.PollEvery < time.Second || s.PollEvery > 24*time.Hour {
		faults = append(faults, fmt.Errorf("poll every %s: want between 1s and 24h", s.PollEvery))
	}
	return faults
}
