package dirsynctest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/fault"
)

// change is a change with what the record knows besides.
type change struct {
	dirsync.Change

	key, same, oldNumber string
	needs                int64 // the change that frees the number
	approved, counted    bool
}

// held is a change that waits, or that an operator decided on.
type held struct {
	kind    directory.ChangeKind
	number  string
	columns []directory.Column
	state   dirsync.ChangeState // ChangeHeld waits, ChangePlanned is approved
}

func (h *held) of(c *change) bool {
	return h != nil && h.kind == c.Kind && h.number == c.Number && slices.Equal(h.columns, c.Columns)
}

func keyOf(ref directory.Ref, number string) string {
	if ref.ID != "" {
		return "s" + ref.ID
	}
	return "n" + number
}

// entry is a record with what the compare knows of it.
type entry struct {
	directory.Record

	key       string
	ambiguous bool
	partner   *entry
}

func entriesOf(records []directory.Record) (all []*entry) {
	count := map[string]int{}
	for _, r := range records {
		count[r.Number]++
	}
	for _, r := range records {
		all = append(all, &entry{Record: r, key: keyOf(r.Ref, r.Number), ambiguous: r.Number == "" || r.Unread || count[r.Number] > 1})
	}
	return all
}

func match(s, t *entry) { s.partner, t.partner = t, s }

// kinds are in the order in which changes are carried out.
var kinds = []directory.ChangeKind{"", directory.Renumber, directory.Alter, directory.Create, directory.Remove, directory.Unknown,
	directory.Protected, directory.Duplicate, directory.Unreadable}

// kindSpan is how many changes of a kind there may be.
const kindSpan = 1_000_000

// CompareDirectory implements dirsync.RunRecords.
func (r *Runs) CompareDirectory(_ context.Context, runID string, s dirsync.Settings) (directory.Tally, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, err := r.find(runID, true)
	if err != nil {
		return directory.Tally{}, err
	}
	if slices.ContainsFunc(x.changes, func(c *change) bool { return c.State == dirsync.ChangeDone || c.State == dirsync.ChangeFailed }) {
		return directory.Tally{}, fault.Newf(fault.Conflict, "compare directories: its changes are being carried out")
	}
	for i, side := range []dirsync.Side{dirsync.SourceSide, dirsync.TargetSide} {
		if staged := len(x.staged[side]); x.extracts != nil && (staged > x.extracts[i].Entries || staged == 0 && x.extracts[i].Entries > 0) {
			return directory.Tally{}, fault.New(fault.Permanent, "compare directories", dirsync.ErrStagedLost, "")
		}
	}
	c := comparer{r, x, s, entriesOf(x.staged[dirsync.SourceSide]), entriesOf(x.staged[dirsync.TargetSide]), nil}
	c.match()
	c.find()
	c.order()
	slices.SortFunc(x.changes, func(a, b *change) int { return int(a.Seq - b.Seq) })
	if x.Trigger != dirsync.TriggerDryRun && !c.partial() {
		c.settle()
	}
	t := directory.Tally{Source: len(c.source), Target: len(c.target),
		Kinds: map[directory.ChangeKind]int{}, Planned: map[directory.ChangeKind]int{}, Approved: map[directory.ChangeKind]int{}}
	for _, found := range x.changes {
		if found.Via != "" {
			continue
		}
		t.Kinds[found.Kind]++
		if found.State == dirsync.ChangePlanned {
			t.Planned[found.Kind]++
			if found.approved {
				t.Approved[found.Kind]++
			}
		}
	}
	if x.Trigger != dirsync.TriggerDryRun {
		kinds, reasons := directory.Judge(s.Limits, t)
		t.Held = r.hold(x, kinds, reasons)
	}
	return t, nil
}

// comparer is one compare.
type comparer struct {
	*Runs
	x              *run
	settings       dirsync.Settings
	source, target []*entry
	equal          []pair // found together by their numbers, and not recorded
}

func (c *comparer) partial() bool {
	return c.x.extracts != nil && (c.x.extracts[0].Partial || c.x.extracts[1].Partial)
}

// match finds the entries that belong together: by what is recorded, then by number.
func (c *comparer) match() {
	recorded := func(side []*entry, key string) *entry {
		i := slices.IndexFunc(side, func(e *entry) bool { return e.key == key && (e.ID != "" || !e.ambiguous) })
		if i < 0 {
			return nil
		}
		return side[i]
	}
	for _, p := range c.pairs {
		if s, t := recorded(c.source, p.source), recorded(c.target, p.target); s != nil && t != nil {
			match(s, t)
		}
	}
	byNumber := map[string]*entry{}
	for _, t := range c.target {
		if !t.ambiguous && t.partner == nil {
			byNumber[t.Number] = t
		}
	}
	for _, s := range c.source {
		if t := byNumber[s.Number]; t != nil && !s.ambiguous && s.partner == nil {
			match(s, t)
		}
	}
	for _, s := range c.source {
		if t := s.partner; t != nil && !s.ambiguous && !t.ambiguous && s.Number == t.Number {
			if p := (pair{s.key, t.key, s.Number}); !slices.Contains(c.pairs, p) {
				c.equal = append(c.equal, p)
			}
		}
	}
}

