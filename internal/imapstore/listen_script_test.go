package imapstore

import (
	"context"
	"testing"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/watch"
)

// heardOf listens until n reports are there, and returns them.
func heardOf(t *testing.T, c watch.Conn, n int) []watch.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	var got []watch.Report
	err := c.Listen(ctx, func(r watch.Report) {
		if got = append(got, r); len(got) == n {
			cancel()
		}
	}, func() {})
	if len(got) < n {
		t.Fatalf("%d reports, want %d, and then %v", len(got), n, err)
	}
	return got
}

// A server may tell what became of the open inbox with the answer to any
// command, so also while the other folders are read.
func TestIdleHearsWhileItReads(t *testing.T) {
	store := serve(t, func(s *script) {
		s.login(standard + " IDLE")
		s.answer("LIST", `* LIST () "/" INBOX`, "* STATUS INBOX (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
		s.examine(1)
		idle := s.command("IDLE")
		s.send("+ go on")
		_, _ = s.r.ReadString('\n') // DONE
		s.send(idle + " OK done")
		s.answer("LIST", `* LIST () "/" INBOX`, "* 2 EXISTS", "* STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 7 HIGHESTMODSEQ 9)")
		_ = s.rest()
	})
	c, err := store.Idle(t.Context(), "1000", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	got := heardOf(t, c, 2)
	if r := got[1]; r.Kind != watch.MessageIn || r.Folder != mailbox.Inbox {
		t.Errorf("heard %+v", r)
	}
}

// Dovecot tells that inboxes are gone which only another connection has listed,
// at any time, and in the answer to a LIST as well.
func TestNotifyBelievesNoInboxGone(t *testing.T) {
	inbox := []string{`* LIST () "/" users/1000`, "* STATUS users/1000 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 HIGHESTMODSEQ 9)"}
	store := serve(t, func(s *script) {
		s.send("* OK [CAPABILITY " + standard + " NOTIFY] ready")
		tag := s.command("AUTHENTICATE PLAIN")
		s.send(tag + " OK [CAPABILITY " + standard + " NOTIFY] in")
		s.answer("NAMESPACE", `* NAMESPACE (("" "/")) (("users/" "/")) NIL`)
		s.answer("LIST", inbox...)
		s.answer("NOTIFY SET")
		s.answer("LIST", append([]string{`* LIST (\NonExistent) "/" users/1000`}, inbox...)...)
		s.send(`* LIST (\NonExistent) "/" users/1000`, `* LIST (\HasNoChildren) "/" users/1000`,
			"* STATUS users/1000 (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 7 UNSEEN 1 HIGHESTMODSEQ 9)",
			`* LIST () "/" users/1000/Work`)
		_ = s.rest()
	})
	c, err := store.Notify(t.Context(), []mailbox.Number{"1000"})
	if err != nil {
		t.Fatal(err)
	}
	if heard := c.Heard(); len(heard) != 1 {
		t.Fatalf("hears of %v", heard)
	}
	got := heardOf(t, c, 3)
	want := mailbox.Counters{UIDValidity: 7, UIDNext: 2, Messages: 1, HighestModSeq: 9}
	for _, r := range got[:2] {
		if len(r.Folders) != 1 || r.Kind != "" || r.Folders[0].Counters != want || !r.Folders[0].Selectable {
			t.Errorf("heard %+v", r)
		}
	}
	if r := got[2]; r.Kind != watch.Folder || r.Folder != "Work" {
		t.Errorf("of the new folder it heard %+v", r)
	}
}
