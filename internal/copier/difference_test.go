package copier

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
)

func TestDiffDifferences(t *testing.T) {
	old := []Difference{
		{Kind: Altered, SourceUID: 1, Detail: "body"}, {Kind: Unchecked, SourceUID: 2, Detail: "not yet"},
		{Kind: Suspect, SourceUID: 3, Detail: "1"}, {Kind: Refused, SourceUID: 4, Detail: "NO"},
	}
	next := []Difference{
		{Kind: Altered, SourceUID: 1, Detail: "body"}, {Kind: Altered, SourceUID: 2, Detail: "body"},
		{Kind: Suspect, SourceUID: 3, Detail: "2"}, {Kind: Refused, SourceUID: 5, Detail: "NO"},
	}
	remove, add := diffDifferences(old, next)
	if diff := cmp.Diff([]Difference{old[1], old[3]}, remove); diff != "" {
		t.Errorf("to remove (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Difference{next[1], next[2], next[3]}, add); diff != "" {
		t.Errorf("to add (-want +got):\n%s", diff)
	}
	if remove, add := diffDifferences(next, next); remove != nil || add != nil {
		t.Errorf("the same again: remove %v, add %v", remove, add)
	}
}

// What a ledger makes of the parts is what the lists say, whatever they are.
func TestDiffDifferencesLeadsToTheNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lists := rapid.SliceOfN(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Difference {
			return Difference{
				Kind:      rapid.SampledFrom([]DifferenceKind{Altered, Refused, Suspect}).Draw(t, "kind"),
				SourceUID: mailbox.UID(rapid.Uint32Range(1, 5).Draw(t, "uid")),
				Detail:    rapid.SampledFrom([]string{"a", "b"}).Draw(t, "detail"),
			}
		}), 0, 8), 1, 5).Draw(t, "lists")
		table := map[differenceKey]string{}
		var old []Difference
		for _, next := range lists {
			remove, add := diffDifferences(old, next)
			for _, d := range remove {
				delete(table, differenceKey{d.SourceUID, d.Kind})
			}
			for _, d := range add {
				table[differenceKey{d.SourceUID, d.Kind}] = d.Detail
			}
			if diff := cmp.Diff(detailByKey(next), table, cmp.AllowUnexported(differenceKey{})); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			old = next
		}
	})
}
