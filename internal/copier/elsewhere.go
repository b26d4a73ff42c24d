package copier

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// A filter of the target may move each new message away from the folder to which the
// mirror copied it. In that folder the message is lost, but the target has it. If the
// mirror copied it again, the filter would move every copy, and the target would get
// more and more of them. One rule bounds that:
//
// A lost message is not copied again while another folder of the target has the very
// same message. It is the same if both have the same size or the same date, and the same
// bytes but for what servers are known to alter. A message that has a partner of its own
// is the copy of that one, and one that was found for another lost message is that one's.
//
// Bodies are read once: the ledger keeps where the copy is and what witnesses it. After
// that the mirror asks only for the metadata of the copies, and only when the message
// would be copied again otherwise. An operator's forced sync asks for it at once, and
// copies none of those messages either.

// copyAt is where another folder of the target has the copy of a lost message; the zero
// value is nowhere.
type copyAt struct {
	folder   mailbox.FolderName
	validity uint32
	uid      mailbox.UID
	witness  Witness
	// of is the witness of the source's message. A source that came back from a backup
	// may give the UID to another message, of which this is no copy.
	of Witness
}

// String is the form in which the ledger keeps it, after the count of undone.
func (c copyAt) String() string {
	if c == (copyAt{}) {
		return ""
	}
	return fmt.Sprintf(" %d %d %d %d %d %d %s", c.validity, c.uid, c.witness.Size, c.witness.Date, c.of.Size, c.of.Date, c.folder)
}

// copyAtOf reads what String wrote; the zero value where it cannot.
func copyAtOf(text string) (c copyAt) {
	fields := strings.SplitN(strings.TrimPrefix(text, " "), " ", 7)
	if len(fields) < 7 {
		return c
	}
	_, err := fmt.Sscan(strings.Join(fields[:6], " "), &c.validity, &c.uid, &c.witness.Size, &c.witness.Date, &c.of.Size, &c.of.Date)
	if c.folder = mailbox.FolderName(fields[6]); err != nil {
		return copyAt{}
	}
	return c
}

const (
	lostText  = "the target lost it again and again after it was copied"
	movedText = "the target did not keep it in this folder, and has it in its folder "
)

// lostDetail is the detail of the difference of a lost message.
func lostDetail(at copyAt) string {
	if at == (copyAt{}) {
		return lostText
	}
	return movedText + string(at.folder)
}

// MovedTo returns the folder of the target that has a message with the difference Lost.
// It reports false if none is known.
func MovedTo(d Difference) (mailbox.FolderName, bool) {
	name, moved := strings.CutPrefix(d.Detail, movedText)
	if !moved || d.Kind != Lost {
		return "", false
	}
	return mailbox.FolderName(name), true
}

// copies returns where the target has the folder's lost messages, by source UID.
func (s *FolderState) copies() map[mailbox.UID]copyAt {
	out := map[mailbox.UID]copyAt{}
	for _, d := range s.Differences {
		if u := undoneOf(d.Detail); d.Kind == Undone && u.copy != (copyAt{}) {
			out[d.SourceUID] = u.copy
		}
	}
	return out
}

// search looks in the other folders of the target for messages that it lost from one.
type search struct {
	*folderRun
	list []mailbox.Folder
	// wanted are the messages without a copy so far, by source UID.
	wanted map[mailbox.UID]*lack
	found  map[mailbox.UID]copyAt
	// claimed are the copies of lost messages, without their witnesses.
	claimed map[copyAt]bool
}

// place is a copy without its witness.
func (c copyAt) place() copyAt { return copyAt{folder: c.folder, validity: c.validity, uid: c.uid} }

// among reports whether the copy is one of the messages of its folder, by metadata.
func (c copyAt) among(messages map[mailbox.UID]mailbox.Message, validity uint32) bool {
	m, there := messages[c.uid]
	return there && c.validity == validity && c.witness == witnessOf(m)
}

// seekCopies looks in other folders of the target for the lost messages that are new as
// such or due to be copied again. Those that are there are not copied. If the ledger had
// to forget which messages the target moved, it looks for all that the target lacks.
func (f *folderRun) seekCopies(ctx context.Context) error {
	sought := f.seek
	if f.moves {
		sought = sought.Union(f.unpairedSource())
	}
	f.seek, f.moves = nil, false
	sought = sought.Intersect(f.unpairedSource())
	if len(sought) == 0 {
		return nil
	}
	if err := f.fetchSource(ctx, sought.Minus(knownUIDs(f.source))); err != nil {
		return fault.Wrap(err, "look at messages that the target lost")
	}
	s := search{folderRun: f, wanted: map[mailbox.UID]*lack{}, found: map[mailbox.UID]copyAt{}, claimed: f.claims(sought)}
	for uid := range sought.All() {
		if m, known := f.source.Messages[uid]; known {
			s.wanted[uid] = &lack{Message: m, folder: f.name}
		}
	}
	err := s.run(ctx)
	if err != nil {
		return fault.Wrap(err, "look in other folders of the target for messages that it lost")
	}
	for uid := range sought.All() {
		u, at := f.losses[uid], s.found[uid]
		if at != (copyAt{}) {
			if !u.lasting() {
				u = undone{times: undoneInRow, at: f.clock.Now()}
			}
			f.losesOften = true
			f.skip.Add(uid)
		}
		if u.copy = at; u.times > 0 {
			f.losses[uid] = u
		}
	}
	return nil
}

