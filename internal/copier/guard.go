package copier

import (
	"context"
	"maps"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// permit asks what of the messages due in a folder may go. The answer is
// durable before anything goes: what is held is held by whoever comes next.
func (r *run) permit(ctx context.Context, due mirror.Due) (mailbox.UIDSet, error) {
	d, err := r.ledger.Judge(ctx, r.lease, r.job.Limits, due)
	if err != nil {
		return nil, fault.Wrap(err, "ask the deletion guard")
	}
	r.left[due.Folder] = d
	if len(d.Hold)+len(d.Keep) == 0 {
		delete(r.left, due.Folder)
	}
	return d.Allow, nil
}

// permitted returns what of a plan's expunges may be carried out. Asked once,
// the guard is asked again only about messages that it has not seen.
func (f *folderRun) permitted(ctx context.Context, due mailbox.UIDSet) (mailbox.UIDSet, error) {
	if len(due.Minus(f.judged)) > 0 {
		if err := f.fetchTarget(ctx, due.Minus(knownUIDs(f.target)).Minus(f.damaged)); err != nil {
			return nil, fault.Wrap(err, "look at what is to go")
		}
		if due = due.Intersect(f.target.UIDs); len(due) == 0 {
			return nil, nil
		}
		seen := sortByWitness(f.witnesses, due, f.target.Messages)
		seen.forget(f.state)
		allowed, err := f.run.permit(ctx, seen.of(mirror.Due{Folder: f.name, UIDs: due, TargetValidity: f.target.Counters.UIDValidity,
			Own: f.state.Former, Target: f.target.UIDs.Len(), Source: f.source.UIDs.Len(), Recreated: f.state.Recreated}))
		if err != nil {
			return nil, err
		}
		seen.remember(f.witnesses, f.target.Messages)
		f.judged, f.allowed = due, allowed
	}
	allowed := due.Intersect(f.allowed)
	f.left = f.left || allowed.Len() < due.Len()
	return allowed, nil
}

// standing puts what the guard keeps from going into the report.
func (r *run) standing() {
	r.pending.Undecided = slices.Sorted(maps.Keys(r.left))
	for _, d := range r.left {
		r.report.Held += d.Hold.Len()
		r.report.Kept += d.Keep.Len()
	}
}

// vacate removes what may be deleted from a folder that the source does not have.
// It reports whether the folder is empty then, so that it may be deleted: what
// arrives meanwhile is not deleted with it.
func (r *run) vacate(ctx context.Context, name mailbox.FolderName) (goes bool, err error) {
	now, _, err := r.target.Select(ctx, name)
	if err != nil {
		return false, fault.Wrap(err, "select target folder")
	}
	uids, err := r.target.UIDs(ctx)
	if err != nil {
		return false, fault.Wrap(err, "list the target's messages")
	}
	if len(uids) == 0 {
		return true, nil
	}
	if r.freshUnread || r.unreadSingle() {
		return false, &WithheldError{UIDs: uids, Err: fault.Newf(fault.Permanent,
			"it may hold the only copy of a message that the source has and cannot read")}
	}
	state := r.state(name)
	var own mailbox.UIDSet
	if state.TargetValidity == now.UIDValidity && !backwards(state.TargetAt, now) {
		own = state.own()
	} else {
		r.forgetTarget(state, now.UIDValidity)
	}
	messages, err := r.messages(ctx, uids)
	if err != nil {
		return false, fault.Wrap(err, "look at what is to go")
	}
	seen := sortByWitness(state.Witnesses, uids, messages)
	allowed, err := r.permit(ctx, seen.of(mirror.Due{Folder: name, UIDs: uids, TargetValidity: now.UIDValidity,
		Own: own, Target: uids.Len(), Vanished: true}))
	if err != nil {
		return false, err
	}
	r.settleWitnesses(state, seen, messages)
	if len(allowed) == 0 {
		return false, nil
	}
	if err := r.remove(ctx, state, allowed); err != nil {
		return false, err
	}
	goes = allowed.Len() == uids.Len()
	if !goes || r.job.Keep.For > 0 {
		r.work(name).Expunged += allowed.Len() // what goes with its folder is counted as a folder
	}
	if !goes {
		return false, nil
	}
	uids, err = r.target.UIDs(ctx)
	return len(uids) == 0, fault.Wrap(err, "list the target's messages again")
}

// forgetTarget forgets whose the messages of a target's folder are, since their UIDs
// may be those of other messages now.
func (r *run) forgetTarget(s *FolderState, validity uint32) {
	next := FolderState{Name: s.Name, SourceValidity: s.SourceValidity, TargetValidity: validity, Differences: s.Differences}
	if s.TargetValidity == validity {
		next.Moving, next.Witnesses = s.Moving, s.Witnesses
	}
	update := next.asUpdate()
	update.RemovePairs = s.Pairs
	*s = next
	r.pending.Folders = append(r.pending.Folders, update)
}

// own returns the target's messages that the mirror put there, as far as the
// ledger shows. Of one that cannot be read it shows that only by its place.
func (s *FolderState) own() mailbox.UIDSet {
	unread := map[mailbox.UID]bool{}
	for _, d := range s.Differences {
		unread[d.SourceUID] = unread[d.SourceUID] || d.Kind == TargetUnreadable
	}
	targets := make([]mailbox.UID, 0, len(s.Pairs))
	for source, t := range mailbox.NewUIDMap(s.Pairs).All() {
		if !unread[source] {
			targets = append(targets, t)
		}
	}
	return s.Former.Union(mailbox.NewUIDSet(targets...))
}

// lapse notes what becomes of pairs of which one message is gone, before they
// are dropped: the mirror put the target's message there that the source does not
// have any more, and the target lost the other one.
func (f *folderRun) lapse() {
	f.attest()
	var lapsed []mailbox.UID
	for s, t := range f.pairs.All() {
		switch there := f.target.UIDs.Contains(t); {
		case !f.source.UIDs.Contains(s):
			if !f.damaged.Contains(t) && !f.recheckTarget.Contains(t) {
				lapsed = append(lapsed, t)
			}
		case !there:
			f.lost(s)
		}
	}
	f.state.Former = f.state.Former.Union(mailbox.NewUIDSet(lapsed...)).Intersect(f.target.UIDs)
}

// former returns what is in no pair now of what was in one.
func (f *folderRun) former() mailbox.UIDSet {
	var out mailbox.UIDSet
	for t := range f.state.Former.All() {
		if _, paired := f.pairs.Source(t); !paired {
			out.Add(t)
		}
	}
	return out
}
