package dirsync

import (
	"errors"
	"fmt"

	"mailmirror/internal/directory"
	"mailmirror/internal/mailbox"
)

// Participation says which mailboxes of the directory join a link.
type Participation string

// The rules.
const (
	ParticipateAll    Participation = "all"
	ParticipateFilter Participation = "filter" // those whose numbers a pattern matches
	ParticipateManual Participation = "manual" // none by itself
)

// Settings are what an operator set for the directory of a link.
type Settings struct {
	directory.Limits
	Participate Participation    `json:"participate"`
	Numbers     mailbox.Patterns `json:"numbers,omitempty"` // for ParticipateFilter
	// RemoveUnknown removes entries of the target that were never ours.
	RemoveUnknown bool `json:"remove_unknown"`
	// GiveUp is after how many runs in which an entry failed it is left alone
	// until it changes, or an operator asks for it; 0 never.
	GiveUp int `json:"give_up"`
}

// DefaultSettings are those of a link that nobody set any for. A tenth
// of all subscribers does not leave between two runs of a day, but one or two of
// a dozen do.
func DefaultSettings() Settings {
	return Settings{
		Limits:      directory.Limits{RemoveCount: 50, RemoveShare: 10, ChangeCount: 2000, ChangeShare: 50, ShrinkShare: 10, ShareMinimum: 5},
		Participate: ParticipateAll, GiveUp: 10,
	}
}

// Faults lists what cannot be right about settings.
func (s Settings) Faults() []error {
	var faults []error
	for _, share := range []struct {
		name  string
		value int
	}{{"directory remove share", s.RemoveShare}, {"directory change share", s.ChangeShare}, {"directory shrink share", s.ShrinkShare}} {
		if share.value < 0 || share.value > 100 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 to 100 percent", share.name, share.value))
		}
	}
	for _, count := range []struct {
		name  string
		value int
	}{{"directory remove count", s.RemoveCount}, {"directory change count", s.ChangeCount}, {"directory share minimum", s.ShareMinimum}, {"directory give up", s.GiveUp}} {
		if count.value < 0 {
			faults = append(faults, fmt.Errorf("%s %d: want 0 or more", count.name, count.value))
		}
	}
	switch s.Participate {
	case ParticipateAll, ParticipateManual:
		if len(s.Numbers) > 0 {
			faults = append(faults, fmt.Errorf("participate numbers: have no meaning with participate %s", s.Participate))
		}
	case ParticipateFilter:
		if len(s.Numbers) == 0 {
			faults = append(faults, errors.New("participate filter: name the numbers by patterns, such as 20*"))
		}
		if err := s.Numbers.Validate(); err != nil {
			faults = append(faults, err)
		}
	default:
		faults = append(faults, fmt.Errorf("participate %q: want all, filter or manual", s.Participate))
	}
	return faults
}
