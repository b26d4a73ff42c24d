package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"mailmirror/internal/fault"
)

// maxDeaths is how often in a row a worker may die at the same work, without
// getting on with it, before that work is suspected.
const maxDeaths = 3

// trace is the part of a heartbeat that tells the next attempt of an activity
// whether this one ended in good order. A message that nobody thought of may
// end the whole process, in a goroutine that no recover of ours reaches; it
// would be taken up again by every worker that starts, and nothing else would
// ever be mirrored.
type trace struct {
	// Deaths counts the attempts before this one that died without getting on.
	Deaths int `json:"deaths,omitempty"`
	// Working is true while mailboxes are being worked on, Advanced once this
	// attempt has got on.
	Working  bool `json:"working,omitempty"`
	Advanced bool `json:"advanced,omitempty"`
}

// inherited reads the trace of the attempt before. Heartbeats without one, and
// those that cannot be read, count as good order.
func inherited(ctx context.Context) trace {
	var last trace
	if !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &last) != nil {
		return trace{}
	}
	switch {
	case last.Working && last.Advanced:
		return trace{}
	case last.Working:
		return trace{Deaths: last.Deaths + 1}
	default:
		return trace{Deaths: last.Deaths}
	}
}

// suspect reports whether this work seems to be what kills workers.
func (t trace) suspect() bool { return t.Deaths >= maxDeaths }

// errDeadly is recorded against a mailbox at which workers die.
func errDeadly() error {
	return fault.New(fault.Permanent, "sync mailbox: the worker died at it several times", nil,
		"look into the worker's log for what ended it; this may be a defect of Mailmirror")
}
