package mailbox_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
)

const maxUID = mailbox.UID(math.MaxUint32)

// anyUID draws UIDs that often collide, touch, or lie at the ends of the
// range, where arithmetic on 32 bits goes wrong.
func anyUID() *rapid.Generator[mailbox.UID] {
	return rapid.OneOf(
		rapid.Map(rapid.Uint32Range(1, 40), func(u uint32) mailbox.UID { return mailbox.UID(u) }),
		rapid.Map(rapid.Uint32Range(math.MaxUint32-20, math.MaxUint32), func(u uint32) mailbox.UID { return mailbox.UID(u) }),
		rapid.Map(rapid.Uint32Min(1), func(u uint32) mailbox.UID { return mailbox.UID(u) }),
	)
}

// model is a set of UIDs that is too simple to be wrong.
type model map[mailbox.UID]bool

func (m model) sorted() []mailbox.UID {
	out := make([]mailbox.UID, 0, len(m))
	for u := range m {
		out = append(out, u)
	}
	slices.Sort(out)
	return out
}

func drawSet(t *rapid.T, label string) (mailbox.UIDSet, model) {
	uids := rapid.SliceOfN(anyUID(), 0, 40).Draw(t, label)
	m := model{}
	for _, u := range uids {
		m[u] = true
	}
	return mailbox.NewUIDSet(uids...), m
}

// wellFormed fails unless the runs are sorted and neither touch nor overlap.
func wellFormed(t *rapid.T, s mailbox.UIDSet) {
	t.Helper()
	for i, r := range s {
		if r.First == 0 || r.First > r.Last {
			t.Fatalf("run %d of %v is no run", i, s)
		}
		if i > 0 && uint64(r.First) <= uint64(s[i-1].Last)+1 {
			t.Fatalf("runs %d and %d of %v touch or overlap", i-1, i, s)
		}
	}
}

func same(t *rapid.T, what string, got mailbox.UIDSet, want model) {
	t.Helper()
	wellFormed(t, got)
	if got.Len() != len(want) {
		t.Fatalf("%s: Len is %d, want %d", what, got.Len(), len(want))
	}
	if d := cmp.Diff(want.sorted(), got.UIDs()); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func TestUIDSetBehavesAsAMapDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, ma := drawSet(t, "a")
		b, mb := drawSet(t, "b")
		beforeA, beforeB := a.String(), b.String()
		same(t, "new", a, ma)

		union, minus, both := model{}, model{}, model{}
		for u := range ma {
			union[u] = true
			if mb[u] {
				both[u] = true
			} else {
				minus[u] = true
			}
		}
		for u := range mb {
			union[u] = true
		}
		same(t, "union", a.Union(b), union)
		same(t, "minus", a.Minus(b), minus)
		same(t, "intersect", a.Intersect(b), both)

		first := rapid.OneOf(rapid.Just(mailbox.UID(0)), anyUID()).Draw(t, "first")
		from := model{}
		for u := range ma {
			if u >= first {
				from[u] = true
			}
		}
		same(t, "from", a.From(first), from)

		for u := range union {
			if a.Contains(u) != ma[u] {
				t.Fatalf("Contains(%d) is %v", u, !ma[u])
			}
		}
		if a.String() != beforeA || b.String() != beforeB {
			t.Fatalf("the operands changed: %v, %v", a, b)
		}
	})
}

func TestUIDSetAddInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s mailbox.UIDSet
		m := model{}
		for _, u := range rapid.SliceOfN(anyUID(), 0, 60).Draw(t, "uids") {
			s.Add(u)
			m[u] = true
			same(t, "after add", s, m)
		}
	})
}

func TestUIDSetTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSet(t, "set")
		back, err := mailbox.ParseUIDSet(s.String())
		if err != nil {
			t.Fatalf("parse %q: %v", s.String(), err)
		}
		same(t, "parsed", back, m)
	})
}

