package copier

import (
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
