package copier

import (
	"iter"
	"strconv"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// lossesForRefusal is after how many connections lost at one message in a row
// it counts as refused: some servers close the connection on a message that
// they find too big, instead of saying NO.
const lossesForRefusal = 3

// inOrder yields what is to be appended in chunks, and the suspects after all
// others, each alone: a message that costs the connection holds up no other.
func (f *folderRun) inOrder(uids mailbox.UIDSet) iter.Seq[mailbox.UIDSet] {
	var suspects []mailbox.UID
	for d := range f.differences {
		if d.Kind == Suspect {
			suspects = append(suspects, d.SourceUID)
		}
	}
	last := mailbox.NewUIDSet(suspects...).Intersect(uids)
	return func(yield func(mailbox.UIDSet) bool) {
		for chunk := range chunks(uids.Minus(last), appendChunk) {
			if !yield(chunk) {
				return
			}
		}
		for chunk := range chunks(last, 1) {
			if !yield(chunk) {
				return
			}
		}
	}
}

// suspectOldest notes at which message a connection was lost. Among messages
// that were to be stored together any may be the reason: nobody is suspected,
// and the next sync sends one by one.
func (f *folderRun) suspectOldest(cause error) {
	if len(f.sending) == 0 || !fault.Is(cause, fault.Transient) || !(f.oneByOne || f.alone.Contains(f.sending[0])) {
		return
	}
	uid := f.sending[0]
	losses := f.clearSuspicion(uid) + 1
	if losses < lossesForRefusal {
		f.differences[Difference{Kind: Suspect, SourceUID: uid, Detail: strconv.Itoa(losses)}] = true
		return
	}
	f.differences[Difference{Kind: Refused, SourceUID: uid,
		Detail: "the connection to the target is lost at this message, every time"}] = true
	f.skip = f.skip.Union(mailbox.UIDSet{{First: uid, Last: uid}})
}

// clearSuspicion forgets what was noted of a message and returns its losses.
func (f *folderRun) clearSuspicion(uid mailbox.UID) (losses int) {
	for d := range f.differences {
		if d.Kind == Suspect && d.SourceUID == uid {
			losses, _ = strconv.Atoi(d.Detail)
			delete(f.differences, d)
		}
	}
	return losses
}
