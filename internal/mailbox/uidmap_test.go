package mailbox_test

import (
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
)

// drawMap draws a map as copies make it: mostly in order, with gaps.
func drawMap(t *rapid.T, label string) *mailbox.UIDMap {
	m := mailbox.NewUIDMap(nil)
	sources := rapid.SliceOfN(anyUID(), 0, 30).Draw(t, label+" sources")
	for i, s := range sources {
		if rapid.Bool().Draw(t, label+" near") {
			m.Put(s, s)
		} else {
			m.Put(s, mailbox.UID(100+i))
		}
	}
	return m
}

func pairsOf(m *mailbox.UIDMap) map[mailbox.UID]mailbox.UID {
	return maps.Collect(m.All())
}

// oneToOne fails unless both directions of the map tell the same.
func oneToOne(t *rapid.T, m *mailbox.UIDMap) {
	t.Helper()
	seen := map[mailbox.UID]bool{}
	for s, tgt := range m.All() {
		if s == 0 || tgt == 0 {
			t.Fatalf("pair %d-%d has no UID", s, tgt)
		}
		if seen[tgt] {
			t.Fatalf("target %d has two partners", tgt)
		}
		seen[tgt] = true
		if back, ok := m.Source(tgt); !ok || back != s {
			t.Fatalf("%d is paired with %d, which is paired with %d", s, tgt, back)
		}
	}
	if m.Len() != len(seen) {
		t.Fatalf("Len is %d, there are %d pairs", m.Len(), len(seen))
	}
}

func TestUIDMapBehavesAsTwoMapsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &mailbox.UIDMap{}
		model := map[mailbox.UID]mailbox.UID{}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				oneToOne(t, m)
				if d := cmp.Diff(model, pairsOf(m)); d != "" {
					t.Fatalf("(-want +got):\n%s", d)
				}
			},
			"put": func(t *rapid.T) {
				s, tgt := mailbox.UID(rapid.Uint32Range(0, 6).Draw(t, "s")), mailbox.UID(rapid.Uint32Range(0, 6).Draw(t, "t"))
				free := s != 0 && tgt != 0
				for a, b := range model {
					free = free && (a == s) == (b == tgt)
				}
				if got := m.Put(s, tgt); got != free {
					t.Fatalf("Put(%d, %d) is %v with %v", s, tgt, got, model)
				}
				if free {
					model[s] = tgt
				}
			},
			"delete": func(t *rapid.T) {
				s := mailbox.UID(rapid.Uint32Range(0, 6).Draw(t, "s"))
				m.DeleteSource(s)
				delete(model, s)
			},
		})
	})
}

func TestRunsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMap(t, "map")
		runs := m.Runs()
		for i, r := range runs {
			if r.Length == 0 {
				t.Fatalf("run %d is empty", i)
			}
			if i == 0 {
				continue
			}
			p := runs[i-1]
			end, targetEnd := uint64(p.Source)+uint64(p.Length), uint64(p.Target)+uint64(p.Length)
			if uint64(r.Source) < end {
				t.Fatalf("runs %v and %v are not in order", p, r)
			}
			if uint64(r.Source) == end && uint64(r.Target) == targetEnd {
				t.Fatalf("runs %v and %v could be one", p, r)
			}
		}
		if d := cmp.Diff(pairsOf(m), pairsOf(mailbox.NewUIDMap(runs))); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

// TestDiffRunsTurnsOneListIntoTheOther applies the difference as the ledger
// does: removed runs go by being equal, added ones are put in.
func TestDiffRunsTurnsOneListIntoTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stored, next := drawMap(t, "stored").Runs(), drawMap(t, "next").Runs()
		remove, add := mailbox.DiffRuns(stored, next)
		for _, r := range remove {
			if !slices.Contains(stored, r) || slices.Contains(next, r) {
				t.Fatalf("run %v is removed for nothing", r)
			}
		}
		for _, r := range add {
			if slices.Contains(stored, r) {
				t.Fatalf("run %v is added twice", r)
			}
		}
		got := slices.DeleteFunc(slices.Clone(stored), func(r mailbox.Run) bool { return slices.Contains(remove, r) })
		got = append(got, add...)
		slices.SortFunc(got, func(a, b mailbox.Run) int { return int(int64(a.Source) - int64(b.Source)) })
		if !slices.Equal(got, next) {
			t.Fatalf("%v less %v plus %v is %v, want %v", stored, remove, add, got, next)
		}
	})
}

// TestCorruptRuns: a ledger that was altered by hand gives a map that is still
// one to one, and gives it in good time.
func TestCorruptRuns(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs []mailbox.Run
		want map[mailbox.UID]mailbox.UID
	}{
		{"no UID", []mailbox.Run{{Source: 0, Target: 5, Length: 2}}, map[mailbox.UID]mailbox.UID{1: 6}},
		{"no length", []mailbox.Run{{Source: 1, Target: 1}}, map[mailbox.UID]mailbox.UID{}},
		{"overlap on the source", []mailbox.Run{{1, 11, 2}, {2, 22, 2}}, map[mailbox.UID]mailbox.UID{1: 11, 2: 12, 3: 23}},
		{"overlap on the target", []mailbox.Run{{1, 11, 2}, {5, 12, 2}}, map[mailbox.UID]mailbox.UID{1: 11, 2: 12, 6: 13}},
		{"twice the same", []mailbox.Run{{1, 11, 2}, {1, 11, 2}}, map[mailbox.UID]mailbox.UID{1: 11, 2: 12}},
		{"beyond the last source", []mailbox.Run{{maxUID - 1, 5, 5}}, map[mailbox.UID]mailbox.UID{maxUID - 1: 5, maxUID: 6}},
		{"beyond the last target", []mailbox.Run{{5, maxUID, 3}}, map[mailbox.UID]mailbox.UID{5: maxUID}},
		{"longer than any folder", []mailbox.Run{{1, 1, math.MaxUint32}}, map[mailbox.UID]mailbox.UID{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, pairsOf(mailbox.NewUIDMap(tt.runs))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestAnyRunsGiveAOneToOneMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := rapid.OneOf(rapid.Just(mailbox.UID(0)), anyUID())
		runs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailbox.Run {
			return mailbox.Run{Source: uid.Draw(t, "source"), Target: uid.Draw(t, "target"), Length: rapid.Uint32Range(0, 30).Draw(t, "length")}
		}), 0, 10).Draw(t, "runs")
		m := mailbox.NewUIDMap(runs)
		oneToOne(t, m)
		if d := cmp.Diff(pairsOf(m), pairsOf(mailbox.NewUIDMap(m.Runs()))); d != "" {
			t.Fatalf("runs of corrupt runs (-want +got):\n%s", d)
		}
	})
}
