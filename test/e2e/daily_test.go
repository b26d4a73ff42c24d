//go:build integration

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"mailmirror/internal/site"
	"mailmirror/test/corpus"
	"mailmirror/test/repeat"
	"mailmirror/test/servers"
	"mailmirror/workflows"
)

// TestDaily lets the two daily schedules run now, as Temporal starts them, and
// sees what they did by the operator's commands; in make soak it has a run missed.
func TestDaily(t *testing.T) {
	t.Parallel()
	r := newRigOn(t, &shared.database, servers.DovecotOptions{}, servers.DovecotOptions{})
	all := numbers(5301, 3)
	r.fill(all, corpus.Options{Seed: 14, Messages: 6, Greetings: 2, MinSize: 1 << 10, MaxSize: 4 << 10})
	r.startWorker()
	r.add(all)
	r.settle()
	c, err := client.Dial(client.Options{HostPort: r.stack.Info().TemporalAddress, Namespace: r.stack.Info().TemporalNamespace})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	trigger := func(id string) {
		t.Helper()
		if err := c.ScheduleClient().GetHandle(t.Context(), id).Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
			t.Fatalf("run schedule %s: %v", id, err)
		}
	}

	r.sql(`DELETE FROM ledger_runs`)
	mark := len(r.toDR.Commands())
	trigger(workflows.RebuildID(r.link))
	r.until("the rebuild", func() bool {
		var status []struct {
			LastRebuild *struct {
				FinishedAt time.Time `json:"finished_at"`
				Synced     int       `json:"synced"`
			} `json:"last_rebuild"`
		}
		_, out, _ := r.command(t.Context(), "status", r.link, "-o", "json")
		return json.Unmarshal([]byte(out), &status) == nil && len(status) == 1 && status[0].LastRebuild != nil &&
			!status[0].LastRebuild.FinishedAt.IsZero() && status[0].LastRebuild.Synced == len(all)
	})
	r.wrote(mark, 0, "by the scheduled rebuild")

	// What was recorded long ago, and what was recorded longer ago.
	r.sql(`INSERT INTO history SELECT nextval('history_ids'), link, number, started_at - d, run_id, trigger, finished_at - d, outcome,
		messages_appended, messages_bytes, messages_flags_changed, messages_expunged,
		greetings_appended, greetings_bytes, greetings_flags_changed, greetings_expunged,
		folders_created, folders_deleted, folders_renamed, folders_subscribed,
		differences, source_messages, source_greetings, generation, error_kind, error, hint
		FROM history, unnest(ARRAY[interval '200 days', interval '3 years']) d`)
	count := func(args ...string) int {
		var entries []any
		if err := json.Unmarshal([]byte(r.run(append([]string{"history", r.link, "-o", "json", "--limit", "1000"}, args...)...)), &entries); err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	trigger(workflows.RetentionID)
	r.until("the purge", func() bool { return count() == before/3 && count("--archive") == before/3*2 })
	if repeat.Times(0, 1) > 0 {
		r.missesRun()
	}
}

// missesRun keeps Temporal from starting a sweep until it is too late for it,
// and has that seen until a sweep has made it good.
func (r *rig) missesRun() {
	r.t.Helper()
	// schedule is the zero value where Temporal does not answer.
	schedule := func() (sweep site.ScheduleInfo) {
		_, out, _ := r.command(r.t.Context(), "schedule", "list", "-o", "json")
		var list []site.ScheduleInfo
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return sweep
		}
		if i := slices.IndexFunc(list, func(s site.ScheduleInfo) bool { return s.Name == workflows.SweepID }); i >= 0 {
			sweep = list[i]
		}
		return sweep
	}
	const every = 40 * time.Second
	r.run("schedule", "set", workflows.SweepID, "--every", every.String())
	var set site.ScheduleInfo
	r.until("the sweep to have its new interval", func() bool {
		set = schedule()
		return len(set.Next) > 1 && set.Next[1].Sub(set.Next[0]) == every
	})
	due := set.Next[0]
	if time.Until(due) < 2*time.Second {
		due = set.Next[1]
	}
	if err := r.holdDown("temporal"); err != nil {
		r.t.Fatal(err)
	}
	// Temporal starts what is up to 10 s late; nothing but time makes it later.
	time.Sleep(time.Until(due.Add(12 * time.Second)))
	if err := r.letGo("temporal"); err != nil {
		r.t.Fatal(err)
	}
	told := func() bool {
		_, out, _ := r.command(r.t.Context(), "status", r.link)
		return strings.Contains(out, "schedule "+workflows.SweepID+" missed ")
	}
	r.until("status to tell of the missed sweep", told)
	r.until("a sweep to make it good", func() bool {
		now := schedule()
		return now.Missed > set.Missed && now.LastRun.After(due) && !told()
	})
}

// until waits for what becomes true by itself.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(longest); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}
