package controltest

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/verdict"
)

// What workers record, for the ports of package activities.

// standing is what the state of a mailbox is called. The schema says the same.
func standing(b site.Mailbox) site.MailboxState {
	switch {
	case b.Failures > 3, b.Failures > 0 && (b.ErrorKind == string(fault.Permanent) || b.ErrorKind == string(fault.Config)):
		return site.StateParked
	case b.LastReviewAt.IsZero():
		return site.StateNew
	case b.Held > 0:
		return site.StateHeld
	case b.DirtyGeneration > b.CleanGeneration:
		return site.StateDirty
	case b.Differences > 0:
		return site.StateDiffering
	}
	return site.StateEqual
}

// change changes a mailbox; a NotFound fault if it does not take part. The caller holds
// the lock.
func (m *Memory) change(key mailbox.Key, by func(*site.Mailbox)) (site.Mailbox, error) {
	b, ok := m.mailboxes[key]
	if !ok {
		return b, noMember(key)
	}
	by(&b)
	b.State = standing(b)
	m.mailboxes[key] = b
	return b, nil
}

// dirty makes work due on a mailbox.
func (m *Memory) dirty(b *site.Mailbox) {
	if b.DirtyGeneration <= b.CleanGeneration {
		b.DirtySince = m.Now()
	}
	b.DirtyGeneration++
	b.NextAttemptAt = m.Now()
}

// NumbersPage implements activities.ReviewRecords.
func (m *Memory) NumbersPage(_ context.Context, link string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members(link, after, limit), nil
}

func (m *Memory) members(link string, after mailbox.Number, limit int) []mailbox.Number {
	var numbers []mailbox.Number
	for key := range m.mailboxes {
		if key.Link == link && key.Number > after {
			numbers = append(numbers, key.Number)
		}
	}
	slices.Sort(numbers)
	return numbers[:most(limit, len(numbers))]
}

// most is the length of a list of which at most limit are asked for, 0 for all.
func most(limit, length int) int {
	if limit <= 0 {
		return length
	}
	return min(limit, length)
}

// PageEnd implements activities.CompareRecords.
func (m *Memory) PageEnd(_ context.Context, link string, after mailbox.Number, size, perDue int) (last mailbox.Number, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cost := 0
	for _, n := range m.members(link, after, size*perDue) {
		switch m.mailboxes[mailbox.Key{Link: link, Number: n}].State {
		case site.StateEqual, site.StateDiffering:
			cost++
		case site.StateNew, site.StateDirty, site.StateHeld, site.StateParked:
			cost += perDue
		}
		if cost > size*perDue {
			break
		}
		last = n
	}
	return last, nil
}

// CountMailboxes implements activities.CompareRecords.
func (m *Memory) CountMailboxes(_ context.Context, link string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.members(link, "", 0)), nil
}

// DueMailboxes implements activities.DueRecords. It leaves nothing to a compare.
func (m *Memory) DueMailboxes(_ context.Context, limit int) ([]mailbox.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var due []site.Mailbox
	for _, b := range m.mailboxes {
		if b.DirtyGeneration > b.CleanGeneration && !b.NextAttemptAt.After(m.Now()) {
			due = append(due, b)
		}
	}
	slices.SortFunc(due, func(a, b site.Mailbox) int {
		return cmp.Or(a.NextAttemptAt.Compare(b.NextAttemptAt), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Number, b.Number))
	})
	var keys []mailbox.Key
	for _, b := range due[:most(limit, len(due))] {
		keys = append(keys, mailbox.Key{Link: b.Link, Number: b.Number})
	}
	return keys, nil
}

// ReviewStates implements activities.ReviewRecords. There is no ledger.
func (m *Memory) ReviewStates(_ context.Context, link string, numbers []mailbox.Number) (map[mailbox.Number]site.ReviewState, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := map[mailbox.Number]site.ReviewState{}
	for _, n := range numbers {
		if b, ok := m.mailboxes[mailbox.Key{Link: link, Number: n}]; ok {
			states[n] = site.ReviewState{Generation: b.DirtyGeneration}
		}
	}
	return states, nil
}

// RecordReviewed implements activities.ReviewRecords.
func (m *Memory) RecordReviewed(_ context.Context, link string, reviewed []site.Reviewed) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range reviewed {
		// One that takes no part any more is passed over.
		_, _ = m.change(mailbox.Key{Link: link, Number: r.Number}, func(b *site.Mailbox) {
			b.Messages, b.Greetings = r.Messages, r.Greetings
			b.CleanGeneration = min(b.DirtyGeneration, max(b.CleanGeneration, r.Generation))
			b.LastReviewAt, b.LastEqualAt = m.Now(), m.Now()
			b.Failures, b.ErrorKind, b.Error, b.Hint, b.ErrorAt = 0, "", "", "", time.Time{}
			if b.DirtyGeneration == b.CleanGeneration {
				b.DirtySince, b.NextAttemptAt = time.Time{}, time.Time{}
			}
		})
	}
	return nil
}

