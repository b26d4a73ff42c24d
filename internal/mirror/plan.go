package mirror

import (
	"cmp"
	"slices"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// View is what was seen of one folder on one side.
type View struct {
	Counters mailbox.Counters
	// UIDs is every message of the folder.
	UIDs mailbox.UIDSet
	// Messages holds what is known of them: all, or those that are new or
	// changed since the folder was last known to be equal.
	Messages map[mailbox.UID]mailbox.Message
}

// Forget drops what is known of messages that the folder does not hold.
func (v View) Forget() {
	for uid := range v.Messages {
		if !v.UIDs.Contains(uid) {
			delete(v.Messages, uid)
		}
	}
}

// FolderInput is what PlanFolder compares.
type FolderInput struct {
	Source, Target View
	// Pairs says which messages are the same; pairs of messages that are gone
	// do no harm.
	Pairs *mailbox.UIDMap
	// Permanent says which flags the target's folder can keep.
	Permanent mailbox.Permanent
	// Skip holds the source UIDs that the target refused to take.
	Skip mailbox.UIDSet
	// Unread holds the source UIDs, and Damaged the target UIDs, of messages that
	// cannot be read. The flags of their pairs are left as they are.
	Unread, Damaged mailbox.UIDSet
	// Keep holds the target UIDs that are not expunged, although they have no
	// partner: they may be copies of what cannot be read.
	Keep mailbox.UIDSet
	// NoKeywords holds the source UIDs whose keywords the target refused.
	NoKeywords mailbox.UIDSet
}

// FlagChange gives some messages of the target the same flags.
type FlagChange struct {
	Target mailbox.UIDSet
	Flags  mailbox.Flags
}

// FlagsRefused is a message with flags that differ and that the target's folder
// does not let anybody change.
type FlagsRefused struct {
	Source mailbox.UID
	Flags  mailbox.Flags // those that differ for good
}

// FolderPlan makes the target's folder equal to the source's. It is carried
// out in the order of its fields: what is missing comes before what goes.
type FolderPlan struct {
	Append   mailbox.UIDSet // source UIDs
	SetFlags []FlagChange
	Expunge  mailbox.UIDSet // target UIDs
	// Pairs are the pairs whose two messages exist.
	Pairs *mailbox.UIDMap
	// Refused are lasting differences; nothing is planned for them.
	Refused []FlagsRefused
}

// Empty reports whether the folders are equal, but for lasting differences.
func (p FolderPlan) Empty() bool {
	return len(p.Append) == 0 && len(p.SetFlags) == 0 && len(p.Expunge) == 0
}

// PlanFolder compares one folder. Every message of the source that has no
// partner is appended, every message of the target that has none is expunged,
// and partners get the source's flags. It is an error of the caller when the
// metadata of a message to append is unknown, or that of one partner only:
// then equal flags could not be told from unknown ones.
func PlanFolder(in FolderInput) (FolderPlan, error) {
	plan := FolderPlan{Pairs: Live(in.Pairs, in.Source.UIDs, in.Target.UIDs)}
	var pairedSource mailbox.UIDSet
	var targets []mailbox.UID
	for s, t := range plan.Pairs.All() {
		pairedSource.Add(s)
		targets = append(targets, t)
	}
	pairedTarget := mailbox.NewUIDSet(targets...)
	plan.Append = in.Source.UIDs.Minus(pairedSource).Minus(in.Skip)
	plan.Expunge = in.Target.UIDs.Minus(pairedTarget).Minus(in.Keep)

	for uid := range plan.Append.All() {
		if _, known := in.Source.Messages[uid]; !known {
			return FolderPlan{}, fault.Newf(fault.Conflict, "plan folder: flags and date of source message %d were not looked at", uid)
		}
	}

	changes := map[mailbox.Flags]*FlagChange{}
	for s, t := range plan.Pairs.All() {
		if in.Unread.Contains(s) || in.Damaged.Contains(t) {
			continue
		}
		sm, knownS := in.Source.Messages[s]
		tm, knownT := in.Target.Messages[t]
		if !knownS && !knownT {
			continue
		}
		if knownS != knownT {
			return FolderPlan{}, fault.Newf(fault.Conflict, "plan folder: source message %d and target message %d were not both looked at", s, t)
		}
		// What the folder does not let change stays on the target, too: to store
		// the flags without it would be tried for ever.
		want, refused := in.Permanent.Storable(sm.Flags)
		have, stuck := in.Permanent.Storable(tm.Flags)
		if in.NoKeywords.Contains(s) {
			want = want.System()
		}
		if differ := refused.Unlike(stuck); differ != "" {
			plan.Refused = append(plan.Refused, FlagsRefused{Source: s, Flags: differ})
		}
		if want.Equal(have) {
			continue
		}
		c, ok := changes[want]
		if !ok {
			c = &FlagChange{Flags: want}
			changes[want] = c
		}
		c.Target.Add(t)
	}
	for _, c := range changes {
		plan.SetFlags = append(plan.SetFlags, *c)
	}
	slices.SortFunc(plan.SetFlags, func(a, b FlagChange) int { return cmp.Compare(a.Flags, b.Flags) })
	return plan, nil
}

// Live returns the pairs whose two messages exist.
func Live(pairs *mailbox.UIDMap, source, target mailbox.UIDSet) *mailbox.UIDMap {
	live := mailbox.NewUIDMap(nil)
	for s, t := range pairs.All() {
		if source.Contains(s) && target.Contains(t) {
			live.Put(s, t)
		}
	}
	return live
}

// HalfKnown returns the partners whose metadata must still be fetched before
// PlanFolder: those of messages that only the other side's view knows.
func HalfKnown(source, target View, pairs *mailbox.UIDMap) (needSource, needTarget mailbox.UIDSet) {
	var s, t []mailbox.UID
	for uid := range source.Messages {
		if p, ok := pairs.Target(uid); ok && target.UIDs.Contains(p) {
			if _, known := target.Messages[p]; !known {
				t = append(t, p)
			}
		}
	}
	for uid := range target.Messages {
		if p, ok := pairs.Source(uid); ok && source.UIDs.Contains(p) {
			if _, known := source.Messages[p]; !known {
				s = append(s, p)
			}
		}
	}
	return mailbox.NewUIDSet(s...), mailbox.NewUIDSet(t...)
}
