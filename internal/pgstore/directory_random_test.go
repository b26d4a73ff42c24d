//go:build integration

package pgstore_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/pgstore"
	"mailmirror/internal/site"
)

// pairing is what a reference knows of an entry of the source.
type pairing struct{ source, target string }

// world is both directories, and what is recorded of them. Sides are small, so
// that everything in it is looked up by walking.
type world struct {
	source, target []directory.Record
	pairs          []pairing
	protected      string // a number
	removeUnknown  bool
	made           int // entries that were created
}

func keyIn(r directory.Record) string {
	if r.ID != "" {
		return "s" + r.ID
	}
	return "n" + r.Number
}

func ambiguous(side []directory.Record, r directory.Record) bool {
	n := 0
	for _, o := range side {
		if o.Number == r.Number {
			n++
		}
	}
	return n > 1 || r.Number == ""
}

// finding is one change that the reference expects.
type finding struct {
	kind    directory.ChangeKind
	s, t    *directory.Record
	planned bool
}

func (f finding) String() string {
	number, source, target, columns := "", "", "", ""
	if f.t != nil {
		number, target = f.t.Number, f.t.ID+f.t.DN
	}
	if f.s != nil {
		number, source = f.s.Number, f.s.ID+f.s.DN
	}
	if f.s != nil && f.t != nil {
		columns = strings.Join(differ(*f.s, *f.t), ",")
	}
	return fmt.Sprintf("%s %q %s>%s [%s] %v", f.kind, number, source, target, columns, f.planned)
}

func differ(s, t directory.Record) []string {
	var out []string
	for _, a := range directory.Attributes() {
		set := map[string]int{}
		for _, v := range s.Texts[a.Column] {
			set[v] |= 1
		}
		for _, v := range t.Texts[a.Column] {
			set[v] |= 2
		}
		for _, sides := range set {
			if sides != 3 {
				out = append(out, string(a.Column))
				break
			}
		}
	}
	return out
}

// compare is the reference: the same rules, by walking instead of joining, and
// with the order of moves found by trying.
func (w world) compare() (found []finding, matched []pairing) {
	ofSource, ofTarget := map[int]int{}, map[int]int{}
	match := func(i, j int) { ofSource[i], ofTarget[j] = j, i }
	for _, p := range w.pairs {
		i := slices.IndexFunc(w.source, func(r directory.Record) bool {
			return keyIn(r) == p.source && (r.ID != "" || !ambiguous(w.source, r))
		})
		j := slices.IndexFunc(w.target, func(r directory.Record) bool {
			return keyIn(r) == p.target && (r.ID != "" || !ambiguous(w.target, r))
		})
		if i >= 0 && j >= 0 {
			match(i, j)
		}
	}
	for i, s := range w.source {
		for j, t := range w.target {
			_, a := ofSource[i]
			_, b := ofTarget[j]
			if !a && !b && s.Number == t.Number && !ambiguous(w.source, s) && !ambiguous(w.target, t) {
				match(i, j)
			}
		}
	}
	add := func(kind directory.ChangeKind, s, t *directory.Record) {
		protected := t != nil && (t.Protected || t.Number == w.protected) || s != nil && (s.Protected || s.Number == w.protected)
		switch {
		case kind == directory.Unknown && !w.removeUnknown && protected:
		case protected && kind != directory.Duplicate:
			found = append(found, finding{directory.Protected, s, t, false})
		default:
			found = append(found, finding{kind, s, t, kind != directory.Duplicate && (kind != directory.Unknown || w.removeUnknown)})
		}
	}
	twice := func(side []directory.Record, number string) bool {
		return slices.ContainsFunc(side, func(r directory.Record) bool { return r.Number == number && ambiguous(side, r) })
	}
	for i := range w.source {
		s := &w.source[i]
		j, isMatched := ofSource[i]
		switch {
		case ambiguous(w.source, *s):
			add(directory.Duplicate, s, nil)
		case !isMatched && !twice(w.target, s.Number):
			add(directory.Create, s, nil)
		case !isMatched:
		case ambiguous(w.target, w.target[j]):
		case w.target[j].Number != s.Number:
			add(directory.Renumber, s, &w.target[j])
		default:
			matched = append(matched, pairing{keyIn(*s), keyIn(w.target[j])})
			if len(differ(*s, w.target[j])) > 0 {
				add(directory.Alter, s, &w.target[j])
			}
		}
	}
	for j := range w.target {
		t := &w.target[j]
		_, isMatched := ofTarget[j]
		switch {
		case ambiguous(w.target, *t):
			add(directory.Duplicate, nil, t)
		case isMatched || twice(w.source, t.Number):
		case slices.ContainsFunc(w.pairs, func(p pairing) bool { return p.target == keyIn(*t) }):
			add(directory.Remove, nil, t)
		default:
			add(directory.Unknown, nil, t)
		}
	}
	w.block(found)
	return found, matched
}

