// Package activitytest holds the ports of the activities in memory, for tests
// of what lies above them: which mailboxes there are, what is due, what was
// recorded. It must not be part of a program.
package activitytest

import (
	"context"
	"slices"
	"sync"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/control/controltest"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// World is a database and a copy engine. Its fields may be set before it is
// used; methods are safe for concurrent use.
type World struct {
	*controltest.Memory

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
	syncs    []copier.Job
	reviews  []mailbox.Number
	failures []copier.Report
	calls    map[string]int
	failing  map[string]error
	listened Listened
	changed  chan struct{} // closed when the roster changes; nil while nobody waits
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
	return &World{Memory: controltest.NewMemory(time.Now), calls: map[string]int{}, failing: map[string]error{}}
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

// Add makes mailboxes participate, dirty, in a link without stores.
func (w *World) Add(link string, numbers ...mailbox.Number) {
	w.PutLink(link)
	for _, n := range numbers {
		w.PutMailbox(site.Mailbox{Link: link, Number: n, State: site.StateNew, DirtyGeneration: 1, DirtySince: time.Now()})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell()
}

// Settle makes mailboxes of the link ones that were equal when last looked at.
func (w *World) Settle(link string, numbers ...mailbox.Number) {
	for _, n := range numbers {
		b := w.box(mailbox.Key{Link: link, Number: n})
		b.State = site.StateEqual
		w.PutMailbox(b)
	}
}

// box is a mailbox that there must be.
func (w *World) box(key mailbox.Key) site.Mailbox {
	b, err := w.Mailbox(context.Background(), key)
	if err != nil {
		panic(err)
	}
	return b
}

// Remove ends the participation of a mailbox.
func (w *World) Remove(key mailbox.Key) {
	if _, err := w.RemoveMailboxes(context.Background(), key.Link, []mailbox.Number{key.Number}); err != nil {
		panic(err)
	}
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
	run, err := w.CompareRun(context.Background(), runID)
	return Compare{Run: run, Pages: w.ComparePages(runID)}, err == nil
}

// Calls returns how often RecordReviewed or ConfirmSuspended was called.
func (w *World) Calls(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[method]
}

// FailAt makes one of the methods that are of World and not of Memory fail from now on;
// nil ends that.
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
