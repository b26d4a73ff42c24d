package imapstoretest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

func readerFlags(flags mailbox.Flags) string {
	list := strings.Fields(strings.ToLower(string(flags)))
	slices.Sort(list)
	return strings.Join(list, " ")
}

func testList(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	must(t, s.CreateFolder(t.Context(), "Saved/Old", nil))
	must(t, s.CreateFolder(t.Context(), "Greetings", nil))
	subscribe(t, s, true, "Saved/Old")
	putAll(t, s, "Saved/Old", "", message("1", "a"), message("2", "b"))

	folders, err := s.List(t.Context())
	must(t, err)
	for _, name := range []mailbox.FolderName{inbox, "Saved", "Saved/Old", "Greetings"} {
		f, ok := folderNamed(folders, name)
		switch {
		case name == "Saved" && (!ok || !f.Selectable):
			continue // a level without a folder may be shown or not
		case !ok:
			t.Errorf("%s is not listed: %v", name, folders)
		case !f.Selectable || f.Counters.UIDValidity == 0 || f.Counters.UIDNext == 0:
			t.Errorf("%s: %+v", name, f)
		case b.CondStore != (f.Counters.HighestModSeq != 0):
			t.Errorf("%s: HighestModSeq %d", name, f.Counters.HighestModSeq)
		case name != inbox && f.Subscribed != (name == "Saved/Old"): // Cyrus subscribes the inbox itself
			t.Errorf("%s: subscribed %v", name, f.Subscribed)
		}
	}
	old, _ := folderNamed(folders, "Saved/Old")
	if old.Counters.Messages != 2 || old.Counters.UIDNext != 3 {
		t.Errorf("Saved/Old: %+v", old.Counters)
	}
	sameAsIndependent(t, b, number)
}

func testUnknownMailbox(t *testing.T, b Backend) {
	if b.UnknownMailbox == "" {
		t.Skip("this server has every mailbox")
	}
	s, err := b.Store.Open(t.Context(), b.UnknownMailbox)
	if err == nil {
		_ = s.Close()
	}
	if !fault.Is(err, fault.Permanent) {
		t.Fatalf("open: %v, want a permanent error", err)
	}
	t.Logf("%v (%s)", err, fault.HintOf(err))
}

func testCounters(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	empty, err := s.Examine(t.Context(), inbox)
	must(t, err)
	if empty.Messages != 0 || empty.UIDNext != 1 || empty.UIDValidity == 0 {
		t.Errorf("empty inbox: %+v", empty)
	}
	uids, err := s.UIDs(t.Context())
	must(t, err)
	if len(uids) != 0 {
		t.Errorf("uids of an empty folder: %v", uids)
	}
	putAll(t, s, inbox, "", message("1", "a"), message("2", "b"), message("3", "c"))
	opened, err := s.Examine(t.Context(), inbox)
	must(t, err)
	must(t, s.Unselect(t.Context()))
	folders, err := s.List(t.Context())
	must(t, err)
	listed, _ := folderNamed(folders, inbox)
	if diff := cmp.Diff(opened, listed.Counters); diff != "" {
		t.Errorf("EXAMINE and LIST tell different counters:\n%s", diff)
	}
	if opened.Unchanged(empty) || opened.Unchanged(listed.Counters) != b.CondStore {
		t.Errorf("unchanged: %+v, %+v", opened, listed.Counters)
	}
	// A changed flag must be seen by List, or never be taken for proven.
	_, _, err = s.Select(t.Context(), inbox)
	must(t, err)
	must(t, s.SetFlags(t.Context(), mailbox.NewUIDSet(2), `\Seen`))
	must(t, s.Unselect(t.Context()))
	folders, err = s.List(t.Context())
	must(t, err)
	after, _ := folderNamed(folders, inbox)
	if opened.Unchanged(after.Counters) {
		t.Errorf("a changed flag moved no counter: %+v", after.Counters)
	}
}

func testPermanent(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	_, permanent, err := s.Select(t.Context(), inbox)
	must(t, err)
	want := mailbox.NewFlags(`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`, "MyKeyword")
	if _, refused := permanent.Storable(want); refused != "" {
		t.Errorf("refused: %s (of %+v)", refused, permanent)
	}
}