// block makes duplicates of what cannot take its number.
func (w world) block(found []finding) {
	for again := true; again; {
		again = false
		// Who has a number once all that may still be done is done?
		stays := map[*directory.Record]bool{}
		for j := range w.target {
			stays[&w.target[j]] = true
		}
		for _, f := range found {
			if f.planned && f.t != nil && f.kind != directory.Alter {
				delete(stays, f.t)
			}
		}
		for i, f := range found {
			if !f.planned || f.kind != directory.Renumber && f.kind != directory.Create {
				continue
			}
			for t := range stays {
				if t.Number == f.s.Number {
					found[i].kind, found[i].planned, again = directory.Duplicate, false, true
				}
			}
		}
		if again {
			continue
		}
		// What is left moves freely, but for circles without an id.
		for i, f := range found {
			if f.planned && f.kind == directory.Renumber && !steadyCircle(found, i) {
				found[i].kind, found[i].planned, again = directory.Duplicate, false, true
				break
			}
		}
	}
}

// steadyCircle is false for a member of a circle of which no target has an id.
func steadyCircle(found []finding, first int) bool {
	steady := false
	for i := first; ; {
		steady = steady || found[i].t.ID != ""
		next := slices.IndexFunc(found, func(f finding) bool {
			return f.planned && f.kind == directory.Renumber && f.t.Number == found[i].s.Number
		})
		if next < 0 {
			return true
		}
		if i = next; i == first {
			return steady
		}
		if found[i].s.Number == found[i].t.Number {
			return true
		}
	}
}

func randomSide(t *rapid.T, name string, ids bool) []directory.Record {
	n := rapid.IntRange(0, 7).Draw(t, name)
	perm := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7}).Draw(t, name+" ids")
	var out []directory.Record
	for i := range n {
		number := rapid.SampledFrom([]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", ""}).Draw(t, name+" number")
		if number == "" && rapid.IntRange(0, 3).Draw(t, name+" none") > 0 {
			number = fmt.Sprint(10 + i)
		}
		id := ""
		if ids {
			id = fmt.Sprintf("%s%d", name[:1], perm[i])
		}
		r := entry(name, id, number, "cn="+rapid.SampledFrom([]string{"A", "a", ""}).Draw(t, name+" cn"))
		r.DN = fmt.Sprintf("%s,%d,%d", name, perm[i], i)
		r.Protected = rapid.IntRange(0, 9).Draw(t, name+" protected") == 0
		out = append(out, r)
	}
	return out
}

// TestDirectoryAgainstReference compares random directories three times over, as
// they change by the changes that are found and by chance.
func TestDirectoryAgainstReference(t *testing.T) {
	t.Parallel()
	s := mirrored(t, "8")
	iteration := 0
	rapid.Check(t, func(rt *rapid.T) {
		iteration++
		must(t, s.RemoveLink(t.Context(), link))
		must(t, s.AddLink(t.Context(), site.Link{Name: link, Source: "prod", Target: "dr"}))
		w := world{protected: "8", removeUnknown: rapid.Bool().Draw(rt, "remove unknown")}
		ids := rapid.IntRange(0, 3).Draw(rt, "ids")
		for round := range 3 {
			w.source = randomSide(rt, "source", ids != 1)
			if round == 0 || rapid.IntRange(0, 2).Draw(rt, "chance") == 0 {
				w.target = randomSide(rt, "target", ids != 2)
			}
			w.run(rt, t, s, fmt.Sprintf("%d-%d", iteration, round))
			// With nothing changed since, nothing is planned.
			w.run(rt, t, s, fmt.Sprintf("%d-%d again", iteration, round))
			if n := len(changesOf(t, s, fmt.Sprintf("%d-%d again", iteration, round), dirsync.ChangeDone)); n > 0 {
				rt.Fatalf("%d changes in a second run", n)
			}
		}
	})
}

