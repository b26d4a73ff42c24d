package dirsync_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/sleep"
)

// On a target without ids, an entry that took the number of a removed one is not taken for
// that one: neither when the run looks once more, nor when a worker died before it recorded
// both.
func TestRemovesNobodyElseWithoutIDs(t *testing.T) { synctest.Test(t, testRemovesNobodyElseWithoutIDs) }

func testRemovesNobodyElseWithoutIDs(t *testing.T) {
	for _, dies := range []bool{false, true} {
		m := newMirrorer(t)
		m.runs.Target.NoIDs = true
		m.runs.Source.Put("1", map[directory.Column]string{directory.CommonName: "Ann"})
		m.runs.Source.Put("2", map[directory.Column]string{directory.CommonName: "Bob"})
		m.compare(dirsync.TriggerOperator)
		must[dirsync.Applied](m)(m.apply(10))
		m.finish()
		m.runs.Source.Remove("1")
		m.runs.Source.Edit("2", "MailboxNumber", "1")
		m.compare(dirsync.TriggerOperator)
		if dies {
			m.runs.FailSaves = 100
			if _, err := m.apply(10); err == nil {
				t.Error("it was recorded")
			}
			m.runs.FailSaves = 0
		}
		must[dirsync.Applied](m)(m.apply(10))
		must[dirsync.Applied](m)(m.engine.Verify(t.Context(), m.job, dirsync.Page{Limit: 10}, func(int64) {}))
		m.finish()
		m.equal()
	}
}

// A target that becomes full at the end of a page is not the fault of the page's last
// entries.
func TestPageLeavesToTheNextWhatIsNotDecided(t *testing.T) {
	synctest.Test(t, testPageLeavesToTheNextWhatIsNotDecided)
}

func testPageLeavesToTheNextWhatIsNotDecided(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 80)
	m.runs.Target.OnWrite = m.refuse(fault.Config, 1007, 73)
	m.compare(dirsync.TriggerOperator)
	first, err := m.apply(10)
	if err != nil || first.Done != 7 || first.Failed > 0 || !first.More {
		t.Errorf("the first page: %+v, %v", first, err)
	}
	second, err := m.engine.Apply(t.Context(), m.job, dirsync.Page{After: first.Last, Limit: 10}, func(int64) {})
	if n := states(m); err != nil || second.Stopped == "" || n[dirsync.ChangeFailed] > 0 {
		t.Errorf("the second page: %+v, %v, %v", second, n, err)
	}
}

// An operation that the end of the lease breaks off is not the entry's fault.
func TestEndOfTheLeaseBlamesNobody(t *testing.T) { synctest.Test(t, testEndOfTheLeaseBlamesNobody) }

func testEndOfTheLeaseBlamesNobody(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 5)
	ports := m.runs.Ports()
	ports.Leases = away{m.runs}
	m.engine = dirsync.NewEngine(ports, sleep.Clock{}, lease.Times{}, nil)
	m.runs.Target.OnWrite = func(op directory.Operation) error {
		if m.added(op) == "1002" {
			time.Sleep(16 * time.Second)
			return context.DeadlineExceeded
		}
		return nil
	}
	m.compare(dirsync.TriggerOperator)
	result, err := m.apply(10)
	if n := states(m); err == nil || n[dirsync.ChangeFailed] > 0 || n[dirsync.ChangeDone] != 2 || result.Done != 2 {
		t.Errorf("%+v, %v, %v", result, n, err)
	}
}

// away is a database that renews no lease, and takes its time to say so.
type away struct{ lease.Taker }

func (a away) Renew(_ context.Context, l lease.Lease, _ time.Duration) (lease.Lease, error) {
	time.Sleep(4900 * time.Millisecond)
	return l, fault.Newf(fault.Transient, "the database is away")
}

// What another page recorded while this one waited for the lease is not recorded again.
func TestPageListsUnderTheLease(t *testing.T) { synctest.Test(t, testPageListsUnderTheLease) }

func testPageListsUnderTheLease(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 3)
	m.compare(dirsync.TriggerOperator)
	ports := m.runs.Ports()
	ports.Leases = &beaten{m.runs, func() {
		must[dirsync.Applied](m)(m.apply(10))
		m.runs.Source.Remove("1001")
	}}
	late := dirsync.NewEngine(ports, sleep.Clock{}, lease.Times{}, nil)
	if result, err := late.Apply(t.Context(), m.job, dirsync.Page{Limit: 10}, func(int64) {}); err != nil || result.Done+result.Moot > 0 {
		t.Errorf("%+v, %v", result, err)
	}
	if n := states(m); n[dirsync.ChangeDone] != 3 {
		t.Errorf("%v", n)
	}
}

// beaten gives a lease only after another page was carried out.
type beaten struct {
	lease.Taker

	first func()
}

func (b *beaten) TakeLease(ctx context.Context, of lease.Resource, t lease.Times) (lease.Lease, error) {
	b.first()
	return b.Taker.TakeLease(ctx, of, t)
}

// A suspension that finds a change between two tries leaves none out of the run.
func TestSuspensionLeavesNoChangeOut(t *testing.T) { synctest.Test(t, testSuspensionLeavesNoChangeOut) }

func testSuspensionLeavesNoChangeOut(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 6)
	ctx, suspend := context.WithCancel(t.Context())
	m.engine = m.runs.Engine(lease.Times{})
	cut := false
	m.runs.Target.OnWrite = func(op directory.Operation) error {
		if m.added(op) == "1001" && !cut {
			cut = true
			return lost()
		}
		if m.added(op) == "1005" {
			time.AfterFunc(time.Second, suspend) // while it waits for the fence
		}
		return nil
	}
	m.compare(dirsync.TriggerOperator)
	result, err := m.engine.Apply(ctx, m.job, dirsync.Page{Limit: 10}, func(int64) {})
	if err == nil || result.Done != 5 {
		t.Errorf("suspended: %+v, %v", result, err)
	}
	result, err = m.engine.Apply(t.Context(), m.job, dirsync.Page{After: result.Last, Limit: 10}, func(int64) {})
	if n := states(m); err != nil || n[dirsync.ChangeDone] != 6 {
		t.Errorf("resumed: %+v, %v, %v", result, err, n)
	}
}

// If a suspension ends a page and the database is away, the run goes on after what was
// recorded last.
func TestSuspensionWithoutRecord(t *testing.T) { synctest.Test(t, testSuspensionWithoutRecord) }

func testSuspensionWithoutRecord(t *testing.T) {
	m := newMirrorer(t)
	numbered(m, 6)
	ctx, suspend := context.WithCancel(t.Context())
	m.runs.Target.OnWrite = func(op directory.Operation) error {
		if m.added(op) == "1004" {
			m.runs.FailSaves = 1
			suspend()
			return ctx.Err()
		}
		return nil
	}
	m.compare(dirsync.TriggerOperator)
	result, err := m.engine.Apply(ctx, m.job, dirsync.Page{Limit: 10}, func(int64) {})
	if err == nil {
		t.Errorf("suspended: %+v", result)
	}
	m.runs.Target.OnWrite = nil
	result, err = m.engine.Apply(t.Context(), m.job, dirsync.Page{After: result.Last, Limit: 10}, func(int64) {})
	if n := states(m); err != nil || n[dirsync.ChangeDone] != 6 {
		t.Errorf("resumed: %+v, %v, %v", result, err, n)
	}
}
