package mirror_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// treeProperties: carrying a plan out gives the target the source's folders
// and leaves alone what the link excludes, and planning again yields nothing.
func treeProperties(t *rapid.T) {
	source, target := newServer(rapid.Bool().Draw(t, "source lists parents")), newServer(rapid.Bool().Draw(t, "target lists parents"))
	var exclude mailbox.Patterns
	if rapid.Bool().Draw(t, "exclude") {
		exclude = mailbox.Patterns{"keep", "*/keep"}
	}
	content := 0
	for range rapid.IntRange(0, 8).Draw(t, "acts before") {
		source.use(t, &content)
	}
	known := firstSync(t, source, target, exclude)
	for range rapid.IntRange(0, 5).Draw(t, "acts on the source") {
		source.use(t, &content)
	}
	for range rapid.IntRange(0, 2).Draw(t, "acts on the target") {
		target.use(t, &content)
	}
	if rapid.IntRange(0, 4).Draw(t, "ledger") == 0 {
		known = nil
	}

	in := mirror.TreeInput{Source: source.list(), Target: target.list(), Known: known, Exclude: exclude,
		NoRename: rapid.IntRange(0, 4).Draw(t, "no rename") == 0}
	before := target.clone()
	plan, err := mirror.PlanTree(in)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	if in.NoRename && len(plan.Rename) > 0 {
		t.Fatalf("renames were planned: %v", plan.Rename)
	}
	target.carryOut(plan, source, t.Fatalf)

	excluded := func(name mailbox.FolderName) bool { return name != mailbox.Inbox && exclude.Match(name) }
	for name, f := range before.folders {
		if now := target.folders[name]; excluded(name) && (now == nil || *now != *f) {
			t.Fatalf("%q is excluded and became %+v", name, now)
		}
	}
	for _, pair := range [][2]*server{{source, target}, {target, source}} {
		for name, f := range pair[0].folders {
			switch other := pair[1].folders[name]; {
			case excluded(name):
			case other == nil && pair[0] == target && f.content == 0 && !f.subscribed && mirror.Levels(source.list())[name]:
				// What a name that folders stand below is by itself differs.
			case other == nil:
				t.Fatalf("%q is on one side only after %+v", name, plan)
			case other.subscribed != f.subscribed || other.content != f.content:
				t.Fatalf("%q is %+v on one side and %+v on the other after %+v", name, f, other, plan)
			}
		}
	}

	in.Source, in.Target, in.Known = source.list(), target.list(), knownNow(source, target, plan)
	if again, err := mirror.PlanTree(in); err != nil || !again.Unchanged() || !mirror.Unchanged(in) {
		t.Fatalf("planning again yields %+v, %v", again, err)
	}
}

// firstSync makes the trees equal and returns the ledger of it.
func firstSync(t *rapid.T, source, target *server, exclude mailbox.Patterns) []mirror.Known {
	plan, err := mirror.PlanTree(mirror.TreeInput{Source: source.list(), Target: target.list(), Exclude: exclude})
	if err != nil {
		t.Fatalf("first plan: %v", err)
	}
	if len(plan.Rename)+len(plan.Delete) > 0 {
		t.Fatalf("the first plan for an empty target is %+v", plan)
	}
	target.carryOut(plan, source, t.Fatalf)
	return knownNow(source, target, plan)
}

func TestTreePlanMakesTheFoldersEqual(t *testing.T) { rapid.Check(t, treeProperties) }

// FuzzPlanTree lets the fuzzer encode the trees, the ledger and the changes.
func FuzzPlanTree(f *testing.F) { f.Fuzz(rapid.MakeFuzz(treeProperties)) }

func folder(name mailbox.FolderName, validity uint32) mailbox.Folder {
	return mailbox.Folder{Name: name, Selectable: true, Counters: mailbox.Counters{UIDValidity: validity, UIDNext: 5, Messages: 2, HighestModSeq: 9}}
}

func emptied(f mailbox.Folder) mailbox.Folder { f.Counters.Messages = 0; return f }

