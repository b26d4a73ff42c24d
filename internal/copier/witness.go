package copier

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// Witness is what the target told of a message when the mirror last knew whose it
// is. A target that was restored from a backup gives UIDs out again: a message that
// tells something else is another one. The numbers are the lowest 32 bits of the
// size in bytes and of the INTERNALDATE in Unix seconds.
type Witness struct{ Size, Date uint32 }

func witnessOf(m mailbox.Message) Witness {
	return Witness{Size: uint32(m.Size), Date: uint32(m.InternalDate.Unix())}
}

// WitnessSpan is how many UIDs one block of witnesses is for.
const WitnessSpan = 256

// WitnessBlock holds the witnesses of the messages with a UID from First on, which is
// a multiple of WitnessSpan, to the next block.
type WitnessBlock struct {
	First mailbox.UID
	Of    map[mailbox.UID]Witness
}

// witnessBlocks returns the blocks in which two lists of witnesses differ, as they
// are in the second, the lowest first. A block without a witness is to be removed.
func witnessBlocks(before, after map[mailbox.UID]Witness) []WitnessBlock {
	blocks := map[mailbox.UID]map[mailbox.UID]Witness{}
	for uid, w := range after {
		if was, ok := before[uid]; !ok || was != w {
			blocks[uid-uid%WitnessSpan] = nil
		}
	}
	for uid := range before {
		if _, ok := after[uid]; !ok {
			blocks[uid-uid%WitnessSpan] = nil
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	for uid, w := range after {
		first := uid - uid%WitnessSpan
		of, changed := blocks[first]
		if !changed {
			continue
		}
		if of == nil {
			of = map[mailbox.UID]Witness{}
			blocks[first] = of
		}
		of[uid] = w
	}
	out := make([]WitnessBlock, 0, len(blocks))
	for first, of := range blocks {
		out = append(out, WitnessBlock{First: first, Of: of})
	}
	slices.SortFunc(out, func(a, b WitnessBlock) int { return cmp.Compare(a.First, b.First) })
	return out
}

// sorted is what witnesses say of messages that are to go: those that are the same
// as before, those that are others, and those of which there is no witness. A message
// that cannot be looked at is in none of the sets: it is not the mirror's, and what
// the operator decides on it holds, or it could never go.
type sorted struct{ same, other, unknown mailbox.UIDSet }

// sortByWitness compares messages of the target with their witnesses.
func sortByWitness(witnesses map[mailbox.UID]Witness, uids mailbox.UIDSet, now map[mailbox.UID]mailbox.Message) (s sorted) {
	for uid := range uids.All() {
		m, looked := now[uid]
		switch w, ok := witnesses[uid]; {
		case !looked:
		case !ok:
			s.unknown.Add(uid)
		case w == witnessOf(m):
			s.same.Add(uid)
		default:
			s.other.Add(uid)
		}
	}
	return s
}

// of puts into what is due what is known of its messages.
func (s sorted) of(due mirror.Due) mirror.Due {
	due.Own, due.Other, due.Unknown = due.Own.Intersect(s.same), s.other, s.unknown
	return due
}

// forget removes the messages that are not surely the same as before from what the
// ledger says that the mirror did to them. It returns true if an open move is another
// one then.
func (s sorted) forget(state *FolderState) (move bool) {
	unsure := s.other.Union(s.unknown)
	state.Former = state.Former.Minus(unsure)
	if m := state.Moving; m != nil && len(unsure) > 0 {
		next := *m
		next.UIDs, next.Copied = m.UIDs.Minus(unsure), m.Copied.Minus(unsure)
		state.Moving, move = &next, true
	}
	return move
}

// remember replaces the witnesses of those messages that the guard was asked about by
// what they tell now.
func (s sorted) remember(witnesses map[mailbox.UID]Witness, now map[mailbox.UID]mailbox.Message, asked mailbox.UIDSet) {
	for uid := range s.other.Union(s.unknown).Intersect(asked).All() {
		if m, looked := now[uid]; looked {
			witnesses[uid] = witnessOf(m)
		}
	}
}

// messages looks at messages of the target's open folder. One that cannot be read is
// absent.
func (r *run) messages(ctx context.Context, uids mailbox.UIDSet) (map[mailbox.UID]mailbox.Message, error) {
	list, err := r.target.Messages(ctx, uids, 0)
	_, err = apart(err)
	out := make(map[mailbox.UID]mailbox.Message, len(list))
	for _, m := range list {
		out[m.UID] = m
	}
	return out, err
}

// settleWitnesses brings what the ledger knows of a folder that the source does not
// have up to date with those of its messages that are present. The guard was asked
// about some of them.
func (r *run) settleWitnesses(s *FolderState, present, asked mailbox.UIDSet, seen sorted, now map[mailbox.UID]mailbox.Message) {
	next := maps.Collect(maps.All(s.Witnesses))
	maps.DeleteFunc(next, func(uid mailbox.UID, _ Witness) bool { return !present.Contains(uid) })
	seen.remember(next, now, asked)
	blocks := witnessBlocks(s.Witnesses, next)
	if len(blocks) == 0 && len(seen.other)+len(seen.unknown) == 0 {
		return
	}
	seen.forget(s)
	pairs := mailbox.NewUIDMap(s.Pairs)
	for t := range seen.other.Union(seen.unknown).All() {
		if source, paired := pairs.Source(t); paired {
			pairs.DeleteSource(source)
		}
	}
	update := s.asUpdate()
	update.SourceAt, update.TargetAt, update.Witnesses = s.SourceAt, s.TargetAt, blocks
	update.RemovePairs, update.AddPairs = mailbox.DiffRuns(s.Pairs, pairs.Runs())
	s.Pairs, s.Witnesses = pairs.Runs(), next
	r.pending.Folders = append(r.pending.Folders, update)
}

// keepWitnesses takes over the witnesses of a state whose place s takes, if the UIDs
// mean the same, and returns what is to be saved with s. kept is true if the ledger
// keeps the folder's row.
func (s *FolderState) keepWitnesses(from map[mailbox.UID]Witness, kept bool) []WitnessBlock {
	s.Witnesses = from
	if kept {
		return nil
	}
	return witnessBlocks(nil, from)
}

// attest notes what the target tells of the messages that are in pairs: of those
// that this sync copied, and of those that tell the same as their partners. A target
// that alters messages stores another size or another date.
func (f *folderRun) attest() {
	altered := f.alteredSources()
	for s, t := range f.pairs.All() {
		b, known := f.target.Messages[t]
		if !known {
			continue
		}
		_, has := f.witnesses[t]
		a, knownToo := f.source.Messages[s]
		size, date := knownToo && a.Size == b.Size, knownToo && a.InternalDate.Equal(b.InternalDate)
		if f.accepted[s] > 0 || (size && date) || (altered[s] && !has && (size || date)) {
			f.witnesses[t] = witnessOf(b)
		}
	}
}

// exchanged drops pairs of messages that the target altered and that are others now:
// nothing but their witnesses shows that. It reports whether there was any.
func (f *folderRun) exchanged() (found bool) {
	for s := range f.alteredSources() {
		t, paired := f.pairs.Target(s)
		now, known := f.target.Messages[t]
		if w, ok := f.witnesses[t]; !paired || !known || !ok || w == witnessOf(now) {
			continue
		}
		found = true
		delete(f.witnesses, t)
		f.pairs.DeleteSource(s)
		maps.DeleteFunc(f.differences, func(d Difference, _ bool) bool {
			return d.SourceUID == s && (d.Kind == Altered || d.Kind == Unchecked)
		})
	}
	return found
}

// floor is what is kept of counters at which both sides were not proven equal: no
// store that was not restored from a backup has a lower UIDNEXT later.
func floor(c mailbox.Counters) mailbox.Counters { return mailbox.Counters{UIDNext: c.UIDNext} }

// forgetRefusals has everything copied that the target refused or lost: the source may
// have given the UIDs to other messages.
func (f *folderRun) forgetRefusals() {
	f.skip, f.seek = f.unread, nil
	for _, u := range f.losses {
		f.moves = f.moves || u.copy != (copyAt{})
	}
	f.losses, f.losesOften = map[mailbox.UID]undone{}, false
	maps.DeleteFunc(f.differences, func(d Difference, _ bool) bool { return d.Kind == Refused || d.Kind == Postponed })
}

// attested reports whether the ledger has a witness of every pair that can be read.
func (f *folderRun) attested() bool {
	for _, t := range f.pairs.All() {
		if _, ok := f.witnesses[t]; !ok && !f.damaged.Contains(t) {
			return false
		}
	}
	return true
}

// saveWitnesses puts into an update what changed of the witnesses.
func (f *folderRun) saveWitnesses(u *FolderUpdate) {
	for t := range f.witnesses {
		if !f.target.UIDs.Contains(t) {
			delete(f.witnesses, t)
		}
	}
	u.Witnesses = witnessBlocks(f.state.Witnesses, f.witnesses)
	if len(u.Witnesses) > 0 {
		f.state.Witnesses = maps.Clone(f.witnesses)
	}
}

// sampleSize is how many of the youngest messages of a changed folder are
// looked at again.
const sampleSize = 8

// sampleYoungest looks again at the youngest messages that the ledger knows, also at
// those of which it knows a copy in another folder of the target. A
// store that came back from a backup gives their UIDs out again, and once it
// has more messages than before no counter tells; see strangers.
func (f *folderRun) sampleYoungest(ctx context.Context) error {
	runs := mirror.Live(f.pairs, f.source.UIDs, f.target.UIDs).Runs()
	uids := youngest(runs)
	slices.SortFunc(runs, func(a, b mailbox.Run) int { return cmp.Compare(a.Target, b.Target) })
	uids = append(uids, youngest(runs)...)
	var lost []mailbox.UID
	for uid, u := range f.losses {
		if u.copy != (copyAt{}) && f.source.UIDs.Contains(uid) {
			lost = append(lost, uid)
		}
	}
	slices.Sort(lost)
	uids = append(uids, lost[max(0, len(lost)-sampleSize):]...)
	return f.fetchSource(ctx, mailbox.NewUIDSet(uids...).Minus(knownUIDs(f.source)).Minus(f.unread))
}

// youngest returns the last source UIDs of the runs.
func youngest(runs []mailbox.Run) []mailbox.UID {
	var uids []mailbox.UID
	for _, r := range slices.Backward(runs) {
		for i := range min(r.Length, uint32(sampleSize-len(uids))) {
			uids = append(uids, r.Source+mailbox.UID(r.Length-1-i))
		}
	}
	return uids
}
