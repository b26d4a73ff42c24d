package imapstoretest

import (
	"testing"

	"mailmirror/internal/mailbox"
)

// testMoving moves and copies within a mailbox: messages keep bytes, flags and
// dates, those that are gone are no error, and a moved one is nowhere twice.
func testMoving(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	const to mailbox.FolderName = "Kept"
	must(t, s.CreateFolder(t.Context(), to, nil))
	putAll(t, s, inbox, `\Seen`, message("1", "one"), message("2", "two"), message("3", "three"), message("4", "four"), message("5", "five"))
	take := mailbox.NewUIDSet(1, 3, 4)
	if _, _, err := s.Select(t.Context(), inbox); err != nil {
		t.Fatal(err)
	}
	before, err := s.Messages(t.Context(), take, 0)
	must(t, err)
	bodies, err := bodiesOf(t.Context(), s, take)
	must(t, err)

	move := func(uids mailbox.UIDSet) {
		t.Helper()
		if s.CanMove() {
			must(t, s.Move(t.Context(), uids, to))
			return
		}
		must(t, s.Copy(t.Context(), uids, to))
		must(t, s.Expunge(t.Context(), uids))
	}
	move(take)
	if s.CanMove() {
		move(take) // all of them are gone
	}
	left, err := s.UIDs(t.Context())
	must(t, err)
	equalUIDs(t, "left behind", left, mailbox.NewUIDSet(2, 5))

	c, err := s.Examine(t.Context(), to)
	must(t, err)
	after, err := s.Messages(t.Context(), all(c), 0)
	must(t, err)
	kept, err := bodiesOf(t.Context(), s, all(c))
	must(t, err)
	if len(after) != len(before) {
		t.Fatalf("%d messages arrived, want %d", len(after), len(before))
	}
	for i := range before {
		a, b := before[i], after[i]
		if !a.Flags.Equal(b.Flags) || a.Size != b.Size || !a.InternalDate.Equal(b.InternalDate) || string(bodies[a.UID]) != string(kept[b.UID]) {
			t.Errorf("message %v arrived as %v", a, b)
		}
	}

	if _, _, err := s.Select(t.Context(), inbox); err != nil {
		t.Fatal(err)
	}
	must(t, s.Copy(t.Context(), left, to))
	if left, err = s.UIDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	equalUIDs(t, "after a copy", left, mailbox.NewUIDSet(2, 5))
	must(t, s.Unselect(t.Context()))
	sameAsIndependent(t, b, number)
}