// TestTreePlanLeavesBareLevels: some servers make the folders above a new one,
// and delete none of them as long as it is there.
func TestTreePlanLeavesBareLevels(t *testing.T) {
	bare := func(name mailbox.FolderName) mailbox.Folder {
		f := folder(name, 9)
		f.Counters.Messages = 0
		return f
	}
	inbox, child := folder("INBOX", 1), folder("A/b/c", 2)
	for _, c := range []struct {
		name   string
		target mailbox.Folder
		known  []mirror.Known
		remove bool
	}{
		{"came with the folder below it", bare("A/b"), nil, false},
		{"holds messages", folder("A/b", 9), nil, true},
		{"was mirrored and is gone from the source", bare("A/b"), ledgerOf(inbox, child, bare("A/b")), true},
		{"nothing is below it", bare("B"), nil, true},
		{"nobody knows what it holds", mailbox.Folder{Name: "A", Selectable: true}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan, err := mirror.PlanTree(mirror.TreeInput{Source: []mailbox.Folder{inbox, child},
				Target: []mailbox.Folder{inbox, child, c.target}, Known: c.known})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(plan.Delete) == 1; got != c.remove {
				t.Errorf("deleted: %v", plan.Delete)
			}
		})
	}
}

func noSelect(name mailbox.FolderName) mailbox.Folder { return mailbox.Folder{Name: name} }

// ledgerOf says that the folders were last equal as they are listed.
func ledgerOf(folders ...mailbox.Folder) []mirror.Known {
	var out []mirror.Known
	for _, f := range folders {
		out = append(out, mirror.Known{Name: f.Name, SourceValidity: f.Counters.UIDValidity, TargetValidity: f.Counters.UIDValidity,
			SourceAt: f.Counters, TargetAt: f.Counters})
	}
	return out
}

// brief is a plan in one line.
func brief(p mirror.TreePlan) string {
	var b []string
	for _, r := range p.Rename {
		arrow := ">"
		if r.Implied {
			arrow = "≥"
		}
		b = append(b, string(r.From)+arrow+string(r.To))
	}
	for _, f := range p.Create {
		b = append(b, "+"+string(f.Name))
	}
	for _, q := range p.Pairs {
		if !q.Unchanged {
			b = append(b, "="+string(q.Name))
		}
	}
	for _, name := range p.Delete {
		b = append(b, "-"+string(name))
	}
	for _, name := range p.Subscribe {
		b = append(b, "s+"+string(name))
	}
	for _, name := range p.Unsubscribe {
		b = append(b, "s-"+string(name))
	}
	return strings.Join(b, " ")
}

