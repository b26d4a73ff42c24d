package mirror_test

import (
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// stored is a folder on a simulated server; content tells folders apart that
// have the same name at different times, and is what a copy would bring over.
type stored struct {
	content    int
	validity   uint32
	subscribed bool
}

// server is a folder tree as a server keeps it.
type server struct {
	folders  map[mailbox.FolderName]*stored
	validity uint32
	// parents is true where the server lists folders that only hold others.
	parents bool
}

func newServer(parents bool) *server {
	s := &server{folders: map[mailbox.FolderName]*stored{}, parents: parents}
	s.create(mailbox.Inbox)
	return s
}

func (s *server) create(name mailbox.FolderName) {
	if s.folders[name] == nil {
		s.validity++
		s.folders[name] = &stored{validity: s.validity}
	}
}

func under(name, above mailbox.FolderName) bool {
	return strings.HasPrefix(string(name), string(above)+"/")
}

// rename moves a folder and all below it; false where a server would refuse.
func (s *server) rename(from, to mailbox.FolderName) bool {
	moved := map[mailbox.FolderName]mailbox.FolderName{}
	for name := range s.folders {
		if name == from || under(name, from) {
			moved[name] = to + name[len(from):]
		}
	}
	for _, next := range moved {
		if s.folders[next] != nil {
			return false
		}
	}
	if len(moved) == 0 || from == mailbox.Inbox || under(to, from) {
		return false
	}
	for name, next := range moved {
		s.folders[next] = s.folders[name]
		delete(s.folders, name)
	}
	return true
}

func (s *server) counters(name mailbox.FolderName) mailbox.Counters {
	f := s.folders[name]
	return mailbox.Counters{UIDValidity: f.validity, UIDNext: mailbox.UID(f.content + 1),
		Messages: uint32(f.content), HighestModSeq: uint64(f.content + 1)}
}

func (s *server) list() []mailbox.Folder {
	var out []mailbox.Folder
	only := map[mailbox.FolderName]bool{}
	for _, name := range slices.Sorted(maps.Keys(s.folders)) {
		out = append(out, mailbox.Folder{Name: name, Selectable: true, Subscribed: s.folders[name].subscribed, Counters: s.counters(name)})
		for p := name.Parent(); p != "" && s.parents; p = p.Parent() {
			if s.folders[p] == nil && !only[p] {
				only[p] = true
				out = append(out, mailbox.Folder{Name: p})
			}
		}
	}
	return out
}

func (s *server) clone() *server {
	c := &server{folders: map[mailbox.FolderName]*stored{}, validity: s.validity, parents: s.parents}
	for name, f := range s.folders {
		copied := *f
		c.folders[name] = &copied
	}
	return c
}

// treeNames are few and nested, so that they meet.
var treeNames = []mailbox.FolderName{"A", "A/x", "A/x/y", "A/z", "B", "B/x", "B/x/y", "C", "Keep", "A/Keep", "INBOX/x", "Ab"}

// use lets somebody change the tree.
func (s *server) use(t *rapid.T, content *int) {
	name := rapid.SampledFrom(treeNames).Draw(t, "folder")
	*content++
	switch rapid.SampledFrom([]string{"create", "create", "delete", "rename", "rename", "again", "subscribe", "fill", "same validity"}).Draw(t, "act") {
	case "create":
		s.create(name)
	case "delete":
		delete(s.folders, name)
	case "rename":
		s.rename(name, rapid.SampledFrom(treeNames).Draw(t, "to"))
	case "again": // deleted and made anew
		if s.folders[name] != nil {
			delete(s.folders, name)
			s.create(name)
		}
	case "subscribe":
		if f := s.folders[name]; f != nil {
			f.subscribed = !f.subscribed
		}
	case "fill":
		if f := s.folders[name]; f != nil {
			f.content = *content
		}
	case "same validity": // made in the same second as another
		if f := s.folders[name]; f != nil {
			f.validity = s.folders[mailbox.Inbox].validity
		}
	}
}

// carryOut does to the target what a plan says, in its order, and reports by
// fail what no server would let pass.
func (s *server) carryOut(plan mirror.TreePlan, source *server, fail func(string, ...any)) {
	for _, r := range plan.Rename {
		switch {
		case r.Implied && s.folders[r.To] == nil:
			fail("renaming a folder above %q should have made it %q", r.From, r.To)
		case !r.Implied && !s.rename(r.From, r.To):
			fail("the target refuses to rename %q to %q", r.From, r.To)
		}
	}
	for _, f := range plan.Create {
		s.create(f.Name)
	}
	for _, p := range plan.Pairs {
		if s.folders[p.Name] == nil || source.folders[p.Name] == nil {
			fail("pair %q is not on both sides", p.Name)
			continue
		}
		if same := s.folders[p.Name].content == source.folders[p.Name].content; p.Unchanged && !same {
			fail("pair %q is called unchanged", p.Name)
		}
		s.folders[p.Name].content = source.folders[p.Name].content
	}
	for i, name := range plan.Delete {
		if slices.ContainsFunc(plan.Delete[i+1:], func(later mailbox.FolderName) bool { return under(later, name) }) {
			fail("%q is deleted before what is below it", name)
		}
		if s.folders[name] == nil || name == mailbox.Inbox {
			fail("%q cannot be deleted", name)
		}
		delete(s.folders, name)
	}
	for _, name := range plan.Subscribe {
		s.folders[name].subscribed = true
	}
	for _, name := range plan.Unsubscribe {
		s.folders[name].subscribed = false
	}
}

// knownNow is the ledger after a sync that found both sides equal.
func knownNow(source, target *server, plan mirror.TreePlan) []mirror.Known {
	var out []mirror.Known
	for _, p := range plan.Pairs {
		s, t := source.counters(p.Name), target.counters(p.Name)
		out = append(out, mirror.Known{Name: p.Name, SourceValidity: s.UIDValidity, TargetValidity: t.UIDValidity, SourceAt: s, TargetAt: t})
	}
	return out
}
