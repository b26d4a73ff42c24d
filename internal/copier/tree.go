package copier

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// mailbox carries out the tree plan and with it the plan of every folder.
func (r *run) mailbox(ctx context.Context) error {
	in := treeInput(r.job, r.clock.Now(), r.sourceList, r.targetList, r.stateList())
	plan, err := mirror.PlanTree(in)
	if err != nil {
		return err
	}
	r.reserved()
	if plan, err = r.rename(ctx, in, plan); err != nil {
		return err
	}
	w := &folderWork{run: r}
	refused, err := w.create(ctx, plan.Create)
	if err != nil {
		return err
	}
	r.unnameable()
	for _, pair := range plan.Pairs {
		if (pair.Unchanged && !r.job.Force) || refused[pair.Name] {
			continue
		}
		if err := w.copy(ctx, pair.Name); err != nil {
			return err
		}
	}
	if err := w.copyAgain(ctx); err != nil {
		return err
	}
	// A full target gets room by that.
	if err := r.purge(ctx); err != nil {
		return err
	}
	if err := w.finish(ctx, plan); err != nil {
		return err
	}
	if err := r.subscribe(ctx, plan, refused); err != nil {
		return err
	}
	if err := r.checkUndone(ctx); err != nil {
		return err
	}
	r.dropStates()
	return nil
}

// folderWork copies every folder before anything goes from any: a message that
// was moved is on the target at every moment.
type folderWork struct {
	*run
	held    []*folderRun // with expunges that wait
	full    []mailbox.FolderName
	trouble error
	// done counts the folders that were copied, rejected those to which a store
	// answered NO with a code that may pass.
	done, rejected int
	// again are the folders at which a connection was lost. They come after all
	// others, which shall not wait for them.
	again []mailbox.FolderName
}

// copy makes one folder equal but for what is to go from it. Trouble that stays
// in the folder is kept for the end.
func (w *folderWork) copy(ctx context.Context, name mailbox.FolderName) error {
	f, err := w.folder(ctx, name)
	if fault.Lost(err) && ctx.Err() == nil {
		w.again = append(w.again, name)
		return w.lostAt(ctx, name, err)
	}
	if f.held {
		w.held = append(w.held, f)
	}
	if err == nil {
		w.done++
	}
	return w.note(name, err)
}

