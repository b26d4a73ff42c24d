package copier

import (
	"maps"
	"testing"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// TestPairInOrder: what a target without UIDPLUS has altered is paired by its
// order only where nothing speaks against it. A wrong pair here would show one
// message as the copy of another.
func TestPairInOrder(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	view := func(first mailbox.UID, days ...int) mirror.View {
		v := mirror.View{Messages: map[mailbox.UID]mailbox.Message{}}
		for i, d := range days {
			uid := first + mailbox.UID(i)
			v.UIDs.Add(uid)
			v.Messages[uid] = mailbox.Message{UID: uid, InternalDate: day(d)}
		}
		return v
	}
	odd := map[mailbox.UID]sent{1: {odd: true}, 2: {odd: true}}
	for _, tt := range []struct {
		name     string
		target   mirror.View
		from     mailbox.UID
		fresh    map[mailbox.UID]sent
		accepted int
		paired   []mailbox.Run
		wantRuns []mailbox.Run
	}{
		{"both arrived", view(11, 1, 2), 11, odd, 1, nil, []mailbox.Run{{Source: 1, Target: 11, Length: 2}}},
		{"one was there before", view(10, 9, 1, 2), 11, odd, 1, nil, []mailbox.Run{{Source: 1, Target: 11, Length: 2}}},
		{"one arrived", view(11, 1), 11, odd, 1, nil, nil},
		{"a stranger came too", view(11, 1, 2, 2), 11, odd, 1, nil, nil},
		{"a stranger came first", view(11, 9, 1), 11, odd, 1, nil, nil},
		{"another order", view(11, 2, 1), 11, odd, 1, nil, nil},
		{"one was recognised", view(11, 1, 2), 11, odd, 1, []mailbox.Run{{Source: 2, Target: 12, Length: 1}},
			[]mailbox.Run{{Source: 1, Target: 11, Length: 2}}},
		{"none was altered", view(11, 1, 2), 11, map[mailbox.UID]sent{1: {}, 2: {}}, 1, nil, nil},
		{"accepted twice, and never found again", view(11, 8, 9), 11, map[mailbox.UID]sent{1: {}, 2: {}}, 2, nil,
			[]mailbox.Run{{Source: 1, Target: 11, Length: 2}}},
		{"accepted twice, and a stranger came too", view(11, 8, 9, 9), 11, map[mailbox.UID]sent{1: {}, 2: {}}, 2, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &folderRun{source: view(1, 1, 2), target: tt.target, pairs: mailbox.NewUIDMap(tt.paired),
				fresh: maps.Clone(tt.fresh), accepted: map[mailbox.UID]int{1: tt.accepted, 2: tt.accepted}, unconfirmed: []mailbox.UID{1, 2}, unconfirmedFrom: tt.from}
			f.pairInOrder()
			want := mailbox.NewUIDMap(tt.wantRuns)
			if f.pairs.Len() != want.Len() {
				t.Fatalf("paired %v, want %v", f.pairs.Runs(), tt.wantRuns)
			}
			for s, to := range want.All() {
				if got, _ := f.pairs.Target(s); got != to {
					t.Errorf("paired %v, want %v", f.pairs.Runs(), tt.wantRuns)
				}
			}
			if len(f.unconfirmed) > 0 {
				t.Error("the same messages would be paired again after the next look")
			}
		})
	}
}
