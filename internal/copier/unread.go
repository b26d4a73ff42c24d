package copier

import (
	"cmp"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// sourceWithheld notes the messages of the source that cannot be read, and returns
// every other error.
func (f *folderRun) sourceWithheld(err error) error {
	withheld, err := apart(err)
	if withheld != nil {
		f.leaveOut(withheld)
	}
	return err
}

// leaveOut notes messages that the source has and will not hand over.
func (f *folderRun) leaveOut(e *WithheldError) {
	why := e.Error()
	if hint := fault.HintOf(e); hint != "" {
		why += "; " + hint
	}
	for uid := range e.UIDs.All() {
		_, paired := f.pairs.Target(uid)
		f.run.freshUnread = f.run.freshUnread || (!paired && !slices.Contains(f.notThere, uid))
		f.clearSuspicion(SuspectSource, uid)
		f.differences[Difference{Kind: Unreadable, SourceUID: uid, Detail: why}] = true
	}
	f.skip, f.unread = f.skip.Union(e.UIDs), f.unread.Union(e.UIDs)
}

// targetWithheld notes the messages of the target that cannot be read or changed,
// and returns every other error. uncertain tells whose partners they are.
func (f *folderRun) targetWithheld(err error) error {
	withheld, err := apart(err)
	if withheld != nil {
		f.damaged = f.damaged.Union(withheld.UIDs)
		f.damage = withheld.Error()
	}
	return err
}

// uncertain deals with messages of the target that cannot be read and have no partner.
// It returns the messages of the target that must stay for that.
func (f *folderRun) uncertain() (keep mailbox.UIDSet) {
	f.damaged = f.damaged.Intersect(f.target.UIDs)
	f.unread = f.unread.Intersect(f.source.UIDs)
	stray := f.strays()
	unknown := f.damaged.Intersect(stray).Minus(f.formerly)
	keep = f.stuck
	if len(unknown) > 0 {
		f.doubt(unknown)
		keep = keep.Union(unknown)
	}
	f.tellDamaged()
	return keep
}

// gap is the place between two pairs that are neighbours on the target: the source
// UIDs of these pairs, both excluded.
type gap struct{ after, before mailbox.UID }

// doubt has those messages of the source not copied that may be on the target already,
// as one that cannot be read. It makes no pairs: nothing shows whose the messages are.
//
// A message of the source may be one of them if no ledger knows the folder, or if it was
// in doubt before, or if its copying was begun and not confirmed. Every other one came
// later than the last look at the target. Only those between the same neighbours and of
// the same date are in doubt. If there are more of them than of the target's, some are
// certainly not there: Mailmirror copies all of them, so that none is missing.
func (f *folderRun) doubt(damaged mailbox.UIDSet) {
	single := f.singles()
	for g, targets := range f.gaps(damaged) {
		var sources []mailbox.UID
		for s := range single.All() {
			if s > g.after && s < g.before {
				sources = append(sources, s)
			}
		}
		if len(sources) == 0 {
			// Its partner may have been given to a twin of that.
			sources = f.twins(single)
		}
		var doubtful []mailbox.UID
		for _, s := range sources {
			if slices.ContainsFunc(targets, func(t mailbox.UID) bool { return f.mayBe(s, t) }) {
				doubtful = append(doubtful, s)
			}
		}
		if len(doubtful) > len(targets) {
			continue // some of them are not there
		}
		f.skip = f.skip.Union(mailbox.NewUIDSet(doubtful...))
		for _, s := range doubtful {
			f.differences[Difference{Kind: TargetUnreadable, SourceUID: s, Detail: "not copied: the target has " +
				plural(len(targets), "message") + " at this place that cannot be read, and this may be one of them"}] = true
		}
	}
}

// mayBe reports whether a message of the target that cannot be read may be a copy of a
// message of the source.
func (f *folderRun) mayBe(s, t mailbox.UID) bool {
	if f.known && !f.doubted.Contains(s) {
		if i := f.state.Intent; i == nil || t < i.TargetUIDNext || !i.Sources.Contains(s) {
			return false
		}
	}
	a, knownA := f.source.Messages[s]
	b, knownB := f.target.Messages[t]
	return !knownA || !knownB || a.InternalDate.Equal(b.InternalDate)
}

// gaps returns the places at which messages of the target stand.
func (f *folderRun) gaps(targets mailbox.UIDSet) map[gap][]mailbox.UID {
	type pair struct{ source, target mailbox.UID }
	var pairs []pair
	for s, t := range f.pairs.All() {
		pairs = append(pairs, pair{s, t})
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Compare(a.target, b.target) })
	gaps := map[gap][]mailbox.UID{}
	for t := range targets.All() {
		i, _ := slices.BinarySearchFunc(pairs, t, func(p pair, t mailbox.UID) int { return cmp.Compare(p.target, t) })
		g := gap{0, ^mailbox.UID(0)}
		if i > 0 {
			g.after = pairs[i-1].source
		}
		if i < len(pairs) {
			g.before = pairs[i].source
		}
		if g.after >= g.before { // the target has another order
			g = gap{0, ^mailbox.UID(0)}
		}
		gaps[g] = append(gaps[g], t)
	}
	return gaps
}

// twins returns those of the given messages of the source of which another one with
// a partner has the same size and date.
func (f *folderRun) twins(single mailbox.UIDSet) (out []mailbox.UID) {
	paired := map[likeness]bool{}
	for s := range f.pairs.All() {
		if m, known := f.source.Messages[s]; known {
			paired[likenesses(m, true)[0]] = true
		}
	}
	for s := range single.All() {
		if m, known := f.source.Messages[s]; known && paired[likenesses(m, true)[0]] {
			out = append(out, s)
		}
	}
	return out
}

// tellDamaged brings the list of the target's unreadable messages up to date.
func (f *folderRun) tellDamaged() {
	if f.damage == "" {
		return // none beside what the ledger knows
	}
	strays := 0
	for t := range f.damaged.All() {
		s, paired := f.pairs.Source(t)
		if !paired {
			strays++
			continue
		}
		f.differences[Difference{Kind: TargetUnreadable, SourceUID: s, Detail: f.damage}] = true
	}
	if strays > 0 {
		f.differences[Difference{Kind: TargetUnreadable, Detail: plural(strays, "message") + " without a partner: " + f.damage}] = true
	}
}
