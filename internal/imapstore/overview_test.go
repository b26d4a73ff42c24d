//go:build integration

package imapstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailmirror/internal/copier"
	"mailmirror/internal/imapstore"
	"mailmirror/internal/mailbox"
	"mailmirror/test/servers"
)

// fillBoxes gives each mailbox some folders, one with an odd name.
func fillBoxes(t *testing.T, store *imapstore.Store, boxes []string) {
	t.Helper()
	for i, n := range boxes {
		s, err := store.Open(t.Context(), mailbox.Number(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []mailbox.FolderName{"Greetings", "Saved/Old & new", "Grüße"}[:1+i%3] {
			if err := s.CreateFolder(t.Context(), f, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range i % 4 {
			m := []byte("Subject: x\r\n\r\nx\r\n")
			in := copier.Incoming{Folder: "INBOX", InternalDate: time.Unix(1e9, 0), Size: int64(len(m)), Body: bytes.NewReader(m)}
			if err := s.Append(t.Context(), in, func(copier.AppendResult) {}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Subscribe(t.Context(), true, "Greetings"); err != nil {
			t.Fatal(err)
		}
		// Looking creates Dovecot's inbox, and gives the list it will be held to.
		if _, err := s.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
}

func testOverview(t *testing.T, store *imapstore.Store, boxes []string) {
	fillBoxes(t, store, boxes)
	var asked []mailbox.Number
	for _, n := range boxes[:len(boxes)-1] {
		asked = append(asked, mailbox.Number(n))
	}
	start := time.Now()
	got, err := store.Overview(t.Context(), append(asked, "nobody-at-all"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("overview of %d mailboxes in %v", len(asked), time.Since(start).Round(time.Millisecond))
	if len(got) != len(asked) {
		t.Errorf("%d mailboxes of %d", len(got), len(asked))
	}
	byName := func(a, b mailbox.Folder) int { return strings.Compare(string(a.Name), string(b.Name)) }
	for _, n := range asked {
		s, err := store.Open(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		want, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		for i := range want {
			want[i].Subscribed, want[i].SpecialUse = false, nil
		}
		slices.SortFunc(want, byName)
		slices.SortFunc(got[n], byName)
		if diff := cmp.Diff(want, got[n]); diff != "" {
			t.Fatalf("mailbox %s (-List +Overview):\n%s", n, diff)
		}
	}
}

// A store that shows many more mailboxes than are asked for is not asked again:
// to log in to those few costs less.
func TestOverviewOfFew(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(20)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes})
	store := newStore(t, d, nil)
	fillBoxes(t, store, boxes)
	if offers, err := store.OffersOverview(t.Context()); err != nil || !offers {
		t.Errorf("offers an overview: %v, %v", offers, err)
	}
	few := []mailbox.Number{"7000", "7001"}
	if got, err := store.Overview(t.Context(), few); err != nil || len(got) != 2 {
		t.Errorf("first overview: %d mailboxes, %v", len(got), err)
	}
	if _, err := store.Overview(t.Context(), few); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("second overview: %v", err)
	}
	if got, err := store.Overview(t.Context(), []mailbox.Number{"7000", "7001", "7002"}); err != nil || len(got) != 3 {
		t.Errorf("overview of more: %d mailboxes, %v", len(got), err)
	}
}

func manyBoxes(n int) []string {
	var boxes []string
	for i := range n {
		boxes = append(boxes, fmt.Sprint(7000+i))
	}
	return append(boxes, "70") // a beginning of all the others
}

func TestOverviewDovecot(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(40)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes})
	testOverview(t, newStore(t, d, nil), append(boxes[:len(boxes)-1:len(boxes)-1], "70", "7000"))
}

func TestOverviewDovecotPrefix(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(10)
	d := servers.DovecotT(t, servers.DovecotOptions{SharedNamespace: true, Mailboxes: boxes, Separator: ".", Prefix: "INBOX."})
	testOverview(t, newStore(t, d, nil), boxes)
}

func TestOverviewCyrus(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(40)
	testOverview(t, newStore(t, servers.CyrusT(t, servers.CyrusOptions{}), nil), boxes)
}

func TestOverviewCyrusPrefix(t *testing.T) {
	t.Parallel()
	boxes := manyBoxes(10)
	testOverview(t, newStore(t, servers.CyrusT(t, servers.CyrusOptions{InboxPrefix: true, DotSeparator: true}), nil), boxes)
}

func TestOverviewUnsupported(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]servers.DovecotOptions{
		"no shared namespace": {},
		"no LIST-STATUS":      {SharedNamespace: true, Mailboxes: []string{"7000"}, HideCapabilities: []string{"LIST-STATUS"}},
	} {
		store := newStore(t, servers.DovecotT(t, o), nil)
		if offers, err := store.OffersOverview(t.Context()); err != nil || offers {
			t.Errorf("%s: offers an overview: %v, %v", name, offers, err)
		}
		for range 2 {
			if _, err := store.Overview(t.Context(), []mailbox.Number{"7000"}); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
