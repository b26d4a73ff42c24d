//go:build integration

package hostile

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"mailmirror/test/servers"
)

// TestManyLargeAnswers has many mailboxes synced at the same time of which a store
// sends as much as Mailmirror reads of one, and then nothing more. Together they stay
// within the memory of the worker, and an honest mailbox is mirrored meanwhile.
func TestManyLargeAnswers(t *testing.T) {
	for mode, n := range map[servers.Mode]int{servers.LargeList: 20, servers.LargeFolder: 4, servers.LargestFolder: 1} {
		t.Run(string(mode), func(t *testing.T) {
			r := newRigOf(t, 500*time.Millisecond)
			resetPeak(t)
			var all sync.WaitGroup
			for i := range n {
				number := fmt.Sprintf("3%03d", i)
				r.source.Put(number, "INBOX", `\Seen`, message(i))
				r.source.SetMode(number, mode)
				all.Go(func() {
					if _, err := r.sync(t, number); err == nil {
						t.Errorf("%s was mirrored", number)
					}
				})
			}
			r.source.Put("4000", "INBOX", `\Seen`, message(0))
			if _, err := r.sync(t, "4000"); err != nil {
				t.Errorf("the honest mailbox: %v", err)
			}
			all.Wait()
			if most := peak(t); most > ceiling {
				t.Errorf("the process took %d MB", most>>20)
			} else {
				t.Logf("%d MB", most>>20)
			}
		})
	}
}
