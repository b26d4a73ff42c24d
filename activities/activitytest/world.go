// Package activitytest holds the ports of the activities in memory, for tests
// of what lies above them: which mailboxes there are, what is due, what was
// recorded. It must not be part of a program.
package activitytest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
)

// World is a database and a copy engine. Its fields may be set before it is
// used; methods are safe for concurrent use.
type World struct {
	// OnSync stands for the copying of one mailbox; nil copies nothing and
	// succeeds. What it returns is recorded as the engine would.
	OnSync func(ctx context.Context, job copier.Job) (copier.Report, error)
	// Differs says whether a review finds a mailbox changed; nil means that
	// those are that are dirty.
	Differs func(number mailbox.Number) bool
	// OnRetain stands for the purge of records; nil does nothing.
	OnRetain func(keep site.Retention) (site.Retained, error)
	// LinkStores is what Stores returns.
	LinkStores activities.LinkStores

	mu       sync.Mutex
	boxes    map[mailbox.Key]*site.Mailbox
	syncs    []copier.Job
	reviews  []mailbox.Number
	failures []copier.Report
	compares map[string]*Compare
	calls    map[string]int
	failing  map[string]error
	listened Listened
	changed  chan struct{} // closed when the roster changes; nil while nobody waits

	suspension suspension.Suspension
	lostEpoch  int64 // the highest of a row that Restore replaced
	leases     int
	suspended  suspension.Scopes // of links
}

// Compare is the record of one compare.
type Compare struct {
	Run   site.CompareRun
	Pages map[int]site.CompareProgress
}

// Progress sums the pages.
func (c Compare) Progress() site.CompareProgress {
	var sum site.CompareProgress
	for _, p := range c.Pages {
		sum = sum.Add(p)
	}
	return sum
}

// New returns a world without mailboxes.
func New() *World {
	return &World{boxes: map[mailbox.Key]*site.Mailbox{}, compares: map[string]*Compare{}, calls: map[string]int{}, failing: map[string]error{},
		suspension: suspension.Suspension{State: suspension.Running, Epoch: 1}}
}

// Ports returns the world as the ports of activities.
func (w *World) Ports(starter activities.Starter) activities.Ports {
	schedules, _ := starter.(activities.Schedules)
	return activities.Ports{Engine: w, Links: w, Mailboxes: w, Compares: w, Reviews: w, Members: w, Due: w, Suspension: w, Starter: starter,
		Keeper: w, Watch: w, Waker: wakerOf(starter), Schedules: schedules}
}

// wakerOf is the starter where it can wake as well.
func wakerOf(starter activities.Starter) activities.Waker {
	waker, _ := starter.(activities.Waker)
	return waker
}

// Add makes mailboxes participate, dirty.
func (w *World) Add(link string, numbers ...mailbox.Number) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range numbers {
		w.boxes[mailbox.Key{Link: link, Number: n}] = &site.Mailbox{Link: link, Number: n,
			State: site.StateNew, DirtyGeneration: 1, DirtySince: time.Now()}
	}
	w.tell()
}

// Settle makes mailboxes of the link ones that were equal when last looked at.
func (w *World) Settle(link string, numbers ...mailbox.Number) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range numbers {
		w.boxes[mailbox.Key{Link: link, Number: n}].State = site.StateEqual
	}
}

// Remove ends the participation of a mailbox.
func (w *World) Remove(key mailbox.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.boxes, key)
}

// Touch marks a mailbox dirty.
func (w *World) Touch(key mailbox.Key) {
	if _, err := w.MarkDirty(context.Background(), key); err != nil {
		panic(err)
	}
}

// Syncs returns the jobs that were synced, in order.
func (w *World) Syncs() []copier.Job {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.syncs)
}

// Forget empties what Syncs, Reviews and Failures return.
func (w *World) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.syncs, w.reviews, w.failures = nil, nil, nil
}

// Reviews returns the mailboxes that were reviewed by themselves, in order.
func (w *World) Reviews() []mailbox.Number {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.reviews)
}

// Failures returns the reports of failed syncs, in order.
func (w *World) Failures() []copier.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.failures)
}

// Compare returns the record of a compare; false where there is none.
func (w *World) Compare(runID string) (Compare, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.compares[runID]
	if !ok {
		return Compare{}, false
	}
	return Compare{Run: c.Run, Pages: maps.Clone(c.Pages)}, true
}

// Calls returns how often a method of the ports was called.
func (w *World) Calls(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[method]
}

// FailAt makes a method of the ports fail from now on; nil mends it.
func (w *World) FailAt(method string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[method] = err
}

// called counts a call and returns the error that it is to fail with.
func (w *World) called(method string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[method]++
	return w.failing[method]
}

func unknown(key mailbox.Key) error {
	return fault.Newf(fault.NotFound, "mailbox %s does not participate in link %s", key.Number, key.Link)
}
