package activitytest

import (
	"context"
	"math"
	"slices"
	"sync"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/verdict"
)

// Checks are the records of checks and verifications, and stores that are always equal.
type Checks struct {
	// OnCheck and OnVerify stand for the stores; nil finds nothing.
	OnCheck  func(ctx context.Context, store string, number mailbox.Number) (verdict.Store, error)
	OnVerify func(ctx context.Context, job copier.Job) ([]copier.FolderVerdict, error)
	// Fault is the error of RecordVerified.
	Fault error

	members  activities.ReviewRecords
	mu       sync.Mutex
	checked  []verdict.StoreRun
	verified map[string]*verdict.VerifyRun
	numbers  map[string][]mailbox.Number
	ends     []verdict.Failure
}

var (
	_ activities.CheckRecords = (*Checks)(nil)
	_ activities.StoreChecker = (*Checks)(nil)
)

// Into makes the checks part of the ports.
func (c *Checks) Into(p activities.Ports) activities.Ports {
	p.Checks, p.Store, p.Verify, c.members = c, c, c.Verify, p.Reviews
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

// RecordStoreCheck implements activities.CheckRecords.
func (c *Checks) RecordStoreCheck(_ context.Context, run verdict.StoreRun) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = append(c.checked, run)
	return nil
}

// BeginVerify implements activities.CheckRecords.
func (c *Checks) BeginVerify(_ context.Context, run verdict.VerifyRun) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verified == nil {
		c.verified, c.numbers = map[string]*verdict.VerifyRun{}, map[string][]mailbox.Number{}
	}
	if c.verified[run.RunID] == nil {
		c.verified[run.RunID] = &run
	}
	return nil
}

// RecordVerified implements activities.CheckRecords.
func (c *Checks) RecordVerified(_ context.Context, runID string, m verdict.Mailbox) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.Fault == nil && !slices.Contains(c.numbers[runID], m.Number) {
		c.numbers[runID] = append(c.numbers[runID], m.Number)
		c.verified[runID].Add(m)
	}
	return c.Fault
}

// Verified implements activities.CheckRecords.
func (c *Checks) Verified(_ context.Context, runID string, numbers []mailbox.Number) ([]mailbox.Number, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(numbers), func(n mailbox.Number) bool { return !slices.Contains(c.numbers[runID], n) }), nil
}

// Unverified implements activities.CheckRecords.
func (c *Checks) Unverified(ctx context.Context, runID string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	numbers, err := c.members.NumbersPage(ctx, c.verified[runID].Link, after, math.MaxInt)
	numbers = slices.DeleteFunc(numbers, func(n mailbox.Number) bool { return slices.Contains(c.numbers[runID], n) })
	return numbers[:min(limit, len(numbers))], err
}

// Lose forgets that mailboxes were compared, as a database does that is restored.
func (c *Checks) Lose(runID string, lost ...mailbox.Number) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.numbers[runID] = slices.DeleteFunc(c.numbers[runID], func(n mailbox.Number) bool { return slices.Contains(lost, n) })
	c.verified[runID].Mailboxes -= len(lost)
	c.verified[runID].Equal -= len(lost)
}

// EndVerify implements activities.CheckRecords.
func (c *Checks) EndVerify(_ context.Context, _ string, f verdict.Failure) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = append(c.ends, f)
	return nil
}

// Checked returns the checks that were recorded.
func (c *Checks) Checked() []verdict.StoreRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.checked)
}

// Verification returns what was recorded of a verification.
func (c *Checks) Verification(runID string) verdict.VerifyRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.verified[runID] == nil {
		return verdict.VerifyRun{}
	}
	return *c.verified[runID]
}

// Ends returns how verifications ended.
func (c *Checks) Ends() []verdict.Failure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.ends)
}
