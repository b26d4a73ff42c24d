package activities

import (
	"context"
	"fmt"
	"slices"

	"mailmirror/internal/control"
	"mailmirror/internal/fault"
)

const (
	// doubtAfterConfig is after how many refusals in a row that say the same, and
	// may concern the whole server (read-only, full, no rights, busy), it is doubted
	// that the target takes any write.
	doubtAfterConfig = 5
	// doubtAfterPermanent is the same for refusals that concern an entry.
	doubtAfterPermanent = 50
	// doubtSample is how many other changes, from all over the rest of the run, are
	// then tried at the most.
	doubtSample = 50
)

// note counts what became of a change and reports whether the run is to stop.
// Refusals in a row that say the same are not written down against entries until
// it is known whose they are: no entry is given up for a server that is full.
func (p *directoryPage) note(ctx context.Context, c control.DirectoryChange) (stop bool, err error) {
	if c.State != control.ChangeFailed {
		p.settleRow()
		p.result.Last = c.Seq
		p.count(c)
		return false, nil
	}
	if n := len(p.row); n > 0 && (p.row[n-1].Error != c.Error || p.rowKind != p.kind) {
		p.settleRow()
	}
	p.row, p.rowKind = append(p.row, c), p.kind
	most := doubtAfterPermanent
	if ofServer(p.kind) {
		most = doubtAfterConfig
	}
	switch {
	case p.own[c.Error]:
		p.settleRow()
		return false, nil
	case len(p.row) < most:
		return false, nil
	case !slices.ContainsFunc(p.row, func(c control.DirectoryChange) bool { return c.Failures == 0 }):
		// What a run before this one recorded of entries is no news of the server.
		p.settleRow()
		return false, nil
	}
	others, all, err := p.refusesAll(ctx)
	switch {
	case err != nil:
		return false, err
	case !all:
		if p.own == nil {
			p.own = map[string]bool{}
		}
		p.own[c.Error] = true
		p.settleRow()
		return false, nil
	}
	p.result.Stopped = fmt.Sprintf("the target refused %d changes in a row: %s", len(p.row), c.Error)
	if others > 0 {
		p.result.Stopped = fmt.Sprintf("the target refused %d changes in a row, and %d of the rest of the run: %s", len(p.row), others, c.Error)
	}
	p.result.Hint, p.row = c.Hint, nil
	return true, nil
}

// ofServer reports a refusal that may concern the whole server.
func ofServer(kind fault.Kind) bool { return kind == fault.Config || kind == fault.Transient }

// refusesAll tells the target that takes no write at all from the one that refuses
// a part of the entries, which may lie side by side: others are tried that have
// nothing in common with them, before their turn. It returns how many of those
// were refused, whatever in: it begins with what was to be done. Only what was
// carried out is recorded; all else is left to its turn, so that whoever repeats
// the page begins as this one did.
func (p *directoryPage) refusesAll(ctx context.Context) (refused int, all bool, err error) {
	last := p.row[len(p.row)-1]
	others, err := p.a.ports.Directory.SampleDirectoryChanges(ctx, p.in.RunID, last.Seq, doubtSample, p.state)
	if err != nil {
		return 0, false, err
	}
	for _, c := range others {
		before := p.accepted
		done, err := p.one(ctx, c)
		switch {
		case err != nil:
			return 0, false, err
		case p.accepted > before:
			if done.State == control.ChangeDone && p.state != control.ChangeDone {
				if p.ahead == nil {
					p.ahead = map[int64]bool{}
				}
				p.ahead[done.Seq] = true
				p.count(done)
			}
			return refused, false, nil
		case done.State == control.ChangeFailed:
			refused++
		}
	}
	if len(others) == doubtSample || p.result.Done > 0 {
		return refused, len(others) == doubtSample, nil
	}
	// Too few are left to tell, unless the run has seen nothing but this.
	run, err := p.a.ports.Directory.DirectoryRun(ctx, p.in.RunID)
	return refused, run.Created+run.Altered+run.Renumbers+run.Removed == 0, err
}

// count takes down a change that was not refused.
func (p *directoryPage) count(c control.DirectoryChange) {
	if c.State != p.state {
		p.unsaved = append(p.unsaved, c)
	}
	if c.State == control.ChangeDone {
		p.result.Done++
	} else {
		p.result.Moot++
	}
}

// settleRow writes refusals down against their entries.
func (p *directoryPage) settleRow() {
	for _, c := range p.row {
		p.unsaved = append(p.unsaved, c)
		p.result.Last = c.Seq
		p.result.Failed++
	}
	p.row = nil
}
