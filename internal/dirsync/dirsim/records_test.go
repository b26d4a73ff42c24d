package dirsim

import (
	"context"
	"errors"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// records is the database as one worker reaches it.
type records struct{ k *worker }

func (r records) db() interface {
	dirsync.RunRecords
	dirsync.ChangeRecords
	dirsync.MemberRecords
	dirsync.SettingsRecords
	lease.Taker
} {
	return r.k.w.runs
}

// call passes the gate and has the database do something, as one transaction. Its answer
// may be lost although the transaction commits.
func call[T any](ctx context.Context, k *worker, do func() (T, error)) (T, error) {
	var none T
	if err := k.gate(ctx); err != nil {
		return none, err
	}
	k.w.mu.Lock()
	defer k.w.mu.Unlock()
	if k.w.trouble("database", "database away", 6) {
		return none, fault.Newf(fault.Transient, "database connection refused")
	}
	result, err := do()
	if err == nil && k.w.trouble("database", "lost commit answer", 6) {
		return none, fault.Newf(fault.Transient, "database connection lost")
	}
	return result, err
}

func tell(ctx context.Context, k *worker, do func() error) error {
	_, err := call(ctx, k, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

func (r records) Directories(ctx context.Context, link string) (dirsync.LinkDirectories, error) {
	both, err := call(ctx, r.k, func() (dirsync.LinkDirectories, error) { return r.k.w.runs.Directories(ctx, link) })
	both.Source.Open = func(ctx context.Context) (dirsync.Session, error) { return open(ctx, r.k, r.k.w.runs.Source) }
	both.Target.Open = func(ctx context.Context) (dirsync.Session, error) { return open(ctx, r.k, r.k.w.runs.Target) }
	return both, err
}

func (r records) DirectorySettings(ctx context.Context, link string) (dirsync.Settings, error) {
	return call(ctx, r.k, func() (dirsync.Settings, error) { return r.db().DirectorySettings(ctx, link) })
}

func (r records) BeginDirectoryRun(ctx context.Context, runID, link, trigger string) error {
	return tell(ctx, r.k, func() error { return r.db().BeginDirectoryRun(ctx, runID, link, trigger) })
}

func (r records) StageDirectory(ctx context.Context, runID string, side dirsync.Side, next func() (directory.Record, error)) error {
	var all []directory.Record
	var ended error
	for ended == nil {
		var record directory.Record
		if record, ended = next(); ended == nil {
			all = append(all, record)
		}
	}
	return tell(ctx, r.k, func() error {
		return r.db().StageDirectory(ctx, runID, side, func() (directory.Record, error) {
			if len(all) == 0 {
				return directory.Record{}, ended
			}
			first := all[0]
			all = all[1:]
			return first, nil
		})
	})
}

func (r records) LastExtracts(ctx context.Context, link string) (source, target directory.Extracted, known bool, err error) {
	err = tell(ctx, r.k, func() (err error) {
		source, target, known, err = r.db().LastExtracts(ctx, link)
		return err
	})
	return source, target, known, err
}

func (r records) SaveExtracts(ctx context.Context, runID string, source, target directory.Extracted) error {
	return tell(ctx, r.k, func() error { return r.db().SaveExtracts(ctx, runID, source, target) })
}

func (r records) CompareDirectory(ctx context.Context, runID string, s dirsync.Settings) (directory.Tally, error) {
	return call(ctx, r.k, func() (directory.Tally, error) { return r.db().CompareDirectory(ctx, runID, s) })
}

func (r records) SaveDirectoryPhase(ctx context.Context, runID, phase string) error {
	return tell(ctx, r.k, func() error { return r.db().SaveDirectoryPhase(ctx, runID, phase) })
}

func (r records) FinishDirectoryRun(ctx context.Context, runID string, state dirsync.State, reasons []string, hint string) error {
	return tell(ctx, r.k, func() error { return r.db().FinishDirectoryRun(ctx, runID, state, reasons, hint) })
}

func (r records) DirectoryRun(ctx context.Context, runID string) (dirsync.Run, error) {
	return call(ctx, r.k, func() (dirsync.Run, error) { return r.db().DirectoryRun(ctx, runID) })
}

func (r records) DirectoryRefusals(ctx context.Context, runID string, limit int) ([]dirsync.Refusal, error) {
	return call(ctx, r.k, func() ([]dirsync.Refusal, error) { return r.db().DirectoryRefusals(ctx, runID, limit) })
}

func (r records) DirectoryChanges(ctx context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	return call(ctx, r.k, func() ([]dirsync.Change, error) { return r.db().DirectoryChanges(ctx, runID, after, limit, states...) })
}

func (r records) SampleDirectoryChanges(ctx context.Context, runID string, after int64, limit int, state dirsync.ChangeState) ([]dirsync.Change, error) {
	return call(ctx, r.k, func() ([]dirsync.Change, error) {
		return r.db().SampleDirectoryChanges(ctx, runID, after, limit, state)
	})
}

func (r records) SaveDirectoryChanges(ctx context.Context, l lease.Lease, runID string, changes []dirsync.Change) error {
	return tell(ctx, r.k, func() error {
		before := map[int64]dirsync.ChangeState{}
		if r.k.w.runs.Run().RunID == runID {
			for _, c := range r.k.w.runs.Changes() {
				before[c.Seq] = c.State
			}
		}
		err := r.db().SaveDirectoryChanges(ctx, l, runID, changes)
		if err == nil {
			for _, c := range changes {
				r.k.w.recorded(r.k, c, before[c.Seq])
			}
		}
		return err
	})
}

func (r records) DirectoryMembers(ctx context.Context, runID string, s dirsync.Settings) (join, leave []mailbox.Number, err error) {
	err = tell(ctx, r.k, func() (err error) {
		join, leave, err = r.db().DirectoryMembers(ctx, runID, s)
		return err
	})
	return join, leave, err
}

func (r records) LeaveLink(ctx context.Context, runID, link string, numbers []mailbox.Number) (int, error) {
	return call(ctx, r.k, func() (int, error) { return r.db().LeaveLink(ctx, runID, link, numbers) })
}

func (r records) SaveDirectoryMembers(ctx context.Context, runID string, joined, left int, rejected []dirsync.Rejection) error {
	return tell(ctx, r.k, func() error { return r.db().SaveDirectoryMembers(ctx, runID, joined, left, rejected) })
}

func (r records) AddMailboxes(ctx context.Context, link string, numbers []mailbox.Number) (int, error) {
	return call(ctx, r.k, func() (int, error) { return r.db().AddMailboxes(ctx, link, numbers) })
}

func (r records) TakeLease(ctx context.Context, of lease.Resource, t lease.Times) (lease.Lease, error) {
	asked := time.Now()
	return call(ctx, r.k, func() (lease.Lease, error) {
		l, err := r.db().TakeLease(ctx, of, t)
		if err == nil {
			r.k.epoch, l.Deadline = l.Epoch, asked.Add(t.TTL)
			r.k.w.tell("%s takes lease %d", r.k.name, l.Epoch)
		}
		if held, busy := errors.AsType[*lease.HeldError](err); busy {
			held.Wait += time.Duration(r.k.w.rng.Int64N(int64(time.Millisecond))) // no two wake at one instant
		}
		return l, err
	})
}

func (r records) Renew(ctx context.Context, l lease.Lease, ttl time.Duration) (lease.Lease, error) {
	asked := time.Now()
	renewed, err := call(ctx, r.k, func() (lease.Lease, error) { return r.db().Renew(ctx, l, ttl) })
	renewed.Deadline = asked.Add(ttl)
	return renewed, err
}

func (r records) Release(ctx context.Context, l lease.Lease, clean bool) error {
	return tell(ctx, r.k, func() error { return r.db().Release(ctx, l, clean) })
}