// find lists the changes.
func (c *comparer) find() {
	c.x.changes = nil
	ambiguous := func(side []*entry, number string) bool {
		return slices.ContainsFunc(side, func(e *entry) bool { return e.Number == number && e.ambiguous })
	}
	odd := func(e *entry) directory.ChangeKind {
		if e.Unread {
			return directory.Unreadable
		}
		return directory.Duplicate
	}
	for _, s := range c.source {
		t := s.partner
		switch {
		case s.ambiguous:
			c.add(odd(s), s, nil)
		case t == nil && !ambiguous(c.target, s.Number):
			c.add(directory.Create, s, nil)
		case t == nil, t.ambiguous:
		case t.Number != s.Number:
			c.add(directory.Renumber, s, t)
		case len(c.differ(s, t)) > 0:
			c.add(directory.Alter, s, t)
		}
	}
	for _, t := range c.target {
		switch {
		case t.ambiguous:
			c.add(odd(t), nil, t)
		case c.partial(), t.partner != nil, ambiguous(c.source, t.Number):
		case slices.ContainsFunc(c.pairs, func(p pair) bool { return p.target == t.key }):
			c.add(directory.Remove, nil, t)
		default:
			c.add(directory.Unknown, nil, t)
		}
	}
	slices.SortFunc(c.x.changes, func(a, b *change) int {
		return strings.Compare(a.Number+"\x00"+a.key, b.Number+"\x00"+b.key)
	})
	count := map[directory.ChangeKind]int64{}
	for _, found := range c.x.changes {
		count[found.Kind]++
		found.Seq = int64(slices.Index(kinds, found.Kind))*kindSpan + count[found.Kind]
	}
}

func cells(e *entry, column directory.Column) string {
	if len(e.Texts[column])+len(e.Digests[column])+len(e.Tags[column]) == 0 {
		return ""
	}
	return fmt.Sprintf("%q %x %x", e.Texts[column], e.Digests[column], e.Tags[column])
}

func (c *comparer) differ(s, t *entry) (columns []directory.Column) {
	for _, a := range c.Target.Mapping.Mirrored(c.Source.Mapping) {
		if cells(s, a.Column) != cells(t, a.Column) {
			columns = append(columns, a.Column)
		}
	}
	return columns
}

// add adds a change. The number of a change without a source is the target's.
func (c *comparer) add(kind directory.ChangeKind, s, t *entry) {
	found := &change{Change: dirsync.Change{State: dirsync.ChangePlanned, Change: directory.Change{Kind: kind}}}
	same := []string{string(kind)}
	protected := false
	for _, e := range []*entry{t, s} {
		if e == nil {
			continue
		}
		protected = protected || e.Protected || c.Target.Mapping.Protects(e.Number)
		found.Number, found.key = e.Number, e.key
		if e == t {
			found.key, found.oldNumber, found.Target = "t"+e.key, e.Number, e.Ref
		} else {
			found.Source = e.Ref
		}
		same = append(same, e.Number)
		for _, a := range c.Target.Mapping.Mirrored(c.Source.Mapping) {
			same = append(same, cells(e, a.Column))
		}
	}
	found.same = strings.Join(same, "/")
	if s != nil && t != nil {
		found.Columns = c.differ(s, t)
		for _, column := range found.Columns {
			if cells(s, column) == "" {
				found.Blank = append(found.Blank, column)
			}
		}
	}
	if protected && kind == directory.Unknown && !c.settings.RemoveUnknown {
		return
	}
	if protected && kind != directory.Duplicate && kind != directory.Unreadable {
		found.Kind = directory.Protected
	}
	before := c.failures[found.key]
	if before.same == found.same {
		found.Failures = before.times
	}
	decided := c.held[found.key]
	switch {
	case found.Kind == directory.Protected, found.Kind == directory.Duplicate, found.Kind == directory.Unreadable,
		found.Kind == directory.Unknown && !c.settings.RemoveUnknown:
		found.State = dirsync.ChangeTold
	case decided.of(found) && decided.state == dirsync.ChangeRefused:
		found.State = dirsync.ChangeRefused
	case c.settings.GiveUp > 0 && found.Failures >= c.settings.GiveUp:
		found.State = dirsync.ChangeGivenUp
	default:
		found.approved = decided.of(found) && decided.state == dirsync.ChangePlanned
	}
	if found.Kind == directory.Unreadable {
		found.Error, found.Hint = c.why(s, t)
	}
	c.x.changes = append(c.x.changes, found)
}

