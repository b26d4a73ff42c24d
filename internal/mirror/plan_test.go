package mirror_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mailmirror/internal/fault"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// letter is a stored message; text stands for its bytes.
type letter struct {
	text  string
	flags mailbox.Flags
}

// box is a folder as a server keeps it.
type box struct {
	letters map[mailbox.UID]letter
	next    mailbox.UID
}

func newBox() *box { return &box{letters: map[mailbox.UID]letter{}, next: 1} }

func (b *box) put(l letter) mailbox.UID {
	b.next++
	b.letters[b.next-1] = l
	return b.next - 1
}

func (b *box) uids() mailbox.UIDSet {
	return mailbox.NewUIDSet(slices.Collect(maps.Keys(b.letters))...)
}

func (b *box) message(u mailbox.UID) mailbox.Message {
	return mailbox.Message{UID: u, Flags: b.letters[u].flags, Size: int64(len(b.letters[u].text)), InternalDate: time.Unix(0, 0)}
}

// view is what is seen of the folder when only the given UIDs were asked for.
func (b *box) view(known mailbox.UIDSet) mirror.View {
	v := mirror.View{UIDs: b.uids(), Messages: map[mailbox.UID]mailbox.Message{}}
	for u := range known.All() {
		if _, ok := b.letters[u]; ok {
			v.Messages[u] = b.message(u)
		}
	}
	return v
}

// candidates are the messages without a partner, with the digest of the text
// as if it had been read.
func (b *box) candidates(paired func(mailbox.UID) bool) []mirror.Candidate {
	var out []mirror.Candidate
	for u := range b.uids().All() {
		if !paired(u) {
			c := mirror.NewCandidate(b.message(u))
			copy(c.Body[:], b.letters[u].text)
			out = append(out, c)
		}
	}
	return out
}

// holds counts the folder's messages, with the flags that a target with the
// given permanent flags can have.
func (b *box) holds(p mailbox.Permanent, skip mailbox.UIDSet) map[string]int {
	out := map[string]int{}
	for u, l := range b.letters {
		if !skip.Contains(u) {
			keep, _ := p.Storable(l.flags)
			out[fmt.Sprint(l.text, " ", keep.Folded())]++
		}
	}
	return out
}

// apply carries a plan out as the engine does.
func apply(source, target *box, p mailbox.Permanent, plan mirror.FolderPlan) {
	for u := range plan.Append.All() {
		l := source.letters[u]
		l.flags, _ = p.Storable(l.flags)
		plan.Pairs.Put(u, target.put(l))
	}
	for _, c := range plan.SetFlags {
		for u := range c.Target.All() {
			l := target.letters[u]
			_, stuck := p.Storable(l.flags)
			l.flags = mailbox.NewFlags(append(c.Flags.List(), stuck.List()...)...)
			target.letters[u] = l
		}
	}
	for u := range plan.Expunge.All() {
		delete(target.letters, u)
	}
}

// scene is one folder on both sides and what the ledger says of it.
type scene struct {
	source, target *box
	pairs          *mailbox.UIDMap
	permanent      mailbox.Permanent
	skip           mailbox.UIDSet
	// honest is true where no pair of the ledger is of two different messages.
	honest bool
}

func drawScene(t *rapid.T) scene {
	s := scene{source: newBox(), target: newBox(), pairs: mailbox.NewUIDMap(nil), honest: true,
		permanent: mailbox.Permanent{Flags: `\Seen \Deleted known`, Any: rapid.Bool().Draw(t, "any keyword")}}
	flags := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{`\Seen`, `\seen`, `\Deleted`, `\Draft`, "known", "strange"}), 0, 3),
		func(f []string) mailbox.Flags { return mailbox.NewFlags(f...) })
	text := rapid.SampledFrom([]string{"a", "b", "c", "d", "ee"}) // few, so that there are twins

	for range rapid.IntRange(0, 12).Draw(t, "messages") {
		l := letter{text.Draw(t, "text"), flags.Draw(t, "flags")}
		switch rapid.SampledFrom([]string{"both", "both", "unpaired", "source", "target", "vanished", "refused"}).Draw(t, "where") {
		case "both":
			u := s.source.put(l)
			if rapid.Bool().Draw(t, "same flags") {
				l.flags, _ = s.permanent.Storable(l.flags)
			} else {
				l.flags = flags.Draw(t, "target flags")
			}
			s.pairs.Put(u, s.target.put(l))
		case "unpaired": // the ledger lost it
			s.source.put(l)
			s.target.put(l)
		case "source":
			s.source.put(l)
		case "target":
			s.target.put(l)
		case "vanished": // the ledger still has what is gone
			s.source.next++
			s.target.next++
			s.pairs.Put(s.source.next-1, s.target.next-1)
		case "refused":
			s.skip.Add(s.source.put(l))
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "ledger") == 0 { // wrong: pairs at random
		s.honest = false
		for range 5 {
			s.pairs.Put(mailbox.UID(rapid.Uint32Range(1, 14).Draw(t, "s")), mailbox.UID(rapid.Uint32Range(1, 14).Draw(t, "t")))
		}
	}
	return s
}

