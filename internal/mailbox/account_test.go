package mailbox_test

import (
	"testing"

	"mailmirror/internal/mailbox"
)

func TestFoldLogin(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"racebox", "RACEBOX", "Racebox"},
		{"ZOË", "zoë", "Zoë"},
		{"ΣΑΣ", "σας", "σασ"},
		{"\u212Aim", "kim", "KIM"}, // the Kelvin sign
		{"user+Detail", "USER+detail"},
	} {
		for _, s := range same {
			if got, want := mailbox.FoldLogin(s), mailbox.FoldLogin(same[0]); got != want {
				t.Errorf("FoldLogin(%q) = %q, want %q as of %q", s, got, want, same[0])
			}
		}
	}
	for _, two := range [][2]string{{"2036", "2037"}, {"a.b", "ab"}, {"user", "user+detail"}} {
		if mailbox.FoldLogin(two[0]) == mailbox.FoldLogin(two[1]) {
			t.Errorf("%q and %q are the same", two[0], two[1])
		}
	}
}
