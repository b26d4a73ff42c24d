package directory

import "fmt"

// Judge says which of the kinds of changes are not made before an operator says so, and
// why: a kind and a reason for each rule. Changes that one approved are not counted.
func Judge(l Limits, t Tally) (held []ChangeKind, reasons []string) {
	due := func(kinds ...ChangeKind) (n int) {
		for _, kind := range kinds {
			n += t.Planned[kind] - t.Approved[kind]
		}
		return n
	}
	hold := func(reason string, kinds ...ChangeKind) {
		for _, kind := range kinds {
			if due(kind) > 0 {
				held, reasons = append(held, kind), append(reasons, reason)
			}
		}
	}
	removals := []ChangeKind{Remove, Unknown}
	n := due(removals...)
	if over(n, l.RemoveCount) {
		hold(fmt.Sprintf("%d entries would be removed from the target, more than %d", n, l.RemoveCount), removals...)
	}
	if most, trips := l.gone(n, l.RemoveShare, t.Target); trips {
		hold(fmt.Sprintf("%d of %d entries would be removed from the target, more than %s", n, t.Target, most), removals...)
	}
	changes := []ChangeKind{Renumber, Alter, Remove, Unknown}
	n = due(changes...)
	if over(n, l.ChangeCount) {
		hold(fmt.Sprintf("%d entries of the target would change, more than %d", n, l.ChangeCount), changes...)
	}
	if n >= l.ShareMinimum && overShare(n, l.ChangeShare, t.Target) {
		hold(fmt.Sprintf("%d of %d entries of the target would change, more than %d %%", n, t.Target, l.ChangeShare), changes...)
	}
	return held, reasons
}

// gone reports whether a side may not lose n entries by a share, and says how much
// it may: up to half of it where they are too few for the share.
func (l Limits) gone(n, percent, of int) (most string, trips bool) {
	if n < l.ShareMinimum && percent < 50 {
		return "half", percent > 0 && overShare(n, 50, of)
	}
	return fmt.Sprintf("%d %%", percent), overShare(n, percent, of)
}

func over(n, limit int) bool { return limit > 0 && n > limit }

func overShare(n, percent, of int) bool {
	return percent > 0 && int64(n)*100 > int64(percent)*int64(of)
}

// fewHave is how many entries may have had a value in a column that has vanished
// without that being held against the extract: so many are emptied in a day.
const fewHave = 3

// Believe says why extracts are not believed, and nothing is to be changed by
// them; nothing where they are. last are those of the run before, if known.
//
// A source without any entry is never believed. A side that shrank, or in which
// a column is gone from every entry, was rather cut short or hidden than emptied;
// ShrinkShare 0 says that an operator means it.
func Believe(l Limits, source, target, lastSource, lastTarget Extracted, known bool) []string {
	var reasons []string
	if source.Entries == 0 {
		reasons = append(reasons, "the source's directory shows no entry at all")
	}
	if l.ShrinkShare <= 0 {
		return reasons
	}
	if known {
		reasons = append(reasons, shrunk("source", l, source, lastSource)...)
		reasons = append(reasons, shrunk("target", l, target, lastTarget)...)
	}
	for _, a := range Attributes() {
		was, maps := source.Having[a.Column]
		other, mapsToo := target.Having[a.Column]
		if !maps || !mapsToo || source.Entries == 0 || was > 0 {
			continue
		}
		// Without a run before, the target tells that there were values.
		if !known && many(other, target.Entries) {
			reasons = append(reasons, fmt.Sprintf("no entry of the source shows a value of %s, which %d of the target have: are there rights to read it?",
				a.Column, other))
		}
	}
	return reasons
}

func many(having, entries int) bool { return having > fewHave || 2*having > entries }

func shrunk(side string, l Limits, now, last Extracted) []string {
	var reasons []string
	fewer := last.Entries - now.Entries
	if most, trips := l.gone(fewer, l.ShrinkShare, last.Entries); trips && (side != "source" || now.Entries > 0) {
		reasons = append(reasons, fmt.Sprintf("the %s's directory shows %d entries, and %d in the run before: more than %s fewer",
			side, now.Entries, last.Entries, most))
	}
	if now.Logins == 0 && now.Rule == last.Rule && now.Entries > 0 && many(last.Logins, last.Entries) && last.Logins > 0 {
		reasons = append(reasons, fmt.Sprintf("no entry of the %s gives an IMAP log-in any more, which %d did in the run before: are there rights to read its attributes?",
			side, last.Logins))
	}
	for _, a := range Attributes() {
		having, maps := now.Having[a.Column]
		if had := last.Having[a.Column]; maps && having == 0 && now.Entries > 0 && many(had, last.Entries) && had > 0 {
			reasons = append(reasons, fmt.Sprintf("no entry of the %s shows a value of %s any more, which %d had in the run before: are there rights to read it?",
				side, a.Column, had))
		}
	}
	return reasons
}
