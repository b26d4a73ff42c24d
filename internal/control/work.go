package control

import (
	"cmp"
	"context"
	"fmt"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// triggerOperator is what history names as the cause of a sync that somebody
// asked for.
const triggerOperator = "operator"

// CompareStart is the answer to a request for a full compare.
type CompareStart struct {
	Link  string `json:"link"`
	RunID string `json:"run_id"`
	// Started is false where one was running already, which then serves.
	Started bool `json:"started"`
	// Kind says what was started; site.RunCompare where it is empty.
	Kind site.RunKind `json:"kind,omitempty"`
}

// Compare starts a full compare of a link.
func (c *Control) Compare(ctx context.Context, link string) (CompareStart, error) {
	return c.startRun(ctx, "compare", "compare link "+link, CompareStart{Link: link}, c.ports.Runner.StartCompare)
}

// Rebuild starts a rebuild of a link's ledger: of every mailbox everything is
// looked at on both stores, and the ledger is made what they say. WaitCompare
// waits for it.
func (c *Control) Rebuild(ctx context.Context, link string) (CompareStart, error) {
	run := CompareStart{Link: link, Kind: site.RunRebuild}
	return c.startRun(ctx, "ledger rebuild", "rebuild ledger of link "+link, run, c.ports.Runner.StartRebuild)
}

func (c *Control) startRun(ctx context.Context, command, op string, run CompareStart,
	start func(context.Context, string) (string, bool, error)) (_ CompareStart, err error) {
	ctx, end, err := c.begin(ctx, audit.Entry{Command: command, Link: run.Link})
	if err != nil {
		return CompareStart{}, err
	}
	defer end(&err)
	if _, err := c.ports.Links.Link(ctx, run.Link); err != nil {
		return CompareStart{}, err
	}
	if err := c.writing(ctx, op, run.Link); err != nil {
		return CompareStart{}, err
	}
	if err := c.ask(ctx); err != nil {
		return CompareStart{}, err
	}
	run.RunID, run.Started, err = start(ctx, run.Link)
	return run, fault.Wrap(err, op)
}

// WaitCompare waits for the end of a compare or a rebuild and returns how it ended. The
// end of ctx ends the waiting, not the compare.
func (c *Control) WaitCompare(ctx context.Context, start CompareStart, w Waiting[site.CompareRun]) (site.CompareRun, error) {
	run := site.Run{Kind: cmp.Or(start.Kind, site.RunCompare), Of: start.Link, ID: start.RunID}
	return awaitRun(ctx, c, fmt.Sprintf("wait for %s of link %s", run.Kind, run.Of), run, w, c.ports.Records.CompareRun)
}

// Sync marks a mailbox as due and wakes its sync; it returns the generation
// that the sync has to reach.
func (c *Control) Sync(ctx context.Context, key mailbox.Key) (_ int64, err error) {
	op := "sync mailbox " + string(key.Number)
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "sync", Link: key.Link, Subject: string(key.Number)})
	if err != nil {
		return 0, err
	}
	defer end(&err)
	if err := checkNumbers(op, []mailbox.Number{key.Number}); err != nil {
		return 0, err
	}
	if err := c.writing(ctx, op, key.Link); err != nil {
		return 0, err
	}
	generation, err := c.ports.Mailboxes.MarkDirty(ctx, key)
	if err != nil {
		return 0, err
	}
	made(ctx) // the sweep starts the sync, whatever becomes of the signal
	return generation, fault.Wrap(c.ports.Runner.Sync(ctx, key, triggerOperator), op)
}

// WaitSync waits until no sync of the mailbox runs and returns its state.
func (c *Control) WaitSync(ctx context.Context, key mailbox.Key, w Waiting[site.Mailbox]) (site.Mailbox, error) {
	op := "wait for sync of mailbox " + string(key.Number)
	return await(ctx, c, site.Run{Kind: site.RunSync, Of: key.Link, Number: key.Number}, w,
		func() error { return fault.Wrap(c.ports.Runner.WaitSync(ctx, key), op) },
		func() (site.Mailbox, error) { return c.ports.Mailboxes.Mailbox(ctx, key) })
}
