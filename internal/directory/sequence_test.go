package directory_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/directory"
)

// TestSequence carries random renumberings out on a set of numbers: no number is
// ever taken that somebody has, and what is stuck could not be done in any order.
func TestSequence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const n = 8
		// Entry i has number i, and wants to have another, or to be removed.
		wants := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}).Draw(t, "wants")[:n]
		removed := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "removed")
		steady := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "steady")
		pinned := rapid.SliceOfN(rapid.IntRange(0, 5), n, n).Draw(t, "pinned")
		moving := func(i int) bool { return i < n && wants[i] != i && pinned[i] > 0 }
		var moves []directory.Move
		for i := range n {
			if !moving(i) {
				continue
			}
			m := directory.Move{Seq: int64(i + 1), Kind: directory.Renumber, Steady: steady[i], Old: fmt.Sprint(i)}
			switch to := wants[i]; {
			case removed[i]:
				m.Kind = directory.Remove
			case to < n && moving(to):
				m.Needs = int64(to + 1)
			case to < n:
				m.Blocked = true
			}
			moves = append(moves, m)
		}
		steps, stuck := directory.Sequence(moves)

		has := map[int]int{} // who has a number
		for i := range n {
			has[i] = i
		}
		at := map[int]int{}
		for i := range n {
			at[i] = i
		}
		made := map[int64]int{}
		for k, step := range steps {
			i := int(step.Seq - 1)
			to := wants[i]
			if step.Via {
				to = 100 + i
			} else if made[step.Seq]++; made[step.Seq] > 1 {
				t.Fatalf("%d is made twice", i)
			}
			if step.Via && !steady[i] {
				t.Fatalf("%d is renumbered for a while and could not be found again", i)
			}
			if !step.Via && step.Needs != 0 && made[step.Needs] == 0 {
				half := false
				for _, before := range steps[:k] {
					half = half || (before.Via && before.Seq == step.Needs)
				}
				if !half {
					t.Fatalf("%d is made before what it needs", i)
				}
			}
			delete(has, at[i])
			if removed[i] {
				continue
			}
			if who, taken := has[to]; taken {
				t.Fatalf("%d takes %d, which %d has: %+v", i, to, who, steps)
			}
			has[to], at[i] = i, to
		}
		for _, seq := range stuck {
			i := int(seq - 1)
			if made[seq] > 0 {
				t.Fatalf("%d is stuck and made", i)
			}
			if who, taken := has[wants[i]]; !taken || who == i {
				t.Fatalf("%d is stuck, though %d is free", i, wants[i])
			}
		}
		if len(made)+len(stuck) != len(moves) {
			t.Fatalf("%d made and %d stuck of %d", len(made), len(stuck), len(moves))
		}
	})
}

func TestSequenceIsNotDeep(t *testing.T) {
	t.Parallel()
	moves := make([]directory.Move, 200_000)
	for i := range moves {
		moves[i] = directory.Move{Seq: int64(i + 1), Kind: directory.Renumber, Needs: int64(i + 2), Steady: true}
	}
	moves[len(moves)-1].Needs = 0
	if steps, stuck := directory.Sequence(moves); len(steps) != len(moves) || len(stuck) > 0 || steps[0].Seq != int64(len(moves)) {
		t.Errorf("%d steps, %d stuck", len(steps), len(stuck))
	}
	moves[len(moves)-1].Needs = 1
	if steps, stuck := directory.Sequence(moves); len(steps) != len(moves)+1 || len(stuck) > 0 || !steps[0].Via {
		t.Errorf("%d steps, %d stuck of a circle", len(steps), len(stuck))
	}
}

func TestFreeNumber(t *testing.T) {
	t.Parallel()
	all := map[string]bool{}
	for i := range 10 {
		all[fmt.Sprint(i)] = true
	}
	for like, want := range map[string]string{"1234": "9998", "5": "99", "a1": "a100", "A1": "A100", "": "0"} {
		used := directory.NumberSet{"9999": true, "a10": true}
		for n := range all {
			used[n] = like == "5"
		}
		if got := directory.FreeNumber(like, used); got != want {
			t.Errorf("like %q: %q, want %q", like, got, want)
		}
	}
}
