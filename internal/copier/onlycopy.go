package copier

import (
	"context"
	"maps"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// A message that was moved on the source is copied to its new folder before it goes
// from the old one. If it could not be copied there, the copy in the old folder may be
// the target's only one. One rule keeps such copies:
//
// The source lacks a copy of each message that has a difference and no partner: the
// target rejected it, had no room for it or lost it, or the source does not hand it
// over. A message of the target that is due to go stays if it may be a copy of one of
// them. It is one if both have the same size or the same date, and the same bytes but
// for what servers are known to alter. If one of both cannot be read, it may be one.
//
// If the source's message cannot be read, any message of the target may be its copy,
// but for those that were the partners of other messages when it was recorded already,
// unless they have its size and date: such a partner may be its twin.
//
// If a message could only not be copied, and the target's copy has the very same bytes,
// size and date, Mailmirror has the target move it. A full target has no room for a
// second copy, and can move the one that it has.

// stays are the messages of a folder of the target that are due to go and may be its
// only copies.
type stays struct {
	// same are copies of messages of the source, or cannot be told from such copies.
	same mailbox.UIDSet
	// unsure may be copies of messages of the source that cannot be read.
	unsure mailbox.UIDSet
	// own are those that are due and were once the mirror's.
	own mailbox.UIDSet
	// along are those of same that the target may move to where the source has them.
	along map[mailbox.FolderName]mailbox.UIDSet
}

// kept are the messages that the guard is not asked about. It is asked about the others
// that may be only copies: they are listed as held.
func (s stays) kept() mailbox.UIDSet { return s.same.Union(s.unsure.Intersect(s.own)) }

// why says for how many messages, and why, the target's folder is not as the source's.
// approved are those that the guard lets go.
func (s stays) why(approved mailbox.UIDSet) string {
	why := "the source has a message that cannot be read, and this may be the target's only copy of it"
	if len(s.same) > 0 {
		why = "the source has the same in another folder, to which Mailmirror could not copy it, and this may be the target's only copy"
	}
	return plural(s.kept().Union(approved.Intersect(s.unsure)).Len(), "message") + " not deleted on the target: " + why
}

// lack is a message of the source that the target does not have in the folder.
type lack struct {
	mailbox.Message
	folder mailbox.FolderName
	// bodyDigest is the message's if it was read.
	bodyDigest
	read bool
	// unreadable: the source did not hand it over earlier, and is not asked again.
	unreadable bool
	// movable: the target may have a copy of it moved to the folder.
	movable bool
}

// like reports whether a message of the target may be a copy of it, by size and date.
func (l lack) like(m mailbox.Message) bool {
	sized, dated := l.Size == m.Size, l.InternalDate.Equal(m.InternalDate)
	if l.unreadable {
		return sized && dated
	}
	return sized || dated
}

// dueOn is what is due to go from the target's open folder.
type dueOn struct {
	folder   mailbox.FolderName
	validity uint32
	uids     mailbox.UIDSet
	// known is the metadata of these messages; what has none cannot be read.
	known map[mailbox.UID]mailbox.Message
	// own are those that were once the mirror's, before those that were in a pair when
	// the sync began.
	own, before mailbox.UIDSet
}

// onlyCopies returns which of the messages that are due stay. The source may have
// another folder open afterwards if moved is true.
func (r *run) onlyCopies(ctx context.Context, due dueOn) (out stays, moved bool, err error) {
	out.own = due.own
	known := r.copiesDue(due, &out)
	var lacks []lack
	for _, name := range slices.Sorted(maps.Keys(r.states)) {
		if s := r.states[name]; r.lacks(s, known[name]) {
			moved = true
			found, err := r.lacking(ctx, s, known[name], due)
			if err != nil {
				return out, moved, fault.Wrap(err, "look at messages of the folder "+string(name)+" that the target lacks")
			}
			lacks = append(lacks, found...)
		}
	}
	if err := r.compareLacks(ctx, lacks, due, &out); err != nil {
		return out, moved, err
	}
	switch {
	case r.freshUnread:
		out.unsure = due.uids.Minus(out.same)
	case r.unreadSingle():
		out.unsure = out.unsure.Union(due.uids.Minus(due.before)).Minus(out.same)
	}
	return out, moved, nil
}

// compareLacks finds the messages that are due and may be those that the target lacks.
func (r *run) compareLacks(ctx context.Context, lacks []lack, due dueOn, out *stays) error {
	alike := map[mailbox.UID][]*lack{}
	var read mailbox.UIDSet
	for uid := range due.uids.All() {
		m, known := due.known[uid]
		for i := range lacks {
			switch l := &lacks[i]; {
			case l.unreadable:
				if known && l.like(m) {
					out.unsure.Add(uid)
				}
			case !known || (l.like(m) && !l.read):
				out.same.Add(uid)
			case l.like(m):
				alike[uid] = append(alike[uid], l)
				read.Add(uid)
			}
		}
	}
	digests, err := bodyDigests(ctx, r.target, read)
	if _, err = apart(err); err != nil {
		return fault.Wrap(err, "read target messages that may be the only copies")
	}
	out.along = map[mailbox.FolderName]mailbox.UIDSet{}
	for uid := range read.All() {
		d, ok := digests[uid]
		if !ok {
			out.same.Add(uid)
			continue
		}
		for _, l := range alike[uid] {
			if l.kin != d.kin {
				continue
			}
			out.same.Add(uid)
			if m := due.known[uid]; l.movable && l.exact == d.exact && l.InternalDate.Equal(m.InternalDate) && due.own.Contains(uid) {
				l.movable = false // one copy is enough
				set := out.along[l.folder]
				set.Add(uid)
				out.along[l.folder] = set
				break
			}
		}
	}
	return nil
}

// lacking opens a folder of the source and returns what it has, the target lacks and is
// like something that is due. Those whose copies are known are left out.
func (r *run) lacking(ctx context.Context, s *FolderState, known mailbox.UIDSet, due dueOn) ([]lack, error) {
	now, err := r.source.Examine(ctx, s.Name)
	if err != nil {
		return nil, err
	}
	unreadable := s.single(true)
	uids := s.single(false).Union(unreadable)
	if r.wholly(s) {
		if uids, err = r.source.UIDs(ctx); err != nil {
			return nil, err
		}
		if now.UIDValidity == s.SourceValidity {
			uids = uids.Minus(mailbox.NewUIDMap(s.Pairs).Sources())
		}
	} else if now.UIDValidity != s.SourceValidity {
		return nil, fault.Newf(fault.Conflict, "the source folder was re-created in mid-sync")
	}
	if uids = uids.Minus(known); len(uids) == 0 {
		return nil, nil
	}
	messages, err := r.source.Messages(ctx, uids, 0)
	withheld, err := apart(err)
	if err != nil {
		return nil, err
	}
	r.freshUnread = r.freshUnread || withheld != nil
	var out []lack
	var read mailbox.UIDSet
	for _, m := range messages {
		l := lack{Message: m, folder: s.Name, movable: s.movable(m.UID), unreadable: unreadable.Contains(m.UID)}
		alike, unknown := false, false
		for uid := range due.uids.All() {
			t, known := due.known[uid]
			unknown = unknown || !known
			alike = alike || (known && l.like(t))
		}
		if alike {
			read.Add(m.UID)
		}
		if unknown || alike {
			out = append(out, l)
		}
	}
	digests, err := bodyDigests(ctx, r.source, read.Minus(unreadable))
	if _, err = apart(err); err != nil {
		return nil, err
	}
	for i := range out {
		out[i].bodyDigest, out[i].read = digests[out[i].UID], false
		_, out[i].read = digests[out[i].UID]
	}
	return out, nil
}

// movable reports whether the target may accept a message in the folder if it moves
// the message itself.
func (s *FolderState) movable(uid mailbox.UID) bool {
	return !slices.ContainsFunc(s.Differences, func(d Difference) bool {
		return d.Kind == FolderRefused || (d.Kind == Lost && d.SourceUID == uid)
	})
}

// moveAlong has the target move messages of the open folder to where the source has
// them. It returns what was moved. A folder that rejects them gets none.
func (r *run) moveAlong(ctx context.Context, stay *stays) (moved mailbox.UIDSet, err error) {
	if !r.target.CanMove() {
		return nil, nil
	}
	for _, to := range slices.Sorted(maps.Keys(stay.along)) {
		uids := stay.along[to]
		err := r.write("move messages", func() error { return r.target.Move(ctx, uids, to) })
		if withheld, _ := apart(err); withheld != nil {
			uids, err = uids.Minus(withheld.UIDs), nil
		}
		if err != nil && staysInFolder(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r.along[to] = true
		moved = moved.Union(uids)
	}
	stay.same = stay.same.Minus(moved)
	return moved, nil
}

// lacks reports whether the source has messages in a folder that the target does not
// have there, but for those whose copies are known.
func (r *run) lacks(s *FolderState, known mailbox.UIDSet) bool {
	i := slices.IndexFunc(r.sourceList, func(f mailbox.Folder) bool { return f.Name == s.Name })
	if i < 0 || !r.sourceList[i].Selectable || r.sourceList[i].Unreadable {
		return false
	}
	return r.wholly(s) || len(s.single(false).Union(s.single(true)).Minus(known)) > 0
}

// wholly reports whether the target does not accept a folder, or has no room for any
// message that it lacks there.
func (r *run) wholly(s *FolderState) bool {
	return r.short[s.Name] || slices.ContainsFunc(s.Differences, func(d Difference) bool { return d.Kind == FolderRefused })
}

// single returns the messages of the source that have a difference and no partner:
// those that can be read, or those that cannot.
func (s *FolderState) single(unreadable bool) mailbox.UIDSet {
	pairs := mailbox.NewUIDMap(s.Pairs)
	var uids []mailbox.UID
	for _, d := range s.Differences {
		if _, paired := pairs.Target(d.SourceUID); d.SourceUID != 0 && !paired && d.Kind != Undone && (d.Kind == Unreadable) == unreadable {
			uids = append(uids, d.SourceUID)
		}
	}
	return mailbox.NewUIDSet(uids...)
}

// unnameable records the source's folders whose names no store can be told. Their
// messages cannot be read either: if there are others than before, as far as the
// folder's counters tell, they may have come from other folders.
func (r *run) unnameable() {
	for _, f := range r.sourceList {
		if !f.Unreadable || r.job.excluded().Match(f.Name) {
			continue
		}
		s := r.state(f.Name)
		known := len(s.Differences) > 0 && s.SourceAt == f.Counters
		r.freshUnread = r.freshUnread || (!mirror.Bare(f) && (!known || f.Counters.UIDValidity == 0))
		r.hidden = r.hidden || !mirror.Bare(f)
		if known {
			continue
		}
		r.refuseFolder(f.Name, 0, FolderRefused, fault.Newf(fault.Permanent,
			"the folder's name is not modified UTF-7, or holds the character U+FFFD; rename it on the source"))
		s.SourceAt = f.Counters
		r.pending.Folders[len(r.pending.Folders)-1].SourceAt = f.Counters
	}
}

// unreadSingle reports whether a message of any folder of the source cannot be read
// and has no partner.
func (r *run) unreadSingle() bool {
	if r.hidden {
		return true
	}
	for name, s := range r.states {
		// What a folder that is gone says of the source is over.
		if lists(r.sourceList, name) && len(s.single(true)) > 0 {
			return true
		}
	}
	return false
}

// stays returns which of the folder's messages that are due stay.
// Those of same are not other messages than the ledger says.
func (f *folderRun) stays(ctx context.Context, due, same mailbox.UIDSet) (stays, error) {
	f.forgetOnlyCopies()
	if f.unreadHere() {
		f.record(false) // as unreadSingle looks for it
	}
	stay, moved, err := f.run.onlyCopies(ctx, dueOn{folder: f.name,
		validity: f.target.Counters.UIDValidity, uids: due, known: f.target.Messages,
		own: f.state.Former, before: f.formerly.Intersect(same)})
	if err == nil && moved {
		var now mailbox.Counters
		if now, err = f.run.source.Examine(ctx, f.name); err == nil && now.UIDValidity != f.source.Counters.UIDValidity {
			err = fault.Newf(fault.Conflict, "the source folder was re-created in mid-sync")
		}
	}
	if err != nil {
		return stays{}, err
	}
	along, err := f.run.moveAlong(ctx, &stay)
	if len(along) > 0 {
		f.gave = true
		f.target.UIDs = f.target.UIDs.Minus(along)
	}
	return stay, err
}

// unreadHere reports whether a message of the source's folder cannot be read and has no
// partner.
func (f *folderRun) unreadHere() bool {
	return len(f.singles().Intersect(f.unread)) > 0
}

// forgetOnlyCopies forgets what stayed when the folder was looked at last.
func (f *folderRun) forgetOnlyCopies() {
	maps.DeleteFunc(f.differences, func(d Difference, _ bool) bool { return d.Kind == OnlyCopy })
}

// waitAnew forgets which deleted messages had no room: that is found out again.
func (f *folderRun) waitAnew() {
	maps.DeleteFunc(f.differences, func(d Difference, _ bool) bool { return d.Kind == NotKept })
}

// again reports whether the folder is to be looked at again once others were copied
// again: the target moved messages, or messages stay that may be its only copies.
func (f *folderRun) again() bool {
	if f.gave {
		return true
	}
	for d := range f.differences {
		if d.Kind == OnlyCopy {
			return true
		}
	}
	return false
}