func TestPlanTree(t *testing.T) {
	inbox := folder("INBOX", 1)
	list := func(folders ...mailbox.Folder) []mailbox.Folder { return append([]mailbox.Folder{inbox}, folders...) }
	a, ab, abc := folder("A", 2), folder("A/B", 3), folder("A/B/C", 4)
	for _, tt := range []struct {
		name string
		in   mirror.TreeInput
		want string
	}{
		{"equal and known", mirror.TreeInput{Source: list(a), Target: list(a), Known: ledgerOf(inbox, a)}, ""},
		{"nothing known", mirror.TreeInput{Source: list(a), Target: list(a)}, "=INBOX =A"},
		{"new with a child", mirror.TreeInput{Source: list(ab, a), Target: list(), Known: ledgerOf(inbox)}, "+A +A/B =A =A/B"},
		{"gone with its children", mirror.TreeInput{Source: list(), Target: list(a, ab, abc), Known: ledgerOf(inbox, a, ab, abc)}, "-A/B/C -A/B -A"},
		{"a parent that holds no messages", mirror.TreeInput{Source: list(noSelect("A"), ab), Target: list(a, ab), Known: ledgerOf(inbox, a, ab)}, "-A"},
		{"a parent that begins to hold some", mirror.TreeInput{Source: list(a, ab), Target: list(noSelect("A"), ab), Known: ledgerOf(inbox, ab)}, "+A =A"},
		{"parents on both sides", mirror.TreeInput{Source: list(noSelect("A"), ab), Target: list(noSelect("A"), ab), Known: ledgerOf(inbox, ab)}, ""},
		{"a parent on the target only", mirror.TreeInput{Source: list(), Target: list(noSelect("A")), Known: ledgerOf(inbox)}, ""},
		{"renamed", mirror.TreeInput{Source: list(folder("Z", 2)), Target: list(a), Known: ledgerOf(inbox, a)}, "A>Z =Z"},
		{"renamed with all below", mirror.TreeInput{Source: list(folder("Z", 2), folder("Z/B", 3), folder("Z/B/C", 4)), Target: list(a, ab, abc),
			Known: ledgerOf(inbox, a, ab, abc)}, "A>Z A/B≥Z/B A/B/C≥Z/B/C =Z =Z/B =Z/B/C"},
		{"renamed, but a child stayed", mirror.TreeInput{Source: list(folder("Z", 2), noSelect("A"), ab), Target: list(a, ab), Known: ledgerOf(inbox, a, ab)},
			"+Z =Z -A"},
		{"renamed, and a new folder took its name", mirror.TreeInput{Source: list(folder("Z", 2), folder("A", 8)), Target: list(a), Known: ledgerOf(inbox, a)},
			"+Z =A =Z"},
		{"renamed to a name that the target has", mirror.TreeInput{Source: list(folder("Z", 2)), Target: list(a, folder("Z", 7)), Known: ledgerOf(inbox, a)}, "=Z -A"},
		{"renamed on a target that refuses", mirror.TreeInput{Source: list(folder("Z", 2)), Target: list(a), Known: ledgerOf(inbox, a), NoRename: true}, "+Z =Z -A"},
		{"two new ones of the same second", mirror.TreeInput{Source: list(folder("Y", 2), folder("Z", 2)), Target: list(a), Known: ledgerOf(inbox, a)}, "+Y +Z =Y =Z -A"},
		{"re-created on the target meanwhile", mirror.TreeInput{Source: list(folder("Z", 2)), Target: list(folder("A", 8)), Known: ledgerOf(inbox, a)}, "+Z =Z -A"},
		{"renamed above an excluded folder", mirror.TreeInput{Source: list(folder("Z", 2)), Target: list(a, folder("A/Private", 5)),
			Known: ledgerOf(inbox, a), Exclude: mailbox.Patterns{"*/Private"}}, "+Z =Z -A"},
		{"renamed to a name below itself", mirror.TreeInput{Source: list(folder("A/Z", 2)), Target: list(a), Known: ledgerOf(inbox, a)}, "+A/Z =A/Z -A"},
		{"renamed to a name below another that moved", mirror.TreeInput{Source: list(folder("Y", 2), folder("A/Z", 5)), Target: list(a, folder("C", 5)),
			Known: ledgerOf(inbox, a, folder("C", 5))}, "A>Y +A/Z =A/Z =Y -C"},
		{"renamed to become an excluded name", mirror.TreeInput{Source: list(folder("Private", 2)), Target: list(a),
			Known: ledgerOf(inbox, a), Exclude: mailbox.Patterns{"Private"}}, "-A"},
		{"excluded on both sides", mirror.TreeInput{Source: list(a), Target: list(folder("B", 7)), Known: ledgerOf(inbox), Exclude: mailbox.Patterns{"A", "B"}}, ""},
		{"the inbox cannot be excluded", mirror.TreeInput{Source: list(), Target: list(), Exclude: mailbox.Patterns{"*"}}, "=INBOX"},
		{"refused by the target", mirror.TreeInput{Source: list(a), Target: list(), Known: append(ledgerOf(inbox), mirror.Known{Name: "A", Refused: true})}, ""},
		{"refused, and tried again", mirror.TreeInput{Source: list(a), Target: list(), Known: append(ledgerOf(inbox), mirror.Known{Name: "A", Refused: true}), Force: true}, "+A =A"},
		{"refused, but there by now", mirror.TreeInput{Source: list(a), Target: list(a), Known: append(ledgerOf(inbox), mirror.Known{Name: "A", Refused: true})}, "=A"},
		{"kept by the target", mirror.TreeInput{Source: list(), Target: list(emptied(a)), Known: append(ledgerOf(inbox), mirror.Known{Name: "A", Kept: true})}, ""},
		{"kept by the target, and somebody put messages there", mirror.TreeInput{Source: list(), Target: list(a), Known: append(ledgerOf(inbox), mirror.Known{Name: "A", Kept: true})}, "-A"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := mirror.PlanTree(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := brief(plan); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if got := mirror.Unchanged(tt.in); got != (tt.want == "") {
				t.Errorf("Unchanged is %v", got)
			}
		})
	}
}

