package activitytest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// Stores implements activities.Links.
func (w *World) Stores(context.Context, string) (activities.LinkStores, error) {
	return w.LinkStores, nil
}

// Retain implements activities.Keeper.
func (w *World) Retain(_ context.Context, _ time.Time, keep site.Retention) (site.Retained, error) {
	if w.OnRetain == nil {
		return site.Retained{}, nil
	}
	return w.OnRetain(keep)
}

// Sync implements activities.Engine.
func (w *World) Sync(ctx context.Context, job copier.Job) (copier.Report, error) {
	w.mu.Lock()
	w.syncs = append(w.syncs, job)
	w.mu.Unlock()
	report := copier.Report{Key: job.Key, Outcome: copier.Equal}
	var err error
	if w.OnSync != nil {
		report, err = w.OnSync(ctx, job)
	}
	report.Key, report.Trigger, report.RunID, report.Generation = job.Key, job.Trigger, job.RunID, job.Generation
	if err != nil {
		report.Outcome = copier.Failed
		return report, err
	}
	if report.Outcome == "" {
		report.Outcome = copier.Equal
	}
	w.clean(job.Key, job.Generation)
	return report, nil
}

// Review implements activities.Engine.
func (w *World) Review(ctx context.Context, job copier.Job, known []copier.FolderState) (copier.Report, bool, error) {
	w.mu.Lock()
	w.reviews = append(w.reviews, job.Key.Number)
	w.mu.Unlock()
	if w.Unchanged(job, nil, nil, known) {
		return w.Summary(job, nil, known), true, nil
	}
	report, err := w.Sync(ctx, job)
	return report, false, err
}

