//go:build integration

package pgstore_test

import (
	"fmt"
	"testing"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// TestPageEnd: a page holds so many mailboxes with work, or as many times more
// that are settled, and always at least one.
func TestPageEnd(t *testing.T) {
	t.Parallel()
	var numbers []mailbox.Number
	for i := range 40 {
		numbers = append(numbers, mailbox.Number(fmt.Sprint(1000+i)))
	}
	s := seeded(t, numbers...)
	var settled []site.Reviewed
	for _, n := range numbers[10:] {
		settled = append(settled, site.Reviewed{Number: n, Generation: 1})
	}
	must(t, s.RecordReviewed(t.Context(), link, settled))
	for _, test := range []struct {
		after        mailbox.Number
		size, perDue int
		want         mailbox.Number
	}{
		{"", 4, 1, numbers[3]},              // as many as asked for
		{"", 4, 10, numbers[3]},             // all with work
		{numbers[7], 4, 5, numbers[19]},     // two with work and ten that are settled
		{numbers[9], 1, 10, numbers[19]},    // settled ones only
		{numbers[9], 4, 10, numbers[39]},    // the rest
		{numbers[9], 100, 100, numbers[39]}, // more than there are
		{"", 1, 1, numbers[0]},
		{numbers[39], 4, 10, ""},
	} {
		got, err := s.PageEnd(t.Context(), link, test.after, test.size, test.perDue)
		must(t, err)
		if got != test.want {
			t.Errorf("after %q, %d with work or %d times as many: page ends at %q, want %q", test.after, test.size, test.perDue, got, test.want)
		}
	}
}
