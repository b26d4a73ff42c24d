package mirror_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// drawCandidates draws messages of which many are twins, or are alike in all
// that is known without reading them.
func drawCandidates(t *rapid.T, label string) []mirror.Candidate {
	var out []mirror.Candidate
	for uid := range rapid.IntRange(0, 10).Draw(t, label) {
		c := mirror.NewCandidate(mailbox.Message{UID: mailbox.UID(uid + 1),
			Size:         rapid.Int64Range(1, 2).Draw(t, "size"),
			InternalDate: time.Unix(rapid.Int64Range(1, 2).Draw(t, "date"), 0)})
		c.Header[0] = rapid.ByteRange(1, 2).Draw(t, "header")
		c.Body[0] = rapid.ByteRange(0, 2).Draw(t, "body")
		c.Identified = rapid.Bool().Draw(t, "identified")
		out = append(out, c)
	}
	return rapid.Permutation(out).Draw(t, label+" shuffled")
}

func tally(list []mirror.Candidate) map[mirror.Fingerprint]int {
	n := map[mirror.Fingerprint]int{}
	for _, c := range list {
		n[c.Fingerprint]++
	}
	return n
}

func TestMatchPairsMultisets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, target := drawCandidates(t, "source"), drawCandidates(t, "target")
		byUID := [2]map[mailbox.UID]mirror.Fingerprint{{}, {}}
		for side, list := range [][]mirror.Candidate{source, target} {
			for _, c := range list {
				byUID[side][c.UID] = c.Fingerprint
			}
		}
		matched := map[mirror.Fingerprint]int{}
		pairs := mailbox.NewUIDMap(nil)
		last := map[mirror.Fingerprint]mailbox.Run{}
		for _, r := range mirror.Match(source, target) {
			fp := byUID[0][r.Source]
			if r.Length != 1 || byUID[1][r.Target] != fp {
				t.Fatalf("pair %v is of two messages", r)
			}
			if !pairs.Put(r.Source, r.Target) {
				t.Fatalf("pair %v takes a message twice", r)
			}
			if l := last[fp]; r.Source <= l.Source || r.Target <= l.Target {
				t.Fatalf("twins are paired out of order: %v after %v", r, l)
			}
			last[fp] = r
			matched[fp]++
		}
		inSource, inTarget := tally(source), tally(target)
		for fp, n := range inSource {
			if want := min(n, inTarget[fp]); matched[fp] != want {
				t.Fatalf("%d of %d and %d twins are paired", matched[fp], n, inTarget[fp])
			}
		}
	})
}

func TestSharedKeepsWhatMayHaveAPartner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, target := drawCandidates(t, "source"), drawCandidates(t, "target")
		s, tg := mirror.Shared(source, target)
		inSource, inTarget := tally(source), tally(target)
		for fp, n := range tally(s) {
			if n != inSource[fp] || inTarget[fp] == 0 {
				t.Fatalf("of %d twins on the source %d are shared with %d", inSource[fp], n, inTarget[fp])
			}
		}
		for fp, n := range tally(tg) {
			if n != inTarget[fp] || inSource[fp] == 0 {
				t.Fatalf("of %d twins on the target %d are shared with %d", inTarget[fp], n, inSource[fp])
			}
		}
		if d := cmp.Diff(mirror.Match(source, target), mirror.Match(s, tg)); d != "" {
			t.Fatalf("leaving out the rest changed the pairs (-want +got):\n%s", d)
		}
	})
}

// TestUnsure: a message that is not unsure is alone with its fingerprint on
// its side, has one candidate on the other, and says who it is.
func TestUnsure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source, target := mirror.Shared(drawCandidates(t, "source"), drawCandidates(t, "target"))
		unsureS, unsureT := mirror.Unsure(source, target)
		inSource, inTarget := tally(source), tally(target)
		check := func(side string, list []mirror.Candidate, unsure mailbox.UIDSet) {
			for _, c := range list {
				alone := inSource[c.Fingerprint] == 1 && inTarget[c.Fingerprint] == 1
				if want := !c.Identified || !alone; unsure.Contains(c.UID) != want {
					t.Fatalf("%s %d: unsure is %v, identified %v, alone %v", side, c.UID, !want, c.Identified, alone)
				}
			}
			if unsure.Len() > len(list) {
				t.Fatalf("%s: strangers are unsure: %v", side, unsure)
			}
		}
		check("source", source, unsureS)
		check("target", target, unsureT)
	})
}

func TestNewCandidateKnowsTheInstantAndNotTheZone(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 4, 5, 0, time.FixedZone("", 3600))
	a := mirror.NewCandidate(mailbox.Message{UID: 1, Size: 5, InternalDate: at})
	b := mirror.NewCandidate(mailbox.Message{UID: 2, Size: 5, InternalDate: at.UTC()})
	if a.Fingerprint != b.Fingerprint {
		t.Errorf("%+v and %+v are the same instant", a, b)
	}
}
