package background

import (
	"time"

	"mailmirror/internal/site"
)

// Loop names a kind of work that Mailmirror does in the background.
type Loop string

// The loops.
const (
	// LoopSupervision looks after the others; one worker at a time does it.
	LoopSupervision Loop = "supervision"
	// LoopSweep starts what is due.
	LoopSweep Loop = "sweep"
	// LoopRetention archives and drops old records.
	LoopRetention Loop = "retention"
	// LoopListening is the WatchEvents of a link.
	LoopListening Loop = "listening"
	// LoopControl is MirrorControl, and LinkControl while its link is suspended.
	LoopControl Loop = "suspension control"
	// LoopSuspension compares what the database and Temporal know of a suspension.
	LoopSuspension Loop = "suspension"
	// LoopSchedule is a schedule in Temporal.
	LoopSchedule Loop = "schedule"
	// LoopShares renews what a worker may use of the load on the stores.
	LoopShares Loop = "shares of load"
	// LoopLogins reads by what login the directory of a store knows its mailboxes.
	LoopLogins Loop = "logins"
	// LoopPasswords opens the passwords of the stores with the key file.
	LoopPasswords Loop = "passwords"
	// LoopCompare and LoopRebuild are the last compare and the last rebuild of the
	// ledger of a link.
	LoopCompare Loop = "compare"
	LoopRebuild Loop = "ledger rebuild"
)

// LoopOf is the loop of the runs of a kind over a link.
func LoopOf(k site.RunKind) Loop {
	if k == site.RunRebuild {
		return LoopRebuild
	}
	return LoopCompare
}

// OwnLoops are the loops that each worker has for itself; Sign.Item is the worker.
// The worker repeats that one fails, for as long as it does.
func OwnLoops() []Loop { return []Loop{LoopShares, LoopLogins, LoopPasswords} }

// Sign is the sign of life of one loop.
type Sign struct {
	Loop Loop
	// Item is the link or the schedule that the loop is of; "" where there is one
	// for all. Link is whose it is; "" for all.
	Item, Link string
	Worker     string
	// StartedAt is when it last began, OKAt when it last ended well, FailedAt since
	// when it fails; zero where it never did.
	StartedAt, OKAt, FailedAt time.Time
	ErrorKind, Error, Hint    string
	// DueAt is when a schedule has to start its next run.
	DueAt time.Time
	// Restarts counts how often the supervision found that it had ended, and started
	// it again; RestartedAt is the last time.
	Restarts    int
	RestartedAt time.Time
}
