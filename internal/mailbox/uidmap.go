package mailbox

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// Run pairs Length consecutive source UIDs with as many consecutive target
// UIDs. A copy in order gives few and long runs.
type Run struct {
	Source, Target UID
	Length         uint32
}

// UIDMap pairs source UIDs with target UIDs, one to one. The zero value is
// empty. It is kept as a plain map while it is worked on and as Runs at rest.
type UIDMap struct {
	toTarget map[UID]UID
	toSource map[UID]UID
}

// maxRun is longer than any folder that a store serves. A longer run can only
// come of a ledger that was altered, and would take all memory.
const maxRun = 1 << 24

// NewUIDMap builds a map from runs; a pair that contradicts an earlier one is
// dropped, since a ledger that was altered by hand must not pair a message
// with two. So are pairs beyond the last UID, and runs that no folder can
// have: messages that lose their pair are recognised anew.
func NewUIDMap(runs []Run) *UIDMap {
	m := &UIDMap{toTarget: map[UID]UID{}, toSource: map[UID]UID{}}
	for _, r := range runs {
		if r.Length > maxRun {
			continue
		}
		for i := range min(r.Length, uint32(^max(r.Source, r.Target))+1) {
			m.Put(r.Source+UID(i), r.Target+UID(i))
		}
	}
	return m
}

// Put pairs s with t. It reports false and changes nothing where either is
// paired already with another.
func (m *UIDMap) Put(s, t UID) bool {
	if s == 0 || t == 0 {
		return false
	}
	t0, okS := m.toTarget[s]
	s0, okT := m.toSource[t]
	if (okS && t0 != t) || (okT && s0 != s) {
		return false
	}
	if m.toTarget == nil {
		m.toTarget, m.toSource = map[UID]UID{}, map[UID]UID{}
	}
	m.toTarget[s], m.toSource[t] = t, s
	return true
}

// DeleteSource forgets the pair of source UID s.
func (m *UIDMap) DeleteSource(s UID) {
	if t, ok := m.toTarget[s]; ok {
		delete(m.toTarget, s)
		delete(m.toSource, t)
	}
}

// Target returns the partner of source UID s.
func (m *UIDMap) Target(s UID) (UID, bool) { t, ok := m.toTarget[s]; return t, ok }

// Source returns the partner of target UID t.
func (m *UIDMap) Source(t UID) (UID, bool) { s, ok := m.toSource[t]; return s, ok }

// Len is the number of pairs.
func (m *UIDMap) Len() int { return len(m.toTarget) }

// All yields the pairs by ascending source UID.
func (m *UIDMap) All() iter.Seq2[UID, UID] {
	keys := slices.Sorted(maps.Keys(m.toTarget))
	return func(yield func(UID, UID) bool) {
		for _, s := range keys {
			if !yield(s, m.toTarget[s]) {
				return
			}
		}
	}
}

// Sources returns the source UIDs that have a partner.
func (m *UIDMap) Sources() UIDSet { return NewUIDSet(slices.Collect(maps.Keys(m.toTarget))...) }

// Targets returns the target UIDs that have a partner.
func (m *UIDMap) Targets() UIDSet { return NewUIDSet(slices.Collect(maps.Keys(m.toSource))...) }

// Runs returns the pairs as the fewest runs, by ascending source UID.
func (m *UIDMap) Runs() []Run {
	var runs []Run
	for s, t := range m.All() {
		if n := len(runs); n > 0 {
			r := &runs[n-1]
			if s == r.Source+UID(r.Length) && t == r.Target+UID(r.Length) {
				r.Length++
				continue
			}
		}
		runs = append(runs, Run{Source: s, Target: t, Length: 1})
	}
	return runs
}

// DiffRuns tells which runs to remove from and add to a stored list so that
// it becomes next. Both lists are sorted by source UID.
func DiffRuns(stored, next []Run) (remove, add []Run) {
	order := func(a, b Run) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Length, b.Length))
	}
	i, j := 0, 0
	for i < len(stored) || j < len(next) {
		switch {
		case j == len(next) || (i < len(stored) && order(stored[i], next[j]) < 0):
			remove = append(remove, stored[i])
			i++
		case i == len(stored) || order(stored[i], next[j]) > 0:
			add = append(add, next[j])
			j++
		default:
			i++
			j++
		}
	}
	return remove, add
}
