package control

import (
	"context"

	"mailmirror/internal/audit"
	"mailmirror/internal/fault"
	"mailmirror/internal/site"
)

// Rebuild starts a rebuild of a link's ledger: of every mailbox everything is
// looked at on both stores, and the ledger is made what they say. WaitCompare
// waits for it.
func (c *Control) Rebuild(ctx context.Context, link string) (_ CompareStart, err error) {
	op := "rebuild ledger of link " + link
	ctx, end, err := c.begin(ctx, audit.Entry{Command: "ledger rebuild", Link: link})
	if err != nil {
		return CompareStart{}, err
	}
	defer end(&err)
	if _, err := c.ports.Links.Link(ctx, link); err != nil {
		return CompareStart{}, err
	}
	if err := c.writing(ctx, op, link); err != nil {
		return CompareStart{}, err
	}
	if err := c.ask(ctx); err != nil {
		return CompareStart{}, err
	}
	runID, started, err := c.ports.Runner.StartRebuild(ctx, link)
	return CompareStart{Link: link, RunID: runID, Started: started, Kind: site.RunRebuild}, fault.Wrap(err, op)
}
