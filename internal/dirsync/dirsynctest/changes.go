package dirsynctest

import (
	"context"
	"slices"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
)

func (x *run) list() (all []dirsync.Change) {
	for _, c := range x.changes {
		all = append(all, c.Change)
	}
	return all
}

// hold holds changes of kinds.
func (r *Runs) hold(x *run, kinds []directory.ChangeKind, reasons []string) (n int) {
	for _, c := range x.changes {
		if c.State == dirsync.ChangePlanned && !c.approved && slices.Contains(kinds, c.Kind) {
			c.State = dirsync.ChangeHeld
		}
	}
	// What needs a number that is not freed, and the first half of what is held, wait too.
	for again := true; again; {
		again = false
		for _, c := range x.changes {
			waits := slices.ContainsFunc(x.changes, func(o *change) bool {
				return o.State == dirsync.ChangeHeld && (c.needs > 0 && c.needs == o.Seq || c.Via != "" && o.Via == "" && o.key == c.key)
			})
			if c.State == dirsync.ChangePlanned && waits {
				c.State, again = dirsync.ChangeHeld, true
			}
		}
	}
	x.Reasons = reasons
	waiting := map[string]bool{}
	for _, c := range x.changes {
		if c.State != dirsync.ChangeHeld || c.Via != "" {
			continue
		}
		n++
		if waiting[c.key] = !c.approved; !c.approved && !r.held[c.key].of(c) {
			r.held[c.key] = &held{c.Kind, c.Number, c.Columns, dirsync.ChangeHeld}
		}
	}
	for key, h := range r.held {
		if h.state == dirsync.ChangeHeld && !waiting[key] {
			delete(r.held, key)
		}
	}
	return n
}

// Decide has an operator approve or refuse what waits, and returns how many changes that
// are.
func (r *Runs) Decide(approve bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.state != dirsync.ChangeHeld {
			continue
		}
		n++
		if h.state = dirsync.ChangeRefused; approve {
			h.state = dirsync.ChangePlanned
		}
	}
	return n
}

// Forget has an operator let everything be tried again that failed.
func (r *Runs) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.failures)
}

// Decision returns what an operator decided on the removal of an entry of the target:
// ChangePlanned if it was approved, ChangeRefused, or ChangeHeld if it waits; "" else.
func (r *Runs) Decision(target directory.Ref, number string) dirsync.ChangeState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.held["t"+keyOf(target, number)]; h != nil {
		return h.state
	}
	return ""
}

// DirectoryChanges implements dirsync.ChangeRecords.
func (r *Runs) DirectoryChanges(_ context.Context, runID string, after int64, limit int, states ...dirsync.ChangeState) ([]dirsync.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err != nil {
		return nil, err
	}
	var found []dirsync.Change
	for _, c := range x.list() {
		if c.Seq > after && len(found) < limit && (len(states) == 0 || slices.Contains(states, c.State)) {
			found = append(found, c)
		}
	}
	return found, nil
}

// SampleDirectoryChanges implements dirsync.ChangeRecords, of all sorts alike.
func (r *Runs) SampleDirectoryChanges(_ context.Context, runID string, after int64, limit int, state dirsync.ChangeState) ([]dirsync.Change, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, false)
	if err != nil {
		return nil, err
	}
	var found []dirsync.Change
	for _, c := range x.changes {
		frees := slices.ContainsFunc(x.changes, func(o *change) bool { return o.needs > 0 && o.needs == c.Seq })
		if c.Seq > after && c.State == state && c.Kind != directory.Renumber && c.needs == 0 && !frees {
			found = append(found, c.Change)
		}
	}
	r.shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found[:min(limit, len(found))], nil
}

// SaveDirectoryChanges implements dirsync.ChangeRecords.
func (r *Runs) SaveDirectoryChanges(_ context.Context, l lease.Lease, runID string, changes []dirsync.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.FailSaves > 0 {
		r.FailSaves--
		return fault.Newf(fault.Transient, "record changes: the database is away")
	}
	if l.Epoch != r.lease.Epoch {
		return fault.Newf(fault.Conflict, "record changes: the lease was lost")
	}
	x, err := r.find(runID, true)
	if err != nil {
		return err
	}
	for _, saved := range changes {
		i := slices.IndexFunc(x.changes, func(c *change) bool { return c.Seq == saved.Seq })
		if i < 0 {
			continue
		}
		c := x.changes[i]
		c.State, c.Error, c.Hint, c.Source, c.Target = saved.State, saved.Error, saved.Hint, saved.Source, saved.Target
		switch saved.State {
		case dirsync.ChangeFailed:
			r.fails(c, saved.OfServer)
			x.failDependents(c)
		case dirsync.ChangeTold:
			x.failDependents(c)
		case dirsync.ChangeDone:
			if c.Via == "" {
				r.done(c)
			}
		case dirsync.ChangePlanned, dirsync.ChangeHeld, dirsync.ChangeRefused, dirsync.ChangeGivenUp:
		}
	}
	return nil
}

// fails counts a failure once for a run.
func (r *Runs) fails(c *change, ofServer bool) {
	switch {
	case c.counted:
	case ofServer:
		c.Failures = max(c.Failures, 1)
	default:
		c.Failures++
	}
	c.counted = true
	r.failures[c.key] = failure{c.same, c.Failures}
}

// failDependents fails what needed a number that is not freed.
func (x *run) failDependents(of *change) {
	for _, c := range x.changes {
		if c.needs > 0 && c.needs == of.Seq && c.State == dirsync.ChangePlanned {
			c.State, c.Error = dirsync.ChangeFailed, "the number was not freed on the target"
			x.failDependents(c)
		}
	}
}

// done records what a change made of pairs.
func (r *Runs) done(c *change) {
	delete(r.failures, c.key)
	delete(r.held, c.key)
	removed := c.Kind == directory.Remove || c.Kind == directory.Unknown
	number := c.Number
	if removed {
		number = c.oldNumber
	}
	p := pair{keyOf(c.Source, number), keyOf(c.Target, number), number}
	r.pairs = slices.DeleteFunc(r.pairs, func(q pair) bool { return q.target == p.target || !removed && q.source == p.source })
	if !removed {
		r.pairs = append(r.pairs, p)
	}
	if removed || c.oldNumber != "" && c.oldNumber != c.Number {
		r.departed[c.oldNumber] = true
	}
}