// look draws what was asked for: everything, or all but some pairs that the
// counters proved to be unchanged.
func (s scene) look(t *rapid.T) mirror.FolderInput {
	knownSource, knownTarget := s.source.uids(), s.target.uids()
	for u, p := range mirror.Live(s.pairs, knownSource, knownTarget).All() {
		want, refused := s.permanent.Storable(s.source.letters[u].flags)
		if refused == "" && want.Equal(s.target.letters[p].flags) {
			if rapid.Bool().Draw(t, "source unchanged") {
				knownSource = knownSource.Minus(mailbox.NewUIDSet(u))
			}
			if rapid.Bool().Draw(t, "target unchanged") {
				knownTarget = knownTarget.Minus(mailbox.NewUIDSet(p))
			}
		}
	}
	in := mirror.FolderInput{Source: s.source.view(knownSource), Target: s.target.view(knownTarget),
		Pairs: s.pairs, Permanent: s.permanent, Skip: s.skip}
	needSource, needTarget := mirror.HalfKnown(in.Source, in.Target, s.pairs)
	in.Source = s.source.view(knownSource.Union(needSource))
	in.Target = s.target.view(knownTarget.Union(needTarget))
	return in
}

// folderProperties: applying a plan makes the copies equal, planning again
// yields nothing, and no plan removes a message whose partner exists.
func folderProperties(t *rapid.T) {
	s := drawScene(t)
	if rapid.Bool().Draw(t, "recognise") {
		paired := func(u mailbox.UID) bool { _, ok := s.pairs.Target(u); return ok || s.skip.Contains(u) }
		pairedTarget := func(u mailbox.UID) bool { _, ok := s.pairs.Source(u); return ok }
		for _, r := range mirror.Match(s.source.candidates(paired), s.target.candidates(pairedTarget)) {
			s.pairs.Put(r.Source, r.Target)
		}
	}
	in := s.look(t)
	before := s.pairs.Runs()
	plan, err := mirror.PlanFolder(in)
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	if !slices.Equal(before, s.pairs.Runs()) {
		t.Fatal("planning changed the ledger's pairs")
	}
	for u := range plan.Expunge.All() {
		if p, paired := s.pairs.Source(u); paired {
			if _, there := s.source.letters[p]; there {
				t.Fatalf("target %d is to be expunged, and its partner %d is there", u, p)
			}
		}
	}
	for u := range plan.Append.All() {
		if p, paired := s.pairs.Target(u); paired {
			if _, there := s.target.letters[p]; there {
				t.Fatalf("source %d is to be appended, and its partner %d is there", u, p)
			}
		}
		if s.skip.Contains(u) {
			t.Fatalf("source %d is to be appended, which the target refused", u)
		}
	}
	for _, c := range plan.SetFlags {
		if keep, refused := s.permanent.Storable(c.Flags); refused != "" {
			t.Fatalf("%q is to be stored, of which the target keeps %q", c.Flags, keep)
		}
	}
	for _, r := range plan.Refused {
		p, _ := plan.Pairs.Target(r.Source)
		differ := s.source.letters[r.Source].flags.Unlike(s.target.letters[p].flags)
		if _, refused := s.permanent.Storable(differ); refused != r.Flags {
			t.Fatalf("message %d: %q is called refused, %q is", r.Source, r.Flags, refused)
		}
	}

	apply(s.source, s.target, s.permanent, plan)

	paired := s.skip.Minus(pairedSources(plan.Pairs))
	if want, got := s.source.holds(s.permanent, paired), s.target.holds(s.permanent, nil); s.honest && !maps.Equal(want, got) {
		t.Fatalf("after the plan (-source +target):\n%s", cmp.Diff(want, got))
	}
	again, err := mirror.PlanFolder(mirror.FolderInput{Source: s.source.view(s.source.uids()), Target: s.target.view(s.target.uids()),
		Pairs: plan.Pairs, Permanent: s.permanent, Skip: s.skip})
	if err != nil || !again.Empty() {
		t.Fatalf("planning again yields %+v, %v", again, err)
	}
	if !slices.Equal(again.Pairs.Runs(), plan.Pairs.Runs()) {
		t.Fatal("planning again forgets pairs")
	}
}

func pairedSources(pairs *mailbox.UIDMap) mailbox.UIDSet {
	var out mailbox.UIDSet
	for s := range pairs.All() {
		out.Add(s)
	}
	return out
}

func TestFolderPlanMakesTheCopiesEqual(t *testing.T) { rapid.Check(t, folderProperties) }

