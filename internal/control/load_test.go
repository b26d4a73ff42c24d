package control_test

import (
	"strings"
	"testing"
	"time"

	"mailmirror/internal/control"
	"mailmirror/internal/quota"
	"mailmirror/internal/site"
)

// A slow store stands in errors, once, with what to do.
func TestErrorsShowASlowStore(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]quota.Load{
		"always slow":    {Login: 16 * time.Second},
		"slower than it": {Login: 3 * time.Second, Best: time.Millisecond, Pace: 4},
	} {
		w := newWorld(t)
		w.link(t, "first", "prod", "dr")
		w.link(t, "second", "prod", "far")
		w.repo.SetLoad("prod", load)
		entries, err := w.Errors(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		slow := 0
		for _, e := range entries {
			if e.Kind == control.ErrorSlowStore {
				slow++
				if !strings.Contains(e.Text, "store prod") || !strings.Contains(e.Text, "slow") || !strings.Contains(e.Hint, "password backend") {
					t.Errorf("%s: %+v", name, e)
				}
			}
		}
		if slow != 1 {
			t.Errorf("%s: %d of %+v", name, slow, entries)
		}
		w.repo.SetLoad("prod", quota.Load{Login: time.Millisecond})
		if entries, err := w.Errors(t.Context(), "second"); err != nil || strings.Contains(strings.Join(kinds(entries), " "), control.ErrorSlowStore) {
			t.Errorf("%s: a store that is not slow: %+v, %v", name, entries, err)
		}
	}
}

func kinds(entries []site.ErrorEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Kind)
	}
	return all
}