// why says why an entry could not be read.
func (c *comparer) why(s, t *entry) (text, hint string) {
	if c.x.extracts == nil {
		return "", ""
	}
	for i, e := range []*entry{s, t} {
		for _, u := range c.x.extracts[i].Unread {
			if e != nil && u.Number == e.Number {
				text, hint = u.Text, u.Hint
			}
		}
	}
	return text, hint
}

// order puts what frees a number before what takes it.
func (c *comparer) order() {
	bySeq := map[int64]*change{}
	for _, found := range c.x.changes {
		bySeq[found.Seq] = found
	}
	var moves []directory.Move
	at := map[int64]int{}
	for _, seq := range slices.Sorted(maps.Keys(bySeq)) {
		found := bySeq[seq]
		if found.State != dirsync.ChangePlanned || found.Kind != directory.Renumber && found.Kind != directory.Create {
			continue
		}
		m := directory.Move{Seq: seq, Kind: found.Kind, Steady: found.Target.ID != "", Old: found.oldNumber}
		taken := false
		for _, t := range c.target {
			if t.Number != found.Number {
				continue
			}
			taken = true
			i := slices.IndexFunc(c.x.changes, func(f *change) bool {
				return f.State == dirsync.ChangePlanned && f.Target.DN == t.DN && f.oldNumber == t.Number &&
					(f.Kind == directory.Renumber || f.Kind == directory.Remove || f.Kind == directory.Unknown)
			})
			if i < 0 {
				m.Blocked = true
			} else {
				m.Needs = c.x.changes[i].Seq
			}
		}
		if found.Kind == directory.Renumber || taken {
			at[seq] = len(moves)
			moves = append(moves, m)
		}
	}
	for _, m := range slices.Clone(moves) {
		if _, known := at[m.Needs]; m.Needs != 0 && !known {
			at[m.Needs] = len(moves)
			moves = append(moves, directory.Move{Seq: m.Needs, Kind: bySeq[m.Needs].Kind})
		}
	}
	steps, stuck := directory.Sequence(moves)
	for _, seq := range stuck {
		bySeq[seq].Kind, bySeq[seq].State, bySeq[seq].Error = directory.Duplicate, dirsync.ChangeTold, "the number is taken on the target"
	}
	c.place(steps, bySeq)
}

// place gives the steps their numbers.
func (c *comparer) place(steps []directory.Step, bySeq map[int64]*change) {
	used := directory.ProtectedNumbers(c.Target.Mapping.Protected)
	for _, e := range slices.Concat(c.source, c.target) {
		used.Add(e.Number)
	}
	seqs, halves := map[int64]int64{}, map[int64]int64{}
	for i, step := range steps {
		seq, found := int64(i+1), bySeq[step.Seq]
		if step.Via {
			half := *found
			half.Via, half.Seq = directory.FreeNumber(half.oldNumber, used), seq
			used.Add(half.Via)
			halves[step.Seq] = seq
			c.x.changes = append(c.x.changes, &half)
			continue
		}
		if found.Kind == directory.Create {
			seq = step.Seq
		}
		if step.Needs != 0 {
			if half, ok := halves[step.Needs]; ok {
				found.needs = half
			} else {
				found.needs = seqs[step.Needs]
			}
		}
		seqs[step.Seq], found.Seq = seq, seq
	}
}

// settle records which entries belong together, and drops what was noted of changes
// that are no more.
func (c *comparer) settle() {
	has := func(side []*entry, key string) bool {
		return slices.ContainsFunc(side, func(e *entry) bool { return e.key == key })
	}
	c.pairs = slices.DeleteFunc(c.pairs, func(p pair) bool {
		over := !has(c.source, p.source) && !has(c.target, p.target) ||
			slices.ContainsFunc(c.equal, func(q pair) bool { return q.source == p.source || q.target == p.target })
		if over {
			c.departed[p.number] = true
		}
		return over
	})
	c.pairs = append(c.pairs, c.equal...)
	changes := map[string]*change{}
	unread := map[string]bool{}
	for _, found := range c.x.changes {
		if found.Via == "" {
			changes[found.key] = found
		}
		if found.Kind == directory.Unreadable {
			unread[found.key], unread[found.Number] = true, true
		}
	}
	maps.DeleteFunc(c.failures, func(key string, f failure) bool { return changes[key] == nil || changes[key].same != f.same })
	maps.DeleteFunc(c.held, func(key string, h *held) bool {
		return (changes[key] == nil || !h.of(changes[key])) && !unread[key] && !unread[h.number]
	})
}
