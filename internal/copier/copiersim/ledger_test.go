package copiersim

import (
	"context"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
)

// ledger is the database: one mailbox's folders, and the leases.
type ledger struct {
	w       *world
	folders map[mailbox.FolderName]*copier.FolderState
	leases  *leases
	lease   *lease.Row // of the mirror of the mailbox
	// holds is what the deletion guard knows, permitted what it ever let go, and
	// copied what was copied to where deleted messages are kept.
	holds             map[mailbox.FolderName]*hold
	permitted, copied map[place]bool
	// consented is what the operator approved.
	consented map[place]bool
}

// workerLedger is the ledger as one worker reaches it.
type workerLedger struct{ k *worker }

func (l *workerLedger) db() *ledger { return l.k.w.ledger }

// enter passes the gate and takes the lock; lost is true where the answer will
// not reach the worker although the transaction commits.
func (l *workerLedger) enter(ctx context.Context) (lost bool, err error) {
	l.k.stall()
	if err := l.k.gate(ctx); err != nil {
		return false, err
	}
	w := l.k.w
	w.mu.Lock()
	if w.chaos {
		switch roll := w.rng.IntN(1000); {
		case roll < 10:
			w.mu.Unlock()
			return false, fault.Newf(fault.Transient, "database connection refused")
		case roll < 15:
			w.faults["lost commit answer"]++
			return true, nil
		}
	}
	return false, nil
}

func (l *workerLedger) leave(lost bool) error {
	l.k.w.mu.Unlock()
	if lost {
		return fault.Newf(fault.Transient, "database connection lost")
	}
	return nil
}

func (l *workerLedger) Begin(ctx context.Context, key mailbox.Key, ttl, fenceTime time.Duration) (lease.Lease, []copier.FolderState, error) {
	var states []copier.FolderState
	taken, err := l.take(ctx, lease.OfMailbox(key), lease.Times{TTL: ttl, Fence: fenceTime}, func() {
		for _, s := range l.db().folders {
			c := *s
			c.Pairs, c.Differences = slices.Clone(s.Pairs), slices.Clone(s.Differences)
			states = append(states, c)
		}
	})
	return taken, states, err
}

// TakeLease implements lease.Taker.
func (l *workerLedger) TakeLease(ctx context.Context, of lease.Resource, t lease.Times) (lease.Lease, error) {
	return l.take(ctx, of, t, func() {})
}

// take takes a lease, and reads what there is in the same transaction.
func (l *workerLedger) take(ctx context.Context, of lease.Resource, t lease.Times, read func()) (lease.Lease, error) {
	asked := time.Now()
	lost, err := l.enter(ctx)
	if err != nil {
		return lease.Lease{}, err
	}
	taken, err := l.db().leases.take(of, t)
	if err != nil {
		_ = l.leave(false)
		return lease.Lease{}, err
	}
	taken.Deadline = asked.Add(t.TTL)
	l.k.w.tell("%s takes lease %d of %s", l.k.name, taken.Epoch, of)
	l.k.epoch = taken.Epoch
	read()
	return taken, l.leave(lost)
}

func (l *workerLedger) Renew(ctx context.Context, held lease.Lease, ttl time.Duration) (lease.Lease, error) {
	asked := time.Now()
	lost, err := l.enter(ctx)
	if err != nil {
		return held, err
	}
	if err := l.db().leases.renew(held, ttl); err != nil {
		_ = l.leave(false)
		return held, err
	}
	held.Deadline = asked.Add(ttl)
	return held, l.leave(lost)
}

func (l *workerLedger) Release(ctx context.Context, held lease.Lease, clean bool) error {
	lost, err := l.enter(ctx)
	if err != nil {
		return err
	}
	if !l.db().leases.rows[held.Resource].End(time.Now(), held.Epoch, clean) {
		_ = l.leave(false)
		return fault.Newf(fault.Conflict, "lease lost")
	}
	return l.leave(lost)
}

func (l *workerLedger) Save(ctx context.Context, held lease.Lease, u copier.Update) error {
	lost, err := l.enter(ctx)
	if err != nil {
		return err
	}
	db := l.db()
	if db.lease.Epoch != held.Epoch {
		_ = l.leave(false)
		return fault.Newf(fault.Conflict, "lease lost")
	}
	for _, name := range u.Drop {
		delete(db.folders, name)
	}
	for _, f := range u.Folders {
		db.apply(f)
	}
	if u.Done != nil {
		db.settle(u.Undecided)
		db.lease.End(time.Now(), held.Epoch, true)
	}
	return l.leave(lost)
}

func (db *ledger) apply(u copier.FolderUpdate) {
	s := db.folders[u.Name]
	if s == nil || s.SourceValidity != u.SourceValidity || s.TargetValidity != u.TargetValidity {
		s = &copier.FolderState{Name: u.Name, SourceValidity: u.SourceValidity, TargetValidity: u.TargetValidity}
		db.folders[u.Name] = s
	}
	s.SourceAt, s.TargetAt, s.Recreated, s.Former = u.SourceAt, u.TargetAt, u.Recreated, u.Former
	if u.CloseMove {
		s.Moving = nil
	}
	if u.OpenMove != nil {
		m := *u.OpenMove
		s.Moving = &m
	}
	s.Witnesses = maps.Collect(maps.All(s.Witnesses))
	for _, b := range u.Witnesses {
		maps.DeleteFunc(s.Witnesses, func(uid mailbox.UID, _ copier.Witness) bool {
			return uid >= b.First && uid < b.First+copier.WitnessSpan
		})
		maps.Copy(s.Witnesses, b.Of)
	}
	s.Pairs = slices.DeleteFunc(slices.Clone(s.Pairs), func(r mailbox.Run) bool { return slices.Contains(u.RemovePairs, r) })
	for _, r := range u.AddPairs { // replaced by its key, as in a table
		s.Pairs = slices.DeleteFunc(s.Pairs, func(o mailbox.Run) bool { return o.Source == r.Source })
		s.Pairs = append(s.Pairs, r)
	}
	slices.SortFunc(s.Pairs, func(a, b mailbox.Run) int { return int(a.Source) - int(b.Source) })
	if u.CloseIntent {
		s.Intent = nil
	}
	if u.OpenIntent != nil {
		i := *u.OpenIntent
		s.Intent = &i
	}
	for _, d := range slices.Concat(u.RemoveDifferences, u.AddDifferences) {
		s.Differences = slices.DeleteFunc(slices.Clone(s.Differences), func(o copier.Difference) bool {
			return o.SourceUID == d.SourceUID && o.Kind == d.Kind
		})
	}
	s.Differences = append(s.Differences, u.AddDifferences...)
}
