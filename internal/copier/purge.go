package copier

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// overdue returns the folders of a list whose time is over, children first.
func (k Keep) overdue(list []mailbox.Folder, now time.Time) []mailbox.Folder {
	var out []mailbox.Folder
	for _, f := range list {
		if f.Selectable && k.expired(f.Name, now) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b mailbox.Folder) int { return cmp.Compare(b.Name, a.Name) })
	return out
}

// purges reports whether a sync has something to purge, or to forget of what it could
// not purge.
func (k Keep) purges(target []mailbox.Folder, known []FolderState, now time.Time) bool {
	for _, f := range k.overdue(target, now) {
		i := slices.IndexFunc(known, func(s FolderState) bool { return s.Name == f.Name })
		if i < 0 || !known[i].settled(f, target) {
			return true
		}
	}
	return slices.ContainsFunc(known, func(s FolderState) bool {
		return !lists(target, s.Name) && slices.ContainsFunc(s.Differences, func(d Difference) bool { return d.Kind == NotPurged })
	})
}

// ofDeleted reports whether the state is that of a folder for deleted messages.
func (s *FolderState) ofDeleted() bool { return s.SourceValidity == 0 && s.TargetValidity == 0 }

// settled reports whether a folder whose time is over has nothing that the mirror may
// purge, as far as its counters tell: an earlier sync left it as it is, because of
// what it holds or because of a folder below it.
func (s *FolderState) settled(f mailbox.Folder, list []mailbox.Folder) bool {
	at, now := s.TargetAt, f.Counters
	return s.ofDeleted() && at.UIDValidity != 0 &&
		at.UIDValidity == now.UIDValidity && at.UIDNext == now.UIDNext && at.Messages == now.Messages &&
		(s.lasting() > 0 || slices.ContainsFunc(list, func(below mailbox.Folder) bool {
			return strings.HasPrefix(string(below.Name), string(f.Name)+"/")
		}))
}

// deletedState returns what the ledger knows of a folder for deleted messages. What it
// knew of a mirrored folder of the same name is over.
func (r *run) deletedState(name mailbox.FolderName) *FolderState {
	s := r.state(name)
	if !s.ofDeleted() {
		*s = FolderState{Name: name}
	}
	return s
}

// noteMoved puts into the pending update which messages the mirror is going to move
// into a folder for deleted messages. It reports whether there are any that were not
// noted before. The update has to be saved before they are moved. They are known by the
// UIDs that they have now, so that a message which is noted again after a crash counts
// once. now is what the target tells of them. One of which it tells nothing is not noted.
func (r *run) noteMoved(to mailbox.FolderName, uids mailbox.UIDSet, now map[mailbox.UID]mailbox.Message) bool {
	s := r.deletedState(to)
	next := maps.Collect(maps.All(s.Witnesses))
	for uid := range uids.All() {
		m, looked := now[uid]
		if !looked {
			continue
		}
		w := witnessOf(m)
		// If the folder was made anew on the same day, another message had the UID.
		for was, known := next[uid]; known && was != w; was, known = next[uid] {
			uid--
		}
		next[uid] = w
	}
	blocks := witnessBlocks(s.Witnesses, next)
	if len(blocks) == 0 {
		return false
	}
	s.Witnesses = next
	update := s.asUpdate()
	update.TargetAt, update.Witnesses = s.TargetAt, blocks
	r.pending.Folders = append(r.pending.Folders, update)
	r.pending.Durable = true
	return true
}

// purge deletes what was kept long enough: the messages that the mirror moved into the
// folders for deleted messages, and the folders that are empty then. What others put
// there stays, and is recorded.
func (r *run) purge(ctx context.Context) error {
	above := map[mailbox.FolderName]bool{} // those above a folder that stays
	for _, f := range r.job.Keep.overdue(r.targetList, r.clock.Now()) {
		gone := false
		if s := r.states[f.Name]; s == nil || r.job.Force || !s.settled(f, r.targetList) {
			var err error
			gone, err = r.purgeFolder(ctx, f.Name, above[f.Name])
			switch {
			case fault.Lost(err) && ctx.Err() == nil:
				r.settle(f.Name, mailbox.Counters{}, FolderKept, err.Error())
				err = r.revive(ctx)
			case fault.Is(err, fault.Permanent):
				r.settle(f.Name, f.Counters, FolderKept, err.Error())
				err = nil
			case fault.Rejected(err): // the next sync tries again
				r.settle(f.Name, mailbox.Counters{}, FolderKept, err.Error())
				err = nil
			}
			if err != nil {
				return fault.Wrap(err, "purge the folder for deleted messages "+string(f.Name))
			}
		}
		for p := f.Name.Parent(); p != "" && !gone; p = p.Parent() {
			above[p] = true
		}
	}
	return nil
}

// purgeFolder purges one folder, and reports whether it is gone. One that is above
// another folder stays.
func (r *run) purgeFolder(ctx context.Context, name mailbox.FolderName, above bool) (gone bool, err error) {
	now, _, err := r.target.Select(ctx, name)
	if err != nil {
		return false, err
	}
	own, err := r.movedInto(ctx, r.deletedState(name), now)
	if err != nil {
		return false, err
	}
	if len(own) > 0 {
		if err := r.expunge(ctx, own); err != nil {
			return false, err
		}
		r.room = true
	}
	left, err := r.target.UIDs(ctx)
	if err != nil {
		return false, err
	}
	if len(left) == 0 && !above {
		if err := r.write("delete it", func() error { return r.target.DeleteFolder(ctx, name) }); err != nil {
			return false, err
		}
		r.drop(name)
		return true, nil
	}
	now.Messages = uint32(left.Len())
	if len(left) == 0 {
		r.settle(name, now, "", "")
		return false, nil
	}
	r.settle(name, now, NotPurged, "this folder for deleted messages holds "+plural(left.Len(), "message")+
		" that Mailmirror did not put there, as far as its ledger shows")
	return false, nil
}

// movedInto returns the messages of the open folder for deleted messages that the
// mirror moved there, as far as the ledger shows. If more messages have a witness than
// the mirror moved, nothing tells them apart, and none of them is among them.
func (r *run) movedInto(ctx context.Context, s *FolderState, now mailbox.Counters) (own mailbox.UIDSet, err error) {
	if len(s.Witnesses) == 0 || now.UIDNext <= 1 || now.Messages == 0 {
		return nil, nil
	}
	messages, err := r.messages(ctx, mailbox.UIDSet{{First: 1, Last: now.UIDNext - 1}})
	if err != nil {
		return nil, err
	}
	moved, there := map[Witness]int{}, map[Witness]int{}
	for _, w := range s.Witnesses {
		moved[w]++
	}
	for _, m := range messages {
		there[witnessOf(m)]++
	}
	for _, uid := range slices.Sorted(maps.Keys(messages)) {
		if w := witnessOf(messages[uid]); there[w] <= moved[w] {
			own.Add(uid)
		}
	}
	return own, nil
}

// settle records that a folder for deleted messages stays at these counters, and why;
// "" if only because of those below it.
func (r *run) settle(name mailbox.FolderName, at mailbox.Counters, kind DifferenceKind, why string) {
	s := r.deletedState(name)
	var next []Difference
	if kind != "" {
		next = []Difference{{Kind: kind, Detail: why}}
	}
	update := s.asUpdate()
	update.TargetAt = at
	update.RemoveDifferences, update.AddDifferences = diffDifferences(s.Differences, next)
	s.TargetAt, s.Differences = at, next
	r.pending.Folders = append(r.pending.Folders, update)
}