func TestUIDSetChunksKeepEveryUIDWithinTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, m := drawSet(t, "set")
		limit := rapid.IntRange(1, 60).Draw(t, "bytes")
		before := s.String()
		var all mailbox.UIDSet
		for _, chunk := range s.Chunks(limit) {
			if len(chunk) == 0 {
				t.Fatal("an empty chunk")
			}
			// One run is never split, so that it may be longer than the limit.
			if text := chunk.String(); len(text) > limit && len(chunk) > 1 {
				t.Fatalf("chunk %q is longer than %d bytes", text, limit)
			}
			if len(all.Intersect(chunk)) > 0 {
				t.Fatalf("chunk %v repeats what came before", chunk)
			}
			all = all.Union(chunk)
			// A caller may go on with a chunk as with a set of its own.
			chunk.Add(maxUID)
		}
		same(t, "chunks", all, m)
		if s.String() != before {
			t.Fatalf("adding to a chunk changed the set from %s to %s", before, s)
		}
	})
}

func TestUIDSetEdges(t *testing.T) {
	everything := mailbox.UIDSet{{First: 1, Last: maxUID}}
	for _, tt := range []struct {
		name string
		got  mailbox.UIDSet
		want string
	}{
		{"nothing", nil, ""},
		{"union of nothing", mailbox.UIDSet(nil).Union(nil), ""},
		{"everything but the first", everything.Minus(mailbox.NewUIDSet(1)), "2:4294967295"},
		{"everything but the last", everything.Minus(mailbox.NewUIDSet(maxUID)), "1:4294967294"},
		{"everything but the middle", everything.Minus(mailbox.UIDSet{{First: 7, Last: 9}}), "1:6,10:4294967295"},
		{"everything but everything", everything.Minus(everything), ""},
		{"everything and the ends", everything.Union(mailbox.NewUIDSet(1, maxUID)), "1:4294967295"},
		{"from 0", everything.From(0), "1:4294967295"},
		{"from 1", everything.From(1), "1:4294967295"},
		{"from the last", everything.From(maxUID), "4294967295"},
		{"the last twice", mailbox.NewUIDSet(maxUID, maxUID), "4294967295"},
		{"the last two join", mailbox.NewUIDSet(maxUID, maxUID-1), "4294967294:4294967295"},
		{"the ends do not join", mailbox.NewUIDSet(maxUID, 1), "1,4294967295"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.got.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := everything.Len(); got != math.MaxUint32 {
		t.Errorf("everything has %d UIDs, want %d", got, uint32(math.MaxUint32))
	}
	for u := range everything.From(maxUID - 1).All() {
		if u < maxUID-1 {
			t.Fatalf("the iteration went around to %d", u)
		}
	}
}

func TestParseUIDSet(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", ""},
		{"one", "7", "7"},
		{"unsorted and overlapping", "9,3:5,4:6,1", "1,3:6,9"},
		{"backwards", "5:3", "3:5"},
		{"touching", "1:2,3", "1:3"},
		{"the last", "4294967295", "4294967295"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mailbox.ParseUIDSet(tt.text)
			if err != nil || got.String() != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
	for name, text := range map[string]string{
		"star": "1:*", "zero": "0", "zero in a range": "0:3", "too large": "4294967296", "negative": "-1",
		"blank": "1, 2", "hole": "1,,2", "two colons": "1:2:3", "plus": "+1", "word": "all",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := mailbox.ParseUIDSet(text); err == nil {
				t.Errorf("%q was read as %v", text, got)
			}
		})
	}
}

// FuzzParseUIDSet: what is read is well formed and is read again as it is
// written, and the runs cover what the text says.
func FuzzParseUIDSet(f *testing.F) {
	for _, seed := range []string{"", "1", "1:3,5", "5:1,4294967295", "1:*", ",", ":", "4294967295:1", "1:4294967295,7", "007"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := mailbox.ParseUIDSet(text)
		if err != nil {
			if s != nil {
				t.Fatalf("%q: a part came with the error %v", text, err)
			}
			return
		}
		for i, r := range s {
			if r.First == 0 || r.First > r.Last || (i > 0 && uint64(r.First) <= uint64(s[i-1].Last)+1) {
				t.Fatalf("%q was read as %#v", text, s)
			}
		}
		if strings.ContainsAny(text, "* -+") {
			t.Fatalf("%q was read as %v", text, s)
		}
		again, err := mailbox.ParseUIDSet(s.String())
		if err != nil || !slices.Equal(again, s) {
			t.Fatalf("%q: %v is written as %q and read as %v, %v", text, []mailbox.Range(s), s, []mailbox.Range(again), err)
		}
	})
}
