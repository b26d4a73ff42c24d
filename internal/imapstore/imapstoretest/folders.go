package imapstoretest

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/test/corpus"
)

// names lists the folders that can be opened.
func names(t *testing.T, s copier.Session) []mailbox.FolderName {
	t.Helper()
	folders, err := s.List(t.Context())
	must(t, err)
	var out []mailbox.FolderName
	for _, f := range folders {
		if f.Selectable {
			out = append(out, f.Name)
		}
	}
	slices.Sort(out)
	return out
}

func testFolders(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	has := func(name mailbox.FolderName) bool { return slices.Contains(names(t, s), name) }

	must(t, s.CreateFolder(t.Context(), "Work", nil))
	must(t, s.CreateFolder(t.Context(), "Work", nil)) // exists already: no error
	must(t, s.CreateFolder(t.Context(), inbox, nil))
	must(t, s.CreateFolder(t.Context(), "Work/2025", nil))
	must(t, s.CreateFolder(t.Context(), "Outbox", []string{`\Archive`}))
	subscribe(t, s, true, "Work/2025")
	putAll(t, s, "Work/2025", `\Seen`, message("1", "a"))
	if !has("Work") || !has("Work/2025") || !has("Outbox") {
		t.Fatalf("folders: %v", names(t, s))
	}
	if b.KeepsSpecialUse {
		folders, err := s.List(t.Context())
		must(t, err)
		if f, _ := folderNamed(folders, "Outbox"); !slices.Contains(f.SpecialUse, `\Archive`) {
			t.Errorf("special use: %v", f.SpecialUse)
		}
	}

	_, _, err := s.Select(t.Context(), "Work/2025")
	must(t, err)
	must(t, s.RenameFolder(t.Context(), "Work", "Done"))
	if has("Work") || has("Work/2025") || !has("Done") || !has("Done/2025") {
		t.Errorf("after renaming: %v", names(t, s))
	}
	c, err := s.Examine(t.Context(), "Done/2025")
	must(t, err)
	if c.Messages != 1 {
		t.Errorf("renamed folder: %+v", c)
	}
	if err := s.RenameFolder(t.Context(), "Nowhere", "Elsewhere"); !fault.Is(err, fault.Permanent) {
		t.Errorf("rename of no folder: %v", err)
	}

	subscribe(t, s, true, "Done/2025")
	subscribe(t, s, false, "Done/2025")
	subscribe(t, s, true, "Outbox")
	must(t, s.Unselect(t.Context()))
	folders, err := s.List(t.Context())
	must(t, err)
	for _, f := range folders {
		if f.Name != inbox && f.Subscribed != (f.Name == "Outbox") {
			t.Errorf("%s: subscribed %v", f.Name, f.Subscribed)
		}
	}

	if _, _, err := s.Select(t.Context(), "Nowhere"); !fault.Is(err, fault.Permanent) {
		t.Errorf("select of no folder: %v", err)
	}
	if _, err := s.UIDs(t.Context()); err == nil {
		t.Error("a folder is open after a failed SELECT")
	}
	s = open(t, b, number)
	_, _, err = s.Select(t.Context(), "Done/2025")
	must(t, err)
	must(t, s.DeleteFolder(t.Context(), "Done/2025")) // while it is open
	must(t, s.DeleteFolder(t.Context(), "Done/2025")) // gone already: no error
	must(t, s.DeleteFolder(t.Context(), "Never"))
	if has("Done/2025") || !has("Done") {
		t.Errorf("after deleting: %v", names(t, s))
	}
}

// testInboxSubscription: the first list of a mailbox whose inbox never held
// anything tells its subscription like every other.
func testInboxSubscription(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	for _, on := range []bool{true, false} {
		subscribe(t, s, on, inbox)
		s = open(t, b, number)
		for _, list := range []string{"first", "second"} {
			folders, err := s.List(t.Context())
			must(t, err)
			if f, _ := folderNamed(folders, inbox); f.Subscribed != on {
				t.Errorf("the %s list says that the inbox is subscribed: %v, want %v", list, f.Subscribed, on)
			}
		}
	}
}

