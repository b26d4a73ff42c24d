package control

import (
	"context"
	"time"

	"mailmirror/internal/mailbox"
)

// LinkOverview is one link at a glance, with what will happen next.
type LinkOverview struct {
	LinkStatus
	Next Next `json:"next"`
}

// Next is what will happen to a link by itself.
type Next struct {
	// CompareRunning is true while a full compare is under way.
	CompareRunning bool `json:"compare_running"`
	// CompareBy is the latest moment at which the next compare should begin:
	// one interval after the last one began, or after the link was added.
	CompareBy time.Time `json:"compare_by"`
	// CompareOverdue is true where that moment is past and none runs.
	CompareOverdue bool `json:"compare_overdue"`
	// SweepWithin is how long a mailbox that is due waits at most to be started.
	SweepWithin time.Duration `json:"sweep_within_ns"`
	// RetryAt is the next attempt at a mailbox that keeps failing.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// Status tells how links stand; "" means every link.
func (c *Control) Status(ctx context.Context, link string) ([]LinkOverview, error) {
	if link != "" {
		if _, err := c.repo.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	statuses, err := c.repo.Status(ctx, link)
	if err != nil {
		return nil, err
	}
	overviews := make([]LinkOverview, 0, len(statuses))
	for _, s := range statuses {
		o := LinkOverview{LinkStatus: s, Next: c.next(s)}
		if s.States.Parked > 0 {
			if o.Next.RetryAt, err = c.nextRetry(ctx, s.Link.Name); err != nil {
				return nil, err
			}
		}
		overviews = append(overviews, o)
	}
	return overviews, nil
}

func (c *Control) next(s LinkStatus) Next {
	n := Next{SweepWithin: c.options.SweepInterval, CompareBy: s.Link.CreatedAt.Add(c.options.CompareInterval)}
	if last := s.LastCompare; last != nil {
		n.CompareRunning = last.FinishedAt.IsZero()
		n.CompareBy = last.StartedAt.Add(c.options.CompareInterval)
	}
	// The schedule spreads its starts a little; a minute late is not overdue.
	n.CompareOverdue = !n.CompareRunning && c.options.Now().After(n.CompareBy.Add(time.Minute))
	return n
}

func (c *Control) nextRetry(ctx context.Context, link string) (time.Time, error) {
	entries, err := c.repo.Errors(ctx, link)
	if err != nil {
		return time.Time{}, err
	}
	var next time.Time
	for _, e := range entries {
		if !e.NextAttemptAt.IsZero() && (next.IsZero() || e.NextAttemptAt.Before(next)) {
			next = e.NextAttemptAt
		}
	}
	return next, nil
}

// History lists what was done, newest first. A link that is gone keeps its
// history, so an unknown name is an error only where there is none.
func (c *Control) History(ctx context.Context, link string, number mailbox.Number, limit int) ([]HistoryEntry, error) {
	op := "show history of link " + link
	if number != "" {
		if err := checkNumbers(op, []mailbox.Number{number}); err != nil {
			return nil, err
		}
	}
	entries, err := c.repo.History(ctx, link, number, limit)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		if _, err := c.repo.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Errors lists what is not as it should be now; "" means every link.
func (c *Control) Errors(ctx context.Context, link string) ([]ErrorEntry, error) {
	if link != "" {
		if _, err := c.repo.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	return c.repo.Errors(ctx, link)
}