// givenAnew reports whether the source has another message than the one of which the
// ledger knows a copy.
func (f *folderRun) givenAnew() bool {
	for uid, u := range f.losses {
		if m, known := f.source.Messages[uid]; known && u.copy != (copyAt{}) && u.copy.of != witnessOf(m) {
			return true
		}
	}
	return false
}

// claims are the copies of the lost messages that are not sought now.
func (f *folderRun) claims(sought mailbox.UIDSet) map[copyAt]bool {
	out := map[copyAt]bool{}
	for uid, u := range f.losses {
		if !sought.Contains(uid) {
			out[u.copy.place()] = true
		}
	}
	for name, s := range f.states {
		if name == f.name || !lists(f.sourceList, name) {
			continue
		}
		for _, at := range s.copies() {
			out[at.place()] = true
		}
	}
	return out
}

// run finds what it can and opens the folder again.
func (s *search) run(ctx context.Context) error {
	target := s.folderRun.run.target
	if err := target.Unselect(ctx); err != nil {
		return err
	}
	var err error
	if s.list, err = target.List(ctx); err != nil {
		return err
	}
	if err := s.confirm(ctx); err != nil {
		return err
	}
	for _, folder := range s.list {
		if len(s.wanted) == 0 {
			break
		}
		if folder.Name == s.name || !s.mayHold(folder) {
			continue
		}
		if err := s.folder(ctx, folder.Name); err != nil && !staysInFolder(err) {
			return err
		}
	}
	now, permanent, err := target.Select(ctx, s.name)
	if err != nil {
		return err
	}
	if now.UIDValidity != s.target.Counters.UIDValidity {
		return fault.Newf(fault.Conflict, "the target folder was re-created in mid-sync")
	}
	s.permanent = permanent
	return nil
}

// mayHold reports whether a folder of the target may have a message that is the copy of
// no other one. Folders for deleted messages are emptied in time, and have none.
func (s *search) mayHold(folder mailbox.Folder) bool {
	if !folder.Selectable || folder.Unreadable || s.job.Keep.holds(folder.Name) {
		return false
	}
	now, state := folder.Counters, s.states[folder.Name]
	if now.UIDValidity == 0 || state == nil || now.HighestModSeq == 0 || state.TargetAt != now {
		return now.UIDValidity == 0 || now.Messages > 0
	}
	return mailbox.NewUIDMap(state.Pairs).Len() < int(now.Messages)
}

