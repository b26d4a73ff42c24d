package copiersim

import (
	"testing"
	"time"

	"mailmirror/internal/copier"
	"mailmirror/internal/mailbox"
	"mailmirror/internal/mirror"
)

func (s *scene) guard() { s.job.Limits = mirror.DefaultLimits(); s.guarded = true }

func (s *scene) keep() {
	s.job.Keep = copier.Keep{For: 48 * time.Hour, Folder: keptIn}
	s.keeps = true
}

// many are the numbers of so many messages.
func many(first, n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = first + i
	}
	return ids
}

// inbox counts the target's inbox.
func (s *scene) inbox() int { return len(s.target.folders[mailbox.Inbox].messages) }

// kept counts what the target keeps of deleted messages.
func (s *scene) kept() int {
	n := 0
	for name, f := range s.target.folders {
		if isKept(name) {
			n += len(f.messages)
		}
	}
	return n
}

func (s *scene) wantInbox(n int) {
	s.Helper()
	if got := s.inbox(); got != n {
		s.Errorf("%d messages on the target, want %d", got, n)
	}
	for _, v := range s.violations {
		s.Error(v)
	}
}

// TestListOfNothing: a source that lists no folder, or an empty inbox under
// another UIDVALIDITY, takes nothing from the target.
func TestListOfNothing(t *testing.T) {
	play(t, func(s *scene) {
		s.guard()
		s.source.create("Work")
		s.deposit(mailbox.Inbox, many(1, 5)...)
		s.deposit("Work", many(10, 5)...)
		s.sync(copier.Equal)
		s.from.blank = true
		s.sync(copier.Failed)
		s.from.blank = false
		s.wantInbox(5)

		was := s.source.folders
		s.source.folders = map[mailbox.FolderName]*folder{}
		s.source.create(mailbox.Inbox)
		if r := s.sync(copier.Held); r.Held != 10 {
			s.Errorf("%d messages are held, want 10", r.Held)
		}
		s.job.Force = true
		s.sync(copier.Held)
		s.job.Force = false
		s.wantInbox(5)
		s.source.folders = was
		if r := s.sync(copier.Equal); r.Messages.Appended > 0 {
			s.Errorf("%d messages were copied that were there", r.Messages.Appended)
		}
		s.equal()
	})
}

// TestRecreatedIsRemembered: a sync that is broken off after it saw a folder
// that was made anew leaves the next one knowing it.
func TestRecreatedIsRemembered(t *testing.T) {
	for name, trouble := range map[string]func(s *scene) *bool{
		"while it looked": func(s *scene) *bool { return &s.from.mute },
		// When the new UIDVALIDITY is in the ledger.
		"at the first message": func(s *scene) *bool { return &s.to.stalled },
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.guard()
				s.deposit(mailbox.Inbox, many(1, 9)...)
				s.sync(copier.Equal)
				s.source.create(mailbox.Inbox)
				s.deposit(mailbox.Inbox, 1, 2, 3)
				s.source.userPut(mailbox.Inbox, "fragile", "", at(20))
				*trouble(s) = true
				s.sync(copier.Failed)
				*trouble(s) = false
				time.Sleep(fence)
				if r := s.sync(copier.Held); r.Held != 6 || r.Messages.Appended != 1 {
					s.Errorf("%d are held and %d copied, want 6 and 1", r.Held, r.Messages.Appended)
				}
				s.wantInbox(10)
			})
		})
	}
}

// TestHeldRefusedApproved goes through what an operator may answer.
func TestHeldRefusedApproved(t *testing.T) {
	play(t, func(s *scene) {
		s.guard()
		s.deposit(mailbox.Inbox, many(1, 40)...)
		s.sync(copier.Equal)
		for uid := range mailbox.UID(30) {
			s.source.remove(mailbox.Inbox, uid+1)
		}
		s.deposit(mailbox.Inbox, 100)
		if r := s.sync(copier.Held); r.Held != 30 || r.Messages.Appended != 1 || r.Messages.Expunged != 0 {
			s.Errorf("%+v, want 30 held, 1 copied and none expunged", r)
		}
		h := s.ledger.holds[mailbox.Inbox]
		h.refused, h.waiting = h.waiting, nil
		if r := s.sync(copier.Differing); r.Kept != 30 || r.Differences != 1 {
			s.Errorf("%+v, want 30 kept, which is one difference", r)
		}
		s.source.remove(mailbox.Inbox, 31) // everyday
		s.sync(copier.Differing)
		s.wantInbox(40)
		h.approved, h.refused = h.refused, nil
		if r := s.sync(copier.Equal); r.Messages.Expunged != 30 {
			s.Errorf("%d expunged, want 30", r.Messages.Expunged)
		}
		s.equal()
		if again := s.sync(copier.Equal); !again.Idle() {
			s.Errorf("the next sync wrote: %+v", again)
		}
	})
}