func testMetadata(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	flags := mailbox.NewFlags(`\Seen`, `\Flagged`, "$Forwarded", "custom")
	first, second := message("1", "first"), message("2", strings.Repeat("second", 1000))
	putAll(t, s, inbox, flags, first)
	putAll(t, s, inbox, "", second)
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	got, err := s.Messages(t.Context(), all(c), 0)
	must(t, err)
	if len(got) != 2 {
		t.Fatalf("messages: %v", got)
	}
	if !got[0].Flags.Equal(flags) || got[1].Flags != "" {
		t.Errorf("flags: %q %q", got[0].Flags, got[1].Flags)
	}
	if got[0].Size != int64(len(first)) || got[1].Size != int64(len(second)) {
		t.Errorf("sizes: %v", got)
	}
	if !got[0].InternalDate.Equal(day) {
		t.Errorf("date: %v, want %v", got[0].InternalDate, day)
	}
	// UIDs that nobody has, and the range above UIDNEXT, give nothing.
	none, err := s.Messages(t.Context(), mailbox.UIDSet{{First: c.UIDNext, Last: c.UIDNext + 1000}}, 0)
	must(t, err)
	if len(none) != 0 {
		t.Errorf("messages above UIDNEXT: %v", none)
	}
	none, err = s.Messages(t.Context(), nil, 0)
	must(t, err)
	if len(none) != 0 {
		t.Errorf("messages of no UID: %v", none)
	}
}

func testChangedSince(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	putAll(t, s, inbox, "", message("1", "a"), message("2", "b"), message("3", "c"))
	before, err := s.Examine(t.Context(), inbox)
	must(t, err)
	_, _, err = s.Select(t.Context(), inbox)
	must(t, err)
	must(t, s.SetFlags(t.Context(), mailbox.NewUIDSet(2), `\Seen`))
	putAll(t, s, inbox, "", message("4", "d"))
	after, err := s.Examine(t.Context(), inbox)
	must(t, err)
	got, err := s.Messages(t.Context(), all(after), before.HighestModSeq)
	must(t, err)
	want := mailbox.NewUIDSet(2, 4)
	if !b.CondStore {
		want = mailbox.NewUIDSet(1, 2, 3, 4)
	}
	equalUIDs(t, "changed", uidsOf(got), want)
	if !b.CondStore {
		return
	}
	got, err = s.Messages(t.Context(), all(after), after.HighestModSeq)
	must(t, err)
	equalUIDs(t, "changed since now", uidsOf(got), nil)
}

func testHeaders(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	long := "Subject: long\r\nX-Long: " + strings.Repeat("x", 200<<10) + "\r\n"
	headers := []string{
		"Subject: one\r\nMessage-ID: <one@x>\r\n\r\n",
		"Subject: none\r\n\r\n",
		"Subject: empty\r\nMessage-Id:  \r\nX-Y: z\r\n\r\n",
		"Subject: folded\r\nmessage-id:\r\n <folded@x>\r\n\r\n",
		long + "Message-ID: <long@x>\r\n\r\n",
		"X-Message-ID: <no@x>\r\nSubject: message-id: <no@x>\r\n\r\n",
		"Subject: one\r\nMessage-ID: <one@x>\r\n\r\n",
	}
	identified := []bool{true, false, false, true, true, false, true}
	var bodies [][]byte
	for _, h := range headers {
		bodies = append(bodies, []byte(h+"Message-ID: <body@x>\r\n"))
	}
	putAll(t, s, inbox, "", bodies...)
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	got, err := s.Headers(t.Context(), all(c))
	must(t, err)
	if len(got) != len(headers) {
		t.Fatalf("%d headers", len(got))
	}
	for i, h := range headers {
		have := got[mailbox.UID(i+1)]
		if have.Digest != sha256.Sum256([]byte(h)) {
			t.Errorf("header %d: another digest", i)
		}
		if have.Identified != identified[i] {
			t.Errorf("header %d: identified %v", i, have.Identified)
		}
	}
}

