package cli

import (
	"fmt"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
	"mailmirror/internal/site"
)

// directoryOff is how the directory of a link stands that does not mirror it.
const directoryOff = "not mirrored: it is switched off"

// directoryLines tell how the directory of a link stands; none where it has none.
func (c *cli) directoryLines(l control.LinkOverview) []string {
	d := l.Directory
	switch {
	case l.Link.Directory == site.LinkDirectoryOff:
		return []string{"directory " + directoryOff}
	case d == nil:
		return nil
	}
	lines := []string{c.lastDirectoryRun(d)}
	if run := d.LastRun; run != nil && run.Failed+run.GivenUp+run.Duplicate+run.Unread > 0 {
		lines = append(lines, fmt.Sprintf("directory: %d failed, %d given up, %d duplicate, %d unreadable; see: mailmirror directory history %s --run %s",
			run.Failed, run.GivenUp, run.Duplicate, run.Unread, l.Link.Name, run.RunID))
	}
	waiting := 0
	for _, h := range d.Holds {
		if h.State == guard.HoldWaiting {
			waiting += h.Changes
		}
	}
	if waiting > 0 {
		lines = append(lines, fmt.Sprintf("directory: %s %s for you; see: mailmirror guard list %s",
			counted(waiting, "change"), waits(waiting), l.Link.Name))
	}
	return lines
}

func (c *cli) lastDirectoryRun(d *control.DirectoryOverview) string {
	run := d.LastRun
	switch {
	case run == nil:
		return "directory never mirrored"
	case run.FinishedAt.IsZero():
		return fmt.Sprintf("directory is being mirrored since %s: %s", c.moment(run.StartedAt), directoryProgress(*run))
	case run.State == dirsync.Failed:
		line := fmt.Sprintf("directory run failed %s (%s)", c.moment(run.FinishedAt), c.ago(run.FinishedAt))
		if len(run.Reasons) > 0 {
			line += ": " + run.Reasons[0]
		}
		if !d.LastEqual.IsZero() {
			line += "; the last good run ended " + c.ago(d.LastEqual)
		}
		return clean(line)
	default:
		return fmt.Sprintf("directory mirrored %s (%s): %s, %d created, %d changed, %d removed",
			c.moment(run.FinishedAt), c.ago(run.FinishedAt), counted(run.Source, "entry"), run.Created, run.Altered+run.Renumbers, run.Removed)
	}
}