// TestKeptAndPurged: what is deleted moves to the folder of the day, is left
// alone by mirroring and verifying, and goes when its time is over.
func TestKeptAndPurged(t *testing.T) {
	for name, move := range map[string]bool{"by MOVE": true, "by COPY": false} {
		t.Run(name, func(t *testing.T) {
			play(t, func(s *scene) {
				s.target.feat.move = move
				s.keep()
				s.source.create("Work")
				s.deposit(mailbox.Inbox, many(1, 5)...)
				s.deposit("Work", 10, 11)
				s.sync(copier.Equal)
				s.source.remove(mailbox.Inbox, 2)
				s.source.drop("Work")
				s.sync(copier.Equal)
				s.wantInbox(4)
				if s.kept() != 3 || s.target.folders["Work"] != nil {
					s.Errorf("%d are kept, want 3; folders %v", s.kept(), s.target.folders)
				}
				s.equal()
				verdicts, err := copier.Verify(s.Context(), s.job, true)
				for _, v := range verdicts {
					if !v.Same() {
						s.Errorf("verify finds %+v", v)
					}
				}
				if err != nil {
					s.Error(err)
				}
				if r := s.sync(copier.Equal); !r.Idle() {
					s.Errorf("the next sync wrote: %+v", r)
				}
				time.Sleep(47 * time.Hour)
				s.sync(copier.Equal)
				if s.kept() != 3 {
					s.Errorf("%d are kept before their time is over, want 3", s.kept())
				}
				time.Sleep(26 * time.Hour)
				states := s.states()
				if _, unchanged, err := s.engine.Review(s.Context(), s.job, states); unchanged || err != nil {
					s.Errorf("a review passes over what is to be purged: %v", err)
				}
				if s.kept() != 0 {
					s.Errorf("%d are kept after their time, want 0", s.kept())
				}
				if _, unchanged, err := s.engine.Review(s.Context(), s.job, s.states()); !unchanged || err != nil {
					s.Errorf("nothing is to be done, and the review syncs: %v", err)
				}
			})
		})
	}
}

// states is what the ledger knows.
func (s *scene) states() []copier.FolderState {
	var out []copier.FolderState
	for _, f := range s.ledger.folders {
		out = append(out, *f)
	}
	return out
}

// TestCutBetweenCopyAndExpunge: without MOVE, a sync that ends between the two
// leaves nothing twice and loses nothing.
func TestCutBetweenCopyAndExpunge(t *testing.T) {
	play(t, func(s *scene) {
		s.target.feat.move = false
		s.keep()
		s.deposit(mailbox.Inbox, many(1, 5)...)
		s.source.userPut(mailbox.Inbox, text(5), "", at(5)) // a twin
		s.sync(copier.Equal)
		for uid := range mailbox.UID(6) {
			s.source.remove(mailbox.Inbox, uid+1)
		}
		s.to.cutAfterCopy = true
		s.sync(copier.Failed)
		s.wantInbox(6)
		s.to.cutAfterCopy = false
		time.Sleep(fence)
		s.sync(copier.Equal)
		s.wantInbox(0)
		if s.kept() != 6 {
			s.Errorf("%d are kept, want 6", s.kept())
		}
	})
}

// TestCutBeforeCopy: without MOVE, a sync that ends before the COPY does not take what a
// user of the target puts into the folder for deleted messages for what was to be copied.
func TestCutBeforeCopy(t *testing.T) {
	play(t, func(s *scene) {
		s.target.feat.move = false
		s.keep()
		s.deposit(mailbox.Inbox, many(1, 5)...)
		s.sync(copier.Equal)
		s.source.remove(mailbox.Inbox, 1)
		s.source.remove(mailbox.Inbox, 2)
		s.to.cutBeforeCopy = true
		s.sync(copier.Failed)
		s.to.cutBeforeCopy = false
		time.Sleep(fence)
		for name := range s.target.folders {
			if isKept(name) {
				s.target.userPut(name, text(8), "", at(8))
				s.target.userPut(name, text(9), "", at(9))
			}
		}
		s.sync(copier.Equal)
		s.wantInbox(3)
		for name := range s.target.folders {
			if n := s.target.count(name, text(1)) + s.target.count(name, text(2)); isKept(name) && n != 2 {
				s.Errorf("%d of the two deleted messages are kept", n)
			}
		}
	})
}

// TestCopiedAndHeld: what was copied to where deleted messages are kept, and held
// before it was expunged, is not copied once more when it is let go, although
// another message was moved meanwhile.
func TestCopiedAndHeld(t *testing.T) {
	play(t, func(s *scene) {
		s.target.feat.move = false
		s.keep()
		s.deposit(mailbox.Inbox, many(1, 5)...)
		s.sync(copier.Equal)
		s.source.remove(mailbox.Inbox, 1)
		s.to.cutAfterCopy = true
		s.sync(copier.Failed)
		s.to.cutAfterCopy = false
		time.Sleep(fence)
		s.source.remove(mailbox.Inbox, 2)
		s.job.Limits = mirror.Limits{FolderCount: 1, Window: time.Hour}
		if r := s.sync(copier.Held); r.Held != 2 {
			s.Errorf("%d are held, want 2", r.Held)
		}
		h := s.ledger.holds[mailbox.Inbox]
		h.approved, h.waiting = mailbox.NewUIDSet(2), mailbox.NewUIDSet(1)
		s.sync(copier.Held)
		h.approved, h.waiting = mailbox.NewUIDSet(1), nil
		s.sync(copier.Equal)
		if s.kept() != 2 {
			s.Errorf("%d are kept, want 2", s.kept())
		}
		s.equal()
	})
}

// TestReservedName: a source's folder that has the name of the one that keeps
// deleted messages is told of and left alone.
func TestReservedName(t *testing.T) {
	play(t, func(s *scene) {
		s.keep()
		s.source.create(keptIn)
		s.deposit(keptIn, 1)
		s.deposit(mailbox.Inbox, 2)
		if r := s.sync(copier.Differing); r.Differences != 1 || r.Messages.Appended != 1 {
			s.Errorf("%+v, want one difference and one copy", r)
		}
		s.source.drop(keptIn)
		s.sync(copier.Equal)
	})
}
