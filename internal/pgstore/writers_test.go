//go:build integration

package pgstore_test

import (
	"fmt"
	"sync"
	"testing"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// TestTwoAddsAtOnce: whatever two operators add at the same instant, a mailbox
// gets one writer and one direction.
func TestTwoAddsAtOnce(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]site.Link{
		"two writers":         {Name: "other", Source: "third", Target: "dr"},
		"the same pair":       {Name: "other", Source: "prod", Target: "dr"},
		"opposite directions": {Name: "other", Source: "dr", Target: "prod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := seeded(t)
			must(t, s.AddStore(t.Context(), storeNamed("third")))
			must(t, s.AddLink(t.Context(), other))
			for round := range 50 {
				number := mailbox.Number(fmt.Sprint(round))
				links := []string{link, other.Name}
				errs := make([]error, len(links))
				start := make(chan struct{})
				var both sync.WaitGroup
				for i, l := range links {
					both.Go(func() {
						<-start
						_, errs[i] = s.AddMailboxes(t.Context(), l, []mailbox.Number{number})
					})
				}
				close(start)
				both.Wait()
				if (errs[0] == nil) == (errs[1] == nil) {
					t.Fatalf("round %d: %v and %v; want one accepted and one refused", round, errs[0], errs[1])
				}
				for _, err := range errs {
					if err != nil {
						wantKind(t, err, fault.Conflict)
					}
				}
			}
		})
	}
}

// TestAddsOfAChain: a mailbox may go on from the target of one link to a third
// store, by one link at a time and not back to where it started.
func TestAddsOfAChain(t *testing.T) {
	t.Parallel()
	s := seeded(t, "1", "2")
	ctx := t.Context()
	must(t, s.AddStore(ctx, storeNamed("third")))
	must(t, s.AddLink(ctx, site.Link{Name: "on", Source: "dr", Target: "third"}))
	must(t, s.AddLink(ctx, site.Link{Name: "home", Source: "third", Target: "prod"}))
	for _, add := range []struct {
		link    string
		numbers []mailbox.Number
		added   int
	}{
		{"on", []mailbox.Number{"1", "3"}, 2},
		{"home", []mailbox.Number{"2", "1"}, 0}, // 1 would come back, so 2 stays out as well
		{"home", []mailbox.Number{"2"}, 1},
		{"on", []mailbox.Number{"2"}, 0}, // would close the circle in its middle
		{"on", []mailbox.Number{"1"}, 0}, // again
	} {
		n, err := s.AddMailboxes(ctx, add.link, add.numbers)
		if n != add.added {
			t.Errorf("add %v to %s: %d, %v; want %d", add.numbers, add.link, n, err, add.added)
		}
		if refused := add.added == 0 && add.numbers[0] != "1"; refused {
			wantKind(t, err, fault.Conflict)
		} else if err != nil {
			t.Errorf("add %v to %s: %v", add.numbers, add.link, err)
		}
	}
}
