package copiersim

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// limits are small enough for the mailboxes of a simulation to trip over them.
func limits() mirror.Limits {
	return mirror.Limits{FolderShare: 30, FolderMinimum: 2, FolderCount: 4, Gone: 1, Window: 20 * time.Second}
}

// hold is what the guard knows of one folder.
type hold struct {
	validity                   uint32
	waiting, approved, refused mailbox.UIDSet
	reserved                   []reservation
}

type reservation struct {
	at   time.Time
	uids mailbox.UIDSet
}

// Judge is the database's part: pure decisions over what it remembers.
func (l *workerLedger) Judge(ctx context.Context, held lease.Lease, limits mirror.Limits, due mirror.Due) (mirror.Decision, error) {
	lost, err := l.enter(ctx)
	if err != nil {
		return mirror.Decision{}, err
	}
	db := l.db()
	if db.lease.Epoch != held.Epoch {
		_ = l.leave(false)
		return mirror.Decision{}, fault.Newf(fault.Conflict, "lease lost")
	}
	h := db.holds[due.Folder]
	if h == nil || h.validity != due.TargetValidity {
		h = &hold{validity: due.TargetValidity}
		db.holds[due.Folder] = h
	}
	standing := mirror.Standing{Waiting: h.waiting, Approved: h.approved, Refused: h.refused}
	for _, r := range h.reserved {
		if time.Since(r.at) < limits.Window {
			standing.Reserved = standing.Reserved.Union(r.uids)
		}
	}
	d := limits.Decide(due, standing, mirror.Past{})
	h.waiting, h.refused, h.approved = d.Hold, d.Keep, d.Allow.Minus(d.Fresh)
	h.reserved = append(h.reserved, reservation{time.Now(), d.Fresh})
	if len(d.TargetOnly) > 0 {
		db.w.faults["target only"]++
	}
	for uid := range d.Allow.All() {
		db.permitted[place{due.TargetValidity, uid}] = true
	}
	if len(d.Hold) > 0 {
		db.w.faults["held"]++
		db.w.tell("%s: %d of %d messages of %s are held: %v", l.k.name, d.Hold.Len(), due.UIDs.Len(), due.Folder, d.Reasons)
	}
	return d, l.leave(lost)
}

// settle ends what the guard noted of folders in which nothing is due.
func (db *ledger) settle(undecided []mailbox.FolderName) {
	left := map[mailbox.FolderName]bool{}
	for _, name := range undecided {
		left[name] = true
	}
	for name, h := range db.holds {
		if !left[name] {
			h.waiting, h.approved, h.refused = nil, nil, nil
		}
	}
}

// forgetFrom forgets what was seen of UIDs that are going to be given out again.
func (db *ledger) forgetFrom(validity uint32, next mailbox.UID) {
	for _, seen := range []map[place]bool{db.permitted, db.copied, db.consented} {
		for at := range seen {
			if at.validity == validity && at.uid >= next {
				delete(seen, at)
			}
		}
	}
}

// operatorAct answers what is held. The caller holds the world's lock.
func (w *world) operatorAct() {
	for _, name := range folderNames {
		h := w.ledger.holds[name]
		if h == nil || len(h.waiting) == 0 {
			continue
		}
		if w.chance(70) {
			w.faults["approved"]++
			w.tell("operator approves %v of %s", h.waiting, name)
			w.approve(h)
		} else {
			w.faults["refused"]++
			w.tell("operator refuses %v of %s", h.waiting, name)
			h.refused, h.waiting = h.refused.Union(h.waiting), nil
		}
	}
}

// moveBack has the operator move what users of the target moved again and again back to
// where the source has it, or delete it if the target has given it another date, as the
// hint says.
func (w *world) moveBack() (some bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.ledger.folders)) {
		for _, d := range w.ledger.folders[name].Differences {
			to, moved := copier.MovedTo(d)
			if !moved || w.source.folders[name] == nil || w.target.folders[to] == nil || w.target.folders[name] == nil {
				continue
			}
			lost := w.source.folders[name].find(d.SourceUID)
			for _, m := range slices.Clone(w.target.folders[to].messages) {
				if lost != nil && !w.ledger.pairs(to, m.uid) && m.content == w.target.kept(lost.content) {
					w.faults["moved back"]++
					some = true
					w.tell("operator moves %v from %s back to %s", m, to, name)
					w.target.remove(to, m.uid)
					if w.target.keptDate(lost.date).Equal(lost.date) {
						w.target.put(name, m.content, m.flags, m.date)
					}
					break
				}
			}
		}
	}
	return some
}

