package copier

import (
	"cmp"
	"context"
	"errors"
	"io"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// appendChunk bounds the messages of one FETCH, so that a target that refuses
// everything is noticed before a whole folder was read for nothing.
const appendChunk = 500

// sent is what the target was given and has not handed back yet.
type sent struct {
	odd bool // servers are known to alter such bytes
	// recognised messages were not given by this sync: where their bytes
	// differ they are no partners.
	recognised bool
}

// apply carries out a folder's plan.
func (f *folderRun) apply(ctx context.Context, plan mirror.FolderPlan) error {
	f.transient = nil
	if len(plan.Append) > 0 {
		if err := f.copy(ctx, plan.Append); err != nil {
			return err
		}
	}
	work := f.run.work(f.name)
	for _, c := range plan.SetFlags {
		if err := f.setFlags(ctx, c); err != nil {
			return err
		}
	}
	if len(plan.Expunge) > 0 {
		wait, err := f.run.remove(ctx, f.state, plan.Expunge, f.target.Messages)
		if len(wait) > 0 {
			f.stuck = f.stuck.Union(wait)
			plan.Expunge = plan.Expunge.Minus(wait)
			f.differences[Difference{Kind: NotKept, Detail: f.run.errWaits(wait).Error()}] = true
		}
		if withheld, _ := apart(err); withheld != nil {
			f.stuck = f.stuck.Union(withheld.UIDs)
			plan.Expunge = plan.Expunge.Minus(withheld.UIDs)
		}
		if err := f.targetWithheld(err); err != nil {
			return err
		}
		work.Expunged += plan.Expunge.Len()
	}
	f.run.progress()
	return nil
}

// setFlags changes flags. Where the target refuses the keywords, the messages
// are left to the next look, which plans them without.
func (f *folderRun) setFlags(ctx context.Context, c mirror.FlagChange) error {
	err := f.run.write("store flags", func() error { return f.run.target.SetFlags(ctx, c.Target, c.Flags) })
	if withheld, _ := apart(err); withheld != nil {
		c.Target, err = c.Target.Minus(withheld.UIDs), f.targetWithheld(err)
	}
	if err == nil {
		f.run.work(f.name).FlagsChanged += c.Target.Len()
	}
	if !fault.Is(err, fault.Permanent) {
		return err
	}
	for t := range c.Target.All() {
		s, paired := f.pairs.Source(t)
		if !paired || !f.withoutKeywords(s, err) {
			return err
		}
	}
	return nil
}

// copy appends messages: the intent first, then the messages, then what the
// target answered. The first messages are read while the intent is written; none
// is appended before it is durable.
func (f *folderRun) copy(ctx context.Context, uids mailbox.UIDSet) (err error) {
	for uid := range uids.All() {
		f.run.due.messages++
		f.run.due.bytes += f.source.Messages[uid].Size
	}
	f.run.progress()

	f.state.Intent = &Intent{TargetUIDNext: f.target.Counters.UIDNext, Sources: uids}
	f.record(false)
	last := &f.run.pending.Folders[len(f.run.pending.Folders)-1]
	last.OpenIntent = f.state.Intent
	saved := f.run.begin(func() error { return f.run.save(ctx) })
	// Whatever ends the copying, nothing is changed while the ledger is written.
	defer func() { err = cmp.Or(saved(), err) }()
	f.unconfirmedFrom = f.target.Counters.UIDNext

	f.trial = trial{open: uids.Len(), handed: map[mailbox.UID]bool{}}
	var delivered mailbox.UIDSet
	for chunk := range f.inOrder(uids) {
		for chunk = f.unhanded(chunk); len(chunk) > 0; chunk = f.unhanded(chunk) {
			got, err := f.copyChunk(ctx, chunk, saved)
			if err != nil {
				return err
			}
			delivered = delivered.Union(got)
			// What was rejected together with others goes again by itself, and what
			// the source does not have any more does not.
			chunk = chunk.Intersect(got)
			if f.trial.doubt {
				got, err := f.sample(ctx, uids, saved)
				if err != nil {
					return err
				}
				delivered = delivered.Union(got)
			}
			if f.transient != nil {
				return nil
			}
		}
	}
	f.judge(0)
	if f.transient != nil {
		return nil
	}
	if vanished := uids.Minus(delivered); len(vanished) > 0 {
		f.source.UIDs = f.source.UIDs.Minus(vanished)
		f.sourceMoved = true
	}
	return nil
}

// copyChunk reads messages from the source, appends them and takes in all the
// answers. It returns the messages that the source had.
func (f *folderRun) copyChunk(ctx context.Context, chunk mailbox.UIDSet, intent func() error) (delivered mailbox.UIDSet, err error) {
	var broken mailbox.UID // at which the source's connection was lost
	var appendErr error
	err = f.run.write("copy messages", func() error {
		each := func(uid mailbox.UID, size int64, body io.Reader) error {
			if err := intent(); err != nil {
				return err
			}
			delivered.Add(uid)
			seen := &inspector{r: body}
			appendErr = f.append(ctx, uid, size, seen)
			if _, waited := errors.AsType[*paceError](seen.err); appendErr != nil && seen.err != nil && !waited {
				broken = uid
			}
			return appendErr
		}
		err := f.run.source.Stream(ctx, chunk, each)
		if withheld, ok := errors.AsType[*WithheldError](err); ok {
			// Once more, by itself: it may only have lost its way among
			// the others.
			err = f.run.source.Stream(ctx, withheld.UIDs, each)
		}
		if next := chunk.Minus(delivered); fault.Lost(err) && appendErr == nil && len(next) > 0 {
			broken = next[0].First
		}
		// Whatever became of the source, the target's answers are worth
		// having: without them the outcome of the appends is unknown.
		if flushErr := f.run.target.Flush(ctx); flushErr != nil && broken == 0 {
			return flushErr
		}
		if withheld, ok := errors.AsType[*WithheldError](err); ok {
			delivered = delivered.Union(withheld.UIDs)
			for uid := range withheld.UIDs.All() {
				f.trial.handed[uid] = true // there is nothing to hand over
			}
			f.leaveOut(withheld)
			return nil
		}
		return err
	})
	if intent() != nil {
		f.run.unknown = false // not one was appended
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case broken != 0:
		f.sourceLost(broken)
		err = &fault.Error{Kind: fault.Transient, Op: "read a message from the source", Err: err, Lost: true}
	case fault.Is(err, fault.Transient) && !fault.Rejected(err):
		f.targetLost()
	}
	return delivered, err
}

// append streams one message and takes in the answers that came meanwhile.
func (f *folderRun) append(ctx context.Context, uid mailbox.UID, size int64, seen *inspector) error {
	if f.transient != nil || (f.trial.doubt && !f.trial.sampling) {
		return nil //nolint:nilerr // whoever ends the copying reports it
	}
	m := f.source.Messages[uid]
	flags, _ := f.permanent.Storable(m.Flags)
	if f.noKeywords.Contains(uid) {
		flags = flags.System()
	}
	if f.job.Pace != nil {
		seen.r = &paced{ctx: ctx, wait: f.job.Pace, r: seen.r}
	}
	f.trial.handed[uid] = true
	f.sending = append(f.sending, uid)
	err := f.run.target.Append(ctx, Incoming{Folder: f.name, Flags: flags, InternalDate: m.InternalDate, Size: size, Body: seen,
		Alone: f.trial.sampling || f.alone.Contains(uid)},
		func(a AppendResult) { f.answered(uid, size, seen, a) })
	if err != nil {
		return err
	}
	if f.pairs.Len()-f.confirmed >= f.run.opts.ConfirmEvery {
		f.record(false)
		return f.run.save(ctx)
	}
	return nil
}

// answered takes in the target's answer to one append.
func (f *folderRun) answered(uid mailbox.UID, size int64, seen *inspector, a AppendResult) {
	f.sending = f.sending[1:]
	f.clearSuspicion(Suspect, uid)
	f.clearSuspicion(SuspectSource, uid)
	switch {
	case a.Err == nil:
		f.trial.open--
		f.breaks.accepted++
		f.acquit()
		f.accepted[uid]++
		f.fresh[uid] = sent{odd: seen.odd()}
		if seen.odd() {
			f.differences[unchecked(uid)] = true
		}
		if a.UID != 0 && a.UIDValidity == f.target.Counters.UIDValidity {
			f.pairs.Put(uid, a.UID)
		} else {
			f.unconfirmed = append(f.unconfirmed, uid)
		}
		w := f.run.work(f.name)
		w.Appended++
		w.Bytes += size
		f.run.progress()
	case a.WithOthers:
		f.alone.Add(uid)
		delete(f.trial.handed, uid)
	case fault.Is(a.Err, fault.Permanent) && f.withoutKeywords(uid, a.Err):
		// The next look finds it missing and tries it without.
		f.trial.open--
	default:
		f.trial.open--
		f.trial.row = append(f.trial.row, rejection{uid, a.Err})
		f.judge(f.trial.open)
	}
}

// checkFresh compares what the target hands back with what it was given.
// Sizes are compared always, bytes where servers are known to alter them.
func (f *folderRun) checkFresh(ctx context.Context) error {
	var odd, oddTarget []mailbox.UID
	recognised := map[mailbox.UID]bool{}
	if err := f.knowFresh(ctx); err != nil {
		return err
	}
	for uid, given := range f.fresh {
		t, paired := f.pairs.Target(uid)
		kept, known := f.target.Messages[t]
		told, knownToo := f.source.Messages[uid]
		delete(f.differences, unchecked(uid))
		if paired && (f.unread.Contains(uid) || f.damaged.Contains(t)) {
			f.differences[unchecked(uid)] = true // until it can be read
			continue
		}
		if !paired || !known || !knownToo {
			continue
		}
		switch {
		case kept.Size != told.Size: // or the source hands over another size than it tells
			f.altered(uid, "size")
		case !kept.InternalDate.Equal(told.InternalDate):
			f.altered(uid, "internal date")
		case given.odd:
			odd, oddTarget = append(odd, uid), append(oddTarget, t)
			recognised[uid] = given.recognised
		}
	}
	clear(f.fresh)
	if len(odd) == 0 {
		return nil
	}
	given, err := bodyDigests(ctx, f.run.source, mailbox.NewUIDSet(odd...))
	if err = f.sourceWithheld(err); err != nil {
		return fault.Wrap(err, "read back source")
	}
	kept, err := bodyDigests(ctx, f.run.target, mailbox.NewUIDSet(oddTarget...))
	if err = f.targetWithheld(err); err != nil {
		return fault.Wrap(err, "read back target")
	}
	for i, uid := range odd {
		g, ok := given[uid]
		if k, there := kept[oddTarget[i]]; ok && there && g.exact != k.exact {
			if recognised[uid] && g.kin != k.kin {
				f.pairs.DeleteSource(uid)
				continue
			}
			f.altered(uid, "bytes")
		}
		if f.unread.Contains(uid) || f.damaged.Contains(oddTarget[i]) {
			f.differences[unchecked(uid)] = true
		}
	}
	return nil
}

// knowFresh fetches what is not known of the messages that are to be checked.
func (f *folderRun) knowFresh(ctx context.Context) error {
	var sources, targets mailbox.UIDSet
	for uid := range f.fresh {
		if t, paired := f.pairs.Target(uid); paired {
			sources.Add(uid)
			targets.Add(t)
		}
	}
	if err := f.fetchSource(ctx, sources.Minus(knownUIDs(f.source)).Minus(f.unread)); err != nil {
		return err
	}
	return f.fetchTarget(ctx, targets.Minus(knownUIDs(f.target)).Minus(f.damaged))
}

// unchecked marks a message in the ledger until it was read back, so that a
// crash in between does not leave its bytes unproven for good.
func unchecked(uid mailbox.UID) Difference {
	return Difference{Kind: Unchecked, SourceUID: uid, Detail: "not read back yet"}
}

func (f *folderRun) altered(uid mailbox.UID, what string) {
	f.differences[Difference{Kind: Altered, SourceUID: uid, Detail: "the target stores another " + what}] = true
}

// chunks yields the set in parts of at most n UIDs.
func chunks(uids mailbox.UIDSet, n int) func(yield func(mailbox.UIDSet) bool) {
	return func(yield func(mailbox.UIDSet) bool) {
		var part mailbox.UIDSet
		count := 0
		for uid := range uids.All() {
			part.Add(uid)
			if count++; count == n {
				if !yield(part) {
					return
				}
				part, count = nil, 0
			}
		}
		if count > 0 {
			yield(part)
		}
	}
}
