package controltest

import (
	"context"
	"strings"
	"sync"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/seal"
	"mailmirror/internal/site"
	"mailmirror/internal/suspension"
	"mailmirror/internal/verdict"
)

// Runner is all that control.Ports need of Temporal. It does what its function fields say; one that
// is nil does nothing.
type Runner struct {
	OnCompare      func(link string) (runID string, started bool, err error)
	OnRebuild      func(link string) (runID string, started bool, err error)
	OnSync         func(key mailbox.Key, trigger string) error
	OnWaitSync     func(ctx context.Context, key mailbox.Key) error
	OnSchedule     func(ctx context.Context, link string) (site.CompareSchedule, error)
	OnAskSuspend   func(suspension.Request) error
	OnAskResume    func(suspension.Request) error
	OnDirectory    func(link, trigger string) (runID string, started bool, err error)
	OnAskDirectory func(link, trigger string) error
	OnCheck        func(store string, number mailbox.Number) (verdict.Start, error)
	OnVerify       func(verdict.VerifyRequest) (verdict.Start, error)
	OnWaitRun      func(context.Context, site.Run) error
	OnStopVerify   func(link string) error
	// OnAwaitsWorker answers AwaitsWorker; a worker is at everything where it is nil.
	OnAwaitsWorker func(site.Run) time.Time
	SchedulesFault error
	// Infos are the schedules that there are; Specs tells what is recorded of
	// them, and SpecFault is Temporal's opinion of that.
	Infos     []site.ScheduleInfo
	Specs     func(context.Context) (map[string]site.ScheduleSpec, error)
	SpecFault error
	mu        sync.Mutex
	schedules map[string]bool
}

// Records are all the records behind control.Ports, in memory or in a database.
type Records interface {
	control.Stores
	control.Links
	control.Mailboxes
	control.Records
	control.Guard
	suspension.Records
	control.ScheduleRecords
	control.AuditLog
	control.CheckRecords
}

// DirectoryRecords are those of directories.
type DirectoryRecords interface {
	control.DirectoryConfig
	control.DirectoryRuns
	control.DirectoryHolds
}

// Ports returns ports over records; d may be nil.
func Ports(r Records, d DirectoryRecords, runner *Runner) control.Ports {
	p := control.Ports{Stores: r, Links: r, Mailboxes: r, Records: r, Guard: r, Suspension: r, Schedules: r, Audit: r, Checks: r,
		Runner: runner, Scheduler: runner, Suspender: runner, DirectoryRunner: runner, CheckRunner: runner, Sealer: Sealer{}}
	if d != nil {
		p.DirectoryConfig, p.DirectoryRuns, p.DirectoryHolds = d, d, d
	}
	return p
}

// StartCompare implements control.Runner.
func (r *Runner) StartCompare(_ context.Context, link string) (string, bool, error) {
	if r.OnCompare == nil {
		return "run-of-" + link, true, nil
	}
	return r.OnCompare(link)
}

// StartRebuild implements control.Runner.
func (r *Runner) StartRebuild(_ context.Context, link string) (string, bool, error) {
	if r.OnRebuild == nil {
		return "rebuild-of-" + link, true, nil
	}
	return r.OnRebuild(link)
}

// Sync implements control.Runner.
func (r *Runner) Sync(_ context.Context, key mailbox.Key, trigger string) error {
	if r.OnSync == nil {
		return nil
	}
	return r.OnSync(key, trigger)
}

// WaitSync implements control.Runner.
func (r *Runner) WaitSync(ctx context.Context, key mailbox.Key) error {
	if r.OnWaitSync == nil {
		return nil
	}
	return r.OnWaitSync(ctx, key)
}

// Schedule implements control.ScheduleRunner.
func (r *Runner) Schedule(ctx context.Context, link string) (site.CompareSchedule, error) {
	if r.OnSchedule == nil {
		return site.CompareSchedule{}, nil
	}
	return r.OnSchedule(ctx, link)
}

// EnsureSchedules implements control.ScheduleRunner.
func (r *Runner) EnsureSchedules(_ context.Context, link string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.SchedulesFault != nil {
		return r.SchedulesFault
	}
	if r.schedules == nil {
		r.schedules = map[string]bool{}
	}
	r.schedules[link] = true
	return nil
}

// RemoveSchedules implements control.ScheduleRunner.
func (r *Runner) RemoveSchedules(_ context.Context, link string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.SchedulesFault != nil {
		return r.SchedulesFault
	}
	delete(r.schedules, link)
	return nil
}

// HasSchedules reports whether a link has its schedules.
func (r *Runner) HasSchedules(link string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.schedules[link]
}

// Sealer marks what it was given with the identity and turns it round, so that
// a test can tell that nothing was kept as it is.
type Sealer struct{}

// Seal implements control.Sealer.
func (Sealer) Seal(plaintext seal.Secret, identity string) ([]byte, error) {
	var b strings.Builder
	b.WriteString("sealed for " + identity + ": ")
	secret := plaintext.Reveal()
	for i := len(secret) - 1; i >= 0; i-- {
		b.WriteByte(secret[i])
	}
	return []byte(b.String()), nil
}