// FuzzPlanFolder lets the fuzzer encode the folders and the ledger.
func FuzzPlanFolder(f *testing.F) { f.Fuzz(rapid.MakeFuzz(folderProperties)) }

func pairs(source, target mailbox.UID, length uint32) []mailbox.Run {
	return []mailbox.Run{{Source: source, Target: target, Length: length}}
}

func TestPlanFolder(t *testing.T) {
	view := func(messages ...mailbox.Message) mirror.View {
		v := mirror.View{Messages: map[mailbox.UID]mailbox.Message{}}
		for _, m := range messages {
			v.UIDs.Add(m.UID)
			v.Messages[m.UID] = m
		}
		return v
	}
	m := func(uid mailbox.UID, flags mailbox.Flags) mailbox.Message {
		return mailbox.Message{UID: uid, Flags: flags}
	}
	permanent := mailbox.Permanent{Flags: `\Deleted \Seen`}
	for _, tt := range []struct {
		name           string
		source, target mirror.View
		pairs          []mailbox.Run
		skip           mailbox.UIDSet
		append, gone   string
		flags          []mirror.FlagChange
		refused        []mirror.FlagsRefused
	}{
		{name: "nothing on either side", source: view(), target: view()},
		{name: "a first copy", source: view(m(3, ""), m(4, "")), target: view(), append: "3:4"},
		{name: "an emptied source", source: view(), target: view(m(7, ""), m(8, "")), pairs: pairs(3, 7, 2), gone: "7:8"},
		{name: "a stranger on the target", source: view(m(3, "")), target: view(m(7, ""), m(9, "")), pairs: pairs(3, 7, 1), gone: "9"},
		{name: "gone on the target", source: view(m(3, "")), target: view(), pairs: pairs(3, 7, 1), append: "3"},
		{name: "refused before", source: view(m(3, ""), m(4, "")), target: view(), skip: mailbox.NewUIDSet(3), append: "4"},
		{name: "flags of several messages", source: view(m(3, `\Seen`), m(4, `\Seen`), m(5, "")), target: view(m(7, ""), m(8, ""), m(9, `\Deleted`)),
			pairs: pairs(3, 7, 3),
			flags: []mirror.FlagChange{{Target: mailbox.NewUIDSet(9), Flags: ""}, {Target: mailbox.NewUIDSet(7, 8), Flags: `\Seen`}}},
		{name: "flags in another spelling", source: view(m(3, `\SEEN`)), target: view(m(7, `\Seen`)), pairs: pairs(3, 7, 1)},
		{name: "a keyword that the target does not keep", source: view(m(3, `\Seen urgent`)), target: view(m(7, `\Seen`)), pairs: pairs(3, 7, 1),
			refused: []mirror.FlagsRefused{{Source: 3, Flags: "urgent"}}},
		{name: "a keyword that the target does not let go", source: view(m(3, `\Seen`), m(4, "Urgent")), target: view(m(7, "urgent"), m(8, "urgent")), pairs: pairs(3, 7, 2),
			flags:   []mirror.FlagChange{{Target: mailbox.NewUIDSet(7), Flags: `\Seen`}},
			refused: []mirror.FlagsRefused{{Source: 3, Flags: "urgent"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := mirror.PlanFolder(mirror.FolderInput{Source: tt.source, Target: tt.target,
				Pairs: mailbox.NewUIDMap(tt.pairs), Permanent: permanent, Skip: tt.skip})
			if err != nil {
				t.Fatal(err)
			}
			if plan.Append.String() != tt.append || plan.Expunge.String() != tt.gone {
				t.Errorf("appends %q and expunges %q, want %q and %q", plan.Append, plan.Expunge, tt.append, tt.gone)
			}
			if d := cmp.Diff(tt.flags, plan.SetFlags); d != "" {
				t.Errorf("flags (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.refused, plan.Refused); d != "" {
				t.Errorf("refused (-want +got):\n%s", d)
			}
		})
	}
}

// TestPlanFolderRefusesToGuess: what was not looked at is not taken for empty.
func TestPlanFolderRefusesToGuess(t *testing.T) {
	known := mirror.View{UIDs: mailbox.NewUIDSet(3), Messages: map[mailbox.UID]mailbox.Message{3: {UID: 3}}}
	unknown := mirror.View{UIDs: mailbox.NewUIDSet(3)}
	paired := mailbox.NewUIDMap(pairs(3, 3, 1))
	for name, in := range map[string]mirror.FolderInput{
		"what is to be appended": {Source: unknown, Pairs: mailbox.NewUIDMap(nil)},
		"the source's partner":   {Source: unknown, Target: known, Pairs: paired},
		"the target's partner":   {Source: known, Target: unknown, Pairs: paired},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := mirror.PlanFolder(in)
			if !fault.Is(err, fault.Conflict) || !plan.Empty() {
				t.Errorf("got %+v, %v", plan, err)
			}
		})
	}
}
