package activitytest

import (
	"context"
	"sync"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// Checks are stores that are always equal, and the records of what is found of them.
type Checks struct {
	*World

	// OnCheck and OnVerify stand for the stores; nil finds nothing.
	OnCheck  func(ctx context.Context, store string, number mailbox.Number) (verdict.Store, error)
	OnVerify func(ctx context.Context, job copier.Job) ([]copier.FolderVerdict, error)
	// Fault is the error of RecordVerified.
	Fault error

	mu      sync.Mutex
	checked []verdict.StoreRun
}

// Into makes the checks part of the ports of w. The records are in the first w.
func (c *Checks) Into(w *World, p activities.Ports) activities.Ports {
	if c.World == nil {
		c.World = w
	}
	p.Checks, p.Store, p.Verify = c, c, c.Verify
	return p
}

// Check implements activities.StoreChecker.
func (c *Checks) Check(ctx context.Context, store string, number mailbox.Number) (verdict.Store, error) {
	if c.OnCheck == nil {
		return verdict.Store{Store: store, Mailbox: number}, nil
	}
	return c.OnCheck(ctx, store, number)
}

// Verify is an activities.Verify.
func (c *Checks) Verify(ctx context.Context, job copier.Job, _ bool) ([]copier.FolderVerdict, error) {
	if c.OnVerify == nil {
		return []copier.FolderVerdict{{Folder: mailbox.Inbox, Role: mailbox.RoleMessages, Source: 3, Target: 3, Equal: 3}}, nil
	}
	return c.OnVerify(ctx, job)
}

// RecordStoreCheck implements activities.CheckRecords. A store that is not known is added.
func (c *Checks) RecordStoreCheck(ctx context.Context, run verdict.StoreRun) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = append(c.checked, run)
	_ = c.AddStore(ctx, site.Store{Name: run.Store}) // it may be there
	return c.World.RecordStoreCheck(ctx, run)
}

// RecordVerified implements activities.CheckRecords.
func (c *Checks) RecordVerified(ctx context.Context, runID string, m verdict.Mailbox) error {
	if c.Fault != nil {
		return c.Fault
	}
	return c.World.RecordVerified(ctx, runID, m)
}

// Checked returns the checks that were recorded.
func (c *Checks) Checked() []verdict.StoreRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]verdict.StoreRun(nil), c.checked...)
}

// Found returns what was recorded of a verification, with its results.
func (c *Checks) Found(runID string) verdict.VerifyRun {
	run, _ := c.Verification(context.Background(), runID)
	run.Results, _ = c.VerifyResults(context.Background(), runID)
	return run
}
