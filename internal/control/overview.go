package control

import (
	"context"
	"slices"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// LinkOverview is one link at a glance, with what will happen next.
type LinkOverview struct {
	site.LinkStatus
	// Suspension is the one that the link is subject to: that of everything, unless only
	// the link by itself must not be written to. OwnSuspension is that of the link by
	// itself, if it is suspended as well as everything.
	Suspension    suspension.Suspension `json:"suspension"`
	OwnSuspension suspension.Suspension `json:"own_suspension,omitzero"`
	Next          Next                  `json:"next"`
	// Watchers are the listeners of the link, by shard.
	Watchers []site.Watcher `json:"watchers"`
	// Load says what bounds the load on the stores of the link below its settings.
	Load []string `json:"load,omitempty"`
	// Listening says whether changes of the source are noticed.
	Listening background.Listening `json:"listening"`
	// Lag is how far the target is behind: site.LinkStatus.Lag, or nil where changes may
	// have gone unnoticed, so that it is not known.
	Lag *time.Duration `json:"lag_ns"`
	// Background lists what is wrong with the work in the background, of this link
	// and of what serves all; Restarted what had to be started again lately.
	Background []background.Finding `json:"background,omitempty"`
	Restarted  []string             `json:"restarted,omitempty"`
	// Directory is how the link's directory stands; nil where it has none.
	Directory *DirectoryOverview `json:"directory,omitempty"`
}

// Next is what will happen to a link by itself.
type Next struct {
	// CompareRunning is true while a full compare is under way.
	CompareRunning bool `json:"compare_running"`
	// CompareBy is when the next compare starts, or should have started where
	// no worker took it up; zero where none is going to, or where that is not
	// known.
	CompareBy time.Time `json:"compare_by,omitzero"`
	// CompareOverdue is true where that moment is past and none runs.
	CompareOverdue bool `json:"compare_overdue"`
	// ComparePaused is true where somebody paused the schedule.
	ComparePaused bool `json:"compare_paused"`
	// CompareUnknown says why Temporal could not be asked; "" where it was.
	CompareUnknown string `json:"compare_unknown,omitempty"`
	// SweepWithin is how long a mailbox that is due waits at most to be started.
	SweepWithin time.Duration `json:"sweep_within_ns"`
	// RetryAt is the next attempt at a mailbox that keeps failing.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Missed are the schedules that missed runs, and started none since.
	Missed []site.ScheduleInfo `json:"missed,omitempty"`
}

// Status tells how links stand; "" means every link. What Temporal does not
// tell is left open: how the mailboxes stand is in the database.
func (c *Control) Status(ctx context.Context, link string) ([]LinkOverview, error) {
	if link != "" {
		if _, err := c.ports.Links.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	statuses, err := c.ports.Records.Status(ctx, link)
	if err != nil {
		return nil, err
	}
	watchers, err := c.ports.Records.Watchers(ctx, link)
	if err != nil {
		return nil, err
	}
	suspensions, err := c.ports.Suspension.Suspensions(ctx)
	if err != nil {
		return nil, err
	}
	background, err := c.ports.Records.Background(ctx)
	if err != nil {
		return nil, err
	}
	findings := background.Judge(suspensions)
	asking, stop := context.WithTimeout(ctx, patience)
	defer stop()
	schedules := scheduleReader{runner: c.ports.Scheduler}
	missed := c.missed(asking)
	overviews := make([]LinkOverview, 0, len(statuses))
	for _, s := range statuses {
		schedule, unknown := schedules.read(asking, s.Link.Name)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o := LinkOverview{LinkStatus: s, Suspension: suspensions.Of(s.Link.Name), Next: c.next(s, schedule, unknown), Watchers: []site.Watcher{}}
		for _, w := range watchers {
			if w.Link == s.Link.Name {
				o.Watchers = append(o.Watchers, w)
			}
		}
		if own := suspensions.Own(s.Link.Name); own.Suspended() && o.Suspension.Link == "" {
			o.OwnSuspension = own
		}
		o.judge(background, findings)
		for _, m := range missed {
			if m.Link == "" || m.Link == s.Link.Name {
				o.Next.Missed = append(o.Next.Missed, m)
			}
		}
		if s.States.Parked > 0 {
			if o.Next.RetryAt, err = c.nextRetry(ctx, s.Link.Name); err != nil {
				return nil, err
			}
		}
		if o.Load, err = c.loadLines(ctx, s.Link); err != nil {
			return nil, err
		}
		if o.Directory, err = c.directoryOverview(ctx, s.Link); err != nil {
			return nil, err
		}
		overviews = append(overviews, o)
	}
	return overviews, nil
}

// judge adds what the signs of life of the background work tell of the link.
func (o *LinkOverview) judge(b background.State, findings []background.Finding) {
	link := o.Link.Name
	o.Listening = background.ListeningOf(b.Now, o.LinkStatus, o.Watchers)
	if !o.Listening.Blind {
		o.Lag = &o.LinkStatus.Lag
	}
	for _, f := range findings {
		if f.Link == "" || f.Link == link {
			o.Background = append(o.Background, f)
		}
	}
	o.Restarted = b.Restarted(link)
	for _, run := range []*site.CompareRun{o.LastCompare, o.LastRebuild} {
		if run == nil || run.FinishedAt.IsZero() {
			continue
		}
		if s, known := b.Sign(background.LoopOf(run.Kind), link); known {
			run.Error, run.Hint = s.Error, s.Hint
		}
	}
}

// backgroundErrors are the findings as errors: what concerns all links first, then
// what concerns the given ones. Where no worker runs, that is the only one.
func (c *Control) backgroundErrors(ctx context.Context, link string) ([]site.ErrorEntry, error) {
	work, err := c.ports.Records.Background(ctx)
	if err != nil {
		return nil, err
	}
	suspensions, err := c.ports.Suspension.Suspensions(ctx)
	if err != nil {
		return nil, err
	}
	found := work.Judge(suspensions)
	statuses, err := c.ports.Records.Status(ctx, link)
	if err != nil {
		return nil, err
	}
	if len(statuses) == 0 {
		return nil, nil // there is nothing to be mirrored
	}
	if len(found) != 1 || found[0].Loop != background.LoopSupervision {
		watchers, err := c.ports.Records.Watchers(ctx, link)
		if err != nil {
			return nil, err
		}
		for _, s := range statuses {
			of := slices.DeleteFunc(slices.Clone(watchers), func(w site.Watcher) bool { return w.Link != s.Link.Name })
			found = append(found, background.ListeningOf(work.Now, s, of).Findings(s.Link.Name)...)
		}
	}
	var entries []site.ErrorEntry
	for _, f := range found {
		if f.Link == "" || link == "" || f.Link == link {
			entries = append(entries, site.ErrorEntry{Link: f.Link, Kind: f.Kind, Text: f.Text, Hint: f.Hint, Since: f.Since})
		}
	}
	return entries, nil
}

func (c *Control) next(s site.LinkStatus, schedule site.CompareSchedule, unknown error) Next {
	n := Next{
		SweepWithin:    c.options.SweepInterval,
		CompareRunning: s.LastCompare != nil && s.LastCompare.FinishedAt.IsZero(),
	}
	if unknown != nil {
		n.CompareUnknown = unknown.Error()
		if hint := fault.HintOf(unknown); hint != "" {
			n.CompareUnknown += "; " + hint
		}
		return n
	}
	n.ComparePaused, n.CompareBy = schedule.Paused, schedule.NextCompare
	if !schedule.WaitingSince.IsZero() {
		n.CompareBy = schedule.WaitingSince
	}
	// A start takes its moment; a minute late is not overdue.
	late := !n.CompareBy.IsZero() && c.options.Now().After(n.CompareBy.Add(time.Minute))
	n.CompareOverdue = late && !n.CompareRunning
	return n
}

// missed lists the schedules that missed runs and started none since; none
// where Temporal does not tell.
func (c *Control) missed(ctx context.Context) []site.ScheduleInfo {
	all, err := c.Schedules(ctx)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(all, site.ScheduleInfo.MadeGood)
}

// patience is how long a Status waits for Temporal, for all links together.
const patience = 5 * time.Second

// scheduleReader reads schedules. A Temporal that does not answer is asked
// once, not for every link again.
type scheduleReader struct {
	runner ScheduleRunner
	away   error
}

func (r *scheduleReader) read(ctx context.Context, link string) (site.CompareSchedule, error) {
	if r.away != nil {
		return site.CompareSchedule{}, r.away
	}
	schedule, err := r.runner.Schedule(ctx, link)
	if fault.Is(err, fault.Transient) {
		r.away = err
	}
	return schedule, err
}

func (c *Control) nextRetry(ctx context.Context, link string) (time.Time, error) {
	entries, err := c.ports.Records.Errors(ctx, link)
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

// History lists what was done, newest first, with archive what was archived too.
// A link that is gone keeps its history, so an unknown name is an error only
// where there is none.
func (c *Control) History(ctx context.Context, link string, number mailbox.Number, limit int, archive bool) ([]site.HistoryEntry, error) {
	op := "show history of link " + link
	if number != "" {
		if err := checkNumbers(op, []mailbox.Number{number}); err != nil {
			return nil, err
		}
	}
	read := c.ports.Records.History
	if archive {
		read = c.ports.Records.HistoryWithArchive
	}
	entries, err := read(ctx, link, number, limit)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		if _, err := c.ports.Links.Link(ctx, link); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// Errors lists what is not as it should be now, of the work in the background, of
// stores, of mailboxes and then of directories; "" means every link.
func (c *Control) Errors(ctx context.Context, link string) ([]site.ErrorEntry, error) {
	var links []site.Link
	if link == "" {
		all, err := c.ports.Links.Links(ctx)
		if err != nil {
			return nil, err
		}
		links = all
	} else {
		l, err := c.ports.Links.Link(ctx, link)
		if err != nil {
			return nil, err
		}
		links = []site.Link{l}
	}
	entries, err := c.backgroundErrors(ctx, link)
	if err != nil {
		return nil, err
	}
	ofStores, err := c.loadErrors(ctx, links)
	if err != nil {
		return nil, err
	}
	entries = append(entries, ofStores...)
	ofMailboxes, err := c.ports.Records.Errors(ctx, link)
	if err != nil {
		return nil, err
	}
	entries = append(entries, ofMailboxes...)
	for _, l := range links {
		ofDirectory, err := c.directoryErrors(ctx, l)
		if err != nil {
			return nil, err
		}
		entries = append(entries, ofDirectory...)
	}
	return entries, nil
}
