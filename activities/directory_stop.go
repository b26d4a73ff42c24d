package activities

import (
	"context"
	"fmt"
	"slices"

	"mailmirror/internal/blame"
	"mailmirror/internal/dirsync"
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
func (p *directoryPage) loses(seq int64) {
	if p.losses == nil {
		p.losses = map[int64]*loss{}
	}
	if p.lostInRow == nil {
		p.lostInRow = map[int64]bool{}
	}
	l := p.losses[seq]
	if l == nil {
		l = &loss{accepted: p.accepted}
		p.losses[seq] = l
	}
	l.times++
	p.lostInRow[seq] = true
}

// note counts what became of a change and reports whether the run is to stop.
// Failures in a row that say the same are not written down against entries until
// it is known what they belong to: no entry is blamed for a server that is full.
func (p *directoryPage) note(ctx context.Context, c dirsync.Change) (stop bool, err error) {
	if c.State != dirsync.ChangeFailed {
		delete(p.losses, c.Seq)
		p.settleRow()
		p.result.Last = max(p.result.Last, c.Seq)
		p.count(c)
		return false, nil
	}
	if n := len(p.row); n > 0 && (p.row[n-1].Error != c.Error || p.rowKind != p.kind) {
		p.settleRow()
	}
	p.row, p.rowKind = append(p.row, c), p.kind
	e, err := p.evidence(ctx, c)
	if err != nil {
		return false, err
	}
	verdict := blame.Decide(e)
	others := 0
	if verdict.Next == blame.Sample {
		if others, err = p.sample(ctx, &e); err != nil {
			return false, err
		}
		verdict = blame.Decide(e)
	}
	switch verdict.Next {
	case blame.Again:
		p.row = p.row[:len(p.row)-1]
		c.State, c.Error, c.Hint, c.OfServer = p.state, "", "", false
		p.aside = append(p.aside, c)
	case blame.Stop:
		p.stopped(e, c, others)
		return true, nil
	case blame.Record:
		if e.After > 0 && !e.Lost {
			if p.own == nil {
				p.own = map[string]bool{}
			}
			p.own[c.Error] = true
		}
		p.settleRow()
	case blame.GoOn, blame.Halve, blame.Sample:
	}
	return false, nil
}

// evidence is what the run knows about the failure of a change, the last of the row.
func (p *directoryPage) evidence(ctx context.Context, c dirsync.Change) (blame.Evidence, error) {
	e := blame.Evidence{
		Item: blame.Entry, Kind: p.kind, Times: 1, Before: p.accepted, Row: len(p.row), Rest: p.rest,
		Known: !slices.ContainsFunc(p.row, func(c dirsync.Change) bool { return c.Failures == 0 }),
	}
	if l := p.losses[c.Seq]; p.lost && l != nil {
		// Whoever lost a connection made another one: the server answered the bind.
		e.Lost, e.Reached, e.Times, e.After, e.Row = true, true, l.times, p.accepted-l.accepted, len(p.lostInRow)
	}
	if p.own[c.Error] {
		e.After++
	}
	if e.Silent = p.silent; p.silent {
		if p.silences++; p.silences >= maxSilences {
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
	run, err := p.a.ports.Runs.DirectoryRun(ctx, p.in.RunID)
	e.Before = run.Created + run.Altered + run.Renumbers + run.Removed
	return e, err
}

// stopped says why nothing more can be carried out.
func (p *directoryPage) stopped(e blame.Evidence, c dirsync.Change, others int) {
	did := "refused"
	switch {
	case e.Lost:
		did = "ended the connection at"
	case p.silent:
		did = "did not answer to"
	}
	p.result.Stopped = fmt.Sprintf("the target %s %d changes in a row: %s", did, e.Row, c.Error)
	switch {
	case p.silences >= maxSilences:
		p.result.Stopped = fmt.Sprintf("the target %s %d changes: %s", did, p.silences, c.Error)
	case others > 0:
		p.result.Stopped = fmt.Sprintf("the target %s %d changes in a row, and %d of the rest of the run: %s", did, e.Row, others, c.Error)
	}
	p.result.Hint, p.row, p.aside = c.Hint, nil, nil
}

// sample tells the target that accepts no write at all from the one that rejects a
// part of the entries, which may lie side by side: others are tried that have
// nothing in common with them, before their turn. It adds to the evidence, and
// returns how many of them were rejected, for whatever reason. Only what was
// carried out is recorded; all else is left to its turn, so that whoever repeats
// the page begins as this one did.
func (p *directoryPage) sample(ctx context.Context, e *blame.Evidence) (rejected int, err error) {
	last := p.row[len(p.row)-1]
	size := e.Sample()
	others, err := p.a.ports.Changes.SampleDirectoryChanges(ctx, p.in.RunID, last.Seq, size, p.state)
	if err != nil {
		return 0, err
	}
	for _, c := range others {
		before := p.accepted
		done, err := p.one(ctx, c)
		switch {
		case err != nil:
			return 0, err
		case p.accepted > before:
			if done.State == dirsync.ChangeDone && p.state != dirsync.ChangeDone {
				if p.ahead == nil {
					p.ahead = map[int64]bool{}
				}
				p.ahead[done.Seq] = true
				p.count(done)
			}
			e.After++
			return rejected, nil
		case done.State == dirsync.ChangeFailed:
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
func (p *directoryPage) count(c dirsync.Change) {
	if c.State != p.state {
		p.unsaved = append(p.unsaved, c)
	}
	if c.State == dirsync.ChangeDone {
		p.result.Done++
	} else {
		p.result.Moot++
	}
}

// settleRow writes failures down against their entries.
func (p *directoryPage) settleRow() {
	for _, c := range p.row {
		p.unsaved = append(p.unsaved, c)
		p.result.Last = max(p.result.Last, c.Seq)
		p.result.Failed++
	}
	p.row = nil
}
