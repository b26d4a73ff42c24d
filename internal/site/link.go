package site

import (
	"strings"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/quota"
)

// BandwidthSettings tells the bandwidth in a line: "2MB/s; Mon-Fri 08:00-18:00
// 1MB/s (Europe/Berlin)".
func (l Link) BandwidthSettings() string {
	text := strings.Join(append([]string{l.Bandwidth.String()}, l.BandwidthWindows...), "; ")
	if len(l.BandwidthWindows) > 0 {
		zone := l.BandwidthTimezone
		if zone == "" {
			zone = "UTC"
		}
		text += " (" + zone + ")"
	}
	return text
}

// StateCounts counts mailboxes by state.
type StateCounts struct {
	New       int `json:"new"`
	Equal     int `json:"equal"`
	Differing int `json:"differing"`
	Dirty     int `json:"dirty"`
	Held      int `json:"held"`
	Parked    int `json:"parked"`
}

// LinkStatus is one link at a glance.
type LinkStatus struct {
	Link      Link        `json:"link"`
	Mailboxes int         `json:"mailboxes"`
	States    StateCounts `json:"states"`
	Messages  int64       `json:"messages"`
	Greetings int64       `json:"greetings"`
	// Lag is now minus the oldest change that was seen and is not mirrored.
	Lag         time.Duration `json:"-"`
	LastCompare *CompareRun   `json:"last_compare,omitempty"`
	// LastRebuild is the last rebuild of the link's ledger.
	LastRebuild *CompareRun `json:"last_rebuild,omitempty"`
}

// Link is a directed pair of stores.
type Link struct {
	Name    string           `json:"name"`
	Source  string           `json:"source"`
	Target  string           `json:"target"`
	Exclude mailbox.Patterns `json:"exclude,omitempty"`
	// Bandwidth bounds what is copied, bytes per second, but in the windows, in
	// which another rate holds: see quota.ParseWindow. They are meant in the time
	// zone, "" is UTC.
	Bandwidth         quota.Rate `json:"bandwidth,omitempty"`
	BandwidthWindows  []string   `json:"bandwidth_windows,omitempty"`
	BandwidthTimezone string     `json:"bandwidth_timezone,omitempty"`
	CreatedAt         time.Time  `json:"created_at"`
	// Directory says whether the link mirrors the directories of its stores.
	Directory LinkDirectory `json:"mirror_directory,omitempty"`
}

// LinkDirectory says whether a link mirrors the directories of its stores.
type LinkDirectory string

const (
	// LinkDirectoryOn mirrors them if both stores have one, but never to where the
	// source's directory comes from or came from.
	LinkDirectoryOn LinkDirectory = ""
	// LinkDirectoryOff never mirrors them.
	LinkDirectoryOff LinkDirectory = "off"
	// LinkDirectoryReverse also mirrors them to where the source's directory came from
	// by a link that does not mirror it any more.
	LinkDirectoryReverse LinkDirectory = "reverse"
)
