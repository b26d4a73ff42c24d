package quota

import (
	"cmp"
	"slices"
	"time"
)

// Claim is what one process holds and wants of a store's connections.
type Claim struct {
	Holder string // names the process
	// Held is how many it was granted, InUse how many of them are open, Wanted
	// how many it could use now.
	Held, InUse, Wanted int
	// Turn is when it was granted its first, or began to wait for one.
	Turn time.Time
}

// Share returns how many connections a process may hold from now on, where all
// together may hold most. others are the claims that have not expired; the same
// is asked by each of them in turn.
//
// What is not held is free for the asking, up to a fair part where others want
// some too: equal parts, and what one does not use of its part goes to the rest.
// Who holds more than its part gives back what is not open. Where there are
// fewer connections than processes, those come first whose turn is the oldest;
// whoever had one waits behind those that had none.
//
// It never takes away what is open, and never gives what another holds.
func Share(most int, me Claim, others []Claim) int {
	free := most
	all := []Claim{me}
	for _, o := range others {
		free -= o.Held
		if o.Wanted > 0 {
			all = append(all, o)
		}
	}
	return max(me.InUse, min(me.Wanted, free, part(most, me, all)), 0)
}

// part is the part of one among those that want some.
func part(most int, me Claim, all []Claim) int {
	slices.SortFunc(all, func(a, b Claim) int { return cmp.Or(a.Turn.Compare(b.Turn), cmp.Compare(a.Holder, b.Holder)) })
	given := make([]int, len(all))
	for left, unsatisfied := most, true; left > 0 && unsatisfied; {
		unsatisfied = false
		for i, c := range all {
			if left > 0 && given[i] < c.Wanted {
				given[i]++
				left--
				unsatisfied = true
			}
		}
	}
	for i, c := range all {
		if c.Holder == me.Holder {
			return given[i]
		}
	}
	return 0
}
