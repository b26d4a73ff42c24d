package directory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/directory"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	type kinds = map[directory.ChangeKind]int
	limits := directory.Limits{RemoveCount: 50, RemoveShare: 10, ChangeCount: 2000, ChangeShare: 50}
	small := limits
	small.ShareMinimum = 5
	for name, c := range map[string]struct {
		limits directory.Limits
		tally  directory.Tally
		want   string // the kinds that are held
	}{
		"nothing":                {limits, directory.Tally{Target: 100}, ""},
		"new ones":               {limits, directory.Tally{Target: 1, Planned: kinds{"create": 100000}}, ""},
		"as many as may go":      {limits, directory.Tally{Target: 1000, Planned: kinds{"remove": 50}}, ""},
		"one more":               {limits, directory.Tally{Target: 1000, Planned: kinds{"remove": 51}}, "remove"},
		"as large a share":       {limits, directory.Tally{Target: 100, Planned: kinds{"remove": 10}}, ""},
		"a larger share":         {limits, directory.Tally{Target: 100, Planned: kinds{"remove": 11, "alter": 5}}, "remove"},
		"with unknown ones":      {limits, directory.Tally{Target: 1000, Planned: kinds{"remove": 26, "unknown": 25}}, "remove unknown"},
		"told ones do not count": {limits, directory.Tally{Target: 1000, Kinds: kinds{"remove": 26, "unknown": 500}, Planned: kinds{"remove": 26}}, ""},
		"approved":               {limits, directory.Tally{Target: 1000, Planned: kinds{"remove": 500}, Approved: kinds{"remove": 480}}, ""},
		"too many changes":       {limits, directory.Tally{Target: 10000, Planned: kinds{"alter": 1990, "renumber": 6, "remove": 5, "create": 7}}, "renumber alter remove"},
		"too large a share":      {limits, directory.Tally{Target: 100, Planned: kinds{"alter": 51}}, "alter"},
		"no limits":              {directory.Limits{}, directory.Tally{Target: 100, Planned: kinds{"remove": 100, "alter": 9999}}, ""},
		"one of nine":            {limits, directory.Tally{Target: 9, Planned: kinds{"remove": 1}}, "remove"},
		"so few are no share":    {small, directory.Tally{Target: 9, Planned: kinds{"remove": 1, "alter": 3}}, ""},
		"half of a few":          {small, directory.Tally{Target: 8, Planned: kinds{"remove": 3, "unknown": 1}}, ""},
		"more than half":         {small, directory.Tally{Target: 7, Planned: kinds{"remove": 3, "unknown": 1}}, "remove unknown"},
		"the last one":           {small, directory.Tally{Target: 1, Planned: kinds{"remove": 1}}, "remove"},
		"all of a few":           {small, directory.Tally{Target: 4, Planned: kinds{"remove": 4, "create": 9}}, "remove"},
		"from the minimum on":    {small, directory.Tally{Target: 49, Planned: kinds{"remove": 5}}, "remove"},
		"half, if half may go":   {directory.Limits{RemoveShare: 60, ShareMinimum: 5}, directory.Tally{Target: 7, Planned: kinds{"remove": 4}}, ""},
		"all of a few, no share": {directory.Limits{RemoveCount: 50, ShareMinimum: 5}, directory.Tally{Target: 4, Planned: kinds{"remove": 4}}, ""},
		"all of a few altered":   {small, directory.Tally{Target: 3, Planned: kinds{"alter": 3}}, ""},
		"five of five altered":   {small, directory.Tally{Target: 5, Planned: kinds{"alter": 5}}, "alter"},
		"an empty target":        {limits, directory.Tally{Planned: kinds{"create": 9}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var held []string
			found, reasons := directory.Judge(c.limits, c.tally)
			for i, kind := range found {
				if !slices.Contains(held, string(kind)) {
					held = append(held, string(kind))
				}
				if !strings.ContainsAny(reasons[i], "0123456789") {
					t.Errorf("a reason without figures: %s", reasons[i])
				}
			}
			if got := strings.Join(held, " "); got != c.want {
				t.Errorf("held are %q, want %q", got, c.want)
			}
		})
	}
}

