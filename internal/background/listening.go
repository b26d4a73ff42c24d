package background

import (
	"cmp"
	"fmt"
	"time"

	"mailmirror/internal/site"
)

// Listening tells whether changes of a link's source are noticed.
type Listening struct {
	// Blind is true where changes may go unnoticed until the next compare. How far
	// the target is behind is not known then.
	Blind bool `json:"blind"`
	// Since is when the listeners were last heard of; zero where they never were.
	Since time.Time `json:"since,omitzero"`
	// Why says it in words; "" where it is not blind.
	Why string `json:"why,omitempty"`
	// Starting is true for a link so new that its listening may not have begun.
	Starting bool `json:"-"`
}

// ListeningOf judges how the listeners of a link do. shards is into how many the
// link is cut.
func ListeningOf(now time.Time, l site.LinkStatus, watchers []site.Watcher) Listening {
	if l.Mailboxes == 0 {
		return Listening{}
	}
	if len(watchers) == 0 {
		return Listening{Blind: true, Why: "not listening yet: a running worker starts listening within a minute",
			Starting: now.Sub(l.Link.CreatedAt) < startSlack}
	}
	silent := Listening{}
	for _, w := range watchers {
		if now.Sub(w.UpdatedAt) > site.WatcherSilence && (silent.Since.IsZero() || w.UpdatedAt.Before(silent.Since)) {
			silent = Listening{Blind: true, Since: w.UpdatedAt, Why: "LISTENING STOPPED " + age(now, w.UpdatedAt) + " ago"}
		}
	}
	if silent.Blind {
		return silent
	}
	if shards := watchers[0].Shards; len(watchers) < shards {
		return Listening{Blind: true, Why: fmt.Sprintf("only %d of %d shards listen", len(watchers), shards), Starting: true}
	}
	for _, w := range watchers {
		switch {
		case w.Trouble != "" && (w.Mode == "" || w.Mode == site.ListenAuto || w.Connections == 0 && w.Listened+w.Polled == 0):
			return Listening{Blind: true, Since: w.UpdatedAt, Why: "LISTENING DOES NOT WORK: " + w.Trouble}
		case w.Mode == "" || w.Mode == site.ListenAuto:
			return Listening{Blind: true, Since: w.UpdatedAt, Starting: true,
				Why: "not listening yet: " + cmp.Or(w.Why, "Mailmirror asks the source how it can listen")}
		case w.Connections < w.Wanted && w.Listened+w.Polled == 0:
			return Listening{Blind: true, Since: w.UpdatedAt, Why: "not listening yet: a connection is being opened", Starting: true}
		}
	}
	return Listening{}
}

// Unhealthy reports whether listening fails, and is not only about to begin.
func (l Listening) Unhealthy() bool { return l.Blind && !l.Starting }

// Findings is what there is to be told of the listening of a link, nil where all is
// well or where it may only be starting.
func (l Listening) Findings(link string) []Finding {
	if !l.Unhealthy() {
		return nil
	}
	return []Finding{{Loop: LoopListening, Link: link, Kind: findingKind, Since: l.Since,
		Text: l.Why + ": changes wait for the next compare",
		Hint: "Mailmirror starts listening again within two minutes where a worker runs; if it stays so, see the worker's log, and run mailmirror compare " + link}}
}
