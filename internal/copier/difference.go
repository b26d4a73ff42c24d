package copier

import (
	"cmp"
	"slices"

	"mailmirror/internal/mailbox"
)

// differenceKey is what a difference is known by in the ledger.
type differenceKey struct {
	uid  mailbox.UID
	kind DifferenceKind
}

// diffDifferences tells what to remove from a list of differences and what to
// add to it, or to give another detail, so that it becomes next. A folder may
// have tens of thousands, and only a few change from one save to the next.
func diffDifferences(old, next []Difference) (remove, add []Difference) {
	before, after := detailByKey(old), detailByKey(next)
	for key, detail := range before {
		if _, stays := after[key]; !stays {
			remove = append(remove, Difference{Kind: key.kind, SourceUID: key.uid, Detail: detail})
		}
	}
	for key, detail := range after {
		if was, known := before[key]; !known || was != detail {
			add = append(add, Difference{Kind: key.kind, SourceUID: key.uid, Detail: detail})
		}
	}
	sortDifferences(remove)
	sortDifferences(add)
	return remove, add
}

// detailByKey takes one detail, and always the same, where there are several.
func detailByKey(list []Difference) map[differenceKey]string {
	details := make(map[differenceKey]string, len(list))
	for _, d := range list {
		key := differenceKey{d.SourceUID, d.Kind}
		if detail, twice := details[key]; !twice || d.Detail < detail {
			details[key] = d.Detail
		}
	}
	return details
}

func sortDifferences(list []Difference) {
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.SourceUID, b.SourceUID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Detail, b.Detail))
	})
}

// lasting lists the differences of messages that the source still has.
func (f *folderRun) lasting() []Difference {
	var out []Difference
	for d := range f.differences {
		_, paired := f.pairs.Target(d.SourceUID)
		over := paired && (d.Kind == Suspect || d.Kind == SuspectSource || d.Kind == Refused || d.Kind == Postponed)
		if there := d.SourceUID == 0 || f.source.UIDs.Contains(d.SourceUID); there && !over {
			out = append(out, d)
		}
	}
	out = append(out, f.lossesLeft()...)
	sortDifferences(out)
	return out
}
