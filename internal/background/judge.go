package background

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"mailmirror/internal/suspension"
)

// State is what the loops told of themselves, by the clock of the database.
type State struct {
	Now   time.Time
	Signs []Sign
}

// Finding is something in the background that is not as it should be.
type Finding struct {
	Loop Loop `json:"loop"`
	// Link is whose it is; "" where it concerns all links.
	Link string `json:"link,omitempty"`
	Kind string `json:"kind"`
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
	// Since is zero where it is not known.
	Since time.Time `json:"since,omitzero"`
}

// findingKind is the kind of a finding that no error of its own has caused.
const findingKind = "background"

const (
	// supervisionSilence is how long the supervision may be silent: it begins every
	// minute, and another worker takes it over within twenty seconds.
	supervisionSilence = 100 * time.Second
	// startSlack is how late a run may begin.
	startSlack = 75 * time.Second
	// restartShown is how long a restart is shown.
	restartShown = 24 * time.Hour
)

// Judge tells what is wrong in the background, of all loops but the listening of
// each link: see ListeningOf. Where no worker runs nothing else is worth telling.
func (b State) Judge(suspensions suspension.Scopes) []Finding {
	supervision, known := b.Sign(LoopSupervision, "")
	switch {
	case !known || supervision.StartedAt.IsZero():
		return []Finding{{Loop: LoopSupervision, Kind: findingKind, Text: "no worker has run yet: nothing is mirrored",
			Hint: "start Mailmirror with mailmirror up, or start mailmirror-worker"}}
	case b.Now.Sub(supervision.StartedAt) > supervisionSilence:
		return []Finding{{Loop: LoopSupervision, Kind: findingKind, Since: supervision.StartedAt,
			Text: fmt.Sprintf("NO WORKER has reported for %s: nothing is mirrored (the last one was %s)", age(b.Now, supervision.StartedAt), supervision.Worker),
			Hint: "start Mailmirror with mailmirror up, or start mailmirror-worker; if it runs, its log says what it waits for"}}
	}
	var found []Finding
	for _, s := range b.Signs {
		switch {
		case slices.Contains(OwnLoops(), s.Loop) && b.Now.Sub(s.StartedAt) > supervisionSilence:
			// The worker that said so is gone.
		case s.Loop == LoopSuspension && over(s, suspensions.Own(s.Link)):
			// It was about a suspension that is over.
		case s.Error != "":
			found = append(found, Finding{Loop: s.Loop, Link: s.Link, Kind: cmp.Or(s.ErrorKind, findingKind), Since: s.FailedAt,
				Text: failing(s), Hint: cmp.Or(s.Hint, hintOf(s.Loop))})
		case s.Loop == LoopSchedule && !suspensions.Of(s.Link).Still() && b.late(s):
			found = append(found, Finding{Loop: s.Loop, Link: s.Link, Kind: findingKind, Since: s.DueAt,
				Text: fmt.Sprintf("schedule %s had to start a run %s ago and has not", s.Item, age(b.Now, s.DueAt)),
				Hint: "check that Temporal runs; mailmirror schedule list shows the schedules, mailmirror schedule run-now starts one"})
		}
	}
	if idle, since := b.sweepWaits(); idle && !suspensions.Of("").Still() {
		found = append(found, Finding{Loop: LoopSweep, Kind: findingKind, Since: since,
			Text: fmt.Sprintf("a sweep waits for a worker since %s ago: what is due is not started", age(b.Now, since)),
			Hint: "no worker takes work from Temporal: restart the worker, and look into its log"})
	}
	return found
}

// over reports whether what is shown was about a suspension that is over.
func over(s Sign, now suspension.Suspension) bool {
	return !now.Still() || !now.Unconfirmed && s.FailedAt.Before(now.Since)
}

// Sign returns the sign of life of a loop; false if there is none.
func (b State) Sign(loop Loop, item string) (Sign, bool) {
	i := slices.IndexFunc(b.Signs, func(s Sign) bool { return s.Loop == loop && s.Item == item })
	if i < 0 {
		return Sign{}, false
	}
	return b.Signs[i], true
}

func (b State) late(s Sign) bool {
	return !s.DueAt.IsZero() && s.StartedAt.Before(s.DueAt) && b.Now.Sub(s.DueAt) > startSlack
}

// sweepWaits reports whether Temporal has started a sweep that no worker has begun.
func (b State) sweepWaits() (waits bool, since time.Time) {
	schedule, known := b.Sign(LoopSchedule, sweepSchedule)
	if !known || schedule.StartedAt.IsZero() || b.Now.Sub(schedule.StartedAt) < startSlack {
		return false, time.Time{}
	}
	// A sweep begins by asking for the time of the same database.
	sweep, _ := b.Sign(LoopSweep, "")
	return schedule.StartedAt.Sub(sweep.StartedAt) > startSlack, schedule.StartedAt
}

// sweepSchedule is the name of the sweep's schedule.
const sweepSchedule = "sweep"

func failing(s Sign) string {
	switch s.Loop {
	case LoopSupervision:
		return "the check of the background work fails: " + s.Error
	case LoopSweep:
		return "the sweep fails, so that what is due is not started: " + s.Error
	case LoopRetention:
		return "old records are not removed: " + s.Error
	case LoopListening:
		return "listening of link " + s.Link + " cannot be started: " + s.Error
	case LoopControl:
		return "the workflow that suspends and resumes cannot be started: " + s.Error
	case LoopSuspension:
		return s.Error
	case LoopSchedule:
		return "schedule " + s.Item + ": " + s.Error
	case LoopShares:
		return "worker " + s.Item + " cannot renew its share of connections to the stores, so that its syncs wait: " + s.Error
	case LoopLogins:
		return "worker " + s.Item + " does not know by what login to open mailboxes: " + s.Error
	case LoopPasswords:
		return "worker " + s.Item + " cannot log in to a store: " + s.Error
	case LoopCompare:
		return "the last compare of link " + s.Link + " failed: " + s.Error
	case LoopRebuild:
		return "the last rebuild of the ledger of link " + s.Link + " failed: " + s.Error
	}
	return string(s.Loop) + " fails: " + s.Error
}

// hintOf says what to do about a loop that fails, if its error does not say so.
func hintOf(l Loop) string {
	switch l {
	case LoopCompare, LoopRebuild:
		return "the next run clears this; the worker's log and Temporal's Web UI say more"
	default:
	}
	if slices.Contains(OwnLoops(), l) {
		return "check that PostgreSQL answers and that the worker's role may use all tables; Mailmirror tries again by itself"
	}
	return "Mailmirror tries again every minute; the worker's log says more"
}

// Restarted tells what the supervision had to start again within the last day, of a
// link and of what serves all.
func (b State) Restarted(link string) []string {
	var lines []string
	for _, s := range b.Signs {
		if s.RestartedAt.IsZero() || b.Now.Sub(s.RestartedAt) > restartShown || s.Link != "" && s.Link != link {
			continue
		}
		what := string(s.Loop)
		if s.Loop == LoopSchedule {
			what += " " + s.Item
		}
		line := fmt.Sprintf("%s had ended and was started again %s ago", what, age(b.Now, s.RestartedAt))
		if s.Restarts > 1 {
			line += fmt.Sprintf(", %d times so far", s.Restarts)
		}
		lines = append(lines, line)
	}
	return lines
}

func age(now, then time.Time) string {
	d := now.Sub(then)
	if d < time.Minute {
		return d.Round(time.Second).String()
	}
	d = d.Round(time.Minute)
	s := d.String() // 1h2m0s
	return s[:len(s)-len("0s")]
}
