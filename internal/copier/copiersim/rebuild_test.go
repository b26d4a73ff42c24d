package copiersim

import (
	"slices"
	"testing"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
)

// altered fills the source with messages of which the target alters some, twins
// among them, and one that it refuses.
func altered(s *scene) {
	s.target.feat.altersNUL, s.target.feat.refusesPoison = true, true
	s.deposit(mailbox.Inbox, 1, 2)
	for range 2 {
		s.source.userPut(mailbox.Inbox, "Message-ID: <t>\r\n\r\ntwin \x00\r\n", "", at(3))
	}
	s.source.userPut(mailbox.Inbox, "no id\r\n\r\nzero \x00 one\r\n", `\Seen`, at(4))
	s.source.userPut(mailbox.Inbox, "no id\r\n\r\nzero \x00 two\r\n", "", at(4))
	s.source.userPut(mailbox.Inbox, "Message-ID: <p>\r\n\r\npoison", "", at(5))
	s.deposit(mailbox.Inbox, 6)
	s.sync(copier.Differing)
}

// TestRebuildTouchesNothing: whatever of the ledger is wrong or gone, a forced
// sync puts it right without a copy or a deletion, and knows the lasting
// differences again.
func TestRebuildTouchesNothing(t *testing.T) {
	inbox := func(s *scene) *copier.FolderState { return s.ledger.folders[mailbox.Inbox] }
	for name, damage := range map[string]func(s *scene){
		"nothing":                     func(*scene) {},
		"all is gone":                 func(s *scene) { clear(s.ledger.folders) },
		"the pairs are gone":          func(s *scene) { inbox(s).Pairs = nil },
		"the differences are gone":    func(s *scene) { inbox(s).Differences = nil },
		"half of the pairs are gone":  func(s *scene) { inbox(s).Pairs = inbox(s).Pairs[:1] },
		"the pairs are turned round":  func(s *scene) { turnRound(inbox(s)) },
		"the pairs are shifted":       func(s *scene) { inbox(s).Pairs = []mailbox.Run{{Source: 1, Target: 2, Length: 6}} },
		"the counters are the oldest": func(s *scene) { inbox(s).SourceAt.UIDNext, inbox(s).TargetAt.Messages = 2, 1 },
		"other UIDVALIDITYs":          func(s *scene) { inbox(s).SourceValidity++ },
		"all are refused": func(s *scene) {
			for uid := mailbox.UID(1); uid < 9; uid++ {
				inbox(s).Differences = append(inbox(s).Differences, copier.Difference{Kind: copier.Refused, SourceUID: uid, Detail: "made up"})
			}
		},
		"an intent that nobody had": func(s *scene) {
			inbox(s).Intent = &copier.Intent{TargetUIDNext: 2, Sources: mailbox.UIDSet{{First: 1, Last: 50}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				altered(s)
				damage(s)
				s.job.Force = true
				for _, when := range []string{"the rebuild", "the second one"} {
					if r := s.sync(copier.Differing); !r.Idle() || r.Differences != 5 {
						s.Errorf("%s: %d differences and %+v, want 5 and no work", when, r.Differences, r.Messages)
					}
				}
				s.job.Force = false
				s.source.remove(mailbox.Inbox, 3) // a twin
				s.deposit(mailbox.Inbox, 7)
				if r := s.sync(copier.Differing); r.Messages.Appended != 1 || r.Messages.Expunged != 1 || r.Differences != 4 {
					s.Errorf("after one came and one went: %d differences and %+v", r.Differences, r.Messages)
				}
				s.equal()
			})
		})
	}
}

func turnRound(f *copier.FolderState) {
	var pairs []mailbox.Run
	for _, r := range f.Pairs {
		for k := range r.Length {
			pairs = append(pairs, mailbox.Run{Source: r.Source + mailbox.UID(k), Target: r.Target + mailbox.UID(r.Length-1-k), Length: 1})
		}
	}
	slices.SortFunc(pairs, func(a, b mailbox.Run) int { return int(a.Source) - int(b.Source) })
	f.Pairs = pairs
}

// TestAlteredIsRecognisedWithoutForce: the sync after a ledger was lost does not
// copy again what the target altered either.
func TestAlteredIsRecognisedWithoutForce(t *testing.T) {
	play(t, func(s *scene) {
		altered(s)
		clear(s.ledger.folders)
		if r := s.sync(copier.Differing); !r.Idle() || r.Differences != 5 {
			s.Errorf("%d differences and %+v, want 5 and no work", r.Differences, r.Messages)
		}
	})
}

// TestDamagedCopyIsReplaced: what differs from the source by more than what
// servers are known to alter is no copy of it. Without a ledger it may be
// anybody's, so it goes with the operator's approval only.
func TestDamagedCopyIsReplaced(t *testing.T) {
	play(t, func(s *scene) {
		s.deposit(mailbox.Inbox, 1, 2)
		s.sync(copier.Equal)
		s.target.folders[mailbox.Inbox].messages[0].content = text(1) + "more"
		s.target.folders[mailbox.Inbox].bump()
		clear(s.ledger.folders)
		s.job.Force = true
		if r := s.sync(copier.Held); r.Messages.Appended != 1 || r.Held != 1 {
			s.Errorf("%+v, want one copied and one held", r)
		}
		s.approveAll()
		if r := s.sync(copier.Equal); r.Messages.Appended != 0 || r.Messages.Expunged != 1 {
			s.Errorf("%+v, want one expunged", r.Messages)
		}
		s.equal()
	})
}
