package conformance

import (
	"errors"
	"slices"
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/lease"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// RunLedger runs the part of the suite that is about the ledger. open returns an empty
// ledger, and a mailbox that it keeps.
func RunLedger(t *testing.T, open func(t *testing.T) (copier.Ledger, mailbox.Key)) {
	t.Helper()
	for name, test := range map[string]func(*ledger){"lease": (*ledger).lease, "state": (*ledger).state, "guard": (*ledger).guard} {
		t.Run(name, func(t *testing.T) {
			l, key := open(t)
			test(&ledger{T: t, Ledger: l, key: key})
		})
	}
}

type ledger struct {
	*testing.T
	copier.Ledger

	key mailbox.Key
}

const ttl, fence = 20 * time.Second, 2 * time.Second

// begin takes a lease that must be free.
func (l *ledger) begin() (lease.Lease, []copier.FolderState) {
	l.Helper()
	held, states, err := l.Begin(l.Context(), l.key, ttl, fence)
	l.must(err)
	return held, states
}

func (l *ledger) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *ledger) lost(what string, err error) {
	l.Helper()
	if !fault.Is(err, fault.Conflict) {
		l.Errorf("%s under a lease that was lost: %v, want a conflict", what, err)
	}
}

func (l *ledger) lease() {
	ctx := l.Context()
	held, states := l.begin()
	if len(states) != 0 || held.Resource != lease.OfMailbox(l.key) || time.Until(held.Deadline) > ttl || time.Until(held.Deadline) < ttl/2 {
		l.Errorf("the lease is %+v, and the states are %v", held, states)
	}
	_, _, err := l.Begin(ctx, l.key, ttl, fence)
	if other, ok := errors.AsType[*lease.HeldError](err); !ok || !fault.Is(err, fault.Conflict) || other.Wait <= 0 || other.Wait > ttl+fence {
		l.Errorf("a second lease: %v", err)
	}
	renewed, err := l.Renew(ctx, held, ttl)
	if err != nil || renewed.Epoch != held.Epoch || renewed.Deadline.Before(held.Deadline) {
		l.Errorf("renewed is %+v, %v, before %+v", renewed, err, held)
	}
	l.must(l.Release(ctx, renewed, true))
	next, _ := l.begin()
	if next.Epoch <= held.Epoch {
		l.Errorf("the next lease is %+v, the one before %+v", next, held)
	}
	_, err = l.Renew(ctx, held, ttl)
	l.lost("a renewal", err)
	l.lost("a release", l.Release(ctx, held, true))
	l.lost("an update", l.Save(ctx, held, copier.Update{Folders: []copier.FolderUpdate{{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2}}}))
	_, err = l.Judge(ctx, held, mirror.DefaultLimits(), mirror.Due{Folder: mailbox.Inbox})
	l.lost("a judgement", err)
	// The end of a sync ends the lease.
	now := time.Now()
	l.must(l.Save(ctx, next, copier.Update{Done: &copier.Report{Key: l.key, Started: now, Finished: now, Outcome: copier.Equal}}))
	if _, states := l.begin(); len(states) != 0 {
		l.Errorf("what was saved under a lease that was lost is there: %v", states)
	}
}

func (l *ledger) state() {
	ctx := l.Context()
	held, _ := l.begin()
	inbox := copier.FolderUpdate{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2,
		SourceAt: mailbox.Counters{UIDValidity: 1, UIDNext: 6, Messages: 5}, TargetAt: mailbox.Counters{UIDValidity: 2, UIDNext: 9, Messages: 5},
		AddPairs:       []mailbox.Run{{Source: 4, Target: 7, Length: 2}, {Source: 1, Target: 3, Length: 3}},
		OpenIntent:     &copier.Intent{TargetUIDNext: 9, Sources: mailbox.UIDSet{{First: 6, Last: 7}}},
		AddDifferences: []copier.Difference{{Kind: copier.Refused, SourceUID: 8, Detail: "LIMIT"}}, Former: mailbox.UIDSet{{First: 1, Last: 2}}}
	l.must(l.Save(ctx, held, copier.Update{Folders: []copier.FolderUpdate{inbox, {Name: "Old", SourceValidity: 3, TargetValidity: 4}}, Durable: true}))
	state := func(name mailbox.FolderName) (copier.FolderState, bool) {
		l.Helper()
		l.must(l.Release(ctx, held, true))
		var states []copier.FolderState
		held, states = l.begin()
		i := slices.IndexFunc(states, func(s copier.FolderState) bool { return s.Name == name })
		if i < 0 {
			return copier.FolderState{}, false
		}
		return states[i], true
	}
	got, ok := state(mailbox.Inbox)
	if !ok || got.SourceValidity != 1 || got.TargetValidity != 2 || got.SourceAt != inbox.SourceAt || got.TargetAt != inbox.TargetAt ||
		!slices.Equal(got.Pairs, []mailbox.Run{inbox.AddPairs[1], inbox.AddPairs[0]}) || got.Intent == nil || got.Intent.TargetUIDNext != 9 ||
		!slices.Equal(got.Intent.Sources, inbox.OpenIntent.Sources) || !slices.Equal(got.Differences, inbox.AddDifferences) || !slices.Equal(got.Former, inbox.Former) {
		l.Errorf("the inbox is %+v", got)
	}
	next := copier.FolderUpdate{Name: mailbox.Inbox, SourceValidity: 1, TargetValidity: 2, RemovePairs: inbox.AddPairs[:1], CloseIntent: true,
		RemoveDifferences: inbox.AddDifferences}
	l.must(l.Save(ctx, held, copier.Update{Folders: []copier.FolderUpdate{next}, Drop: []mailbox.FolderName{"Old"}}))
	if got, _ = state(mailbox.Inbox); !slices.Equal(got.Pairs, inbox.AddPairs[1:]) || got.Intent != nil || len(got.Differences) != 0 {
		l.Errorf("after an update the inbox is %+v", got)
	}
	if got, ok := state("Old"); ok {
		l.Errorf("a folder that was dropped is %+v", got)
	}
	// Another UIDVALIDITY makes it another folder.
	l.must(l.Save(ctx, held, copier.Update{Folders: []copier.FolderUpdate{{Name: mailbox.Inbox, SourceValidity: 5, TargetValidity: 2}}}))
	if got, _ = state(mailbox.Inbox); got.SourceValidity != 5 || len(got.Pairs) != 0 {
		l.Errorf("a folder that was made anew is %+v", got)
	}
}

func (l *ledger) guard() {
	ctx := l.Context()
	held, _ := l.begin()
	due := func(n int) mirror.Due {
		uids := mailbox.UIDSet{{First: 1, Last: mailbox.UID(n)}}
		return mirror.Due{Folder: mailbox.Inbox, TargetValidity: 7, UIDs: uids, Own: uids, Target: 40, Source: 40 - n}
	}
	judge := func(n, allow, hold int) {
		l.Helper()
		for range 2 { // it is safe to repeat
			d, err := l.Judge(ctx, held, mirror.DefaultLimits(), due(n))
			if err != nil || d.Allow.Len() != allow || d.Hold.Len() != hold {
				l.Errorf("of %d that are due %d may go and %d are held, %v, want %d and %d", n, d.Allow.Len(), d.Hold.Len(), err, allow, hold)
			}
		}
	}
	judge(1, 1, 0)
	judge(31, 0, 31)
}
