package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mailmirror/internal/control"
	"mailmirror/internal/site"
)

// eventFlags say how a store is listened to.
type eventFlags struct {
	events    string
	maxIdle   int
	pollEvery time.Duration
}

func (f *eventFlags) register(cmd *cobra.Command) {
	s := cmd.Flags()
	s.Var(choice(&f.events, "auto", "notify", "idle", "poll"), "events",
		"how Mailmirror learns of changes: notify (one connection), idle (one per mailbox), poll, or auto, the best that the store offers (default auto)")
	s.IntVar(&f.maxIdle, "max-idle", 0, "connections of idle at most; mailboxes beyond are polled, the least active first (default 500)")
	s.DurationVar(&f.pollEvery, "poll-every", 0, "interval at which Mailmirror reads the mailboxes that it does not listen to (default 1m)")
	_ = cmd.RegisterFlagCompletionFunc("events", fixed("auto", "notify", "idle", "poll"))
}

func eventsLine(mode site.ListenMode, why string) string {
	if mode == "" {
		return ""
	}
	return string(mode) + ": " + why
}

// listening tells how the listeners of a link do, a line for each way of
// listening, and one for each trouble.
func (c *cli) listening(l control.LinkOverview) []string {
	if len(l.Watchers) == 0 {
		return []string{"not listening yet; a running worker starts listening within a minute"}
	}
	var lines []string
	var total site.Health
	troubles := map[string]bool{}
	for _, w := range l.Watchers {
		silence := c.env.Now().Sub(w.UpdatedAt)
		if silence > site.WatcherSilence {
			lines = append(lines, c.stopped(l, w, silence))
			continue
		}
		total = joined(total, w.Health)
		if w.Trouble != "" && !troubles[w.Trouble] {
			troubles[w.Trouble] = true
			line := "listening is disturbed: " + w.Trouble
			if w.Hint != "" {
				line += "; " + w.Hint
			}
			lines = append(lines, line)
		}
	}
	if total.Mode == "" {
		return lines
	}
	return append([]string{c.listeningLine(total)}, lines...)
}

// stopped tells that a shard is silent, and what that means.
func (c *cli) stopped(l control.LinkOverview, w site.Watcher, silence time.Duration) string {
	line := fmt.Sprintf("LISTENING STOPPED %s ago", span(silence))
	if w.Shards > 1 {
		line = fmt.Sprintf("LISTENING of shard %d STOPPED %s ago", w.Shard, span(silence))
	}
	switch line += ": changes wait for the "; {
	case l.Suspension.Still():
		line += "compare after the resumption"
	default:
		line += "next compare"
	}
	if !l.Next.CompareBy.IsZero() && !l.Suspension.Still() {
		line += " (" + c.moment(l.Next.CompareBy) + ")"
	}
	return line + ". Mailmirror starts it again within two minutes where a worker runs; if it stays so, see the worker's log"
}

func (c *cli) listeningLine(h site.Health) string {
	line := fmt.Sprintf("listening by %s: %d of %d connections", h.Mode, h.Connections, h.Wanted)
	switch {
	case h.Mode == site.ListenPoll:
		line = "listening by poll: " + counted(h.Polled, "mailbox") + " read in turn"
	case h.Mode == site.ListenAuto && h.Why != "":
		return "not listening: " + h.Why
	case h.Mode == site.ListenAuto:
		return "asking the source how it can be listened to"
	case !h.ConnectedSince.IsZero():
		line += " since " + c.moment(h.ConnectedSince)
	}
	if h.Mode != site.ListenPoll {
		line += fmt.Sprintf(", %s heard of, %d polled", counted(h.Listened, "mailbox"), h.Polled)
	}
	if h.Polled > 0 && h.PollEvery > 0 {
		line += fmt.Sprintf(", every %s", span(h.PollEvery))
	}
	line += fmt.Sprintf("; %s in the last minute", counted(h.PerMinute, "event"))
	if !h.LastEvent.IsZero() {
		line += fmt.Sprintf(", the last %s (%s)", c.ago(h.LastEvent), h.LastKind)
	}
	if h.Mode != site.ListenNotify && h.Why != "" || h.Polled > 0 && h.Why != "" {
		line += "; " + h.Why
	}
	return line
}

// joined sums what shards of one link do.
func joined(a, b site.Health) site.Health {
	if a.Mode == "" {
		return b
	}
	if a.ConnectedSince.IsZero() || b.ConnectedSince.IsZero() {
		a.ConnectedSince = time.Time{}
	} else if b.ConnectedSince.After(a.ConnectedSince) {
		a.ConnectedSince = b.ConnectedSince
	}
	if b.LastEvent.After(a.LastEvent) {
		a.LastEvent, a.LastKind = b.LastEvent, b.LastKind
	}
	a.Connections += b.Connections
	a.Wanted += b.Wanted
	a.Listened += b.Listened
	a.Polled += b.Polled
	a.PollEvery = max(a.PollEvery, b.PollEvery)
	if b.Polled > 0 {
		a.Why = b.Why
	}
	a.PerMinute += b.PerMinute
	a.Events += b.Events
	return a
}
