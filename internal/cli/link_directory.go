package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"mailmirror/internal/control"
	"mailmirror/internal/mailbox"
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
	f.Var(choice(&p.rule, "", string(control.ParticipateAll), string(control.ParticipateFilter), string(control.ParticipateManual)),
		"participate", "which mailboxes of the directory join the link by themselves: all, filter or manual")
	f.StringArrayVar(&p.numbers, "participate-numbers", nil, "`pattern` of the numbers that join with filter, such as 20*, may be repeated")
	f.BoolVar(&p.removeUnknown, "directory-remove-unknown", false, "remove entries of the target's directory that the source never had")
	f.IntVar(&p.giveUp, "directory-give-up", 0, "leave an entry alone that failed in so many `runs`; 0 never does")
}

func (p *participateFlags) given() bool {
	return slices.ContainsFunc([]string{"participate", "participate-numbers", "directory-remove-unknown", "directory-give-up"}, p.set.Changed)
}

func (p *participateFlags) apply(s *control.DirectorySettings) {
	if p.set.Changed("participate") {
		s.Participate = control.Participation(p.rule)
		if s.Participate != control.ParticipateFilter {
			s.Numbers = nil
		}
	}
	if p.set.Changed("participate-numbers") {
		s.Numbers = mailbox.Patterns(p.numbers)
		if !p.set.Changed("participate") {
			s.Participate = control.ParticipateFilter
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

const directoryOn = "on" // control.LinkDirectoryOn on the command line

func (d *linkDirectoryFlag) add(f *pflag.FlagSet) {
	d.set = f
	f.Var(choice(&d.value, "", directoryOn, string(control.LinkDirectoryOff), string(control.LinkDirectoryReverse)),
		"directory", "whether the directories of the stores are mirrored: on, if both have one; off; or reverse, also to where the source's directory came from by a link that is removed (default on)")
}

func (d *linkDirectoryFlag) given() bool { return d.set.Changed("directory") }

func (d *linkDirectoryFlag) setting() control.LinkDirectory {
	if d.value == directoryOn {
		return control.LinkDirectoryOn
	}
	return control.LinkDirectory(d.value)
}

func participationText(s control.DirectorySettings) string {
	var text string
	switch s.Participate {
	case control.ParticipateManual:
		text = "mailboxes join by hand"
	case control.ParticipateFilter:
		text = "mailboxes join whose numbers are " + strings.Join(s.Numbers, ", ")
	case control.ParticipateAll:
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
