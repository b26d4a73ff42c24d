package copier

import (
	"maps"
	"testing"

	"mailmirror/internal/mailbox"
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