// pairs reports whether a message of the target has a partner.
func (db *ledger) pairs(name mailbox.FolderName, target mailbox.UID) bool {
	s := db.folders[name]
	if s == nil {
		return false
	}
	_, paired := mailbox.NewUIDMap(s.Pairs).Source(target)
	return paired
}

// outage has the mirror stand still for a while, in which users work on the target
// as well as on the source. The caller holds the world's lock.
func (w *world) outage() {
	w.faults["outage"]++
	w.still = time.Now().Add(time.Duration(5+w.rng.IntN(30)) * time.Second)
	w.tell("the mirror stands still until %8.3fs", w.still.Sub(w.begin).Seconds())
	for range 2 + w.rng.IntN(5) {
		w.target.userAct()
		if w.chance(30) {
			w.source.userAct()
		}
	}
}

// lostOften reports whether the target lost a message so often that it is not
// copied again after the next time.
func (w *world) lostOften() bool {
	for _, s := range w.ledger.folders {
		if slices.ContainsFunc(s.Differences, func(d copier.Difference) bool {
			return d.Kind == copier.Undone && d.SourceUID > 0 && !strings.HasPrefix(d.Detail, "1 ")
		}) {
			return true
		}
	}
	return false
}

// approveAll lets everything go that is held or was refused.
func (w *world) approveAll() {
	for _, h := range w.ledger.holds {
		h.waiting, h.refused = h.waiting.Union(h.refused), nil
		w.approve(h)
	}
}

// approve lets what waits go.
func (w *world) approve(h *hold) {
	for uid := range h.waiting.All() {
		w.ledger.consented[place{h.validity, uid}] = true
	}
	h.approved, h.waiting = h.approved.Union(h.waiting), nil
}

// syncInPeace syncs, checks that nothing but what is held keeps the stores from
// being equal, and goes on with the operator's consent until nothing is held.
func (w *world) syncInPeace(ctx context.Context, engine *copier.Engine, job copier.Job) (copier.Report, error) {
	for range 5 {
		report, err := engine.Sync(ctx, job)
		if err == nil && w.moveBack() {
			asked := job
			asked.Force, asked.Retry = true, false
			if _, err := engine.Sync(ctx, asked); err != nil {
				return report, err
			}
			continue
		}
		if err != nil || report.Held+report.Kept == 0 {
			return report, err
		}
		w.compareBut(report)
		w.mu.Lock()
		w.approveAll()
		w.mu.Unlock()
	}
	w.violate("something is held again and again although the operator lets all of it go")
	return copier.Report{}, nil
}

// wouldNotGo reports whether the ledger shows that the target kept a folder that
// was to be deleted, with whatever is in it.
func (w *world) wouldNotGo(name mailbox.FolderName) bool {
	s := w.ledger.folders[name]
	return s != nil && slices.ContainsFunc(s.Differences, func(d copier.Difference) bool { return d.Kind == copier.FolderKept })
}

// compareBut checks that copies did not wait: whatever the source has is on the
// target, and what else is there is what the report says.
func (w *world) compareBut(report copier.Report) {
	extra, shown, only := 0, 0, 0
	for name, s := range w.source.folders {
		t := w.target.folders[name]
		if t == nil {
			w.violate("%s: is not on the target while something is held", name)
			continue
		}
		have := w.held(t)
		for m, n := range w.expected(name, s) {
			if have[m] < n {
				w.violate("%s: %d of %s on the target while something is held, want %d", name, have[m], m, n)
			}
			extra -= n
		}
	}
	for name, t := range w.target.folders {
		switch {
		case isKept(name):
		case w.wouldNotGo(name):
			shown += len(t.messages) // and asked about once the target may let it go
		default:
			extra += len(t.messages)
			only += w.onlyCopies(t)
		}
	}
	if told := report.Held + report.Kept; told < extra-only || told > extra+shown {
		w.violate("%d messages are left on the target, and the report tells of %d held and %d kept", extra, report.Held, report.Kept)
	}
}
