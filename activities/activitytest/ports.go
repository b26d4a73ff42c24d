package activitytest

import (
	"context"
	"slices"
	"time"

	"mailmirror/activities"
	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
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
	report, begun := copier.Report{Key: job.Key, Outcome: copier.Equal}, time.Now()
	var err error
	if w.OnSync != nil {
		report, err = w.OnSync(ctx, job)
	}
	report.Key, report.Trigger, report.RunID, report.Generation = job.Key, job.Trigger, job.RunID, job.Generation
	if report.Started.IsZero() {
		report.Started = begun
	}
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
	box, err := w.Mailbox(context.Background(), job.Key)
	return err == nil && box.DirtyGeneration == box.CleanGeneration
}

// Summary implements activities.Engine; every mailbox holds three messages and
// one greeting.
func (w *World) Summary(job copier.Job, _ []mailbox.Folder, _ []copier.FolderState) copier.Report {
	return copier.Report{Key: job.Key, Generation: job.Generation, Outcome: copier.Equal, SourceMessages: 3, SourceGreetings: 1}
}

// clean records that a sync left a mailbox equal, unless it takes no part any more.
func (w *World) clean(key mailbox.Key, generation int64) {
	_ = w.Memory.RecordReviewed(context.Background(), key.Link, []site.Reviewed{{Number: key.Number, Generation: generation}})
}

// Mailbox implements activities.Mailboxes.
func (w *World) Mailbox(ctx context.Context, key mailbox.Key) (site.Mailbox, error) {
	if err := w.called("Mailbox"); err != nil {
		return site.Mailbox{}, err
	}
	return w.Memory.Mailbox(ctx, key)
}

// NumbersPage implements activities.ReviewRecords.
func (w *World) NumbersPage(ctx context.Context, link string, after mailbox.Number, limit int) ([]mailbox.Number, error) {
	if err := w.called("NumbersPage"); err != nil {
		return nil, err
	}
	return w.Memory.NumbersPage(ctx, link, after, limit)
}

// ReviewStates implements activities.ReviewRecords. The ledger knows an inbox of each.
func (w *World) ReviewStates(ctx context.Context, link string, numbers []mailbox.Number) (map[mailbox.Number]site.ReviewState, error) {
	if err := w.called("ReviewStates"); err != nil {
		return nil, err
	}
	states, err := w.Memory.ReviewStates(ctx, link, numbers)
	for n, state := range states {
		state.Folders = []copier.FolderState{{Name: mailbox.Inbox}}
		states[n] = state
	}
	return states, err
}

// RecordReviewed implements activities.ReviewRecords.
func (w *World) RecordReviewed(ctx context.Context, link string, reviewed []site.Reviewed) error {
	if err := w.called("RecordReviewed"); err != nil {
		return err
	}
	return w.Memory.RecordReviewed(ctx, link, reviewed)
}

// RecordFailure implements activities.Mailboxes.
func (w *World) RecordFailure(ctx context.Context, report copier.Report, retryAfter time.Duration) error {
	if err := w.called("RecordFailure"); err != nil {
		return err
	}
	w.mu.Lock()
	w.failures = append(w.failures, report)
	w.mu.Unlock()
	return w.Memory.RecordFailure(ctx, report, retryAfter)
}

// AddCompareProgress implements activities.CompareRecords.
func (w *World) AddCompareProgress(ctx context.Context, runID string, page int, progress site.CompareProgress) error {
	if err := w.called("AddCompareProgress"); err != nil {
		return err
	}
	return w.Memory.AddCompareProgress(ctx, runID, page, progress)
}

// Suspension is that of everything.
func (w *World) Suspension(ctx context.Context) (suspension.Suspension, error) {
	all, err := w.Suspensions(ctx)
	return all.Own(""), err
}

// ConfirmSuspended implements activities.SuspensionRecords.
func (w *World) ConfirmSuspended(ctx context.Context, link string, epoch int64) (suspension.Suspension, error) {
	if err := w.called("ConfirmSuspended"); err != nil {
		return suspension.Suspension{}, err
	}
	return w.Memory.ConfirmSuspended(ctx, link, epoch)
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
	links, _ := w.Links(context.Background())
	var dirty []mailbox.Number
	for _, l := range links {
		boxes, _ := w.Mailboxes(context.Background(), l.Name, "", 0)
		for _, b := range boxes {
			if b.DirtyGeneration > b.CleanGeneration {
				dirty = append(dirty, b.Number)
			}
		}
	}
	slices.Sort(dirty)
	return dirty
}
