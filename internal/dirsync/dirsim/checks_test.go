package dirsim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mailmirror/internal/directory"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/dirsync/dirsynctest"
	"mailmirror/internal/fault"
)

// moment is what an entry had from a time on; nil values: there was none.
type moment struct {
	at     time.Time
	values map[directory.Column]string
}

func valuesOf(e directory.Entry) map[directory.Column]string {
	all := map[directory.Column]string{}
	for _, c := range columns {
		var values []string
		for _, v := range e.Values[c] {
			values = append(values, string(v))
		}
		for options, tagged := range e.Tags[c] {
			for _, v := range tagged {
				values = append(values, options+"="+string(v))
			}
		}
		if slices.Sort(values); len(values) > 0 {
			all[c] = fmt.Sprintf("%q", values)
		}
	}
	return all
}

func (w *world) sides() []*dirsynctest.Directory {
	return []*dirsynctest.Directory{w.runs.Source, w.runs.Target}
}

// note writes down what entries have now.
func (w *world) note() {
	for i, d := range w.sides() {
		now := map[string]map[directory.Column]string{}
		for number, e := range d.Entries() {
			now[number] = valuesOf(e)
		}
		for number := range w.past[i] {
			if _, there := now[number]; !there {
				now[number] = nil
			}
		}
		for number, values := range now {
			past := w.past[i][number]
			if n := len(past); n == 0 || (past[n-1].values == nil) != (values == nil) || !maps.Equal(past[n-1].values, values) {
				w.past[i][number] = append(past, moment{time.Now(), values})
			}
			if i == 0 && values != nil && w.since[number].IsZero() {
				w.since[number] = time.Now()
			}
			if i == 0 && values == nil {
				delete(w.since, number)
			}
		}
	}
}

// during returns the moments of an entry from a time on.
func during(past []moment, since time.Time) []moment {
	first := 0
	for i, m := range past {
		if !m.at.After(since) {
			first = i
		}
	}
	if len(past) == 0 || past[0].at.After(since) {
		return append([]moment{{}}, past...) // there was none at first
	}
	return past[first:]
}

// numberOf is that of the entry that an operation is about.
func (w *world) numberOf(op directory.Operation) (string, directory.Ref) {
	var ref directory.Ref
	switch {
	case op.Add != nil:
		return string(op.Add.Attributes["MailboxNumber"][0]), directory.Ref{DN: op.Add.DN}
	case op.Modify != nil:
		ref = op.Modify.Ref
	case op.Rename != nil:
		ref = op.Rename.Ref
	case op.Delete != nil:
		ref = op.Delete.Ref
	}
	for _, e := range w.runs.Target.List() {
		if e.DN == ref.DN {
			return e.Number, ref
		}
	}
	return "", ref
}

// land has the target carry out an operation, or reject it, and checks it. The world's
// lock is held.
func (w *world) land(k *worker, op directory.Operation) error {
	number, ref := w.numberOf(op)
	switch {
	case w.full:
		return fault.New(fault.Config, "write: the directory is full", nil, "make room")
	case w.poison[number] && op.Delete == nil:
		return fault.New(fault.Permanent, "write: a value is not valid", nil, "")
	}
	before := w.runs.Target.Attributes()
	session, err := w.runs.Target.Open(context.Background())
	if err == nil {
		err = session.Write(context.Background(), op)
	}
	if err != nil {
		return err
	}
	w.tell("%s: %s lands", k.name, describe(op, number))
	row := w.runs.Lease()
	switch {
	case row.Wait(time.Now(), fence) == 0:
		w.violate("%s of %s without a lease; suspended: %v", k.name, describe(op, number), w.suspended)
	case row.Epoch != k.epoch && row.Epoch != k.epoch+1:
		w.violate("%s of %s under lease %d, and %d is another's", k.name, describe(op, number), k.epoch, row.Epoch)
	case row.Epoch == k.epoch+1 && row.Expires.After(time.Now()):
		w.violate("%s of %s under lease %d beside another", k.name, describe(op, number), k.epoch)
	}
	if number == protectedNumber {
		w.violate("%s of the protected entry", describe(op, number))
	}
	w.untouched(op, before)
	k.now.writes++
	switch {
	case op.Add != nil:
		k.now.landed[directory.Create]++
	case op.Delete != nil:
		k.now.landed[directory.Remove]++
		w.removal(k, number, ref)
	}
	w.note()
	return nil
}

