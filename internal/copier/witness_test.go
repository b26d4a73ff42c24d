package copier

import (
	"maps"
	"testing"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// TestWitnessBlocks: the blocks that differ, put in place of the former ones, make
// the former list the new one.
func TestWitnessBlocks(t *testing.T) {
	t.Parallel()
	full := map[mailbox.UID]Witness{1: {1, 1}, 255: {2, 2}, 256: {3, 3}, 1 << 31: {4, 4}}
	with := func(change func(map[mailbox.UID]Witness)) map[mailbox.UID]Witness {
		m := maps.Clone(full)
		change(m)
		return m
	}
	for name, tt := range map[string]struct {
		before, after map[mailbox.UID]Witness
		blocks        int
	}{
		"nothing":       {nil, nil, 0},
		"the same":      {full, maps.Clone(full), 0},
		"all new":       {nil, full, 3},
		"all gone":      {full, nil, 3},
		"one added":     {full, with(func(m map[mailbox.UID]Witness) { m[2] = Witness{9, 9} }), 1},
		"one changed":   {full, with(func(m map[mailbox.UID]Witness) { m[256] = Witness{3, 9} }), 1},
		"one gone":      {full, with(func(m map[mailbox.UID]Witness) { delete(m, 255) }), 1},
		"a block gone":  {full, with(func(m map[mailbox.UID]Witness) { delete(m, 1<<31) }), 1},
		"a block moved": {full, with(func(m map[mailbox.UID]Witness) { delete(m, 256); m[513] = Witness{3, 3} }), 2},
	} {
		blocks := witnessBlocks(tt.before, tt.after)
		got := map[mailbox.UID]Witness{}
		maps.Copy(got, tt.before)
		for _, b := range blocks {
			maps.DeleteFunc(got, func(uid mailbox.UID, _ Witness) bool { return uid/WitnessSpan == b.First/WitnessSpan })
			maps.Copy(got, b.Of)
		}
		if len(blocks) != tt.blocks || !maps.Equal(got, tt.after) {
			t.Errorf("%s: %d blocks, want %d, which make %v of it, want %v", name, len(blocks), tt.blocks, got, tt.after)
		}
	}
}

// TestDueByWitness: the mirror's own is what has its witness. What cannot be looked at
// is not, and stays as the operator decided.
func TestDueByWitness(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	now := map[mailbox.UID]mailbox.Message{}
	for uid := mailbox.UID(1); uid <= 4; uid++ {
		now[uid] = mailbox.Message{UID: uid, Size: 100, InternalDate: at}
	}
	witnesses := map[mailbox.UID]Witness{
		1: {100, uint32(at.Unix())}, 2: {101, uint32(at.Unix())}, 3: {100, uint32(at.Unix()) + 1}, 5: {100, uint32(at.Unix())}}
	all := mailbox.UIDSet{{First: 1, Last: 6}}
	seen := sortByWitness(witnesses, all, now)
	due := seen.of(mirror.Due{UIDs: all, Own: all, Target: 6})
	for what, got := range map[string][2]string{
		"own": {due.Own.String(), "1"}, "others": {due.Other.String(), "2:3"}, "unknown": {due.Unknown.String(), "4"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s are %s, want %s", what, got[0], got[1])
		}
	}
	d := mirror.Limits{}.Decide(due, mirror.Standing{Approved: all}, mirror.Past{})
	if d.Allow.String() != "1,5:6" || d.Hold.String() != "2:4" {
		t.Errorf("of what was approved %s may go and %s is held", d.Allow, d.Hold)
	}
	seen.remember(witnesses, now, all)
	if again := sortByWitness(witnesses, all, now); again.same.String() != "1:4" || len(again.other)+len(again.unknown) > 0 {
		t.Errorf("once the guard knows of them: %+v", again)
	}
}
