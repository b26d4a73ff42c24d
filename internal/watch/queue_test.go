package watch

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestTheFirstEventGoesOnAtOnce(t *testing.T) {
	q := newQueue(2 * time.Second)
	q.add("1", site.EventMessageIn, noon)
	marks := q.takeMarks(noon)
	if diff := cmp.Diff([]Mark{{Number: "1", Kind: site.EventMessageIn, Count: 1, At: noon}}, marks); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	q.wake("1", noon)
	if got := q.takeWakes(noon); len(got) != 1 {
		t.Errorf("woken %v", got)
	}
	// What follows is marked soon, together, and woken after the quiet time.
	for i := range 5 {
		q.add("1", site.EventFlags, noon.Add(time.Duration(10+i)*time.Millisecond))
	}
	if early := q.takeMarks(noon.Add(20 * time.Millisecond)); early != nil {
		t.Errorf("marked at once: %v", early)
	}
	marks = q.takeMarks(noon.Add(150 * time.Millisecond))
	if len(marks) != 1 || marks[0].Count != 5 || !marks[0].At.Equal(noon.Add(10*time.Millisecond)) {
		t.Errorf("marks %+v", marks)
	}
	q.wake("1", noon.Add(150*time.Millisecond))
	if next, ok := q.next(); !ok || !next.Equal(noon.Add(2*time.Second)) {
		t.Errorf("next is %v", next)
	}
	if got := q.takeWakes(noon.Add(1999 * time.Millisecond)); got != nil {
		t.Errorf("woken too early: %v", got)
	}
	if got := q.takeWakes(noon.Add(2 * time.Second)); len(got) != 1 {
		t.Errorf("woken %v", got)
	}
}

func TestMarksThatFailedAreKept(t *testing.T) {
	q := newQueue(time.Second)
	q.add("1", site.EventMessageIn, noon)
	marks := q.takeMarks(noon)
	q.add("1", site.EventFlags, noon.Add(time.Second))
	q.putBack(marks, noon.Add(2*time.Second))
	if early := q.takeMarks(noon.Add(time.Second)); early != nil {
		t.Errorf("tried again too early: %v", early)
	}
	got := q.takeMarks(noon.Add(2 * time.Second))
	if diff := cmp.Diff([]Mark{{Number: "1", Kind: site.EventFlags, Count: 2, At: noon}}, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
}

func TestMarksThatFailedDelayNoOther(t *testing.T) {
	q := newQueue(time.Second)
	q.add("1", site.EventMessageIn, noon)
	marks := q.takeMarks(noon)
	q.add("2", site.EventMessageIn, noon)
	q.putBack(marks, noon.Add(20*time.Second))
	if got := q.takeMarks(noon); len(got) != 2 {
		t.Errorf("marked at once: %v", got)
	}
}

// Whatever comes when: every event is marked, every mark is followed by a
// wake-up, and wake-ups of one mailbox are a quiet time apart.
func TestQueueLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quiet := time.Duration(rapid.IntRange(1, 3000).Draw(t, "quiet")) * time.Millisecond
		q := newQueue(quiet)
		now := noon
		added, marked := map[mailbox.Number]int{}, map[mailbox.Number]int{}
		owed, last := map[mailbox.Number]bool{}, map[mailbox.Number]time.Time{}
		act := func() {
			marks := q.takeMarks(now)
			if len(marks) > 0 && rapid.IntRange(0, 4).Draw(t, "fails") == 0 {
				q.putBack(marks, now.Add(50*time.Millisecond))
				marks = nil
			}
			for _, m := range marks {
				marked[m.Number] += m.Count
				owed[m.Number] = true
				q.wake(m.Number, now)
			}
			for _, n := range q.takeWakes(now) {
				if at, ok := last[n]; ok && now.Sub(at) < quiet {
					t.Fatalf("mailbox %s woken twice within %v", n, now.Sub(at))
				}
				last[n] = now
				delete(owed, n)
			}
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "event") {
				n := mailbox.Number(fmt.Sprint(rapid.IntRange(1, 4).Draw(t, "mailbox")))
				q.add(n, site.EventMessageIn, now)
				added[n]++
			}
			act()
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
		}
		for range 10_000 {
			next, waits := q.next()
			if !waits {
				break
			}
			if next.After(now) {
				now = next
			}
			act()
		}
		if diff := cmp.Diff(added, marked); diff != "" {
			t.Fatalf("marked (-want +got):\n%s", diff)
		}
		if len(owed) > 0 {
			t.Fatalf("never woken: %v", owed)
		}
	})
}
