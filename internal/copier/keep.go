package copier

import (
	"cmp"
	"context"
	"path"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Keep says whether, and for how long, what is deleted stays on the target in
// a folder that nobody mirrors.
type Keep struct {
	// For is how long a message stays; 0 deletes at once.
	For time.Duration
	// Folder is where it stays. Below it there is one folder for each day (UTC)
	// on which something was deleted, so that a name tells when its time is
	// over. It is left out of mirroring also where For is 0.
	Folder mailbox.FolderName
}

// setBytes bounds the UID set of one command that has to be carried out as a
// whole, in bytes.
const setBytes = 4000

// of returns the folder that what is deleted from another one is moved to.
func (k Keep) of(from mailbox.FolderName, now time.Time) mailbox.FolderName {
	day := k.Folder + "/" + mailbox.FolderName(now.UTC().Format(time.DateOnly))
	if from == mailbox.Inbox {
		return day
	}
	return day + "/" + from
}

// expired reports whether the time of all that a folder keeps is over. Its day
// counts to its end.
func (k Keep) expired(name mailbox.FolderName, now time.Time) bool {
	below, ok := strings.CutPrefix(string(name), string(k.Folder)+"/")
	if k.For == 0 || !ok {
		return false
	}
	text, _, _ := strings.Cut(below, "/")
	day, err := time.Parse(time.DateOnly, text)
	return err == nil && now.Sub(day.AddDate(0, 0, 1)) > k.For
}

// holds reports whether a folder is one of those for deleted messages.
func (k Keep) holds(name mailbox.FolderName) bool {
	return k.Folder != "" && (name == k.Folder || strings.HasPrefix(string(name), string(k.Folder)+"/"))
}

// excluded are the folders that are left alone on both sides.
func (j Job) excluded() mailbox.Patterns {
	if j.Keep.Folder == "" {
		return j.Exclude
	}
	return append(slices.Clip(j.Exclude), string(j.Keep.Folder))
}

// reserved reports folders of the source that have the name under which the
// target keeps deleted messages, or are below it, so that they cannot be mirrored.
func (r *run) reserved() {
	name := r.job.Keep.Folder
	if name == "" {
		return
	}
	found := false
	for _, f := range r.sourceList {
		found = found || f.Selectable && r.job.Keep.holds(f.Name)
	}
	if !found {
		r.drop(name)
		return
	}
	r.refuseFolder(name, 0, FolderRefused, fault.Newf(fault.Permanent, "the source has this folder or folders below it, "+
		"and the target keeps deleted messages there; choose another folder for them with link edit --deleted-folder"))
}

// remove takes messages out of the open folder of the target: for good, or
// into the folder that keeps them for a time. now is what the target tells of them. Those
// that wait stay, since the target has no room for their copies in that folder.
func (r *run) remove(ctx context.Context, from *FolderState, uids mailbox.UIDSet, now map[mailbox.UID]mailbox.Message) (wait mailbox.UIDSet, err error) {
	if len(uids) == 0 {
		return nil, nil
	}
	if r.job.Keep.For == 0 {
		return nil, r.expunge(ctx, uids)
	}
	if from.Moving != nil {
		if uids, err = r.resume(ctx, from, uids); err != nil || len(uids) == 0 {
			return nil, err
		}
	}
	to := r.job.Keep.of(from.Name, r.clock.Now())
	if err := r.makeKept(ctx, to); err != nil {
		return nil, err
	}
	if r.noteMoved(to, uids, now) {
		if err := r.save(ctx); err != nil {
			return nil, err
		}
	}
	for _, part := range uids.Chunks(setBytes) {
		if r.target.CanMove() {
			if err := r.write("move deleted messages", func() error { return r.target.Move(ctx, part, to) }); err != nil {
				return nil, err
			}
			continue
		}
		err := r.copyAway(ctx, from, part, to)
		if fault.NoRoom(err) {
			var short mailbox.UIDSet
			short, err = r.copySmallest(ctx, from, part, to, now)
			wait = wait.Union(short)
		}
		if err != nil {
			return nil, err
		}
	}
	return wait, nil
}

// copySmallest moves those messages for whose copies the target has room, the smallest
// first, and returns the others: what is as large as one without room has none either.
func (r *run) copySmallest(ctx context.Context, from *FolderState, uids mailbox.UIDSet, to mailbox.FolderName,
	now map[mailbox.UID]mailbox.Message) (wait mailbox.UIDSet, err error) {
	list := uids.UIDs()
	slices.SortStableFunc(list, func(a, b mailbox.UID) int { return cmp.Compare(now[a].Size, now[b].Size) })
	for i, uid := range list {
		one := mailbox.NewUIDSet(uid)
		if len(list) > 1 {
			err = r.copyAway(ctx, from, one, to)
		}
		if len(list) == 1 || fault.NoRoom(err) {
			return mailbox.NewUIDSet(list[i:]...), nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// errWaits says that deleted messages stay until there is room to keep them.
func (r *run) errWaits(uids mailbox.UIDSet) error {
	return fault.Newf(fault.Permanent, "%s, deleted on the source, could not be kept: the mailbox is full on the target, which has no MOVE, "+
		"so that there is no room for a copy in the folder %s", plural(uids.Len(), "message"), r.job.Keep.Folder)
}

func (r *run) expunge(ctx context.Context, uids mailbox.UIDSet) error {
	return r.write("expunge", func() error { return r.target.Expunge(ctx, uids) })
}

// makeKept creates a folder for deleted messages with those above it.
func (r *run) makeKept(ctx context.Context, name mailbox.FolderName) error {
	if r.made[name] {
		return nil
	}
	for up := mailbox.FolderName(path.Dir(string(name))); up != "."; up = mailbox.FolderName(path.Dir(string(up))) {
		if up == r.job.Keep.Folder {
			break
		}
		if err := r.makeKept(ctx, up); err != nil {
			return err
		}
	}
	err := r.write("create the folder for deleted messages", func() error { return r.target.CreateFolder(ctx, name, nil) })
	if err != nil {
		return err
	}
	r.made[name] = true
	return nil
}

// copyAway moves messages where the server has no MOVE (RFC 6851). COPY copies
// all of them or none (RFC 3501, section 6.4.7), so that one look at what came
// after the UIDNEXT in the intent tells whether it was done.
func (r *run) copyAway(ctx context.Context, from *FolderState, uids mailbox.UIDSet, to mailbox.FolderName) error {
	there, err := r.target.Examine(ctx, to)
	if err != nil {
		return fault.Wrap(err, "examine the folder for deleted messages")
	}
	if err := r.selectAgain(ctx, from); err != nil {
		return err
	}
	move := &Moving{To: to, Validity: there.UIDValidity, UIDNext: there.UIDNext, UIDs: uids}
	if from.Moving != nil {
		move.Copied = from.Moving.Copied
	}
	from.Moving = move
	r.pending.Folders = append(r.pending.Folders, from.asUpdate())
	if err := r.save(ctx); err != nil {
		return err
	}
	if err := r.write("copy deleted messages", func() error { return r.target.Copy(ctx, uids, to) }); err != nil {
		return err
	}
	return r.expunge(ctx, uids)
}

// selectAgain opens the folder that messages are removed from, after another one was
// open: UIDs of a folder that took its place meanwhile would be those of other messages.
func (r *run) selectAgain(ctx context.Context, from *FolderState) error {
	now, _, err := r.target.Select(ctx, from.Name)
	if err != nil {
		return fault.Wrap(err, "select target folder again")
	}
	if now.UIDValidity != from.TargetValidity {
		return fault.Newf(fault.Conflict, "the target folder was re-created in mid-sync")
	}
	return nil
}

// resume ends what an earlier sync began: what arrived in the folder for
// deleted messages, and is still there, is not copied there again. A target that was
// restored from a backup may lack it. It returns what is left to do.
func (r *run) resume(ctx context.Context, from *FolderState, uids mailbox.UIDSet) (mailbox.UIDSet, error) {
	m := *from.Moving
	arrived, there, err := r.arrived(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := r.selectAgain(ctx, from); err != nil {
		return nil, err
	}
	m.Copied = m.Copied.Union(from.among(arrived, m.UIDs))
	m.UIDs = nil
	copied := from.among(there, uids.Intersect(m.Copied))
	m.Copied = m.Copied.Minus(uids)
	if len(copied) > 0 {
		if err := r.expunge(ctx, copied); err != nil {
			return nil, err
		}
		uids = uids.Minus(copied)
	}
	from.Moving = &m
	return uids, nil
}

// among returns those of the folder's messages that are among others, by their
// witnesses. Users of the target may have put others there.
func (s *FolderState) among(others map[Witness]int, uids mailbox.UIDSet) (out mailbox.UIDSet) {
	for uid := range uids.All() {
		if w, known := s.Witnesses[uid]; known && others[w] > 0 {
			others[w]--
			out.Add(uid)
		}
	}
	return out
}

// arrived counts, by their witnesses, the messages that came into the folder for deleted
// messages since a move began, and all that are there.
func (r *run) arrived(ctx context.Context, m Moving) (since, there map[Witness]int, err error) {
	now, err := r.target.Examine(ctx, m.To)
	switch {
	case fault.Is(err, fault.Permanent):
		return nil, nil, nil // the folder is gone, and what it held with it
	case err != nil:
		return nil, nil, fault.Wrap(err, "examine the folder for deleted messages")
	case now.UIDValidity != m.Validity || now.UIDNext <= 1:
		return nil, nil, nil
	}
	all, err := r.messages(ctx, mailbox.UIDSet{{First: 1, Last: now.UIDNext - 1}})
	if err != nil {
		return nil, nil, fault.Wrap(err, "list deleted messages")
	}
	since, there = map[Witness]int{}, map[Witness]int{}
	for uid, message := range all {
		there[witnessOf(message)]++
		if uid >= m.UIDNext {
			since[witnessOf(message)]++
		}
	}
	return since, there, nil
}

// asUpdate is the folder's state with its open move and without a proof that
// both sides are equal.
func (s *FolderState) asUpdate() FolderUpdate {
	return FolderUpdate{Name: s.Name, SourceValidity: s.SourceValidity, TargetValidity: s.TargetValidity,
		Recreated: s.Recreated, OpenMove: s.Moving, Former: s.Former}
}