// open opens another folder for reading and returns which of its messages are no copies
// of others. uids nil is all that it has.
func (s *search) open(ctx context.Context, name mailbox.FolderName, uids mailbox.UIDSet) (validity uint32, free mailbox.UIDSet, err error) {
	target := s.folderRun.run.target
	now, err := target.Examine(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	if uids == nil {
		if uids, err = target.UIDs(ctx); err != nil {
			return 0, nil, err
		}
	}
	if state := s.states[name]; state != nil && state.TargetValidity == now.UIDValidity {
		uids = uids.Minus(state.targets())
	}
	var taken []mailbox.UID
	for at := range s.claimed {
		if at.folder == name && at.validity == now.UIDValidity {
			taken = append(taken, at.uid)
		}
	}
	return now.UIDValidity, uids.Minus(mailbox.NewUIDSet(taken...)), nil
}

// take notes where the copy of a wanted message is.
func (s *search) take(source mailbox.UID, at copyAt) {
	at.of = witnessOf(s.wanted[source].Message)
	s.found[source], s.claimed[at.place()] = at, true
	delete(s.wanted, source)
}

// confirm looks, by metadata alone, whether the copies that the ledger knows are where
// they were, and whether the source has the same messages as then. If a folder cannot be
// opened for now, they count as there.
func (s *search) confirm(ctx context.Context) error {
	known := map[mailbox.FolderName]map[mailbox.UID]copyAt{}
	for uid := range s.wanted {
		at := s.losses[uid].copy
		if !lists(s.list, at.folder) || at.of != witnessOf(s.wanted[uid].Message) {
			continue
		}
		if known[at.folder] == nil {
			known[at.folder] = map[mailbox.UID]copyAt{}
		}
		known[at.folder][uid] = at
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		uids := make([]mailbox.UID, 0, len(known[name]))
		for _, at := range known[name] {
			uids = append(uids, at.uid)
		}
		validity, free, err := s.open(ctx, name, mailbox.NewUIDSet(uids...))
		if err != nil && !staysInFolder(err) {
			return err
		}
		unsure := err != nil && !fault.Is(err, fault.Permanent)
		var now map[mailbox.UID]mailbox.Message
		if err == nil {
			if now, err = s.folderRun.run.messages(ctx, free); err != nil {
				return err
			}
		}
		for uid, at := range known[name] {
			if unsure || at.among(now, validity) {
				s.take(uid, at)
			}
		}
	}
	return nil
}

// folder looks in one folder, first for what has the same size and date.
func (s *search) folder(ctx context.Context, name mailbox.FolderName) error {
	validity, free, err := s.open(ctx, name, nil)
	if err != nil || len(free) == 0 {
		return err
	}
	now, err := s.folderRun.run.messages(ctx, free)
	if err != nil {
		return err
	}
	read := map[mailbox.UID]bodyDigest{}
	for _, exactly := range []bool{true, false} {
		targets, err := s.read(ctx, now, read, exactly)
		if err != nil {
			return err
		}
		byKin := map[[32]byte][]mailbox.UID{}
		for _, uid := range slices.Sorted(maps.Keys(s.wanted)) {
			if l := s.wanted[uid]; l.read {
				byKin[l.kin] = append(byKin[l.kin], uid)
			}
		}
		for t := range targets.All() {
			same := byKin[read[t].kin]
			if i := slices.IndexFunc(same, func(uid mailbox.UID) bool { return s.wanted[uid].like(now[t]) }); i >= 0 {
				s.take(same[i], copyAt{folder: name, validity: validity, uid: t, witness: witnessOf(now[t])})
				byKin[read[t].kin] = slices.Delete(same, i, i+1)
				delete(now, t)
			}
		}
	}
	return nil
}

// likeness is by what messages may be the same; in a zero field they may differ.
type likeness struct{ size, date int64 }

func likenesses(m mailbox.Message, exactly bool) []likeness {
	size, date := m.Size+1, m.InternalDate.Unix()
	if exactly {
		return []likeness{{size, date}}
	}
	return []likeness{{size: size}, {date: date}}
}

// read reads wanted messages, and those of the open folder that are like them, of which
// now is the metadata. It adds the latter to read and returns them.
func (s *search) read(ctx context.Context, now map[mailbox.UID]mailbox.Message, read map[mailbox.UID]bodyDigest, exactly bool) (targets mailbox.UIDSet, err error) {
	here, alike := map[likeness]bool{}, map[likeness]bool{}
	for _, m := range now {
		for _, l := range likenesses(m, exactly) {
			here[l] = true
		}
	}
	var unread []mailbox.UID
	for uid, l := range s.wanted {
		for _, k := range likenesses(l.Message, exactly) {
			if alike[k] = here[k]; here[k] && !l.read {
				unread = append(unread, uid)
			}
		}
	}
	var alikeHere, fresh mailbox.UIDSet
	for _, uid := range slices.Sorted(maps.Keys(now)) {
		if slices.ContainsFunc(likenesses(now[uid], exactly), func(l likeness) bool { return alike[l] }) {
			alikeHere.Add(uid)
			if _, known := read[uid]; !known {
				fresh.Add(uid)
			}
		}
	}
	sources := mailbox.NewUIDSet(unread...)
	digests, err := bodyDigests(ctx, s.folderRun.run.source, sources)
	if err := s.sourceWithheld(err); err != nil {
		return nil, err
	}
	for uid := range sources.All() {
		if d, ok := digests[uid]; ok {
			s.wanted[uid].bodyDigest, s.wanted[uid].read = d, true
		} else {
			delete(s.wanted, uid)
		}
	}
	copies, err := bodyDigests(ctx, s.folderRun.run.target, fresh)
	if _, err = apart(err); err != nil {
		return nil, err
	}
	maps.Copy(read, copies)
	for uid := range alikeHere.All() {
		if _, ok := read[uid]; ok {
			targets.Add(uid)
		}
	}
	return targets, nil
}

// copiesDue returns, by folder, the lost messages of which the ledger knows that what is
// due has their copies. These copies stay.
func (r *run) copiesDue(due dueOn, out *stays) map[mailbox.FolderName]mailbox.UIDSet {
	known := map[mailbox.FolderName]mailbox.UIDSet{}
	for name, s := range r.states {
		if !lists(r.sourceList, name) {
			continue
		}
		var uids []mailbox.UID
		for uid, at := range s.copies() {
			if at.folder == due.folder && due.uids.Contains(at.uid) && at.among(due.known, due.validity) {
				uids = append(uids, uid)
				out.same.Add(at.uid)
			}
		}
		known[name] = mailbox.NewUIDSet(uids...)
	}
	return known
}