// run compares by both and carries out what is planned on w.target.
func (w *world) run(rt *rapid.T, t *testing.T, s *pgstore.Store, runID string) {
	settings := dirsync.DefaultSettings()
	settings.RemoveUnknown = w.removeUnknown
	compared(t, s, runID, "operator", settings, w.source, w.target)
	found, matched := w.compare()
	want := make([]string, len(found))
	for i, f := range found {
		want[i] = f.String()
	}
	list := changesOf(t, s, runID)
	var got []string
	for _, c := range list {
		if c.Via == "" {
			got = append(got, fmt.Sprintf("%s %q %s>%s [%s] %v", c.Kind, c.Number, c.Source.ID+c.Source.DN, c.Target.ID+c.Target.DN,
				strings.Join(columnStrings(c.Columns), ","), c.State == dirsync.ChangePlanned))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		rt.Fatalf("changes\n%s\nwant\n%s\nof %+v", strings.Join(got, "\n"), strings.Join(want, "\n"), w)
	}
	before := w.target
	for i, c := range list {
		if c.State == dirsync.ChangePlanned {
			list[i] = w.apply(rt, c)
		}
	}
	w.record(list, matched, before)
	saveChanges(t, s, runID, slices.DeleteFunc(list, func(c dirsync.Change) bool { return c.State != dirsync.ChangeDone }))
	finished(t, s, runID)
}

func columnStrings(columns []directory.Column) []string {
	var out []string
	for _, c := range columns {
		out = append(out, string(c))
	}
	return out
}

// apply carries a change out. No number is taken that another entry has.
func (w *world) apply(rt *rapid.T, c dirsync.Change) dirsync.Change {
	j := slices.IndexFunc(w.target, func(r directory.Record) bool { return r.DN == c.Target.DN })
	i := slices.IndexFunc(w.source, func(r directory.Record) bool { return r.DN == c.Source.DN })
	number := cmp.Or(c.Via, c.Number)
	if c.Kind == directory.Create || c.Kind == directory.Renumber {
		for k, r := range w.target {
			if k != j && r.Number == number {
				rt.Fatalf("%s takes the number of %s", told(c), r.DN)
			}
		}
	}
	if j >= 0 && w.target[j].Protected {
		rt.Fatalf("%s is of a protected entry", told(c))
	}
	w.target = slices.Clone(w.target)
	c.State = dirsync.ChangeDone
	switch c.Kind { //nolint:exhaustive // the others are values to be given
	case directory.Remove, directory.Unknown:
		w.target = slices.Delete(w.target, j, j+1)
		return c
	case directory.Create:
		made := w.source[i]
		w.made++
		made.DN = fmt.Sprint("made ", w.made)
		if made.ID != "" {
			made.ID = fmt.Sprint("made", w.made)
		}
		w.target = append(w.target, made)
		c.Target = made.Ref
		return c
	}
	ref := w.target[j].Ref
	w.target[j] = w.source[i]
	w.target[j].Ref, w.target[j].Protected, w.target[j].Number = ref, false, number
	return c
}

// record keeps the pairs as the database is to do; target is as it was compared.
func (w *world) record(list []dirsync.Change, matched []pairing, target []directory.Record) {
	put := func(p pairing) {
		w.pairs = slices.DeleteFunc(slices.Clone(w.pairs), func(o pairing) bool { return o.source == p.source || o.target == p.target })
		w.pairs = append(w.pairs, p)
	}
	for _, p := range matched {
		put(p)
	}
	has := func(side []directory.Record, key string) bool {
		return slices.ContainsFunc(side, func(r directory.Record) bool { return keyIn(r) == key })
	}
	w.pairs = slices.DeleteFunc(slices.Clone(w.pairs), func(p pairing) bool { return !has(w.source, p.source) && !has(target, p.target) })
	key := func(ref directory.Ref, number string) string {
		return keyIn(directory.Record{Ref: ref, Number: number})
	}
	for _, c := range list {
		if c.State != dirsync.ChangeDone || c.Via != "" {
			continue
		}
		if c.Kind == directory.Remove || c.Kind == directory.Unknown {
			gone := key(c.Target, c.Number)
			w.pairs = slices.DeleteFunc(slices.Clone(w.pairs), func(p pairing) bool { return p.target == gone })
		}
	}
	for _, c := range list {
		if c.State == dirsync.ChangeDone && c.Via == "" && (c.Kind == directory.Create || c.Kind == directory.Alter || c.Kind == directory.Renumber) {
			put(pairing{key(c.Source, c.Number), key(c.Target, c.Number)})
		}
	}
}
