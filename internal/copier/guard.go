package copier

import (
	"context"
	"maps"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// ruling is what of a folder's messages that are due may go.
type ruling struct {
	// judged is what was asked about, allowed what of it may go, and only what stays
	// since it may be an only copy.
	judged, allowed, only mailbox.UIDSet
	// gave is true if the target moved messages from the folder to others.
	gave bool
}

// permit asks what of the messages due in a folder may go. The answer is
// durable before anything goes: what is held is held by whoever comes next. It is not
// asked about only copies that the mirror put there. An approval of others waits until
// they are no only copies any more. why says that something stays for that; "" if nothing.
func (r *run) permit(ctx context.Context, due mirror.Due, stay stays) (allowed mailbox.UIDSet, why string, err error) {
	delete(r.left, due.Folder)
	var approved mailbox.UIDSet
	kept := stay.kept()
	if due.UIDs = due.UIDs.Minus(kept); len(due.UIDs) > 0 {
		d, err := r.ledger.Judge(ctx, r.lease, r.job.Limits, due)
		if err != nil {
			return nil, "", fault.Wrap(err, "ask the deletion guard")
		}
		if n := d.Asked.Len(); n > 0 {
			r.log.InfoContext(ctx, "deletions held", "link", r.job.Key.Link, "run_id", r.job.RunID, "mailbox_id", string(r.job.Key.Number),
				"messages", n, "target_messages", due.Target)
		}
		if approved = d.Allow; len(d.Hold)+len(d.Keep)+len(approved.Intersect(stay.unsure)) > 0 {
			r.left[due.Folder] = d
		}
	}
	if len(kept)+len(approved.Intersect(stay.unsure)) == 0 {
		return approved, "", nil
	}
	return approved.Minus(stay.unsure), stay.why(approved), nil
}

// askAnew has finish ask what may go, after every folder of the mailbox has its new
// messages.
func (f *folderRun) askAnew() {
	f.hold, f.held, f.gave, f.judged, f.only = false, false, false, nil, nil
	delete(f.run.left, f.name)
	f.forgetOnlyCopies()
	f.waitAnew()
}

// permitted returns what of a plan's expunges may be carried out: what is not kept as
// an only copy, and what the guard lets go. Once asked, both are asked again only about
// messages that they have not seen.
func (f *folderRun) permitted(ctx context.Context, due mailbox.UIDSet) (mailbox.UIDSet, error) {
	if len(due.Minus(f.judged)) > 0 {
		if err := f.fetchTarget(ctx, due.Minus(knownUIDs(f.target)).Minus(f.damaged)); err != nil {
			return nil, fault.Wrap(err, "look at what is to go")
		}
		if due = due.Intersect(f.target.UIDs); len(due) == 0 {
			return nil, nil
		}
		seen := sortByWitness(f.witnesses, due, f.target.Messages)
		if seen.forget(f.state) {
			f.run.pending.Folders = append(f.run.pending.Folders, f.state.asUpdate())
		}
		stay, err := f.stays(ctx, due, seen.same)
		if err != nil {
			return nil, err
		}
		due = due.Intersect(f.target.UIDs)
		kept := stay.kept()
		allowed, why, err := f.run.permit(ctx, seen.of(mirror.Due{Folder: f.name, UIDs: due, TargetValidity: f.target.Counters.UIDValidity,
			Own: f.state.Former, Target: f.target.UIDs.Len(), Source: f.source.UIDs.Len(), Recreated: f.state.Recreated}), stay)
		if err != nil {
			return nil, err
		}
		if why != "" {
			f.differences[Difference{Kind: OnlyCopy, Detail: why}] = true
		}
		seen.remember(f.witnesses, f.target.Messages, due.Minus(kept))
		f.judged, f.allowed, f.only = due, allowed, kept
	}
	allowed := due.Intersect(f.allowed)
	f.left = f.left || f.gave || len(due.Minus(allowed).Minus(f.only)) > 0
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
	state := r.state(name)
	var own, before mailbox.UIDSet
	if state.TargetValidity == now.UIDValidity && !backwards(state.TargetAt, now) {
		own, before = state.own(), state.targets()
	} else {
		r.forgetTarget(state, now.UIDValidity)
	}
	messages, err := r.messages(ctx, uids)
	if err != nil {
		return false, fault.Wrap(err, "look at what is to go")
	}
	seen := sortByWitness(state.Witnesses, uids, messages)
	stay, _, err := r.onlyCopies(ctx, dueOn{folder: name, validity: now.UIDValidity, uids: uids, known: messages,
		own: own.Intersect(seen.same), before: before.Intersect(seen.same)})
	if err != nil {
		return false, err
	}
	along, err := r.moveAlong(ctx, &stay)
	if err != nil {
		return false, err
	}
	present := uids
	uids = uids.Minus(along)
	allowed, why, err := r.permit(ctx, seen.of(mirror.Due{Folder: name, UIDs: uids, TargetValidity: now.UIDValidity,
		Own: own, Target: uids.Len(), Vanished: true}), stay)
	if why != "" {
		defer func() {
			if err == nil {
				r.refuseFolder(name, 0, OnlyCopy, fault.Newf(fault.Permanent, "%s", why))
			}
		}()
	}
	if err != nil {
		return false, err
	}
	r.settleWitnesses(state, present, uids.Minus(stay.kept()), seen, messages)
	if len(allowed) == 0 && len(uids) > 0 {
		return false, nil
	}
	wait, err := r.remove(ctx, state, allowed, messages)
	if err != nil {
		return false, err
	}
	if allowed = allowed.Minus(wait); len(wait) > 0 {
		defer func() {
			if err == nil {
				r.refuseFolder(name, 0, NotKept, r.errWaits(wait))
			}
		}()
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

// targets are the target's messages of the pairs that the ledger knows.
func (s *FolderState) targets() mailbox.UIDSet { return mailbox.NewUIDMap(s.Pairs).Targets() }

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
	return f.state.Former.Minus(f.pairs.Targets())
}
