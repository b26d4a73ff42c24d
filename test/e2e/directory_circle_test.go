//go:build integration

package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.temporal.io/sdk/client"

	"mailmirror/internal/dirsync"
	"mailmirror/test/servers"
	"mailmirror/workflows"
)

// TestDirectoryCircle has a link mirror DR back to production. Production's directory
// stays as it is, also if a release before let such a link be added.
func TestDirectoryCircle(t *testing.T) {
	t.Parallel()
	r := newDirectoryRig(t, servers.SlapdOptions{}, servers.SlapdOptions{})
	r.put(r.from, crowd(4101, 3)...)
	r.startWorker()
	r.mirror(0)
	r.same("at first")
	r.replace(r.from, "4101", "cn", "Changed")
	before, err := r.from.Dump(t.Context())
	must(t, err)
	kept := func(when string) {
		t.Helper()
		after, err := r.from.Dump(t.Context())
		must(t, err)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s: production was written to (-before +after):\n%.4000s", when, diff)
		}
	}

	back := r.link + "back"
	words := []string{"the directory of store " + r.target + " comes from that of store " + r.source + " by link " + r.link, "mirrored back", "--directory off"}
	r.rejected([]string{"link", "add", back, "--source", r.target, "--target", r.source}, words...)
	r.linkUntilEnd(back, r.target, r.source, "--directory", "off")
	r.rejected([]string{"directory", "sync", back, "--wait"}, "switched off", "link edit")
	r.rejected([]string{"link", "edit", back, "--directory", "on"}, words...)
	kept("after the commands that were rejected")

	r.sql("ALTER TABLE links DISABLE TRIGGER links_way_of_directory",
		"UPDATE links SET directory = '' WHERE name = '"+back+"'",
		"ALTER TABLE links ENABLE TRIGGER links_way_of_directory")
	r.rejected([]string{"directory", "sync", back, "--wait"}, words...)
	c, err := client.Dial(client.Options{HostPort: r.stack.Info().TemporalAddress, Namespace: r.stack.Info().TemporalNamespace})
	must(t, err)
	defer c.Close()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: workflows.DirectoryID(back), TaskQueue: workflows.TaskQueue},
		workflows.DirectorySync, workflows.DirectoryState{Link: back, Trigger: dirsync.TriggerSchedule, PageSize: 10})
	must(t, err)
	if err := run.Get(t.Context(), nil); err == nil {
		t.Error("a run of the schedule was accepted")
	}
	if said := r.run("errors", back); !strings.Contains(said, "mirrored back") {
		t.Errorf("errors says %q", said)
	}
	kept("after a run of a link that a release before let be added")

	r.mirror(0)
	r.same("in the end")
	kept("in the end")
}
