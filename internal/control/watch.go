package control

import (
	"errors"
	"fmt"
	"time"

	"mailmirror/internal/site"
)

// The defaults of how a store is listened to.
const (
	DefaultIdleLimit = 500
	DefaultPollEvery = time.Minute
)

// eventFaults lists what cannot be right in how a store is listened to.
func eventFaults(s site.Store) []error {
	var faults []error
	switch s.Events {
	case site.ListenAuto, site.ListenNotify, site.ListenIdle, site.ListenPoll:
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
