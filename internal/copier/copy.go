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

// refusalsInRow is after how many refused messages with none taken a folder is
// left: it is not the messages then.
const refusalsInRow = 50

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
		if err := f.run.remove(ctx, f.state, plan.Expunge); err != nil {
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

	var delivered mailbox.UIDSet
	for chunk := range f.inOrder(uids) {
		for len(chunk) > 0 {
			if f.transient != nil {
				return nil
			}
			got, err := f.copyChunk(ctx, chunk, saved)
			if err != nil {
				f.suspectOldest(err)
				return err
			}
			delivered = delivered.Union(got)
			// What was refused together with others goes again by itself.
			chunk, f.refusedWithOthers = f.refusedWithOthers, nil
		}
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
	err = f.run.write("copy messages", func() error {
		each := func(uid mailbox.UID, size int64, body io.Reader) error {
			if err := intent(); err != nil {
				return err
			}
			delivered.Add(uid)
			return f.append(ctx, uid, size, body)
		}
		err := f.run.source.Bodies(ctx, chunk, each)
		if withheld, ok := errors.AsType[*WithheldError](err); ok {
			// Once more, by itself: it may only have lost its way among
			// the others.
			err = f.run.source.Bodies(ctx, withheld.UIDs, each)
		}
		// Whatever became of the source, the target's answers are worth
		// having: without them the outcome of the appends is unknown.
		if flushErr := f.run.target.Flush(ctx); flushErr != nil {
			return flushErr
		}
		if withheld, ok := errors.AsType[*WithheldError](err); ok {
			delivered = delivered.Union(withheld.UIDs)
			f.leaveOut(withheld)
			return nil
		}
		return err
	})
	if intent() != nil {
		f.run.unknown = false // not one was appended
	}
	return delivered, err
}

// leaveOut notes messages that the source has and will not hand over.
func (f *folderRun) leaveOut(e *WithheldError) {
	for uid := range e.UIDs.All() {
		f.differences[Difference{Kind: Unreadable, SourceUID: uid, Detail: e.Error()}] = true
	}
	f.skip = f.skip.Union(e.UIDs)
}

// append streams one message and takes in the answers that came meanwhile.
func (f *folderRun) append(ctx context.Context, uid mailbox.UID, size int64, body io.Reader) error {
	if f.transient != nil {
		return nil //nolint:nilerr // whoever ends the copying reports it
	}
	m := f.source.Messages[uid]
	flags, _ := f.permanent.Storable(m.Flags)
	if f.noKeywords.Contains(uid) {
		flags = flags.System()
	}
	if f.job.Pace != nil {
		body = &paced{ctx: ctx, wait: f.job.Pace, r: body}
	}
	seen := &inspector{r: body}
	f.sending = append(f.sending, uid)
	err := f.run.target.Append(ctx, Incoming{Folder: f.name, Flags: flags, InternalDate: m.InternalDate, Size: size, Body: seen,
		Alone: f.oneByOne || f.alone.Contains(uid)},
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
	f.clearSuspicion(uid)
	switch {
	case a.Err == nil:
		f.refusals = 0
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
		f.refusedWithOthers.Add(uid)
	case fault.Is(a.Err, fault.Permanent) && f.withoutKeywords(uid, a.Err):
		// The next look finds it missing and tries it without.
	case fault.Is(a.Err, fault.Permanent):
		// It was not for its keywords, then.
		for d := range f.differences {
			if d.SourceUID == uid && d.Kind == KeywordsRefused {
				delete(f.differences, d)
			}
		}
		f.differences[Difference{Kind: Refused, SourceUID: uid, Detail: a.Err.Error()}] = true
		f.skip = f.skip.Union(mailbox.UIDSet{{First: uid, Last: uid}})
		if f.refusals++; f.refusals == refusalsInRow && f.transient == nil {
			f.transient = fault.New(fault.Permanent, "the target refuses every message", a.Err,
				"check that the trusted server may write to this folder of the target")
		}
	case f.transient == nil:
		f.transient = a.Err
	}
}

// checkFresh compares what the target hands back with what it was given.
// Sizes are compared always, bytes where servers are known to alter them.
func (f *folderRun) checkFresh(ctx context.Context) error {
	var odd, oddTarget []mailbox.UID
	recognised := map[mailbox.UID]bool{}
	for uid, given := range f.fresh {
		delete(f.differences, unchecked(uid))
		t, paired := f.pairs.Target(uid)
		kept, known := f.target.Messages[t]
		told, knownToo := f.source.Messages[uid]
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
	if err != nil {
		return fault.Wrap(err, "read back source")
	}
	kept, err := bodyDigests(ctx, f.run.target, mailbox.NewUIDSet(oddTarget...))
	if err != nil {
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
	}
	return nil
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
