package mirror

import (
	"cmp"
	"slices"
	"strings"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
)

// Known is what the ledger knows of one folder, as far as planning the folder
// tree needs it.
type Known struct {
	Name                           mailbox.FolderName
	SourceValidity, TargetValidity uint32
	// SourceAt and TargetAt are the counters at which both sides were last
	// proven equal; zero where they never were.
	SourceAt, TargetAt mailbox.Counters
	// Open is true while an append was begun and not confirmed.
	Open bool
	// Refused is true where the target could not hold the folder, Kept where
	// it would not delete it, or created it again, and it is not to be tried now.
	Refused, Kept bool
	// Unsubscribable is true where the target did not keep a subscription as the
	// source has it.
	Unsubscribable bool
}

// proven reports whether the folder's counters on both sides are still those
// at which it was equal.
func (k Known) proven(source, target mailbox.Counters) bool {
	return !k.Open && k.SourceAt.Unchanged(source) && k.TargetAt.Unchanged(target)
}

// TreeInput is what both sides list.
type TreeInput struct {
	Source, Target []mailbox.Folder
	Known          []Known
	// Exclude names the folders that the link leaves alone on both sides.
	Exclude mailbox.Patterns
	// NoRename plans a renamed folder as created and deleted, for a target
	// that refused to rename.
	NoRename bool
	// Force plans again what the target refused, Resubscribe the subscriptions
	// that it did not keep.
	Force, Resubscribe bool
}

// Rename is one folder to be renamed on the target.
type Rename struct {
	From, To mailbox.FolderName
	// Implied is true where renaming a folder above it renames it too.
	Implied bool
}

// Pair is a folder that both sides have once Create and Rename are done.
type Pair struct {
	Name mailbox.FolderName
	// Unchanged is true where the counters prove that nothing is to be done.
	Unchanged bool
	// Source holds the source's listing.
	Source mailbox.Folder
}

// TreePlan makes the target's folders those of the source. It is carried out
// in the order of its fields, and the messages of Pairs are copied before
// Delete, so that a moved message is on the target at every moment.
type TreePlan struct {
	Rename      []Rename         // parents first
	Create      []mailbox.Folder // parents first
	Subscribe   []mailbox.FolderName
	Unsubscribe []mailbox.FolderName
	// Unreadable are folders of the source that no plan can name.
	Unreadable []mailbox.FolderName
	Pairs      []Pair               // by name, the inbox first
	Delete     []mailbox.FolderName // children first
	// Levels are the names that folders of the source stand below. Some servers
	// delete no such folder: there it is enough that it is empty.
	Levels map[mailbox.FolderName]bool
}

// Unchanged reports whether the plan has nothing to do or to look at.
func (p TreePlan) Unchanged() bool {
	return len(p.Rename) == 0 && len(p.Create) == 0 && len(p.Delete) == 0 &&
		len(p.Subscribe) == 0 && len(p.Unsubscribe) == 0 && len(p.Unreadable) == 0 &&
		!slices.ContainsFunc(p.Pairs, func(q Pair) bool { return !q.Unchanged })
}

// PlanTree compares two folder lists. A list without an inbox is not a list
// of a mailbox, whatever the server says (RFC 9051, section 5.1): it is an
// error and nothing is planned, so that an empty answer deletes nothing.
func PlanTree(in TreeInput) (TreePlan, error) {
	source, target := index(in.Source, in.Exclude), index(in.Target, in.Exclude)
	if !source[mailbox.Inbox].Selectable {
		return TreePlan{}, fault.New(fault.Transient, "list folders of the source: no inbox in the answer", nil,
			"check that the mailbox exists on the source and that the trusted server may read it")
	}
	if !target[mailbox.Inbox].Selectable {
		return TreePlan{}, fault.New(fault.Transient, "list folders of the target: no inbox in the answer", nil,
			"check that the mailbox exists on the target and that the trusted server may write to it")
	}
	known := make(map[mailbox.FolderName]Known, len(in.Known))
	for _, k := range in.Known {
		known[k.Name] = k
	}

	var plan TreePlan
	if !in.NoRename {
		plan.Rename = renames(source, target, known, in.Target)
		for _, r := range plan.Rename {
			f := target[r.From]
			f.Name = r.To
			delete(target, r.From)
			target[r.To] = f
		}
	}
	for _, name := range sortedNames(source) {
		s := source[name]
		t, there := target[name]
		k := known[name]
		if s.Unreadable && (in.Force || !k.Refused) {
			plan.Unreadable = append(plan.Unreadable, name)
		}
		if !s.Selectable || s.Unreadable {
			continue
		}
		if k.Refused && !in.Force && !t.Selectable {
			continue
		}
		if !there || !t.Selectable {
			plan.Create = append(plan.Create, s)
		}
		// A difference that the target does not let go is left alone. Once there is
		// none, the same is asked for again, so that it is seen to be over.
		if (s.Subscribed != t.Subscribed) != (k.Unsubscribable && !in.Resubscribe) {
			if s.Subscribed {
				plan.Subscribe = append(plan.Subscribe, name)
			} else {
				plan.Unsubscribe = append(plan.Unsubscribe, name)
			}
		}
		plan.Pairs = append(plan.Pairs, Pair{Name: name, Source: s, Unchanged: k.proven(s.Counters, t.Counters)})
	}
	plan.Levels = Levels(in.Source)
	for _, name := range sortedNames(target) {
		t := target[name]
		switch {
		case known[name].Kept && t.Counters.Messages == 0:
		case !t.Selectable || t.Unreadable || source[name].Selectable || name == mailbox.Inbox:
		case plan.Levels[name] && known[name].SourceValidity == 0 && Bare(t):
			if t.Subscribed && (!known[name].Unsubscribable || in.Resubscribe) {
				plan.Unsubscribe = append(plan.Unsubscribe, name)
			}
		default:
			plan.Delete = append(plan.Delete, name)
		}
	}
	slices.Reverse(plan.Delete)
	return plan, nil
}

