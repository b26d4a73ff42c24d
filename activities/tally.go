package activities

import (
	"slices"
	"sync"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// finalWrite bounds the last writing of a page that was broken off.
const finalWrite = 5 * time.Second

// cursor is what the heartbeats of a page carry: which of its mailboxes are
// done, and what was done so far. Mailboxes are worked on in ascending order,
// so that But, those that were passed or are under way, stays short.
type cursor struct {
	trace
	// UpTo: every mailbox up to this one is done, but those of But.
	UpTo     mailbox.Number       `json:"up_to,omitempty"`
	But      []mailbox.Number     `json:"but,omitempty"`
	Progress site.CompareProgress `json:"progress"`
}

// tally keeps the account of one page. It is safe for concurrent use.
type tally struct {
	mu      sync.Mutex
	numbers []mailbox.Number // ascending
	done    map[mailbox.Number]bool
	// finished sums the mailboxes that are done; live holds those under way.
	finished site.CompareProgress
	live     map[mailbox.Number]site.CompareProgress
	// found are unchanged mailboxes that are not recorded yet.
	found       []site.Reviewed
	lastWritten site.CompareProgress
	trace       trace
}

func newTally(numbers []mailbox.Number) *tally {
	return &tally{numbers: numbers, done: make(map[mailbox.Number]bool, len(numbers)),
		live: make(map[mailbox.Number]site.CompareProgress)}
}

// restore takes over the account of an earlier attempt.
func (t *tally) restore(c cursor) {
	t.finished = c.Progress
	for _, n := range t.numbers {
		if n <= c.UpTo {
			t.done[n] = true
		}
	}
	for _, n := range c.But {
		delete(t.done, n)
	}
}

// cursor returns the account for the next attempt. Of mailboxes under way it
// keeps what was copied: the next attempt will not copy that again.
func (t *tally) cursor() cursor {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := cursor{trace: t.trace, Progress: t.finished}
	for _, now := range t.live {
		c.Progress = c.Progress.Add(copied(now.Messages, now.Greetings))
	}
	last := len(t.numbers)
	for last > 0 && !t.done[t.numbers[last-1]] {
		last--
	}
	for _, n := range t.numbers[:last] {
		if !t.done[n] {
			c.But = append(c.But, n)
		}
		c.UpTo = n
	}
	return c
}

// work and rest say whether mailboxes are being worked on.
func (t *tally) work() { t.working(true) }

func (t *tally) rest() { t.working(false) }

func (t *tally) working(now bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trace.Working = now
}

// remaining lists the mailboxes that are not done.
func (t *tally) remaining() []mailbox.Number {
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := make([]mailbox.Number, 0, len(t.numbers))
	for _, n := range t.numbers {
		if !t.done[n] {
			rest = append(rest, n)
		}
	}
	return rest
}

// progress notes how far a mailbox under way is.
func (t *tally) progress(number mailbox.Number, now copier.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trace.Advanced = t.trace.Advanced || now.Messages.Appended+now.Greetings.Appended > 0
	t.live[number] = site.CompareProgress{Messages: now.Messages, Greetings: now.Greetings,
		DueMessages: now.DueMessages, DueBytes: now.DueBytes}
}

// drop notes that a mailbox does not participate any more.
func (t *tally) drop(number mailbox.Number) { t.finish(number, site.CompareProgress{}) }

func (t *tally) busy(number mailbox.Number) {
	t.finish(number, site.CompareProgress{Reviewed: 1, Busy: 1})
}

func (t *tally) synced(report copier.Report) {
	p := copied(report.Messages, report.Greetings)
	p.Reviewed, p.Synced = 1, 1
	if report.Outcome == copier.Differing || report.Outcome == copier.Held {
		p.Differing = 1
	}
	t.finish(report.Key.Number, p)
}

func (t *tally) failed(report copier.Report) {
	p := copied(report.Messages, report.Greetings)
	p.Reviewed, p.Failed = 1, 1
	t.finish(report.Key.Number, p)
}

func (t *tally) finish(number mailbox.Number, p site.CompareProgress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, number)
	t.done[number] = true
	t.trace.Advanced = true
	t.finished = t.finished.Add(p)
}

// unchanged notes a mailbox for the next batch to be recorded; it counts, and
// is done, once that is committed.
func (t *tally) unchanged(report copier.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.found = append(t.found, site.Reviewed{Number: report.Key.Number, Generation: report.Generation,
		Messages: report.SourceMessages, Greetings: report.SourceGreetings})
}

// unrecorded returns the unchanged mailboxes that are to be recorded.
func (t *tally) unrecorded() []site.Reviewed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clip(t.found)
}

// recorded notes that a batch is committed.
func (t *tally) recorded(batch []site.Reviewed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.found = t.found[len(batch):]
	for _, r := range batch {
		t.done[r.Number] = true
	}
	t.trace.Advanced = true
	t.finished = t.finished.Add(site.CompareProgress{Reviewed: len(batch), Unchanged: len(batch)})
}

// total is the account as it is now, mailboxes under way included.
func (t *tally) total() site.CompareProgress {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := t.finished
	for _, now := range t.live {
		sum = sum.Add(now)
	}
	return sum
}

// moved returns the total and whether it differs from what was written last.
func (t *tally) moved() (site.CompareProgress, bool) {
	sum := t.total()
	t.mu.Lock()
	defer t.mu.Unlock()
	return sum, sum != t.lastWritten
}

func (t *tally) written(sum site.CompareProgress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastWritten = sum
}

// copied is the progress of work that is done: all that was due is there.
func copied(messages, greetings copier.Work) site.CompareProgress {
	return site.CompareProgress{Messages: messages, Greetings: greetings,
		DueMessages: messages.Appended + greetings.Appended, DueBytes: messages.Bytes + greetings.Bytes}
}
