package mirror

import (
	"slices"

	"mailmirror/internal/mailbox"
)

// Fingerprint recognises a message on another store. Its digests are zero
// until they are needed: most messages differ in size or date already.
type Fingerprint struct {
	Size   int64
	Date   int64 // INTERNALDATE, Unix seconds
	Header [32]byte
	Body   [32]byte
}

// Candidate is a message without a partner.
type Candidate struct {
	UID mailbox.UID
	Fingerprint
	// Identified is true once the header is known to hold a Message-ID.
	Identified bool
}

// NewCandidate starts a candidate from a message's metadata.
func NewCandidate(m mailbox.Message) Candidate {
	return Candidate{UID: m.UID, Fingerprint: Fingerprint{Size: m.Size, Date: m.InternalDate.Unix()}}
}

// Shared returns the candidates of each side whose fingerprint, as far as it
// is known, occurs on the other: only they can be partners.
func Shared(source, target []Candidate) (s, t []Candidate) {
	inSource, inTarget := count(source), count(target)
	keep := func(list []Candidate, other map[Fingerprint]int) []Candidate {
		var out []Candidate
		for _, c := range list {
			if other[c.Fingerprint] > 0 {
				out = append(out, c)
			}
		}
		return out
	}
	return keep(source, inTarget), keep(target, inSource)
}

// Unsure returns, of two lists that went through Shared with their headers
// known, those whose equal headers prove nothing yet: without a Message-ID, or
// with a fingerprint that occurs twice on a side. Their bodies must be read.
func Unsure(source, target []Candidate) (s, t mailbox.UIDSet) {
	inSource, inTarget := count(source), count(target)
	pick := func(list []Candidate) mailbox.UIDSet {
		var uids []mailbox.UID
		for _, c := range list {
			if !c.Identified || inSource[c.Fingerprint] > 1 || inTarget[c.Fingerprint] > 1 {
				uids = append(uids, c.UID)
			}
		}
		return mailbox.NewUIDSet(uids...)
	}
	return pick(source), pick(target)
}

// Match pairs equal fingerprints as multisets, in the order of their UIDs:
// twins on the source stay as many on the target.
func Match(source, target []Candidate) []mailbox.Run {
	waiting := map[Fingerprint][]mailbox.UID{}
	for _, c := range sorted(target) {
		waiting[c.Fingerprint] = append(waiting[c.Fingerprint], c.UID)
	}
	var pairs []mailbox.Run
	for _, c := range sorted(source) {
		if w := waiting[c.Fingerprint]; len(w) > 0 {
			pairs = append(pairs, mailbox.Run{Source: c.UID, Target: w[0], Length: 1})
			waiting[c.Fingerprint] = w[1:]
		}
	}
	return pairs
}

func count(list []Candidate) map[Fingerprint]int {
	n := make(map[Fingerprint]int, len(list))
	for _, c := range list {
		n[c.Fingerprint]++
	}
	return n
}

func sorted(list []Candidate) []Candidate {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b Candidate) int {
		if a.UID < b.UID {
			return -1
		}
		return 1
	})
	return out
}