// TestJudgeHolds: what goes unasked is within the limits, whatever is planned.
func TestJudgeHolds(t *testing.T) {
	t.Parallel()
	all := []directory.ChangeKind{directory.Renumber, directory.Alter, directory.Create, directory.Remove, directory.Unknown}
	rapid.Check(t, func(t *rapid.T) {
		limits := directory.Limits{RemoveCount: rapid.IntRange(0, 60).Draw(t, "count"), RemoveShare: rapid.IntRange(0, 100).Draw(t, "share"),
			ChangeCount: rapid.IntRange(0, 200).Draw(t, "changes"), ChangeShare: rapid.IntRange(0, 100).Draw(t, "change share"),
			ShareMinimum: rapid.IntRange(0, 10).Draw(t, "minimum")}
		tally := directory.Tally{Target: rapid.IntRange(0, 500).Draw(t, "target"), Planned: map[directory.ChangeKind]int{}, Approved: map[directory.ChangeKind]int{}}
		goes := map[directory.ChangeKind]int{}
		for _, kind := range all {
			tally.Planned[kind] = rapid.IntRange(0, 200).Draw(t, "planned")
			tally.Approved[kind] = rapid.IntRange(0, tally.Planned[kind]).Draw(t, "approved")
			goes[kind] = tally.Planned[kind] - tally.Approved[kind]
		}
		held, _ := directory.Judge(limits, tally)
		for _, kind := range held {
			goes[kind] = 0
		}
		removed := goes[directory.Remove] + goes[directory.Unknown]
		changed := removed + goes[directory.Alter] + goes[directory.Renumber]
		for _, bad := range []bool{
			limits.RemoveCount > 0 && removed > limits.RemoveCount, limits.ChangeCount > 0 && changed > limits.ChangeCount,
			limits.RemoveShare > 0 && 100*removed > limits.RemoveShare*tally.Target && (removed >= limits.ShareMinimum || 2*removed > tally.Target),
			limits.RemoveShare > 0 && limits.RemoveShare < 100 && tally.Target > 0 && removed >= tally.Target,
			limits.ChangeShare > 0 && 100*changed > limits.ChangeShare*tally.Target && changed >= limits.ShareMinimum,
			goes[directory.Create] != tally.Planned[directory.Create]-tally.Approved[directory.Create],
		} {
			if bad {
				t.Fatalf("%v go of %+v by %+v", goes, tally, limits)
			}
		}
	})
}

