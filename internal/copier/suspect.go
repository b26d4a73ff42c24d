package copier

import (
	"iter"
	"strconv"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// breaks is what a run knows of the connections that were lost while it copied one
// folder.
type breaks struct {
	// alone are messages of which any may be the reason: they are appended after
	// all others and each alone.
	alone mailbox.UIDSet
	// accepted counts the messages of the folder that the target accepted, since
	// what it was when a connection was first lost at a message.
	accepted int
	since    map[mailbox.UID]int
	// outside counts the losses in a row at no message.
	outside int
	// recorded is true once the run recorded what it found in the folder.
	recorded bool
}

// remember takes over what the run knows of the folder's losses. If an earlier sync
// ended in the middle of an append, any message of its intent may be the reason.
func (f *folderRun) remember(intent *Intent) {
	known := f.run.breaks[f.name]
	if known == nil {
		known = &breaks{since: map[mailbox.UID]int{}}
		if intent != nil {
			known.alone = intent.Sources
		}
		f.run.breaks[f.name] = known
	}
	f.breaks = known
}

// triesAgain reports whether a message that could not be copied or read is tried
// again. What this run found itself holds until the run ends: a folder is looked at
// once more after each loss of a connection, and would never be done otherwise. Only
// room on the target changes that.
func (f *folderRun) triesAgain(d Difference) bool {
	return ((f.job.Force || f.job.Retry) && !f.breaks.recorded) || (d.Kind == Postponed && f.run.room)
}

// inOrder yields what is to be appended in chunks: first what never failed, then,
// each alone, what did. A message that fails delays no other.
func (f *folderRun) inOrder(uids mailbox.UIDSet) iter.Seq[mailbox.UIDSet] {
	failed := append([]mailbox.UID(nil), f.notThere...)
	for d := range f.differences {
		if d.Kind == Suspect || d.Kind == SuspectSource {
			failed = append(failed, d.SourceUID)
		}
	}
	last := f.breaks.alone.Union(mailbox.NewUIDSet(failed...)).Intersect(uids)
	return func(yield func(mailbox.UIDSet) bool) {
		for chunk := range chunks(uids.Minus(last), appendChunk) {
			if !yield(chunk) {
				return
			}
		}
		for chunk := range chunks(last, 1) {
			f.alone.Add(chunk[0].First)
			if !yield(chunk) {
				return
			}
		}
	}
}

// targetLost notes at which message the connection to the target was lost. Of
// several that were to be stored together any may be the reason.
func (f *folderRun) targetLost() {
	if len(f.sending) == 0 {
		return
	}
	if first := f.sending[0]; f.alone.Contains(first) {
		f.suspect(Suspect, first)
		return
	}
	f.breaks.alone = f.breaks.alone.Union(mailbox.NewUIDSet(f.sending...))
	f.breaks.outside = 0
}

// sourceLost notes at which message the connection to the source was lost.
func (f *folderRun) sourceLost(uid mailbox.UID) { f.suspect(SuspectSource, uid) }

// suspect counts a loss at a message, and records the message if it is the reason.
func (f *folderRun) suspect(kind DifferenceKind, uid mailbox.UID) {
	f.breaks.outside = 0
	times := f.clearSuspicion(kind, uid) + 1
	since, again := f.breaks.since[uid]
	if !again && times == 1 {
		since = f.breaks.accepted
		f.breaks.since[uid] = since
	}
	v := blame.Decide(blame.Evidence{Item: blame.Message, Lost: true, Times: times, Reached: true,
		Before: f.breaks.accepted, After: f.breaks.accepted - since})
	if v.Next != blame.Record {
		f.differences[Difference{Kind: kind, SourceUID: uid, Detail: strconv.Itoa(times)}] = true
		return
	}
	if kind == SuspectSource {
		f.leaveOut(&WithheldError{UIDs: mailbox.NewUIDSet(uid),
			Err: fault.New(fault.Permanent, "the connection to the source is lost at this message, every time", nil, damagedHint)})
		return
	}
	f.refuse(Refused, uid, "the connection to the target is lost at this message, every time")
}

// refuse records that the target does not accept a message.
func (f *folderRun) refuse(kind DifferenceKind, uid mailbox.UID, why string) {
	f.differences[Difference{Kind: kind, SourceUID: uid, Detail: why}] = true
	f.skip = f.skip.Union(mailbox.NewUIDSet(uid))
}

// clearSuspicion forgets what was noted of a message and returns its losses.
func (f *folderRun) clearSuspicion(kind DifferenceKind, uid mailbox.UID) (times int) {
	for d := range f.differences {
		if d.Kind == kind && d.SourceUID == uid {
			times, _ = strconv.Atoi(d.Detail)
			delete(f.differences, d)
		}
	}
	return times
}
