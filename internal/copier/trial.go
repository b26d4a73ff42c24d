package copier

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"mailmirror/internal/blame"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// rejection is the target's NO to a message.
type rejection struct {
	uid mailbox.UID
	err error
}

// trial finds out whether messages that the target rejected are the reason for that
// themselves. It lasts for one plan of a folder.
type trial struct {
	// row are the rejections since the target last accepted a message. Nothing is
	// recorded of them yet.
	row []rejection
	// open counts the messages of the plan that the target has neither accepted
	// nor rejected.
	open int
	// handed are those that were handed to the target.
	handed map[mailbox.UID]bool
	// doubt is true once so many were rejected in a row that others are tried:
	// the sample. sampled counts these.
	doubt, sampling bool
	sampled         int
}

// unhanded returns those messages that the target was not given yet.
func (f *folderRun) unhanded(uids mailbox.UIDSet) (out mailbox.UIDSet) {
	for uid := range uids.All() {
		if !f.trial.handed[uid] {
			out.Add(uid)
		}
	}
	return out
}

// acquit ends a row of rejections: the target accepts messages, so that the reason
// is in those that it rejected.
func (f *folderRun) acquit() {
	for _, r := range f.trial.row {
		f.reject(r)
	}
	f.trial.row, f.trial.doubt, f.trial.sampled = nil, false, 0
}

// reject records that the target does not accept a message.
func (f *folderRun) reject(r rejection) {
	// It was not for its keywords, then.
	for d := range f.differences {
		if d.SourceUID == r.uid && d.Kind == KeywordsRefused {
			delete(f.differences, d)
		}
	}
	kind, why := Refused, withHint(fmt.Sprintf("%v (%d bytes)", r.err, f.source.Messages[r.uid].Size), r.err)
	if fault.Is(r.err, fault.Transient) {
		kind = Postponed
	}
	f.refuse(kind, r.uid, why)
}

// withHint adds what the operator can do about an error to a text about it.
func withHint(text string, err error) string {
	if hint := fault.HintOf(err); hint != "" {
		text += "; " + hint
	}
	return text
}

// judge decides what the row of rejections belongs to; rest is how many other
// messages can still be tried.
func (f *folderRun) judge(rest int) {
	t := &f.trial
	if len(t.row) == 0 || f.transient != nil {
		return
	}
	last := t.row[len(t.row)-1].err
	known := !slices.ContainsFunc(t.row, func(r rejection) bool { return !slices.Contains(f.notThere, r.uid) })
	v := blame.Decide(blame.Evidence{Item: blame.Message, Kind: fault.KindOf(last), NoRoom: fault.NoRoom(last), Times: 1, Known: known,
		Before: f.breaks.accepted, Row: len(t.row), Rest: rest, Sampled: t.sampled})
	switch v.Next {
	case blame.Record:
		f.acquit()
	case blame.Sample:
		t.doubt = true
	case blame.Stop:
		f.transient = last
		if fault.Is(last, fault.Permanent) {
			f.transient = fault.New(fault.Permanent, "the target refuses every message", last,
				"check that the trusted server may write to this folder of the target")
		}
	case blame.Again, blame.GoOn, blame.Halve:
	}
}

// sample tries messages of the plan before their turn, the smallest: if a mailbox
// is full they are the likeliest to fit.
func (f *folderRun) sample(ctx context.Context, plan mailbox.UIDSet, intent func() error) (mailbox.UIDSet, error) {
	rest := f.unhanded(plan).UIDs()
	slices.SortStableFunc(rest, func(a, b mailbox.UID) int {
		return cmp.Compare(f.source.Messages[a].Size, f.source.Messages[b].Size)
	})
	some := mailbox.NewUIDSet(rest[:min(len(rest), blame.SampleSize)]...)
	f.trial.sampling = true
	got, err := f.copyChunk(ctx, some, intent)
	f.trial.sampling = false
	if err == nil && f.trial.doubt {
		f.trial.sampled = some.Len()
		f.judge(len(rest) - some.Len())
	}
	return got, err
}
