package dirsync

import (
	"context"
	"fmt"
	"slices"

	"mailmirror/internal/blame"
)

// lostHint is for an entry at which the server ends the connection.
const lostHint = "see the server's log: the entry may be larger than the server accepts (OpenLDAP: olcSockbufMaxIncomingAuth; 389: nsslapd-maxbersize)"

// maxSilences is how many changes of a page the target may leave without an answer,
// each of which takes the whole time that Mailmirror waits for one, until the run ends.
const maxSilences = 20

// loss is what is known of a change at which the server ended the connection.
type loss struct {
	times    int // in a row
	accepted int // how many writes the target had accepted when it happened first
}

// loses counts a connection that ended at a change.
func (a *applying) loses(seq int64) {
	l := a.losses[seq]
	if l == nil {
		l = &loss{accepted: a.accepted}
		a.losses[seq] = l
	}
	l.times++
	a.lostInRow[seq] = true
}

// weigh counts what became of a change and reports whether the run is to stop.
// Failures in a row that say the same are not written down against entries until
// it is known what they belong to: no entry is blamed for a server that is full.
func (a *applying) weigh(ctx context.Context, c Change) (stop bool, err error) {
	if c.State != ChangeFailed {
		delete(a.losses, c.Seq)
		a.recordRow()
		a.result.Last = max(a.result.Last, c.Seq)
		a.count(c)
		return false, nil
	}
	if n := len(a.row); n > 0 && (a.row[n-1].Error != c.Error || a.rowKind != a.kind) {
		a.recordRow()
	}
	a.row, a.rowKind = append(a.row, c), a.kind
	e, err := a.evidence(ctx, c)
	if err != nil {
		return false, err
	}
	verdict := blame.Decide(e)
	others := 0
	if verdict.Next == blame.Sample {
		if others, err = a.sample(ctx, &e); err != nil {
			return false, err
		}
		verdict = blame.Decide(e)
	}
	switch verdict.Next {
	case blame.Again:
		a.row = a.row[:len(a.row)-1]
		c.State, c.Error, c.Hint, c.OfServer = a.state, "", "", false
		a.aside = append(a.aside, c)
	case blame.Stop:
		a.stopped(e, c, others)
		return true, nil
	case blame.Record:
		if e.After > 0 && !e.Lost {
			a.own[c.Error] = true
		}
		a.recordRow()
	case blame.GoOn, blame.Halve, blame.Sample:
	}
	return false, nil
}

// evidence is what the run knows about the failure of a change, the last of the row.
func (a *applying) evidence(ctx context.Context, c Change) (blame.Evidence, error) {
	e := blame.Evidence{
		Item: blame.Entry, Kind: a.kind, Times: 1, Before: a.accepted, Row: len(a.row), Rest: a.rest,
		Known: !slices.ContainsFunc(a.row, func(c Change) bool { return c.Failures == 0 }),
	}
	if l := a.losses[c.Seq]; a.lost && l != nil {
		// Whoever lost a connection made another one: the server answered the bind.
		e.Lost, e.Reached, e.Times, e.After, e.Row = true, true, l.times, a.accepted-l.accepted, len(a.lostInRow)
	}
	if a.own[c.Error] {
		e.After++
	}
	if e.Silent = a.silent; a.silent {
		if a.silences++; a.silences >= maxSilences {
			// The server accepts others, but each of these takes the whole time for an
			// answer.
			e.After, e.Known, e.Sampled = 0, false, blame.SampleSize
			e.Row = max(e.Row, blame.Doubt(e.Lost, e.Kind))
		}
	}
	if e.Before > 0 || e.Rest > 0 && e.Row < blame.Doubt(e.Lost, e.Kind) {
		return e, nil
	}
	// The pages before this one, and attempts before this one, count as well.
	run, err := a.ports.Runs.DirectoryRun(ctx, a.job.RunID)
	e.Before = run.Created + run.Altered + run.Renumbers + run.Removed
	return e, err
}

// stopped says why nothing more can be carried out.
func (a *applying) stopped(e blame.Evidence, c Change, others int) {
	did := "refused"
	switch {
	case e.Lost:
		did = "ended the connection at"
	case a.silent:
		did = "did not answer to"
	}
	a.result.Stopped = fmt.Sprintf("the target %s %d changes in a row: %s", did, e.Row, c.Error)
	switch {
	case a.silences >= maxSilences:
		a.result.Stopped = fmt.Sprintf("the target %s %d changes: %s", did, a.silences, c.Error)
	case others > 0:
		a.result.Stopped = fmt.Sprintf("the target %s %d changes in a row, and %d of the rest of the run: %s", did, e.Row, others, c.Error)
	}
	a.result.Hint, a.row, a.aside = c.Hint, nil, nil
}

// sample tells the target that accepts no write at all from the one that rejects a
// part of the entries, which may lie side by side: others are tried that have
// nothing in common with them, before their turn. It adds to the evidence, and
// returns how many of them were rejected, for whatever reason. Only what was
// carried out is recorded; all else is left to its turn, so that whoever repeats
// the page begins as this one did.
func (a *applying) sample(ctx context.Context, e *blame.Evidence) (rejected int, err error) {
	last := a.row[len(a.row)-1]
	size := e.Sample()
	others, err := a.ports.Changes.SampleDirectoryChanges(ctx, a.job.RunID, last.Seq, size, a.state)
	if err != nil {
		return 0, err
	}
	for _, c := range others {
		before := a.accepted
		done, err := a.one(ctx, c)
		switch {
		case err != nil:
			return 0, err
		case a.accepted > before:
			if done.State == ChangeDone && a.state != ChangeDone {
				a.ahead[done.Seq] = true
				a.count(done)
			}
			e.After++
			return rejected, nil
		case done.State == ChangeFailed:
			rejected++
			e.Sampled++
		}
	}
	if e.Rest = 0; len(others) == size {
		e.Sampled = size
	}
	return rejected, nil
}

// count takes down a change that was not rejected.
func (a *applying) count(c Change) {
	if c.State != a.state {
		a.unsaved = append(a.unsaved, c)
	}
	if c.State == ChangeDone {
		a.result.Done++
	} else {
		a.result.Moot++
	}
}

// recordRow writes failures down against their entries.
func (a *applying) recordRow() {
	for _, c := range a.row {
		a.unsaved = append(a.unsaved, c)
		a.result.Last = max(a.result.Last, c.Seq)
		a.result.Failed++
	}
	a.row = nil
}