func TestPlanTreeSubscribes(t *testing.T) {
	on, off := folder("A", 2), folder("B", 3)
	on.Subscribed = true
	other := []mailbox.Folder{folder("INBOX", 1), folder("A", 2), folder("B", 3)}
	other[2].Subscribed = true
	in := mirror.TreeInput{Source: []mailbox.Folder{folder("INBOX", 1), on, off}, Target: other, Known: ledgerOf(other...)}
	plan, err := mirror.PlanTree(in)
	if got := brief(plan); err != nil || got != "s+A s-B" {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestUnprovenFoldersAreLookedAt: each of these alone must keep a folder from
// being taken for unchanged.
func TestUnprovenFoldersAreLookedAt(t *testing.T) {
	inbox := folder("INBOX", 1)
	for name, change := range map[string]func(source, target *mailbox.Folder, k *mirror.Known){
		"an open intent":             func(_, _ *mailbox.Folder, k *mirror.Known) { k.Open = true },
		"a change on the source":     func(s, _ *mailbox.Folder, _ *mirror.Known) { s.Counters.HighestModSeq++ },
		"a change on the target":     func(_, t *mailbox.Folder, _ *mirror.Known) { t.Counters.HighestModSeq++ },
		"a source without CONDSTORE": func(s, _ *mailbox.Folder, k *mirror.Known) { s.Counters.HighestModSeq, k.SourceAt.HighestModSeq = 0, 0 },
		"a target without CONDSTORE": func(_, t *mailbox.Folder, k *mirror.Known) { t.Counters.HighestModSeq, k.TargetAt.HighestModSeq = 0, 0 },
		"another UIDVALIDITY":        func(s, _ *mailbox.Folder, _ *mirror.Known) { s.Counters.UIDValidity++ },
		"never equal": func(_, _ *mailbox.Folder, k *mirror.Known) {
			k.SourceAt, k.TargetAt = mailbox.Counters{}, mailbox.Counters{}
		},
	} {
		t.Run(name, func(t *testing.T) {
			source, target, known := inbox, inbox, ledgerOf(inbox)
			change(&source, &target, &known[0])
			if mirror.Unchanged(mirror.TreeInput{Source: []mailbox.Folder{source}, Target: []mailbox.Folder{target}, Known: known}) {
				t.Error("the mailbox is taken for unchanged")
			}
		})
	}
}

// TestAnEmptyAnswerPlansNothing: no answer of a server deletes a mailbox.
func TestAnEmptyAnswerPlansNothing(t *testing.T) {
	inbox, a := folder("INBOX", 1), folder("A", 2)
	full := []mailbox.Folder{inbox, a}
	for name, in := range map[string]mirror.TreeInput{
		"empty source":            {Target: full},
		"source without an inbox": {Source: []mailbox.Folder{a}, Target: full},
		"source's inbox NoSelect": {Source: []mailbox.Folder{noSelect("INBOX"), a}, Target: full},
		"empty target":            {Source: full},
		"target without an inbox": {Source: full, Target: []mailbox.Folder{a}},
		"both empty":              {},
	} {
		t.Run(name, func(t *testing.T) {
			in.Known = ledgerOf(full...)
			plan, err := mirror.PlanTree(in)
			if err == nil || fault.HintOf(err) == "" {
				t.Errorf("got %v with hint %q", err, fault.HintOf(err))
			}
			if d := cmp.Diff(mirror.TreePlan{}, plan); d != "" {
				t.Errorf("planned:\n%s", d)
			}
			if mirror.Unchanged(in) {
				t.Error("the mailbox is taken for unchanged")
			}
		})
	}
}

func TestPairsAreInOrder(t *testing.T) {
	var names []mailbox.FolderName
	folders := []mailbox.Folder{folder("Z", 3), folder("A/B", 4), folder("INBOX", 1), folder("A", 2)}
	plan, err := mirror.PlanTree(mirror.TreeInput{Source: folders, Target: folders})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plan.Pairs {
		names = append(names, p.Name)
	}
	if want := []mailbox.FolderName{"INBOX", "A", "A/B", "Z"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