func testOddFolders(t *testing.T, b Backend) {
	s, number := fresh(t, b)
	kept := map[mailbox.FolderName][]byte{}
	for _, o := range corpus.FolderOddities() {
		if why := b.Omit[o.Name]; why != "" {
			t.Logf("left out: %s: %s", o.Name, why)
			continue
		}
		name := mailbox.FolderName(o.Folder)
		err := s.CreateFolder(t.Context(), name, nil)
		want := b.Folder(o)
		switch {
		case err != nil && !fault.Is(err, fault.Permanent):
			t.Fatalf("%s: %v", o.Name, err)
		case (err != nil) != (want == corpus.Refused):
			t.Errorf("%s: %v, expected %v", o.Name, err, want)
			continue
		case err != nil:
			continue
		}
		body := message("in", o.Name)
		kept[name] = body
		putAll(t, s, name, "", body)
		subscribe(t, s, true, name)
	}
	if len(kept) == 0 {
		t.Fatal("no odd name was taken")
	}
	folders, err := s.List(t.Context())
	must(t, err)
	for name, body := range kept {
		f, ok := folderNamed(folders, name)
		if !ok || !f.Selectable || !f.Subscribed || f.Counters.Messages != 1 {
			t.Errorf("%q is listed as %v %+v", name, ok, f)
			continue
		}
		c, err := s.Examine(t.Context(), name)
		must(t, err)
		got, err := bodiesOf(t.Context(), s, all(c))
		must(t, err)
		if !bytes.Equal(got[1], body) {
			t.Errorf("%q holds another message", name)
		}
	}
	must(t, s.Unselect(t.Context()))
	sameAsIndependent(t, b, number)
	for name := range kept {
		if strings.HasPrefix(string(name), string(inbox)) {
			continue
		}
		subscribe(t, s, false, name)
		if err := s.DeleteFolder(t.Context(), name); err != nil {
			t.Errorf("delete %q: %v", name, err)
		}
	}
}

// subscribe sets or clears a subscription, and has the store list it, whatever folder
// is open.
func subscribe(t *testing.T, s copier.Session, on bool, name mailbox.FolderName) {
	t.Helper()
	refused, err := s.Subscribe(t.Context(), on, name)
	must(t, err)
	if len(refused) > 0 {
		t.Errorf("the store refuses to set the subscription of %q to %v", name, on)
	}
	list, err := s.Subscribed(t.Context())
	must(t, err)
	if list[name] != on {
		t.Errorf("%q: subscribed %v, want %v, in %v", name, list[name], on, list)
	}
}

// testSubscriptions: many subscriptions change by one call, and one that the store
// refuses keeps none of the others from changing.
func testSubscriptions(t *testing.T, b Backend) {
	s, _ := fresh(t, b)
	many := []mailbox.FolderName{inbox}
	for i := range 120 {
		name := mailbox.FolderName("Many/" + strconv.Itoa(i))
		must(t, s.CreateFolder(t.Context(), name, nil))
		many = append(many, name)
	}
	_, _, err := s.Select(t.Context(), "Many/7")
	must(t, err)
	for _, on := range []bool{true, false} {
		refused, err := s.Subscribe(t.Context(), on, many...)
		must(t, err)
		list, err := s.Subscribed(t.Context())
		must(t, err)
		for _, name := range many {
			if list[name] != on || slices.Contains(refused, name) {
				t.Errorf("%q: subscribed %v, want %v", name, list[name], on)
			}
		}
	}
	refused, err := s.Subscribe(t.Context(), true, "Many/1", "Nowhere", "Many/2")
	must(t, err)
	list, err := s.Subscribed(t.Context())
	must(t, err)
	if !list["Many/1"] || !list["Many/2"] || slices.Contains(refused, "Many/1") || slices.Contains(refused, "Many/2") {
		t.Errorf("subscribed %v, refused %v", list, refused)
	}
}