func describe(op directory.Operation, number string) string {
	switch {
	case op.Add != nil:
		return "add " + number
	case op.Modify != nil:
		return fmt.Sprintf("modify %s %q", number, op.Modify.Replace)
	case op.Rename != nil:
		return "rename " + number + " to " + op.Rename.NewRDN
	}
	return "delete " + number
}

// untouched checks that no attribute changed that is not mapped.
func (w *world) untouched(op directory.Operation, before map[string]map[string][][]byte) {
	mapped := func(name string) bool {
		base, _ := directory.SplitDescription(name)
		for _, n := range w.runs.Target.Mapping.Names {
			if n == base {
				return true
			}
		}
		return base == "objectClass" && op.Add != nil
	}
	others := func(attributes map[string][][]byte) string {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(attributes)) {
			if !mapped(name) {
				all = append(all, fmt.Sprintf("%s=%q", name, attributes[name]))
			}
		}
		return strings.Join(all, " ")
	}
	count := func(entries map[string]map[string][][]byte) map[string]int {
		n := map[string]int{}
		for dn, attributes := range entries {
			if op.Delete == nil || dn != op.Delete.DN {
				n[others(attributes)]++
			}
		}
		return n
	}
	was, is := count(before), count(w.runs.Target.Attributes())
	if op.Add != nil {
		is[""]--
		if is[""] == 0 {
			delete(is, "")
		}
	}
	if !maps.Equal(was, is) {
		w.violate("attributes that are not mapped changed: %v, then %v", was, is)
	}
}

// removal checks that the guard permits to remove an entry.
func (w *world) removal(k *worker, number string, ref directory.Ref) {
	w.faults["removed"]++
	decision := w.runs.Decision(ref, number)
	if decision == dirsync.ChangePlanned {
		w.faults["removed by consent"]++
	} else {
		k.now.removed[number] = true
		if n, most := len(k.now.removed), w.runs.Settings.RemoveCount; n > most {
			w.violate("%s: %d entries removed without consent, more than %d", k.now.run, n, most)
		}
	}
	if decision == dirsync.ChangeRefused {
		w.violate("%s was removed, which the operator refused", number)
	}
	if since, has := w.since[number]; has && time.Since(since) > leaseTTL+fence && !w.takes(number) {
		w.violate("%s was removed, which the source has since %s", number, time.Since(since))
	}
}

// takes reports whether an entry takes a number on the target in the present run.
func (w *world) takes(number string) bool {
	return slices.ContainsFunc(w.runs.Changes(), func(c dirsync.Change) bool { return c.Kind == directory.Renumber && c.Number == number })
}

// recorded checks what is recorded of a change, whose state was before.
func (w *world) recorded(k *worker, c dirsync.Change, before dirsync.ChangeState) {
	w.tell("%s records %s %s as %s: %s", k.name, c.Kind, c.Number, c.State, c.Error)
	if before == dirsync.ChangeDone && c.State != before && k.step == "apply" {
		w.violate("%s: %s %s was done, and is recorded as %s: %s", k.name, c.Kind, c.Number, c.State, c.Error)
	}
	if c.State == dirsync.ChangeFailed {
		w.faults["failed"]++
		if c.Error == "timed out" {
			w.violate("%s: %s %s is blamed for the end of the lease", k.name, c.Kind, c.Number)
		}
	}
	if c.State != dirsync.ChangeDone || c.Via != "" {
		return
	}
	source, target := during(w.past[0][c.Number], k.now.began), during(w.past[1][c.Number], k.now.began)
	if c.Kind == directory.Remove || c.Kind == directory.Unknown {
		if !slices.ContainsFunc(target, func(m moment) bool { return m.values == nil }) {
			w.violate("%s: %s %s is recorded as done, and the entry was never gone", k.name, c.Kind, c.Number)
		}
		return
	}
	about := c.Columns
	if c.Kind == directory.Create {
		about = columns
	}
	for _, column := range about {
		if column != directory.MailboxNumber && column != directory.Misc1 && !became(source, target, column, slices.Contains(c.Blank, column)) {
			w.violate("%s: %s %s is recorded as done, and %s never was as on the source", k.name, c.Kind, c.Number, column)
		}
	}
}

// became reports whether the target ever had what the source had. Unless it is blank, a value
// that the source lost since the compare stays.
func became(source, target []moment, column directory.Column, blank bool) bool {
	for _, s := range source {
		for _, t := range target {
			if s.values != nil && t.values != nil && (s.values[column] == t.values[column] || s.values[column] == "" && !blank) {
				return true
			}
		}
	}
	return false
}
