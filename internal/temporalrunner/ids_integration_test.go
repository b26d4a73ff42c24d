//go:build integration

package temporalrunner_test

import (
	"strings"
	"testing"

	"mailmirror/activities"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/temporalrunner"
)

// testOddNumbers: whatever name a mailbox may have, Temporal takes all that is
// asked for it: the start, the signal, the wait, and a page of a compare that
// ends with it.
func testOddNumbers(t *testing.T, b *bench) {
	odd := []mailbox.Number{"1001", "Zoë", "Жанна", "a+b@example.com", "';DROP", "#?&=~^|", mailbox.Number(strings.Repeat("語", 128)),
		mailbox.Number(strings.Repeat("语", 127) + "言"), mailbox.Number(strings.Repeat("𝄞", 128))}
	b.world.Add(b.link, odd...)
	b.work(t)
	for _, n := range odd {
		must(t, n.Validate())
		if fresh, err := b.StartSync(t.Context(), b.key(n), activities.TriggerSweep); err != nil || !fresh {
			t.Errorf("%s: started %v, %v", n, fresh, err)
			continue
		}
		must(t, b.WaitSync(t.Context(), b.key(n)))
		must(t, b.Sync(t.Context(), b.key(n), activities.TriggerOperator))
		must(t, b.WaitSync(t.Context(), b.key(n)))
	}
	if got := len(b.world.Syncs()); got != 2*len(odd) {
		t.Errorf("%d syncs, want %d", got, 2*len(odd))
	}
	// Every mailbox ends a page.
	b.opts.PageSize = 1
	b.Runner = temporalrunner.New(b.client, b.opts)
	runID, _, err := b.StartCompare(t.Context(), b.link)
	must(t, err)
	must(t, b.WaitRun(t.Context(), site.Run{Kind: site.RunCompare, Of: b.link, ID: runID}))
	if c, ok := b.world.Compare(runID); !ok || c.Run.Mailboxes != len(odd) {
		t.Errorf("compared %+v", c.Run)
	}
}