// Unchanged implements activities.Engine.
func (w *World) Unchanged(job copier.Job, _, _ []mailbox.Folder, _ []copier.FolderState) bool {
	if w.Differs != nil {
		return !w.Differs(job.Key.Number)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	box := w.boxes[job.Key]
	return box != nil && box.DirtyGeneration == box.CleanGeneration
}

// Summary implements activities.Engine; every mailbox holds three messages and
// one greeting.
func (w *World) Summary(job copier.Job, _ []mailbox.Folder, _ []copier.FolderState) copier.Report {
	return copier.Report{Key: job.Key, Generation: job.Generation, Outcome: copier.Equal, SourceMessages: 3, SourceGreetings: 1}
}

func (w *World) clean(key mailbox.Key, generation int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if box := w.boxes[key]; box != nil {
		box.CleanGeneration, box.Failures, box.NextAttemptAt = max(box.CleanGeneration, generation), 0, time.Time{}
		if box.CleanGeneration == box.DirtyGeneration {
			box.State = site.StateEqual
		}
	}
}

// Mailbox implements activities.Mailboxes.
func (w *World) Mailbox(_ context.Context, key mailbox.Key) (site.Mailbox, error) {
	if err := w.called("Mailbox"); err != nil {
		return site.Mailbox{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if box := w.boxes[key]; box != nil {
		return *box, nil
	}
	return site.Mailbox{}, unknown(key)
}

// NumbersPage implements activities.ReviewRecords.
func (w *World) NumbersPage(_ context.Context, link string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	if err := w.called("NumbersPage"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var numbers []mailbox.Number
	for key := range w.boxes {
		if key.Link == link && key.Number > after {
			numbers = append(numbers, key.Number)
		}
	}
	slices.Sort(numbers)
	return numbers[:min(limit, len(numbers))], nil
}

// PageEnd implements activities.CompareRecords.
func (w *World) PageEnd(ctx context.Context, link string, after mailbox.Number, size, perDue int) (mailbox.Number, error) {
	if err := w.called("PageEnd"); err != nil {
		return "", err
	}
	numbers, err := w.NumbersPage(ctx, link, after, size*perDue)
	if err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var last mailbox.Number
	cost := 0
	for _, n := range numbers {
		switch w.boxes[mailbox.Key{Link: link, Number: n}].State {
		case site.StateEqual, site.StateDiffering:
			cost++
		default:
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
func (w *World) CountMailboxes(_ context.Context, link string) (int, error) {
	if err := w.called("CountMailboxes"); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for key := range w.boxes {
		if key.Link == link {
			n++
		}
	}
	return n, nil
}

// DueMailboxes implements activities.DueRecords.
func (w *World) DueMailboxes(_ context.Context, limit int) ([]mailbox.Key, error) {
	if err := w.called("DueMailboxes"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var due []mailbox.Key
	for key, box := range w.boxes {
		if box.DirtyGeneration > box.CleanGeneration && !box.NextAttemptAt.After(time.Now()) {
			due = append(due, key)
		}
	}
	slices.SortFunc(due, func(a, b mailbox.Key) int { return strings.Compare(string(a.Number), string(b.Number)) })
	return due[:min(limit, len(due))], nil
}

// ReviewStates implements activities.ReviewRecords.
func (w *World) ReviewStates(_ context.Context, link string, numbers []mailbox.Number) (map[mailbox.Number]site.ReviewState, error) {
	if err := w.called("ReviewStates"); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	states := make(map[mailbox.Number]site.ReviewState)
	for _, n := range numbers {
		if box := w.boxes[mailbox.Key{Link: link, Number: n}]; box != nil {
			states[n] = site.ReviewState{Generation: box.DirtyGeneration,
				Folders: []copier.FolderState{{Name: mailbox.Inbox}}}
		}
	}
	return states, nil
}

// RecordReviewed implements activities.ReviewRecords.
func (w *World) RecordReviewed(_ context.Context, link string, reviewed []site.Reviewed) error {
	if err := w.called("RecordReviewed"); err != nil {
		return err
	}
	for _, r := range reviewed {
		w.clean(mailbox.Key{Link: link, Number: r.Number}, r.Generation)
	}
	return nil
}

// MarkDirty implements activities.ReviewRecords.
func (w *World) MarkDirty(_ context.Context, key mailbox.Key) (int64, error) {
	if err := w.called("MarkDirty"); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	box := w.boxes[key]
	if box == nil {
		return 0, unknown(key)
	}
	box.DirtyGeneration++
	box.State, box.NextAttemptAt = site.StateDirty, time.Time{}
	return box.DirtyGeneration, nil
}

// RecordFailure implements activities.Mailboxes.
func (w *World) RecordFailure(_ context.Context, report copier.Report, retryAfter time.Duration) error {
	if err := w.called("RecordFailure"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures = append(w.failures, report)
	if box := w.boxes[report.Key]; box != nil {
		box.Failures++
		box.State, box.NextAttemptAt = site.StateParked, time.Now().Add(retryAfter)
	}
	return nil
}

// StartCompare implements activities.CompareRecords.
func (w *World) StartCompare(_ context.Context, run site.CompareRun) error {
	if err := w.called("StartCompare"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.compares[run.RunID] == nil {
		w.compares[run.RunID] = &Compare{Run: run, Pages: map[int]site.CompareProgress{}}
	}
	return nil
}

// AddCompareProgress implements activities.CompareRecords.
func (w *World) AddCompareProgress(_ context.Context, runID string, page int, progress site.CompareProgress) error {
	if err := w.called("AddCompareProgress"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.compares[runID]; c != nil {
		c.Pages[page] = progress
	}
	return nil
}

// FinishCompare implements activities.CompareRecords.
func (w *World) FinishCompare(_ context.Context, runID string) error {
	if err := w.called("FinishCompare"); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.compares[runID]; c != nil {
		c.Run.FinishedAt = time.Now()
	}
	return nil
}

// Numbers returns n mailbox numbers of four digits from 1000.
func Numbers(n int) []mailbox.Number {
	numbers := make([]mailbox.Number, n)
	for i := range numbers {
		numbers[i] = mailbox.Number([]byte{byte('1' + i/1000%9), byte('0' + i/100%10), byte('0' + i/10%10), byte('0' + i%10)})
	}
	return numbers
}

// Dirty lists the mailboxes with work due, sorted.
func (w *World) Dirty() []mailbox.Number {
	w.mu.Lock()
	defer w.mu.Unlock()
	var dirty []mailbox.Number
	for key := range maps.Keys(w.boxes) {
		if box := w.boxes[key]; box.DirtyGeneration > box.CleanGeneration {
			dirty = append(dirty, key.Number)
		}
	}
	slices.Sort(dirty)
	return dirty
}