// RecordFailure implements activities.Mailboxes.
func (m *Memory) RecordFailure(_ context.Context, report copier.Report, retryAfter time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.history, func(h site.HistoryEntry) bool {
		return h.Key == report.Key && h.RunID == report.RunID && h.Started.Equal(report.Started)
	}) {
		return nil
	}
	_, err := m.change(report.Key, func(b *site.Mailbox) {
		if b.DirtyGeneration <= b.CleanGeneration {
			m.dirty(b)
		}
		b.Failures++
		b.ErrorKind, b.Error, b.Hint, b.ErrorAt = report.ErrKind, report.Err, report.Hint, m.Now()
		b.NextAttemptAt = m.Now().Add(retryAfter)
	})
	if err == nil {
		m.history = append(m.history, site.HistoryEntry{ID: int64(len(m.history) + 1), Report: report})
	}
	return err
}

// StartCompare implements activities.CompareRecords.
func (m *Memory) StartCompare(_ context.Context, run site.CompareRun) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[run.Link]; !ok {
		return unknown("link", run.Link)
	}
	if _, ok := m.runs[run.RunID]; !ok {
		run.Kind = cmp.Or(run.Kind, site.RunCompare)
		m.runs[run.RunID] = run
	}
	return nil
}

// AddCompareProgress implements activities.CompareRecords.
func (m *Memory) AddCompareProgress(_ context.Context, runID string, page int, progress site.CompareProgress) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.runs[runID]
	if !ok {
		return unknown("compare", runID)
	}
	if m.pages[runID] == nil {
		m.pages[runID] = map[int]site.CompareProgress{}
	}
	m.pages[runID][page] = progress
	run.CompareProgress, run.UpdatedAt = site.CompareProgress{}, m.Now()
	for _, p := range m.pages[runID] {
		run.CompareProgress = run.CompareProgress.Add(p)
	}
	m.runs[runID] = run
	return nil
}

// ComparePages returns what is recorded of each page of a compare.
func (m *Memory) ComparePages(runID string) map[int]site.CompareProgress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.pages[runID])
}

// FinishCompare implements activities.CompareRecords.
func (m *Memory) FinishCompare(_ context.Context, runID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.runs[runID]
	if !ok {
		return unknown("compare", runID)
	}
	if run.FinishedAt.IsZero() {
		run.FinishedAt = m.Now()
		m.runs[runID] = run
	}
	return nil
}

// RecordStoreCheck implements activities.CheckRecords.
func (m *Memory) RecordStoreCheck(_ context.Context, run verdict.StoreRun) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.stores[run.Store]; !ok {
		return unknown("store", run.Store)
	}
	if _, ok := m.checks[run.RunID]; !ok {
		run.FinishedAt = m.Now()
		m.checks[run.RunID] = run
	}
	return nil
}

// BeginVerify implements activities.CheckRecords.
func (m *Memory) BeginVerify(_ context.Context, run verdict.VerifyRun) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.links[run.Link]; !ok {
		return unknown("link", run.Link)
	}
	if _, ok := m.verified[run.RunID]; !ok {
		m.verified[run.RunID] = run
	}
	return nil
}

// RecordVerified implements activities.CheckRecords.
func (m *Memory) RecordVerified(_ context.Context, runID string, found verdict.Mailbox) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.verified[runID]
	if !ok || !run.FinishedAt.IsZero() || slices.Contains(m.results[runID], found.Number) {
		return nil
	}
	m.results[runID] = append(m.results[runID], found.Number)
	run.Results = slices.Clone(run.Results)
	run.Add(found)
	m.verified[runID] = run
	return nil
}

// Verified implements activities.CheckRecords.
func (m *Memory) Verified(_ context.Context, runID string, numbers []mailbox.Number) ([]mailbox.Number, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(numbers), func(n mailbox.Number) bool { return !slices.Contains(m.results[runID], n) }), nil
}

// Unverified implements activities.CheckRecords.
func (m *Memory) Unverified(_ context.Context, runID string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.verified[runID]
	if !ok || !run.FinishedAt.IsZero() {
		return nil, nil
	}
	left := slices.DeleteFunc(m.members(run.Link, after, math.MaxInt), func(n mailbox.Number) bool { return slices.Contains(m.results[runID], n) })
	return left[:most(limit, len(left))], nil
}

// EndVerify implements activities.CheckRecords.
func (m *Memory) EndVerify(_ context.Context, runID string, f verdict.Failure) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	run, ok := m.verified[runID]
	if !ok {
		return unknown("verification", runID)
	}
	if run.FinishedAt.IsZero() {
		run.FinishedAt, run.Failure = m.Now(), f
		m.verified[runID] = run
	}
	return nil
}

// LoseVerified forgets that mailboxes were compared, as a database does that is restored.
func (m *Memory) LoseVerified(runID string, lost ...mailbox.Number) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.results[runID] = slices.DeleteFunc(m.results[runID], func(n mailbox.Number) bool { return slices.Contains(lost, n) })
	run := m.verified[runID]
	run.Mailboxes -= len(lost)
	run.Equal -= len(lost)
	m.verified[runID] = run
}
