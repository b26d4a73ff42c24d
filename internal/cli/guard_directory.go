package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"mailmirror/internal/control"
	"mailmirror/internal/dirsync"
	"mailmirror/internal/guard"
)

// writeDirectoryHolds shows what waits of directories.
func (c *cli) writeDirectoryHolds(w io.Writer, holds []guard.DirectoryHold) {
	t := c.newTable(">ID", "STATE", "LINK", "DIRECTORY", ">ENTRIES", ">OF", ">ON SOURCE", "SINCE", "WHY")
	waiting, entries := 0, 0
	for _, h := range holds {
		t.row(h.ID, h.State, h.Link, h.Kind, h.Changes, h.Target, h.Source, c.moment(h.Since), strings.Join(h.Reasons, "; "))
		if h.State == guard.HoldWaiting {
			waiting++
			entries += h.Changes
		}
	}
	t.write(w)
	if waiting > 0 {
		c.say("%s of directories %s for: mailmirror guard approve ID... or guard refuse ID...; guard show ID lists them",
			counted(entries, "change"), waits(entries))
	}
}

// shownOfHold is how many changes of a hold are listed for people.
const shownOfHold = 50

// showDirectoryHold shows one hold of a directory with its changes.
func (c *cli) showDirectoryHold(ctx context.Context, ctl *control.Control, h guard.DirectoryHold, s dirsync.Settings) error {
	limit := shownOfHold
	if c.output == outputJSON {
		limit = 0
	}
	changes, err := ctl.DirectoryHoldChanges(ctx, h.ID, limit)
	if err != nil {
		return err
	}
	shown := struct {
		guard.DirectoryHold
		Mailboxes []dirsync.Change `json:"mailboxes"`
		Settings  dirsync.Settings `json:"settings"`
	}{h, list(changes), s}
	return c.show(shown, func(w io.Writer) {
		decided := ""
		if h.DecidedBy != "" {
			decided = fmt.Sprintf("%s by %s, %s", h.State, h.DecidedBy, c.moment(h.DecidedAt))
		}
		pairs(w, "hold", h.ID, "state", h.State, "directory of link", h.Link, "would be done",
			fmt.Sprintf("%s to %s of the target", kindText(h.Kind), counted(h.Changes, "entry")),
			"the target has", counted(h.Target, "entry"), "the source has", counted(h.Source, "entry"),
			"why", strings.Join(h.Reasons, "; "), "held since", c.moment(h.Since), "decided", decided)
		c.writeDirectoryLimits(w, s)
		fmt.Fprintln(w)
		c.writeChanges(w, changes)
		if len(changes) < h.Changes {
			c.say("and %d more; -o json lists all", h.Changes-len(changes))
		}
	})
}

// writeDirectoryLimits shows the limits in force.
func (c *cli) writeDirectoryLimits(w io.Writer, s dirsync.Settings) {
	most := func(count, share int, what string) string {
		var limits []string
		if count > 0 {
			limits = append(limits, fmt.Sprintf("more than %d %s", count, what))
		}
		if share > 0 {
			limits = append(limits, fmt.Sprintf("more than %d %% of the target's", share))
		}
		if len(limits) == 0 {
			return "off"
		}
		return strings.Join(limits, ", or ")
	}
	shrink := "any number of entries"
	if s.ShrinkShare > 0 {
		shrink = fmt.Sprintf("%d %% fewer entries than before, or a column that nobody has any more", s.ShrinkShare)
	}
	few := "count from the first entry on"
	if s.ShareMinimum > 1 {
		few = fmt.Sprintf("count from %d entries on; of fewer, at most half may be gone", s.ShareMinimum)
	}
	pairs(w, "directory", "waits for you:",
		"  removals", most(s.RemoveCount, s.RemoveShare, "entries"),
		"  changes but creations", most(s.ChangeCount, s.ChangeShare, "entries"),
		"  rejects an extract with", shrink,
		"  shares", few)
}

// directoryGuardFlags are the limits of a directory's guard.
type directoryGuardFlags struct {
	removeCount, removeShare, changeCount, changeShare, shrinkShare, shareMinimum int
	set                                                                           *pflag.FlagSet
}

func (d *directoryGuardFlags) fields(s *dirsync.Settings) map[string][2]*int {
	return map[string][2]*int{
		"directory-remove-count": {&d.removeCount, &s.RemoveCount},
		"directory-remove-share": {&d.removeShare, &s.RemoveShare},
		"directory-change-count": {&d.changeCount, &s.ChangeCount},
		"directory-change-share": {&d.changeShare, &s.ChangeShare},
		"directory-shrink-share": {&d.shrinkShare, &s.ShrinkShare},
		// As to all three shares.
		"directory-share-minimum": {&d.shareMinimum, &s.ShareMinimum},
	}
}

func (d *directoryGuardFlags) add(f *pflag.FlagSet) {
	d.set = f
	f.IntVar(&d.removeCount, "directory-remove-count", 0, "more than so many `entries` removed from the directory ...")
	f.IntVar(&d.removeShare, "directory-remove-share", 0, "... or more than so many `percent` of the target's")
	f.IntVar(&d.changeCount, "directory-change-count", 0, "more than so many `entries` of the directory changed or removed ...")
	f.IntVar(&d.changeShare, "directory-change-share", 0, "... or more than so many `percent` of the target's")
	f.IntVar(&d.shrinkShare, "directory-shrink-share", 0, "a directory with so many `percent` fewer entries than before is not believed")
	f.IntVar(&d.shareMinimum, "directory-share-minimum", 0, "the percentages count from so many `entries` on; of fewer, at most half may be gone")
}

func (d *directoryGuardFlags) given() bool {
	for name := range d.fields(&dirsync.Settings{}) {
		if d.set.Changed(name) {
			return true
		}
	}
	return false
}

func (d *directoryGuardFlags) apply(s *dirsync.Settings) {
	for name, field := range d.fields(s) {
		if d.set.Changed(name) {
			*field[1] = *field[0]
		}
	}
}
