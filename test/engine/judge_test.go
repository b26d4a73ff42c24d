//go:build integration

package engine

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/test/reader"
)

// verdict is how a folder differs between two stores, in messages.
type verdict struct {
	Missing, Extra             int // on one side only
	Flags, Date, Content       int // on both sides, and unlike
	MissingFolder, ExtraFolder bool
	Subscription               bool
}

func (v verdict) same() bool { return v == verdict{} }

// unlike compares two copies of a mailbox, by the independent reader's eyes,
// and returns the folders that are not equal. What a name that folders stand
// below is by itself, nothing or an empty folder, differs between servers.
func unlike(source, target reader.Copy) map[string]verdict {
	out := map[string]verdict{}
	names := map[string]bool{}
	for _, c := range []reader.Copy{source, target} {
		for name, f := range c {
			if !f.NoSelect {
				names[name] = true
			}
		}
	}
	for name := range names {
		s, t := source[name], target[name]
		_, inSource := source[name]
		_, inTarget := target[name]
		v := verdict{MissingFolder: !inTarget || t.NoSelect, ExtraFolder: !inSource || s.NoSelect}
		if v.ExtraFolder && t.Count() == 0 && isLevel(source, name) {
			continue
		}
		v.Subscription = !v.MissingFolder && !v.ExtraFolder && s.Subscribed != t.Subscribed
		a, b := list(s), list(t)
		step := func(key func(reader.Message) any, count *int) { a, b = pairOff(a, b, key, count) }
		equal := 0
		step(func(m reader.Message) any { return m }, &equal)
		step(func(m reader.Message) any { m.Flags = ""; return m }, &v.Flags)
		step(func(m reader.Message) any { return m.Digest }, &v.Date)
		step(func(m reader.Message) any { return m.Date }, &v.Content)
		v.Missing, v.Extra = len(a), len(b)
		if !v.same() {
			out[name] = v
		}
	}
	return out
}

func isLevel(c reader.Copy, name string) bool {
	for other, f := range c {
		if strings.HasPrefix(other, name+"/") && !f.NoSelect {
			return true
		}
	}
	return false
}

func list(f reader.Folder) []reader.Message {
	var out []reader.Message
	for m, n := range f.Messages {
		out = append(out, slices.Repeat([]reader.Message{m}, n)...)
	}
	return out
}

// pairOff takes from both lists what is alike by key, and counts it.
func pairOff(a, b []reader.Message, key func(reader.Message) any, count *int) (restA, restB []reader.Message) {
	waiting := map[any]int{}
	for _, m := range b {
		waiting[key(m)]++
	}
	taken := map[any]int{}
	for _, m := range a {
		if k := key(m); waiting[k] > 0 {
			waiting[k]--
			taken[k]++
			*count++
		} else {
			restA = append(restA, m)
		}
	}
	for _, m := range b {
		if k := key(m); taken[k] > 0 {
			taken[k]--
		} else {
			restB = append(restB, m)
		}
	}
	return restA, restB
}

// recorded is what the ledger tells an operator of the same, by folder: the
// messages of each kind of difference.
func (m *mirror) recorded() map[string]map[copier.DifferenceKind]map[mailbox.UID]string {
	m.t.Helper()
	entries, err := m.ledger.Errors(m.t.Context(), link)
	if err != nil {
		m.t.Fatal(err)
	}
	out := map[string]map[copier.DifferenceKind]map[mailbox.UID]string{}
	for _, e := range entries {
		if e.Folder == "" {
			m.t.Errorf("a failure is recorded: %+v", e)
			continue
		}
		folder, kind := string(e.Folder), copier.DifferenceKind(e.Kind)
		if out[folder] == nil {
			out[folder] = map[copier.DifferenceKind]map[mailbox.UID]string{}
		}
		if out[folder][kind] == nil {
			out[folder][kind] = map[mailbox.UID]string{}
		}
		out[folder][kind][e.SourceUID] = e.Text
	}
	return out
}

// claimed turns recorded differences into what the two stores must look like.
func claimed(kinds map[copier.DifferenceKind]map[mailbox.UID]string) (v verdict, altered int) {
	v.MissingFolder = len(kinds[copier.FolderRefused]) > 0
	v.ExtraFolder = len(kinds[copier.FolderKept]) > 0
	v.Missing = len(kinds[copier.Refused])
	flags := map[mailbox.UID]bool{}
	for _, kind := range []copier.DifferenceKind{copier.FlagsRefused, copier.KeywordsRefused} {
		for uid := range kinds[kind] {
			if _, both := kinds[copier.Altered][uid]; !both {
				flags[uid] = true
			}
		}
	}
	v.Flags = len(flags)
	return v, len(kinds[copier.Altered])
}

// judged is the result of a judgement: what differs for good, and why.
type judged struct {
	source, target reader.Copy
	unlike         map[string]verdict
	recorded       map[string]map[copier.DifferenceKind]map[mailbox.UID]string
}

// judge fails the test unless both stores are equal but for the differences
// that the ledger records, no more and no fewer of them, and unless verify
// finds the same.
func (m *mirror) judge(when string) judged {
	m.t.Helper()
	return m.judgeBy(when, true)
}

// judgeBy leaves verify out where that is told: it takes as long as all the
// rest, and the independent reader judges.
func (m *mirror) judgeBy(when string, verify bool) judged {
	m.t.Helper()
	j := judged{recorded: m.recorded()}
	var verified []copier.FolderVerdict
	group, ctx := errgroup.WithContext(m.t.Context())
	group.Go(func() (err error) {
		j.source, err = m.source.access.Read(ctx, m.source.number)
		return err
	})
	group.Go(func() (err error) {
		j.target, err = m.target.access.Read(ctx, m.target.number)
		return err
	})
	if verify {
		group.Go(func() (err error) {
			verified, err = copier.Verify(ctx, m.job, true)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		m.t.Fatalf("%s: %v", when, err)
	}
	j.unlike = unlike(j.source, j.target)
	for _, name := range slices.Sorted(maps.Keys(union(j.unlike, j.recorded))) {
		seen := j.unlike[name]
		want, altered := claimed(j.recorded[name])
		if want.MissingFolder {
			want.Missing = seen.Missing // whatever is in it
		}
		got := seen
		got.Date, got.Content = 0, 0
		if got != want || seen.Date+seen.Content != altered {
			m.t.Errorf("%s: folder %q differs so: %+v\nand the ledger says: %v", when, name, seen, j.recorded[name])
		}
	}
	if verify {
		m.agree(when, j, verified)
	}
	return j
}

func union[A, B any](a map[string]A, b map[string]B) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

// agree holds what copier.Verify found against what the independent reader did.
func (m *mirror) agree(when string, j judged, found []copier.FolderVerdict) {
	m.t.Helper()
	got := map[string]verdict{}
	for _, v := range found {
		if !v.Same() {
			got[string(v.Folder)] = verdict{Missing: v.Missing, Extra: v.Extra, Flags: v.Flags, Date: v.Date, Content: v.Content,
				MissingFolder: v.MissingFolder, ExtraFolder: v.ExtraFolder, Subscription: v.Subscription}
		}
	}
	if diff := cmp.Diff(j.unlike, got); diff != "" {
		m.t.Errorf("%s: verify finds other differences (-reader +verify):\n%s", when, diff)
	}
}

// wholly fails the test where anything differs at all.
func (m *mirror) wholly(when string) {
	m.t.Helper()
	for name, v := range m.judge(when).unlike {
		m.t.Errorf("%s: folder %q differs: %+v", when, name, v)
	}
}
