package quota_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailmirror/internal/quota"
)

func turn(i int) time.Time { return time.Unix(int64(i), 0) }

func TestShare(t *testing.T) {
	for _, test := range []struct {
		name   string
		most   int
		me     quota.Claim
		others []quota.Claim
		want   int
	}{
		{"alone", 20, quota.Claim{Wanted: 8}, nil, 8},
		{"alone and greedy", 5, quota.Claim{Wanted: 8}, nil, 5},
		{"nothing wanted", 5, quota.Claim{Held: 3}, nil, 0},
		{"what is open stays", 2, quota.Claim{Held: 4, InUse: 4, Wanted: 8}, nil, 4},
		{"the other sleeps", 6, quota.Claim{Wanted: 8}, []quota.Claim{{Holder: "b"}}, 6},
		{"the other holds all", 6, quota.Claim{Wanted: 8}, []quota.Claim{{Holder: "b", Held: 6, InUse: 6, Wanted: 8}}, 0},
		{"the other waits", 6, quota.Claim{Held: 6, InUse: 1, Wanted: 8}, []quota.Claim{{Holder: "b", Wanted: 8}}, 3},
		{"the other wants little", 6, quota.Claim{Held: 4, InUse: 1, Wanted: 8}, []quota.Claim{{Holder: "b", Wanted: 1}}, 5},
		{"one for two, the other is older", 1, quota.Claim{Holder: "a", Held: 1, Wanted: 2, Turn: turn(5)},
			[]quota.Claim{{Holder: "b", Wanted: 1, Turn: turn(4)}}, 0},
		{"one for two, the other is younger", 1, quota.Claim{Holder: "a", Held: 1, Wanted: 2, Turn: turn(5)},
			[]quota.Claim{{Holder: "b", Wanted: 1, Turn: turn(6)}}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := quota.Share(test.most, test.me, test.others); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

// TestShareProperties: whatever processes open, close and want, and in which
// order they ask, no more than the bound is ever held, none takes away what is
// open, and none waits for ever.
func TestShareProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 6).Draw(t, "most")
		claims := make([]quota.Claim, rapid.IntRange(1, 5).Draw(t, "processes"))
		for i := range claims {
			claims[i] = quota.Claim{Holder: fmt.Sprint(i), Wanted: 1 + rapid.IntRange(0, 8).Draw(t, "wanted"), Turn: turn(i)}
		}
		served := make([]int, len(claims))
		clock := len(claims)
		ask := func(i int) {
			var others []quota.Claim
			for j, c := range claims {
				if j != i {
					others = append(others, c)
				}
			}
			clock++
			got := quota.Share(most, claims[i], others)
			if got < claims[i].InUse {
				t.Fatalf("process %d has %d open and may hold %d", i, claims[i].InUse, got)
			}
			if claims[i].Held == 0 && got > 0 {
				claims[i].Turn = turn(clock)
			}
			claims[i].Held = got
			served[i] = max(served[i], got)
			sum := 0
			for _, c := range claims {
				sum += c.Held
			}
			if sum > most {
				t.Fatalf("%d of %d are held: %+v", sum, most, claims)
			}
		}
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			i := rapid.IntRange(0, len(claims)-1).Draw(t, "who")
			claims[i].InUse = rapid.IntRange(0, claims[i].Held).Draw(t, "open")
			claims[i].Wanted = max(claims[i].InUse, rapid.IntRange(0, 8).Draw(t, "wanted"))
			ask(i)
		}
		// From now on each wants some and closes what it has: each gets a turn.
		clear(served)
		for range 4 * len(claims) {
			for i := range claims {
				claims[i].InUse, claims[i].Wanted = 0, max(1, claims[i].Wanted)
				ask(i)
			}
		}
		for i, n := range served {
			if n == 0 {
				t.Fatalf("process %d waits for ever: %+v", i, claims)
			}
		}
	})
}
