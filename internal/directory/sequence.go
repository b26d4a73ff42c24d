package directory

import (
	"slices"
	"strings"
)

// Move is a planned change that takes a number on the target, or frees one that
// another takes. Nobody takes or frees the same number twice.
type Move struct {
	Seq  int64 // names it
	Kind ChangeKind
	// Needs is the Seq of the Move that frees the number which this one takes; 0
	// where it is free already.
	Needs int64
	// Blocked is true where an entry has the number that keeps it.
	Blocked bool
	// Steady is true where the target's entry is known by an id, so that it is
	// found again under whatever number.
	Steady bool
	// Old is the number that it frees.
	Old string
}

// Step is the place of a Move.
type Step struct {
	Seq   int64
	Needs int64 // the Move that has to be made before; 0 none
	// Via is set on the first half of a Move: see Change. The second half needs
	// what the Move needed; what needed the Move needs the first half.
	Via bool
}

// Sequence orders moves so that what frees a number comes before what takes it.
// A circle is opened by its first Move that is Steady. stuck are those whose
// numbers are not going to be free, and those of circles without such a Move.
func Sequence(moves []Move) (steps []Step, stuck []int64) {
	at := make(map[int64]int, len(moves))
	for i, m := range moves {
		at[m.Seq] = i
	}
	const (
		fresh = iota
		walked
		placed
		blocked
	)
	state := make([]int, len(moves))
	block := func(path []int) {
		for _, i := range path {
			state[i] = blocked
			stuck = append(stuck, moves[i].Seq)
		}
	}
	place := func(i int) {
		state[i] = placed
		steps = append(steps, Step{Seq: moves[i].Seq, Needs: moves[i].Needs})
	}
	for first := range moves {
		// The path leads from what takes a number to what frees it, to its end.
		var path []int
		i, end := first, fresh
		for end == fresh {
			if state[i] != fresh {
				end = state[i]
				break
			}
			state[i] = walked
			path = append(path, i)
			m := moves[i]
			next, known := at[m.Needs]
			switch {
			case m.Blocked, m.Needs != 0 && !known:
				end = blocked
			case m.Needs == 0:
				end = placed
			default:
				i = next
			}
		}
		switch end {
		case blocked:
			block(path)
		case placed:
			for _, i := range slices.Backward(path) {
				place(i)
			}
		case walked:
			// It came back to itself at i, and all of the path is the circle, as
			// nobody outside of it can take a number that is taken in it.
			k := slices.IndexFunc(path, func(j int) bool { return moves[j].Steady })
			if k < 0 {
				block(path)
				continue
			}
			circle := append(slices.Clone(path[k:]), path[:k]...)
			opening := circle[0]
			steps = append(steps, Step{Seq: moves[opening].Seq, Via: true})
			for _, i := range slices.Backward(circle[1:]) {
				place(i)
			}
			place(opening)
		}
	}
	return steps, stuck
}

// FreeNumber returns a number that looks like another and that nobody has: of as
// many digits, the highest first, or of more.
func FreeNumber(like string, used NumberSet) string {
	if like != "" && strings.Trim(like, "0123456789") == "" {
		for number := []byte(strings.Repeat("9", len(like))); ; {
			if !used.Has(string(number)) {
				return string(number)
			}
			i := len(number) - 1
			for ; i >= 0 && number[i] == '0'; i-- {
				number[i] = '9'
			}
			if i < 0 {
				break
			}
			number[i]--
		}
		return FreeNumber(like+"0", used)
	}
	for number := like + "0"; ; number += "0" {
		if !used.Has(number) {
			return number
		}
	}
}