func TestBelieve(t *testing.T) {
	t.Parallel()
	x := func(entries int, having ...int) directory.Extracted {
		e := directory.Extracted{Entries: entries, Having: map[directory.Column]int{directory.MailboxNumber: entries}}
		for i, n := range having {
			e.Having[[]directory.Column{directory.Password, directory.Misc4}[i]] = n
		}
		return e
	}
	limits, small := directory.Limits{ShrinkShare: 10}, directory.Limits{ShrinkShare: 10, ShareMinimum: 5}
	for name, c := range map[string]struct {
		limits                                 directory.Limits
		source, target, lastSource, lastTarget directory.Extracted
		first                                  bool
		want                                   int
		text                                   string
	}{
		"first run":               {limits: limits, source: x(100, 100), target: x(0, 0), first: true},
		"an empty source":         {limits: limits, source: x(0, 0), target: x(100, 100), first: true, want: 1, text: "no entry at all"},
		"empty all the same":      {limits: directory.Limits{}, source: x(0), target: x(100), lastSource: x(100), lastTarget: x(100), want: 1, text: "no entry at all"},
		"as before":               {limits: limits, source: x(100, 90, 0), target: x(100, 90, 0), lastSource: x(100, 90, 0), lastTarget: x(100, 90, 0)},
		"a tenth fewer":           {limits: limits, source: x(90, 90), target: x(100, 100), lastSource: x(100, 100), lastTarget: x(100, 100)},
		"more than that":          {limits: limits, source: x(89, 89), target: x(100, 100), lastSource: x(100, 100), lastTarget: x(100, 100), want: 1, text: "89 entries, and 100"},
		"one of nine":             {limits: limits, source: x(8, 8), target: x(9, 9), lastSource: x(9, 9), lastTarget: x(9, 9), want: 1, text: "more than 10 %"},
		"so few are no share":     {limits: small, source: x(8, 8), target: x(9, 9), lastSource: x(9, 9), lastTarget: x(9, 9)},
		"more than half of a few": {limits: small, source: x(1, 1), target: x(3, 3), lastSource: x(3, 3), lastTarget: x(3, 3), want: 1, text: "more than half"},
		"a few, of the target":    {limits: small, source: x(4, 4), target: x(0, 0), lastSource: x(4, 4), lastTarget: x(4, 4), want: 1, text: "target"},
		"all of a few":            {limits: small, source: x(0), target: x(4, 4), lastSource: x(4, 4), lastTarget: x(4, 4), want: 1, text: "no entry at all"},
		"of the target":           {limits: limits, source: x(100, 100), target: x(0, 0), lastSource: x(100, 100), lastTarget: x(100, 100), want: 1, text: "target"},
		"meant by the operator":   {limits: directory.Limits{}, source: x(1, 0), target: x(100, 100), lastSource: x(100, 100), lastTarget: x(100, 100)},
		"passwords are hidden":    {limits: limits, source: x(100, 0), target: x(100, 100), lastSource: x(100, 100), lastTarget: x(100, 100), want: 1, text: "password"},
		"hidden on the target":    {limits: limits, source: x(100, 100), target: x(100, 0), lastSource: x(100, 100), lastTarget: x(100, 100), want: 1, text: "of the target shows a value of password"},
		"hidden from the start":   {limits: limits, source: x(100, 0), target: x(100, 100), first: true, want: 1, text: "password"},
		"hidden, one entry":       {limits: limits, source: x(1, 0), target: x(1, 1), lastSource: x(1, 1), lastTarget: x(1, 1), want: 1, text: "password"},
		"the last few were freed": {limits: limits, source: x(100, 100, 0), target: x(100, 100, 3), lastSource: x(100, 100, 3), lastTarget: x(100, 100, 3)},
		"not mapped any more":     {limits: limits, source: x(100), target: x(100), lastSource: x(100, 100), lastTarget: x(100, 100)},
		"both":                    {limits: limits, source: x(50, 0), target: x(100, 100), lastSource: x(100, 100), lastTarget: x(100, 100), want: 2, text: "50 entries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := directory.Believe(c.limits, c.source, c.target, c.lastSource, c.lastTarget, !c.first)
			if len(got) != c.want || !strings.Contains(strings.Join(got, "\n"), c.text) {
				t.Errorf("%d reasons: %q, want %d with %q", len(got), got, c.want, c.text)
			}
		})
	}
}

func TestDigester(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", 32))
	d := directory.NewDigester(key)
	same := func(a, b []byte) bool { return string(a) == string(b) }
	if !same(d.Digest(directory.Password, []byte("1234")), directory.NewDigester(key).Digest(directory.Password, []byte("1234"))) {
		t.Error("equal secrets have other digests")
	}
	key[0] = 'x' // the digester has its own
	if !same(d.Digest(directory.Password, []byte("1234")), directory.NewDigester([]byte(strings.Repeat("k", 32))).Digest(directory.Password, []byte("1234"))) {
		t.Error("the key is the caller's still")
	}
	if same(d.Digest(directory.Password, []byte("1234")), directory.NewDigester(key).Digest(directory.Password, []byte("1234"))) {
		t.Error("another key gives the same digest")
	}
	if got := fmt.Sprintf("%x", d.Digest(directory.RecordedName, []byte("abc"))); got != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("the SHA-256 of a binary value is %s", got)
	}
	bytesOf := func(list ...string) (out [][]byte) {
		for _, v := range list {
			out = append(out, []byte(v))
		}
		return out
	}
	record := func(list ...string) []byte {
		e := directory.Entry{Number: "1", Login: "x", Values: map[directory.Column][][]byte{directory.Password: bytesOf(list...),
			directory.Misc1: bytesOf("b", "a"), directory.Misc2: bytesOf("")}}
		r := directory.NewRecord(e, d.Digest)
		if strings.Join(r.Texts[directory.Misc1], "") != "ab" || len(r.Texts[directory.Misc2]) != 1 || r.Login != "x" || len(r.Texts[directory.Password]) > 0 {
			t.Errorf("record %+v", r)
		}
		return r.Digests[directory.Password]
	}
	if !same(record("a", "b"), record("b", "a")) || same(record("a", "b"), record("ab")) || same(record("a"), record("a", "b")) || record() != nil {
		t.Error("digests of several values are not those of a set")
	}
}
