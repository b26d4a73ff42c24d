package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"mailmirror/internal/dirsync"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/site"
)

// participateFlags say which mailboxes of the directory join a link, and what
// becomes of entries that nobody knows; only those that were given change
// anything.
type participateFlags struct {
	rule          string
	numbers       []string
	removeUnknown bool
	giveUp        int
	set           *pflag.FlagSet
}

func (p *participateFlags) add(f *pflag.FlagSet) {
	p.set = f
	f.Var(choice(&p.rule, string(dirsync.ParticipateAll), string(dirsync.ParticipateFilter), string(dirsync.ParticipateManual)),
		"participate", "which mailboxes of the directory join the link by themselves: all, filter or manual")
	f.StringArrayVar(&p.numbers, "participate-numbers", nil, "`pattern` of the numbers that join with filter, such as 20*, may be repeated")
	f.BoolVar(&p.removeUnknown, "directory-remove-unknown", false, "remove entries of the target's directory that the source never had")
	f.IntVar(&p.giveUp, "directory-give-up", 0, "leave an entry alone that failed in so many `runs`; 0 never does")
}

func (p *participateFlags) given() bool {
	return slices.ContainsFunc([]string{"participate", "participate-numbers", "directory-remove-unknown", "directory-give-up"}, p.set.Changed)
}

func (p *participateFlags) apply(s *dirsync.Settings) {
	if p.set.Changed("participate") {
		s.Participate = dirsync.Participation(p.rule)
		if s.Participate != dirsync.ParticipateFilter {
			s.Numbers = nil
		}
	}
	if p.set.Changed("participate-numbers") {
		s.Numbers = mailbox.Patterns(p.numbers)
		if !p.set.Changed("participate") {
			s.Participate = dirsync.ParticipateFilter
		}
	}
	if p.set.Changed("directory-remove-unknown") {
		s.RemoveUnknown = p.removeUnknown
	}
	if p.set.Changed("directory-give-up") {
		s.GiveUp = p.giveUp
	}
}

// linkDirectoryFlag says whether a link mirrors the directories of its stores.
type linkDirectoryFlag struct {
	value string
	set   *pflag.FlagSet
}

const directoryOn = "on" // site.LinkDirectoryOn on the command line

func (d *linkDirectoryFlag) add(f *pflag.FlagSet) {
	d.set = f
	f.Var(choice(&d.value, directoryOn, string(site.LinkDirectoryOff), string(site.LinkDirectoryReverse)),
		"directory", "whether the directories of the stores are mirrored: on, if both have one; off; or reverse, also to where the source's directory came from by a link that is removed (default on)")
}

func (d *linkDirectoryFlag) given() bool { return d.set.Changed("directory") }

func (d *linkDirectoryFlag) setting() site.LinkDirectory {
	if d.value == directoryOn {
		return site.LinkDirectoryOn
	}
	return site.LinkDirectory(d.value)
}

func participationText(s dirsync.Settings) string {
	var text string
	switch s.Participate {
	case dirsync.ParticipateManual:
		text = "mailboxes join by hand"
	case dirsync.ParticipateFilter:
		text = "mailboxes join whose numbers are " + strings.Join(s.Numbers, ", ")
	case dirsync.ParticipateAll:
		text = "every mailbox joins"
	}
	if s.RemoveUnknown {
		text += "; entries that only the target has are removed"
	} else {
		text += "; entries that only the target has stay"
	}
	if s.GiveUp > 0 {
		text += fmt.Sprintf("; given up after %s", counted(s.GiveUp, "run"))
	}
	return text
}
