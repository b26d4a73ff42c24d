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
	if r.job.Limits == (mirror.Limits{}) {
		return due.UIDs, nil
	}
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
	if f.job.Limits == (mirror.Limits{}) {
		return due, nil
	}
	if len(due.Minus(f.judged)) > 0 {
		allowed, err := f.run.permit(ctx, mirror.Due{Folder: f.name, UIDs: due, TargetValidity: f.target.Counters.UIDValidity,
			Target: f.target.UIDs.Len(), Source: f.source.UIDs.Len(), Recreated: f.state.Recreated})
		if err != nil {
			return nil, err
		}
		f.judged, f.allowed = due, allowed
	}
	allowed := due.Intersect(f.allowed)
	f.left = allowed.Len() < due.Len()
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

// vacate asks whether a folder that the source does not have may go with all
// that it holds, and puts that aside where deleted messages are kept for a time.
func (r *run) vacate(ctx context.Context, name mailbox.FolderName) (goes bool, err error) {
	if r.job.Limits == (mirror.Limits{}) && r.job.Keep.For == 0 {
		return true, nil
	}
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
	allowed, err := r.permit(ctx, mirror.Due{Folder: name, UIDs: uids, TargetValidity: now.UIDValidity,
		Target: uids.Len(), Vanished: true})
	if err != nil {
		return false, err
	}
	goes = allowed.Len() == uids.Len()
	if goes && r.job.Keep.For == 0 {
		return true, nil
	}
	state := r.state(name)
	if state.TargetValidity != now.UIDValidity {
		state.TargetValidity, state.Moving = now.UIDValidity, nil
	}
	if err := r.remove(ctx, state, allowed); err != nil {
		return false, err
	}
	r.work(name).Expunged += allowed.Len()
	return goes, nil
}
