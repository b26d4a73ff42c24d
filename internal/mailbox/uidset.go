package mailbox

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Range is a run of UIDs, both ends included.
type Range struct{ First, Last UID }

// UIDSet is a set of UIDs as sorted runs that neither touch nor overlap. The
// zero value is the empty set. Methods never change their receiver's runs in
// place where they return a set.
type UIDSet []Range

// NewUIDSet builds a set from UIDs in any order.
func NewUIDSet(uids ...UID) UIDSet {
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	var s UIDSet
	for _, u := range sorted {
		s.Add(u)
	}
	return s
}

// Add puts one UID into the set; in ascending order it costs O(1), in another one
// O(runs) without a copy of them. It works in
// place: what was only assigned from the set, and not returned by a method,
// shares its runs.
func (s *UIDSet) Add(u UID) {
	n := len(*s)
	if n > 0 {
		last := &(*s)[n-1]
		switch {
		case u == last.Last+1 && last.Last != ^UID(0):
			last.Last = u
			return
		case u > last.Last:
			*s = append(*s, Range{u, u})
			return
		}
		s.insert(u)
		return
	}
	*s = UIDSet{{u, u}}
}

// insert puts a UID below the last one in its place.
func (s *UIDSet) insert(u UID) {
	runs := *s
	// i is the first run that ends at u or behind it; there is one.
	i, _ := slices.BinarySearchFunc(runs, u, func(r Range, u UID) int { return cmp.Compare(r.Last, u) })
	after := uint64(u)+1 == uint64(runs[i].First)
	before := i > 0 && runs[i-1].Last+1 == u
	switch {
	case runs[i].First <= u:
	case before && after:
		runs[i-1].Last = runs[i].Last
		*s = slices.Delete(runs, i, i+1)
	case before:
		runs[i-1].Last = u
	case after:
		runs[i].First = u
	default:
		*s = slices.Insert(runs, i, Range{u, u})
	}
}

// Len is the number of UIDs.
func (s UIDSet) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// Contains reports membership in O(log runs).
func (s UIDSet) Contains(u UID) bool {
	_, found := slices.BinarySearchFunc(s, u, func(r Range, u UID) int {
		switch {
		case r.Last < u:
			return -1
		case r.First > u:
			return 1
		default:
			return 0
		}
	})
	return found
}

// All yields the UIDs in ascending order.
func (s UIDSet) All() iter.Seq[UID] {
	return func(yield func(UID) bool) {
		for _, r := range s {
			for u := uint64(r.First); u <= uint64(r.Last); u++ {
				if !yield(UID(u)) {
					return
				}
			}
		}
	}
}

// UIDs returns the members one by one, ascending.
func (s UIDSet) UIDs() []UID {
	return slices.AppendSeq(make([]UID, 0, s.Len()), s.All())
}

// Union returns the members of either set.
func (s UIDSet) Union(t UIDSet) UIDSet {
	all := slices.Concat(s, t)
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	var out UIDSet
	for _, r := range all {
		if n := len(out); n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Minus returns the members of s that are not in t.
func (s UIDSet) Minus(t UIDSet) UIDSet {
	var out UIDSet
	j := 0
	for _, r := range s {
		first := uint64(r.First)
		for j > 0 && uint64(t[j-1].Last) >= first {
			j--
		}
		for ; j < len(t) && uint64(t[j].First) <= uint64(r.Last); j++ {
			if uint64(t[j].Last) < first {
				continue
			}
			if uint64(t[j].First) > first {
				out = append(out, Range{UID(first), t[j].First - 1})
			}
			first = uint64(t[j].Last) + 1
		}
		if first <= uint64(r.Last) {
			out = append(out, Range{UID(first), r.Last})
		}
	}
	return out
}

// Intersect returns the members of both sets.
func (s UIDSet) Intersect(t UIDSet) UIDSet { return s.Minus(s.Minus(t)) }

// From returns the members that are not below first. It is needed because
// `UID FETCH n:*` answers with the last message even when its UID is below n
// (RFC 9051, section 9, seq-range).
func (s UIDSet) From(first UID) UIDSet {
	if first <= 1 {
		return slices.Clone(s)
	}
	return s.Minus(UIDSet{{1, first - 1}})
}

// String is the set in IMAP's sequence-set syntax, "" when empty.
func (s UIDSet) String() string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(r.String())
	}
	return b.String()
}

func (r Range) String() string {
	if r.First == r.Last {
		return strconv.FormatUint(uint64(r.First), 10)
	}
	return fmt.Sprintf("%d:%d", r.First, r.Last)
}

// Chunks splits the set so that the text of each part stays within maxBytes:
// servers refuse long command lines (Dovecot answers BAD, Cyrus resets).
func (s UIDSet) Chunks(maxBytes int) []UIDSet {
	var out []UIDSet
	start, size := 0, 0
	for i, r := range s {
		n := len(r.String()) + 1
		if i > start && size+n > maxBytes {
			out = append(out, slices.Clone(s[start:i]))
			start, size = i, 0
		}
		size += n
	}
	if start < len(s) {
		out = append(out, slices.Clone(s[start:]))
	}
	return out
}

// ParseUIDSet reads what String wrote. Stars are refused.
func ParseUIDSet(text string) (UIDSet, error) {
	if text == "" {
		return nil, nil
	}
	var out UIDSet
	for part := range strings.SplitSeq(text, ",") {
		lo, hi, isRange := strings.Cut(part, ":")
		if !isRange {
			hi = lo
		}
		first, err1 := strconv.ParseUint(lo, 10, 32)
		last, err2 := strconv.ParseUint(hi, 10, 32)
		if err1 != nil || err2 != nil || first == 0 || last == 0 {
			return nil, fmt.Errorf("parse uid set: %q is no range of uids", part)
		}
		out = append(out, Range{UID(min(first, last)), UID(max(first, last))})
	}
	return out.Union(nil), nil
}