// Levels returns the names that folders stand below. Servers differ in what
// such a name is by itself: nothing, a name that cannot be opened, or a folder
// that came into being with the first one below it, as on Cyrus.
func Levels(folders []mailbox.Folder) map[mailbox.FolderName]bool {
	levels := map[mailbox.FolderName]bool{}
	for _, f := range folders {
		if !f.Selectable || f.Unreadable {
			continue
		}
		for p := f.Name.Parent(); p != "" && !levels[p]; p = p.Parent() {
			levels[p] = true
		}
	}
	return levels
}

// Bare reports whether a folder is known to hold no messages.
func Bare(f mailbox.Folder) bool { return f.Counters.UIDValidity != 0 && f.Counters.Messages == 0 }

// Unchanged reports whether the counters of both sides prove that a mailbox
// is as it was when it was last equal: the whole cost of most reviews.
func Unchanged(in TreeInput) bool {
	plan, err := PlanTree(in)
	return err == nil && plan.Unchanged()
}

// renames finds folders that only changed their name on the source: the
// ledger's folder is gone there, and one that is new has its UIDVALIDITY.
// The pairing of messages is not taken over from the ledger: a UIDVALIDITY is
// often a time of creation in seconds and may belong to two folders, so the
// messages are recognised anew, which still saves copying them.
// all is the target's whole list, with what the link excludes.
func renames(source, target map[mailbox.FolderName]mailbox.Folder, known map[mailbox.FolderName]Known, all []mailbox.Folder) []Rename {
	fresh := map[uint32][]mailbox.FolderName{} // new on the source, by UIDVALIDITY
	for _, name := range sortedNames(source) {
		if _, onTarget := target[name]; onTarget || !source[name].Selectable {
			continue
		}
		v := source[name].Counters.UIDValidity
		fresh[v] = append(fresh[v], name)
	}
	gone := map[uint32][]Known{}
	for _, k := range known {
		if _, still := source[k.Name]; !still && k.Name != mailbox.Inbox && k.SourceValidity != 0 {
			gone[k.SourceValidity] = append(gone[k.SourceValidity], k)
		}
	}
	var found []Rename
	for v, names := range fresh {
		if len(names) != 1 || len(gone[v]) != 1 || v == 0 {
			continue
		}
		k := gone[v][0]
		t, there := target[k.Name]
		if !there || !t.Selectable || t.Counters.UIDValidity != k.TargetValidity {
			continue
		}
		found = append(found, Rename{From: k.Name, To: names[0]})
	}
	// A name below a folder that moves too would move along with it.
	moving := slices.Clone(found)
	found = slices.DeleteFunc(found, func(r Rename) bool {
		return slices.ContainsFunc(moving, func(m Rename) bool { return strings.HasPrefix(string(r.To), string(m.From)+"/") })
	})
	slices.SortFunc(found, func(a, b Rename) int {
		return cmp.Or(cmp.Compare(a.From.Depth(), b.From.Depth()), cmp.Compare(a.From, b.From))
	})
	return implied(found, all)
}

// implied marks what a rename of a parent brings about by itself, and drops
// renames that a parent's rename contradicts: those are created and deleted.
func implied(found []Rename, target []mailbox.Folder) []Rename {
	moved := map[mailbox.FolderName]mailbox.FolderName{}
	byFrom := map[mailbox.FolderName]mailbox.FolderName{}
	for _, r := range found {
		byFrom[r.From] = r.To
	}
	var out []Rename
	for _, r := range found {
		parent := r.From.Parent()
		for parent != "" && moved[parent] == "" {
			parent = parent.Parent()
		}
		if parent != "" {
			if r.To == moved[parent]+r.From[len(parent):] {
				out = append(out, Rename{From: r.From, To: r.To, Implied: true})
			}
			continue
		}
		if !childrenFollow(r, byFrom, target) {
			continue
		}
		moved[r.From] = r.To
		out = append(out, r)
	}
	return out
}

// childrenFollow reports whether every folder below r.From moves along with
// it; otherwise the rename would carry off a folder that has to stay, because
// the source still has it there or because the link leaves it alone.
func childrenFollow(r Rename, byFrom map[mailbox.FolderName]mailbox.FolderName, target []mailbox.Folder) bool {
	prefix := string(r.From) + "/"
	for _, f := range target {
		below, ok := strings.CutPrefix(string(f.Name), prefix)
		if ok && f.Selectable && byFrom[f.Name] != r.To+"/"+mailbox.FolderName(below) {
			return false
		}
	}
	return true
}

func index(folders []mailbox.Folder, exclude mailbox.Patterns) map[mailbox.FolderName]mailbox.Folder {
	m := make(map[mailbox.FolderName]mailbox.Folder, len(folders))
	for _, f := range folders {
		if f.Name == mailbox.Inbox || !exclude.Match(f.Name) {
			m[f.Name] = f
		}
	}
	return m
}

// sortedNames puts the inbox first and parents before their children.
func sortedNames(m map[mailbox.FolderName]mailbox.Folder) []mailbox.FolderName {
	names := make([]mailbox.FolderName, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b mailbox.FolderName) int {
		if (a == mailbox.Inbox) != (b == mailbox.Inbox) {
			if a == mailbox.Inbox {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	return names
}