// copyAgain copies the folders at which a connection was lost, until that is
// settled for each.
func (w *folderWork) copyAgain(ctx context.Context) error {
	for len(w.again) > 0 {
		names := w.again
		w.again = nil
		for _, name := range names {
			if err := w.copy(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// lostAt connects again after a connection was lost at a folder. If that happens
// again and again, and is due to no message, it is the folder's own trouble.
func (w *folderWork) lostAt(ctx context.Context, name mailbox.FolderName, cause error) error {
	known := w.breaks[name]
	if known == nil {
		known = &breaks{since: map[mailbox.UID]int{}}
		w.breaks[name] = known
	}
	known.outside++
	v := blame.Decide(blame.Evidence{Item: blame.Folder, Lost: true, Times: known.outside, Reached: true})
	if err := w.revive(ctx); err != nil {
		return err
	}
	if v.Next != blame.Record {
		return nil
	}
	w.again = slices.DeleteFunc(w.again, func(n mailbox.FolderName) bool { return n == name })
	return w.note(name, fault.New(fault.Permanent, "the connection is lost at this folder, every time", cause,
		"see the store's log; the folder may be damaged there"))
}

// revive connects again to the stores whose connections were lost. What was written
// may have an effect until the fence is over.
func (r *run) revive(ctx context.Context) error {
	wait := time.Duration(0)
	if r.unknown {
		wait = r.opts.Lease.Fence
	}
	if err := r.target.revive(ctx, wait); err != nil {
		return err
	}
	return r.source.revive(ctx, 0)
}

func (w *folderWork) note(name mailbox.FolderName, err error) error {
	if err == nil {
		return nil
	}
	err = fault.Wrap(err, "folder "+string(name))
	if !staysInFolder(err) {
		return err
	}
	if fault.Rejected(err) && !fault.Is(err, fault.Permanent) && !mayPass(err) {
		w.rejected++
		if w.done == 0 && w.rejected >= blame.Doubt(false, fault.KindOf(err)) {
			return err // that is no folder's own trouble
		}
	}
	if mayPass(err) {
		w.full = append(w.full, name)
		w.short[name] = true
		return nil
	}
	w.trouble = err
	return nil
}

// finish expunges and deletes. Where a folder could not be copied nothing goes,
// since it may hold what was moved; but where it was for want of room, room is
// made, and the folder tried once more.
func (w *folderWork) finish(ctx context.Context, plan mirror.TreePlan) error {
	if w.trouble != nil {
		return w.trouble
	}
	for _, f := range w.held {
		if err := w.note(f.name, f.finish(ctx)); err != nil {
			return err
		}
	}
	if err := w.delete(ctx, plan); err != nil {
		return err
	}
	w.room = w.room || w.report.Messages.Expunged+w.report.Greetings.Expunged+w.report.Folders.Deleted > 0
	full := w.full
	if w.room {
		full = append(full, w.postponed()...)
	}
	for _, name := range slices.Sorted(maps.Keys(w.along)) {
		if !slices.Contains(full, name) {
			full = append(full, name)
		}
	}
	for _, name := range full {
		f, err := w.folder(ctx, name)
		if err == nil {
			delete(w.short, name)
		}
		if err == nil && f.held {
			err = f.finish(ctx)
		}
		if err = fault.Wrap(err, "folder "+string(name)); err != nil && !staysInFolder(err) {
			return err
		}
		w.trouble = cmp.Or(w.trouble, err)
	}
	for _, f := range w.held {
		if len(full) > 0 && f.again() {
			if err := w.note(f.name, f.finish(ctx)); err != nil {
				return err
			}
		}
	}
	return w.trouble
}

// postponed are the folders with messages for which there may be room now.
func (w *folderWork) postponed() (names []mailbox.FolderName) {
	for name, s := range w.states {
		if !slices.Contains(w.full, name) && lists(w.sourceList, name) &&
			slices.ContainsFunc(s.Differences, func(d Difference) bool { return d.Kind == Postponed }) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mayPass reports any Transient NO of the target: it may accept the messages later, such
// as once something is gone from there. fault.NoRoom is narrower.
func mayPass(err error) bool {
	t, ok := errors.AsType[*folderTrouble](err)
	return ok && t.mayPass
}

// staysInFolder reports whether the sessions and the lease are still good
// after err, so that the other folders can go on.
func staysInFolder(err error) bool {
	_, ok := errors.AsType[*folderTrouble](err)
	return ok || fault.Is(err, fault.Permanent) || fault.Rejected(err)
}

// write runs one write to the target and notes whether its outcome is known.
func (r *run) write(op string, do func() error) error {
	r.unknown = true
	err := do()
	if err == nil || fault.Is(err, fault.Permanent) || fault.Rejected(err) {
		r.unknown = false
	}
	return fault.Wrap(err, op)
}

// rename renames folders on the target. One that refuses gets the same result
// by creating, copying and deleting.
func (r *run) rename(ctx context.Context, in mirror.TreeInput, plan mirror.TreePlan) (mirror.TreePlan, error) {
	for _, rn := range plan.Rename {
		if !rn.Implied {
			err := r.write("rename target folder", func() error { return r.target.RenameFolder(ctx, rn.From, rn.To) })
			if err != nil && staysInFolder(err) {
				if err := r.list(ctx); err != nil {
					return plan, err
				}
				in = treeInput(r.job, r.clock.Now(), r.sourceList, r.targetList, r.stateList())
				in.NoRename = true
				return mirror.PlanTree(in)
			}
			if err != nil {
				return plan, err
			}
			r.report.Folders.Renamed++
		}
		// The pairs are recognised anew: see mirror.PlanTree.
		if from := r.states[rn.From]; from != nil {
			// What the ledger knows of an earlier folder of the new name is over.
			to := r.state(rn.To)
			*to = FolderState{Name: rn.To, TargetValidity: from.TargetValidity, TargetAt: from.TargetAt,
				Moving: from.Moving, Former: from.own()}
			update := to.asUpdate()
			update.TargetAt, update.Witnesses = to.TargetAt, to.keepWitnesses(from.Witnesses, false)
			r.pending.Folders = append(r.pending.Folders, update)
		}
		r.drop(rn.From)
	}
	return plan, nil
}

// create makes the missing folders and returns those that the target refused.
func (w *folderWork) create(ctx context.Context, folders []mailbox.Folder) (refused map[mailbox.FolderName]bool, err error) {
	refused = map[mailbox.FolderName]bool{}
	for _, f := range folders {
		err := w.write("create target folder", func() error { return w.target.CreateFolder(ctx, f.Name, f.SpecialUse) })
		switch {
		case err == nil:
			w.report.Folders.Created++
		case fault.Is(err, fault.Permanent), fault.NoRoom(err):
			refused[f.Name] = true
			w.refuseFolder(f.Name, f.Counters.UIDValidity, FolderRefused, err)
		default:
			refused[f.Name] = true
			if err := w.note(f.Name, err); err != nil {
				return nil, err
			}
		}
	}
	return refused, nil
}

// delete removes the folders that the source does not have.
func (w *folderWork) delete(ctx context.Context, plan mirror.TreePlan) error {
	r := w.run
	above := map[mailbox.FolderName]bool{} // those above a folder that stays
	for _, name := range plan.Delete {
		goes, err := r.vacate(ctx, name)
		if fault.Is(err, fault.Permanent) {
			goes = false
			r.refuseFolder(name, 0, FolderKept, err)
		} else if err := w.note(name, err); err != nil {
			return err
		}
		if goes && !above[name] && r.comesBack(name) {
			r.refuseFolder(name, 0, FolderKept, errComesBack)
			goes = false
		}
		if !goes || above[name] {
			for p := name.Parent(); p != ""; p = p.Parent() {
				above[p] = true
			}
			continue
		}
		err = r.write("delete target folder", func() error { return r.target.DeleteFolder(ctx, name) })
		switch {
		case err == nil:
			r.report.Folders.Deleted++
			r.deleted(name)
		case fault.Is(err, fault.Permanent) && plan.Levels[name]:
			if err := r.unsubscribe(ctx, name); err != nil {
				return fault.Wrap(err, "folder "+string(name))
			}
			r.drop(name)
		case fault.Is(err, fault.Permanent):
			r.refuseFolder(name, 0, FolderKept, err)
		default:
			if err := w.note(name, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// unsubscribe makes a mere level of the hierarchy of an empty folder that has to
// stay because of those below it.
func (r *run) unsubscribe(ctx context.Context, name mailbox.FolderName) error {
	for _, f := range r.targetList {
		if f.Name == name && f.Subscribed {
			if err := r.setSubscribed(ctx, false, []mailbox.FolderName{name}); err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribe mirrors the subscriptions; a target that refuses one keeps its own.
func (r *run) subscribe(ctx context.Context, plan mirror.TreePlan, refused map[mailbox.FolderName]bool) error {
	there := func(names []mailbox.FolderName) []mailbox.FolderName {
		return slices.DeleteFunc(slices.Clone(names), func(n mailbox.FolderName) bool { return refused[n] })
	}
	if err := r.setSubscribed(ctx, true, there(plan.Subscribe)); err != nil {
		return err
	}
	return r.setSubscribed(ctx, false, there(plan.Unsubscribe))
}

func (r *run) setSubscribed(ctx context.Context, subscribed bool, names []mailbox.FolderName) error {
	if len(names) == 0 {
		return nil
	}
	for _, name := range names {
		r.subscriptions[name] = subscribed
	}
	return r.write("subscribe target folders", func() error {
		refused, err := r.target.Subscribe(ctx, subscribed, names...)
		if err == nil {
			r.report.Folders.Subscribed += len(names) - len(refused)
		}
		return err
	})
}

func (r *run) refuseFolder(name mailbox.FolderName, sourceValidity uint32, kind DifferenceKind, err error) {
	state := r.state(name)
	refused := []Difference{{Kind: kind, Detail: withHint(err.Error(), err)}}
	if kind == FolderKept {
		again := state.undone().again(r.clock.Now())
		if errors.Is(err, errComesBack) {
			again.times = max(again.times, undoneInRow)
		}
		refused = append(refused, Difference{Kind: Undone, Detail: again.String()})
	}
	next := FolderState{Name: name, SourceValidity: sourceValidity, Differences: refused}
	var witnesses []WitnessBlock
	if kind != FolderRefused {
		next.TargetValidity, next.Former, next.Moving = state.TargetValidity, state.own(), state.Moving
		witnesses = next.keepWitnesses(state.Witnesses, state.SourceValidity == sourceValidity)
	}
	remove, add := diffDifferences(state.Differences, refused)
	*state = next
	r.pending.Folders = append(r.pending.Folders, FolderUpdate{Name: name, SourceValidity: next.SourceValidity,
		TargetValidity: next.TargetValidity, Former: next.Former, OpenMove: next.Moving, Witnesses: witnesses, RemoveDifferences: remove, AddDifferences: add})
}

// state returns what the ledger knows of a folder, or a new state.
func (r *run) state(name mailbox.FolderName) *FolderState {
	s, ok := r.states[name]
	if !ok {
		s = &FolderState{Name: name}
		r.states[name] = s
	}
	return s
}

func (r *run) stateList() []FolderState {
	out := make([]FolderState, 0, len(r.states))
	for _, s := range r.states {
		out = append(out, *s)
	}
	return out
}

// drop forgets a folder's state.
func (r *run) drop(name mailbox.FolderName) {
	if _, ok := r.states[name]; ok {
		delete(r.states, name)
		r.pending.Drop = append(r.pending.Drop, name)
	}
}

// dropStates forgets the folders that neither side has any more, but for those
// that were deleted lately.
func (r *run) dropStates() {
	there := maps.Clone(r.made)
	there[r.job.Keep.Folder] = true // see reserved
	for _, list := range [][]mailbox.Folder{r.sourceList, r.targetList} {
		for _, f := range list {
			there[f.Name] = true
		}
	}
	for name, s := range r.states {
		u := s.undone()
		if !there[name] && (u.times == 0 || s.lasting() > 0 || r.clock.Now().Sub(u.at) > undoneMemory) {
			r.drop(name)
		}
	}
}