func testBodies(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	var want [][]byte
	for i := range 30 {
		want = append(want, message("m", strings.Repeat("line\r\n", i*500)))
	}
	putAll(t, s, inbox, "", want...)
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	got, err := bodiesOf(t.Context(), s, all(c))
	must(t, err)
	for i, w := range want {
		if !bytes.Equal(got[mailbox.UID(i+1)], w) {
			t.Errorf("message %d: other bytes", i+1)
		}
	}
	// A caller that does not read a body gets the next one unharmed.
	var seen mailbox.UIDSet
	must(t, s.Bodies(t.Context(), all(c), func(uid mailbox.UID, size int64, body io.Reader) error {
		seen.Add(uid)
		if uid%2 == 0 {
			return nil
		}
		if uid%3 == 0 {
			_, err := io.CopyN(io.Discard, body, min(size, 100))
			return err
		}
		b, err := io.ReadAll(body)
		if err == nil && !bytes.Equal(b, want[uid-1]) {
			t.Errorf("message %d: other bytes after a skipped one", uid)
		}
		return err
	}))
	equalUIDs(t, "seen", seen, all(c))
	// A Permanent error of the caller's leaves the session usable.
	mine := fault.Newf(fault.Permanent, "mine")
	if err := s.Bodies(t.Context(), all(c), func(mailbox.UID, int64, io.Reader) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("the caller's error came back as %v", err)
	}
	uids, err := s.UIDs(t.Context())
	must(t, err)
	equalUIDs(t, "after the caller's error", uids, all(c))
	// Any other ends it at once, without the rest being read.
	other := errors.New("the target went away")
	if err := s.Bodies(t.Context(), all(c), func(mailbox.UID, int64, io.Reader) error { return other }); !errors.Is(err, other) {
		t.Errorf("the caller's error came back as %v", err)
	}
}

func testVanished(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	putAll(t, s, inbox, "", message("1", "a"), message("2", "b"), message("3", "c"), message("4", "d"))
	c, err := s.Examine(t.Context(), inbox)
	must(t, err)
	uids, err := s.UIDs(t.Context())
	must(t, err)
	other := open(t, b, number)
	_, _, err = other.Select(t.Context(), inbox)
	must(t, err)
	must(t, other.Expunge(t.Context(), mailbox.NewUIDSet(2, 4)))

	// The session may see them still; whatever it hands out must be whole.
	got, err := s.Messages(t.Context(), uids, 0)
	must(t, err)
	bodies, err := bodiesOf(t.Context(), s, uids)
	must(t, err)
	for _, want := range []mailbox.UID{1, 3} {
		if !uidsOf(got).Contains(want) || bodies[want] == nil {
			t.Errorf("message %d is gone, too", want)
		}
	}
	if _, err := s.Headers(t.Context(), uids); err != nil {
		t.Error(err)
	}
	// Opened anew, they are gone for good.
	_, err = s.Examine(t.Context(), inbox)
	must(t, err)
	got, err = s.Messages(t.Context(), all(c), 0)
	must(t, err)
	equalUIDs(t, "after opening anew", uidsOf(got), mailbox.NewUIDSet(1, 3))
	bodies, err = bodiesOf(t.Context(), s, uids)
	must(t, err)
	if len(bodies) != 2 {
		t.Errorf("bodies after opening anew: %d", len(bodies))
	}
	uids, err = s.UIDs(t.Context())
	must(t, err)
	equalUIDs(t, "uids after opening anew", uids, mailbox.NewUIDSet(1, 3))
}

func testPeek(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	putAll(t, s, inbox, "", message("1", "a"))
	for _, folder := range []func() error{
		func() error { _, err := s.Examine(t.Context(), inbox); return err },
		func() error { _, _, err := s.Select(t.Context(), inbox); return err },
	} {
		must(t, folder())
		_, err := bodiesOf(t.Context(), s, mailbox.NewUIDSet(1))
		must(t, err)
		_, err = s.Headers(t.Context(), mailbox.NewUIDSet(1))
		must(t, err)
		got, err := s.Messages(t.Context(), mailbox.NewUIDSet(1), 0)
		must(t, err)
		if got[0].Flags != "" {
			t.Errorf("reading set %q", got[0].Flags)
		}
	}
	if b.Independent != nil {
		mirror, err := b.Independent.Read(t.Context(), string(number))
		must(t, err)
		for m := range mirror["INBOX"].Messages {
			if m.Flags != "" {
				t.Errorf("the independent reader sees %q", m.Flags)
			}
		}
	}
}
