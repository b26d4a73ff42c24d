package copier

import (
	"fmt"
	"hash/crc32"
	"time"

	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

// retryChangedKeywords gives messages whose keywords were refused another try
// once the source has changed them.
func (f *folderRun) retryChangedKeywords() {
	for d := range f.differences {
		if _, changed := f.source.Messages[d.SourceUID]; changed && d.Kind == KeywordsRefused {
			delete(f.differences, d)
			f.noKeywords = f.noKeywords.Minus(mailbox.UIDSet{{First: d.SourceUID, Last: d.SourceUID}})
		}
	}
}

// withoutKeywords gives up on the keywords of a message. It reports false where
// there are none to give up.
func (f *folderRun) withoutKeywords(uid mailbox.UID, cause error) bool {
	flags, _ := f.permanent.Storable(f.source.Messages[uid].Flags)
	if f.noKeywords.Contains(uid) || flags == flags.System() {
		return false
	}
	f.noKeywords = f.noKeywords.Union(mailbox.UIDSet{{First: uid, Last: uid}})
	f.differences[Difference{Kind: KeywordsRefused, SourceUID: uid, Detail: cause.Error()}] = true
	return true
}

// noteRefusedFlags brings the list of refused flags up to date for every
// message whose flags were compared.
func (f *folderRun) noteRefusedFlags(plan mirror.FolderPlan) {
	for d := range f.differences {
		if _, compared := f.source.Messages[d.SourceUID]; compared && d.Kind == FlagsRefused {
			delete(f.differences, d)
		}
	}
	for _, r := range plan.Refused {
		f.differences[Difference{Kind: FlagsRefused, SourceUID: r.Source,
			Detail: "the target's folder does not keep " + plural(len(r.Flags.List()), "flag")}] = true
	}
}

// unkept is a message of the target that has flags and is to get others.
type unkept struct {
	target     mailbox.UID
	have, want mailbox.Flags
}

// detail names the flags by a digest and the day on which they were last tried.
func (u unkept) detail(today time.Time) string {
	return fmt.Sprintf("the target takes the flags and does not keep them (%08x, %s)",
		crc32.ChecksumIEEE([]byte(string(u.have)+"\x00"+string(u.want))), today.UTC().Format(time.DateOnly))
}

// withoutUnkept leaves out of a plan the flags that the target took twice in this
// sync without keeping them, or earlier today. They are lasting differences.
func (f *folderRun) withoutUnkept(changes []mirror.FlagChange) []mirror.FlagChange {
	var out []mirror.FlagChange
	for _, c := range changes {
		left := mirror.FlagChange{Flags: c.Flags}
		for t := range c.Target.All() {
			s, _ := f.pairs.Source(t)
			u := unkept{t, f.target.Messages[t].Flags, c.Flags}
			detail := u.detail(f.clock.Now())
			f.flagsSeen[u]++
			if f.flagsSeen[u] < 3 && (f.flagsUnkept[s] != detail || f.job.asked()) {
				left.Target.Add(t)
				continue
			}
			f.differences[Difference{Kind: FlagsRefused, SourceUID: s, Detail: detail}] = true
		}
		if len(left.Target) > 0 {
			out = append(out, left)
		}
	}
	return out
}
