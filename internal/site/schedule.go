package site

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// CompareSchedule is the compare schedule of a link as Temporal has it.
type CompareSchedule struct {
	// NextCompare is when the next compare starts; zero where none is going to.
	NextCompare time.Time
	// Paused is true where somebody paused the schedule.
	Paused bool
	// WaitingSince is when a compare was started that no worker took up yet;
	// zero where none waits.
	WaitingSince time.Time
}

// ScheduleSpec says when a schedule runs: by one of Every, Cron and At.
type ScheduleSpec struct {
	// Every is an interval, counted from midnight UTC of 1 January 1970, so
	// that 4 h means 0, 4, 8 o'clock UTC and so on.
	Every time.Duration `json:"every_ns,omitempty"`
	// Cron is five fields: minute, hour, day of month, month, day of week.
	Cron string `json:"cron,omitempty"`
	// At are times of day, "01:00".
	At []string `json:"at,omitempty"`
	// Timezone is where Cron and At are meant, "Europe/Berlin"; "" is UTC.
	Timezone string `json:"timezone,omitempty"`
}

// Empty reports whether nothing is set.
func (s ScheduleSpec) Empty() bool {
	return s.Every == 0 && s.Cron == "" && len(s.At) == 0 && s.Timezone == ""
}

// shortestInterval keeps a mistyped unit from starting workflows all the time.
const shortestInterval = 10 * time.Second

// String tells the spec as people say it: "every 4h", "at 01:00, 07:00
// Europe/Berlin", "cron 0 3 * * 1 UTC".
func (s ScheduleSpec) String() string {
	zone := s.Timezone
	if zone == "" {
		zone = "UTC"
	}
	switch {
	case s.Every > 0:
		return "every " + shortDuration(s.Every)
	case s.Cron != "":
		return "cron " + s.Cron + " " + zone
	case len(s.At) > 0:
		return "at " + strings.Join(s.At, ", ") + " " + zone
	default:
		return "never"
	}
}

// shortDuration leaves out the zero units that time.Duration appends.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Validate reports every fault of a spec that an operator gave. Whether a zone
// exists and a cron line makes sense is Temporal's to judge.
func (s ScheduleSpec) Validate() error {
	var faults []error
	kinds := 0
	for _, given := range []bool{s.Every != 0, s.Cron != "", len(s.At) > 0} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		faults = append(faults, errors.New("want one of an interval, a cron line and times of day"))
	}
	if s.Every != 0 && s.Every < shortestInterval {
		faults = append(faults, fmt.Errorf("interval %s: want %s or more", s.Every, shortestInterval))
	}
	if s.Every%time.Second != 0 {
		faults = append(faults, fmt.Errorf("interval %s: want whole seconds", s.Every))
	}
	if n := len(strings.Fields(s.Cron)); s.Cron != "" && n != 5 {
		faults = append(faults, fmt.Errorf("cron line %q: it has %d fields, want minute, hour, day of month, month and day of week", s.Cron, n))
	}
	for _, at := range s.At {
		if _, err := time.Parse("15:04", at); err != nil || len(at) != len("15:04") {
			faults = append(faults, fmt.Errorf("time of day %q: want HH:MM, such as 07:00", at))
		}
	}
	if s.Timezone != "" && s.Every > 0 {
		faults = append(faults, errors.New("an interval has no time zone"))
	}
	return errors.Join(faults...)
}

// ScheduleInfo is one schedule as Temporal has it.
type ScheduleInfo struct {
	Name string `json:"name"`
	// Link is whose it is; "" for one that serves all links.
	Link string       `json:"link,omitempty"`
	What string       `json:"what"`
	Spec ScheduleSpec `json:"spec"`
	// When is Spec in words. Set is true where an operator set it.
	When string `json:"when"`
	Set  bool   `json:"set"`
	// Exists is false for one that Temporal does not have: a worker that starts
	// makes it.
	Exists bool `json:"exists"`
	// Next are the next runs; none while it is paused.
	Next []time.Time `json:"next,omitempty"`
	// LastRun is when a run was last started; Running is true while one goes on.
	LastRun time.Time `json:"last_run,omitzero"`
	Running bool      `json:"running"`
	Paused  bool      `json:"paused"`
	// Suspended is true where it is paused since the mirror is suspended: it
	// goes on with it.
	Suspended bool `json:"suspended"`
	// Note is why it is paused, in the words of who paused it.
	Note string `json:"note,omitempty"`
	// Missed counts the runs, since the schedule was made, that could not be
	// started in time; Skipped those that were due while another was going on.
	Missed  int `json:"missed"`
	Skipped int `json:"skipped"`
	// MissedSeen is when the last of the missed runs was first noticed.
	MissedSeen time.Time `json:"missed_seen,omitzero"`
}

// MadeGood reports whether a run was started after the last one that was
// missed. A run does all the work there is, also that of those before it.
func (s ScheduleInfo) MadeGood() bool { return s.Missed == 0 || s.LastRun.After(s.MissedSeen) }

// ErrSpecRejected means that Temporal rejects when a schedule is to run.
var ErrSpecRejected = errors.New("this schedule is rejected by Temporal")
