package background_test

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"mailmirror/internal/background"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	lives := background.Sign{Loop: background.LoopSupervision, Worker: "1@one", StartedAt: ago(time.Minute)}
	sweeps := background.Sign{Loop: background.LoopSchedule, Item: "sweep", StartedAt: ago(50 * time.Second), DueAt: now.Add(10 * time.Second)}
	swept := background.Sign{Loop: background.LoopSweep, StartedAt: ago(49 * time.Second)}
	for name, c := range map[string]struct {
		signs  []background.Sign
		mirror suspension.Suspension
		want   []string // a part of each finding's text
	}{
		"nothing is known":    {want: []string{"no worker has run yet"}},
		"all is well":         {signs: []background.Sign{lives, sweeps, swept}},
		"the worker is gone":  {signs: []background.Sign{{Loop: background.LoopSupervision, Worker: "1@one", StartedAt: ago(12 * time.Minute)}, sweeps}, want: []string{"NO WORKER has reported for 12m"}},
		"within two minutes":  {signs: []background.Sign{{Loop: background.LoopSupervision, StartedAt: ago(2 * time.Minute)}}, want: []string{"NO WORKER"}},
		"Temporal is away":    {signs: []background.Sign{{Loop: background.LoopSupervision, StartedAt: ago(time.Second), FailedAt: ago(time.Minute), Error: "unavailable"}}, want: []string{"fails: unavailable"}},
		"the sweep fails":     {signs: []background.Sign{lives, sweeps, {Loop: background.LoopSweep, StartedAt: now, FailedAt: ago(time.Minute), Error: "list due mailboxes"}}, want: []string{"the sweep fails"}},
		"a sweep is late":     {signs: []background.Sign{lives, swept, {Loop: background.LoopSchedule, Item: "sweep", StartedAt: ago(3 * time.Minute), DueAt: ago(2 * time.Minute)}}, want: []string{"schedule sweep had to start a run 2m ago"}},
		"late, but suspended": {mirror: suspension.Suspension{State: suspension.Suspended}, signs: []background.Sign{lives, swept, {Loop: background.LoopSchedule, Item: "sweep", DueAt: ago(2 * time.Hour)}}},
		"nobody takes it up": {signs: []background.Sign{lives, {Loop: background.LoopSchedule, Item: "sweep", StartedAt: ago(2 * time.Minute)}, {Loop: background.LoopSweep, StartedAt: ago(9 * time.Minute)}},
			want: []string{"a sweep waits for a worker"}},
		"a worker has no shares": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopShares, Item: "2@two", StartedAt: ago(20 * time.Second), Error: "x"}},
			want: []string{"worker 2@two cannot renew its share of connections to the stores, so that its syncs wait: x"}},
		"a worker has no logins": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopLogins, Item: "2@two", StartedAt: ago(20 * time.Second), Error: "x"}},
			want: []string{"worker 2@two does not know by what login to open mailboxes: x"}},
		"no password opens": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopPasswords, Item: "2@two", StartedAt: ago(20 * time.Second), Error: "of store prod"}},
			want: []string{"worker 2@two cannot log in to a store: of store prod"}},
		"a compare broke off": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopCompare, Item: "dr", Link: "dr", Error: "x"}},
			want: []string{"the last compare of link dr failed: x"}},
		"a rebuild broke off": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopRebuild, Item: "dr", Link: "dr", Error: "x"}},
			want: []string{"the last rebuild of the ledger of link dr failed: x"}},
		"that worker is gone": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopShares, Item: "2@two", StartedAt: ago(2 * time.Minute), Error: "x"}}},
		"a suspension was restored": {mirror: suspension.Suspension{State: suspension.Suspended, Since: ago(time.Minute)},
			signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopSuspension, FailedAt: ago(59 * time.Second), Error: "the database did not know of it", Hint: "h"}}, want: []string{"did not know"}},
		"that one is over": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopSuspension, FailedAt: ago(time.Hour), Error: "x", Hint: "h"}}},
		"and this is another": {mirror: suspension.Suspension{State: suspension.Suspended, Since: ago(time.Minute)},
			signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopSuspension, FailedAt: ago(time.Hour), Error: "x", Hint: "h"}}},
		"several": {signs: []background.Sign{lives, sweeps, swept, {Loop: background.LoopListening, Item: "dr", Link: "dr", Error: "x"}, {Loop: background.LoopControl, Error: "y"}, {Loop: background.LoopRetention, Error: "z"}},
			want: []string{"listening of link dr cannot be started: x", "suspends and resumes cannot be started: y", "old records are not removed: z"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := background.State{Now: now, Signs: c.signs}.Judge(suspension.Scopes{cmp.Or(c.mirror, suspension.Suspension{State: suspension.Running})})
			if len(found) != len(c.want) {
				t.Fatalf("found %+v", found)
			}
			for i, f := range found {
				if !strings.Contains(f.Text, c.want[i]) || f.Hint == "" || f.Kind == "" {
					t.Errorf("found %+v, want %q", f, c.want[i])
				}
			}
		})
	}
}

func TestListeningOf(t *testing.T) {
	now := time.Date(2026, 3, 4, 3, 0, 0, 0, time.UTC)
	of := func(age time.Duration, h site.Health) site.Watcher {
		return site.Watcher{Link: "dr", UpdatedAt: now.Add(-age), Shards: 1, Health: h}
	}
	well := site.Health{Mode: site.ListenNotify, Connections: 1, Wanted: 1, Listened: 4}
	old := site.Link{Name: "dr", CreatedAt: now.Add(-time.Hour)}
	two := of(time.Second, well)
	two.Shards = 2
	for name, c := range map[string]struct {
		mailboxes       int
		link            site.Link
		watchers        []site.Watcher
		blind, starting bool
	}{
		"nothing to hear":    {link: old},
		"well":               {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, well)}},
		"by poll":            {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenPoll, Polled: 4})}},
		"nobody ever":        {mailboxes: 4, link: old, blind: true},
		"a new link":         {mailboxes: 4, link: site.Link{CreatedAt: now}, blind: true, starting: true},
		"silent":             {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, well), of(time.Minute, well)}, blind: true},
		"a shard is missing": {mailboxes: 4, link: old, watchers: []site.Watcher{two}, blind: true, starting: true},
		"asks":               {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenAuto})}, blind: true, starting: true},
		"the source is away": {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenNotify, Wanted: 1, Trouble: "refused"})}, blind: true},
		"it opens":           {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenNotify, Wanted: 1})}, blind: true, starting: true},
		"some are not heard": {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenIdle, Wanted: 4, Connections: 3, Listened: 3, Trouble: "refused"})}},
		"some are read":      {mailboxes: 4, link: old, watchers: []site.Watcher{of(time.Second, site.Health{Mode: site.ListenNotify, Wanted: 1, Polled: 4, Trouble: "refused"})}},
	} {
		t.Run(name, func(t *testing.T) {
			got := background.ListeningOf(now, site.LinkStatus{Link: c.link, Mailboxes: c.mailboxes}, c.watchers)
			if got.Blind != c.blind || got.Starting != c.starting || (got.Why != "") != c.blind {
				t.Errorf("got %+v", got)
			}
		})
	}
}
